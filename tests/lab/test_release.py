"""The release's names and shapes are written out here; none of the library's modules is asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy import InputError
from understudy.distill.reverse import ReverseStudent, reverse_student
from understudy.lab.release import load_release
from understudy.types import Level

Shapes = Iterator[tuple[str, tuple[int, ...]]]
Checkpoint = dict[str, dict[str, Tensor]]

# name: channels a plane, planes of the 3x3 convolution a plane (None: basic blocks), blocks.
ARCHITECTURES = {
    "resnet18": (1, None, 2, (2, 2, 2)),
    "resnet34": (1, None, 3, (3, 4, 6)),
    "resnet50": (4, 1, 3, (3, 4, 6)),
    "wide_resnet50_2": (4, 2, 3, (3, 4, 6)),
}
DEAD = [
    "bn.bn4.bias",
    "bn.bn4.num_batches_tracked",
    "bn.bn4.running_mean",
    "bn.bn4.running_var",
    "bn.bn4.weight",
    "bn.conv4.weight",
]


def norm(name: str, channels: int) -> Shapes:
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{leaf}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def blocks(name: str, c_in: int, planes: int, arch: str, depth: int, resize: str) -> Shapes:
    """One stage; a transposed convolution's weight has its inputs first."""
    expansion, wide, _, _ = ARCHITECTURES[arch]
    c_out, up = planes * expansion, resize == "upsample"
    for i in range(depth):
        at = f"{name}.{i}"
        if wide is None:
            yield f"{at}.conv1.weight", (c_in, planes, 2, 2) if up and i == 0 else (planes, c_in, 3, 3)
            yield from norm(f"{at}.bn1", planes)
            yield f"{at}.conv2.weight", (planes, planes, 3, 3)
            yield from norm(f"{at}.bn2", planes)
        else:
            width, side = planes * wide, 2 if up and i == 0 else 3
            yield f"{at}.conv1.weight", (width, c_in, 1, 1)
            yield from norm(f"{at}.bn1", width)
            yield f"{at}.conv2.weight", (width, width, side, side)
            yield from norm(f"{at}.bn2", width)
            yield f"{at}.conv3.weight", (c_out, width, 1, 1)
            yield from norm(f"{at}.bn3", c_out)
        if i == 0:
            yield f"{at}.{resize}.0.weight", (c_in, c_out, 2, 2) if up else (c_out, c_in, 1, 1)
            yield from norm(f"{at}.{resize}.1", c_out)
        c_in = c_out


def bottleneck_shapes(arch: str) -> Shapes:
    e, _, depth, _ = ARCHITECTURES[arch]
    yield from blocks("bn_layer", 3 * 256 * e, 512, arch, depth, "downsample")
    for number, c_in, c_out in ((1, 64, 128), (2, 128, 256), (3, 128, 256)):
        yield f"conv{number}.weight", (c_out * e, c_in * e, 3, 3)
        yield from norm(f"bn{number}", c_out * e)
    yield "conv4.weight", (512 * e, 1024 * e, 1, 1)
    yield from norm("bn4", 512 * e)


def decoder_shapes(arch: str) -> Shapes:
    e, _, _, depths = ARCHITECTURES[arch]
    for k, (c_in, planes) in enumerate(((512, 256), (256, 128), (128, 64))):
        yield from blocks(f"layer{k + 1}", c_in * e, planes, arch, depths[k], "upsample")


def checkpoint_of(arch: str, fill: Callable[[str, tuple[int, ...]], Tensor]) -> Checkpoint:
    return {
        "bn": {key: fill(f"bn.{key}", shape) for key, shape in bottleneck_shapes(arch)},
        "decoder": {key: fill(f"decoder.{key}", shape) for key, shape in decoder_shapes(arch)},
    }


def numbered(arch: str) -> tuple[Checkpoint, dict[str, int]]:
    """Every tensor is filled with its own number."""
    numbers: dict[str, int] = {}

    def fill(key: str, shape: tuple[int, ...]) -> Tensor:
        numbers[key] = len(numbers)
        kind = torch.long if key.endswith("tracked") else torch.float
        return torch.tensor(numbers[key], dtype=kind).expand(shape)

    return checkpoint_of(arch, fill), numbers


def empty_student(arch: str, signed: bool = False, plug_ins: tuple[nn.Module, ...] = ()) -> ReverseStudent:
    e = ARCHITECTURES[arch][0]
    levels = [Level(64 * e, 4), Level(128 * e, 8), Level(256 * e, 16)]
    with torch.device("meta"):
        student = reverse_student(arch, levels, signed=signed, plug_ins=plug_ins)
    return student.to_empty(device="cpu")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_living_tensor_lands_in_the_student_once_and_the_dead_ones_are_listed(arch: str) -> None:
    checkpoint, numbers = numbered(arch)
    student = empty_student(arch)
    assert load_release(checkpoint, student) == DEAD
    found = []
    for value in student.state_dict().values():
        assert (value == value.flatten()[0]).all()
        found.append(int(value.flatten()[0]))
    assert sorted(found) == sorted(number for key, number in numbers.items() if key not in DEAD)


def test_values_land_at_their_place() -> None:
    checkpoint, numbers = numbered("resnet18")
    student = empty_student("resnet18")
    load_release(checkpoint, student)
    places = {
        "bn.conv1.weight": "bottleneck.to_coarsest.0.0.0.weight",
        "bn.bn2.running_mean": "bottleneck.to_coarsest.0.1.1.running_mean",
        "bn.conv3.weight": "bottleneck.to_coarsest.1.0.0.weight",
        "bn.bn_layer.0.downsample.0.weight": "bottleneck.condense.0.shortcut.0.weight",
        "bn.bn_layer.1.bn2.bias": "bottleneck.condense.1.body.4.bias",
        "decoder.layer1.0.upsample.1.running_var": "decoder.stages.0.0.shortcut.1.running_var",
        "decoder.layer3.1.conv1.weight": "decoder.stages.2.1.body.0.weight",
        "decoder.layer2.0.bn1.num_batches_tracked": "decoder.stages.1.0.body.1.num_batches_tracked",
    }
    state = student.state_dict()
    assert all((state[ours] == numbers[key]).all() for key, ours in places.items())


def batch_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, var, weight, bias = (
        state[f"{name}.{leaf}"][:, None, None] for leaf in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def doubled(x: Tensor, weight: Tensor) -> Tensor:
    """2x2 transposed convolution of stride 2: every place becomes a 2x2 patch of its own."""
    patches = torch.einsum("bchw,cdij->bdhiwj", x, weight)
    b, d, h, _, w, _ = patches.shape
    return patches.reshape(b, d, 2 * h, 2 * w)


def literal_block(x: Tensor, state: dict[str, Tensor], at: str) -> Tensor:
    shrinks, grows = (f"{at}.{resize}.0.weight" in state for resize in ("downsample", "upsample"))
    convolutions = 3 if f"{at}.conv3.weight" in state else 2
    moves_at = convolutions - 1  # the grid changes in the first of two, or the second of three
    y = x
    for number in range(1, convolutions + 1):
        weight = state[f"{at}.conv{number}.weight"]
        if grows and number == moves_at:
            y = doubled(y, weight)
        else:
            stride = 2 if shrinks and number == moves_at else 1
            y = F.conv2d(y, weight, stride=stride, padding=weight.shape[-1] // 2)
        y = batch_norm(y, state, f"{at}.bn{number}")
        y = y.relu() if number < convolutions else y
    if shrinks:
        x = F.conv2d(x[..., ::2, ::2], state[f"{at}.downsample.0.weight"])
        x = batch_norm(x, state, f"{at}.downsample.1")
    if grows:
        x = batch_norm(doubled(x, state[f"{at}.upsample.0.weight"]), state, f"{at}.upsample.1")
    return (x + y).relu()


def literal_forward(checkpoint: Checkpoint, features: list[Tensor]) -> list[Tensor]:
    """Finest level first, as the features are."""
    bn, decoder = checkpoint["bn"], checkpoint["decoder"]

    def halved(x: Tensor, number: int) -> Tensor:
        x = F.conv2d(x, bn[f"conv{number}.weight"], stride=2, padding=1)
        return batch_norm(x, bn, f"bn{number}").relu()

    fine, middle, coarse = features
    x = torch.cat([halved(halved(fine, 1), 2), halved(middle, 3), coarse], dim=1)
    i = 0
    while f"bn_layer.{i}.conv1.weight" in bn:
        x, i = literal_block(x, bn, f"bn_layer.{i}"), i + 1
    out: list[Tensor] = []
    for layer in ("layer1", "layer2", "layer3"):
        i = 0
        while f"{layer}.{i}.conv1.weight" in decoder:
            x, i = literal_block(x, decoder, f"{layer}.{i}"), i + 1
        out.insert(0, x)
    return out


def random_tensor(key: str, shape: tuple[int, ...]) -> Tensor:
    if key.endswith("tracked"):
        return torch.tensor(7)
    if len(shape) == 4:
        grows = shape[2] == 2
        fan_in = shape[0] if grows else shape[1] * shape[2] ** 2
        return torch.randn(shape) * fan_in**-0.5
    return torch.rand(shape) + 0.5 if key.endswith(("weight", "var")) else torch.randn(shape) * 0.2


@torch.no_grad()
@pytest.mark.parametrize("arch", ["resnet18", "wide_resnet50_2"])
def test_the_students_features_are_the_releases(arch: str) -> None:
    checkpoint = checkpoint_of(arch, random_tensor)
    student = empty_student(arch).eval()
    load_release(checkpoint, student)
    e = ARCHITECTURES[arch][0]
    features = [torch.rand(2, c * e, side, side) for c, side in ((64, 16), (128, 8), (256, 4))]  # of 64 px
    pairs = student(torch.empty(0), features)
    for pair, expected in zip(pairs, literal_forward(checkpoint, features), strict=True):
        scale = expected.std()  # residuals add up along the blocks
        assert scale > 0.1
        assert torch.allclose(pair.student / scale, expected / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c["decoder"].pop("layer2.1.bn2.bias"), r"has no decoder\.layer2\.1\.bn2\.bias"),
        (lambda c: c["bn"].update({"conv2.weight": torch.zeros(1)}), r"bn\.conv2\.weight .* is \(1,\)"),
        (lambda c: c["bn"].update({"conv5.weight": torch.zeros(1)}), r"no place for bn\.conv5\.weight"),
        (lambda c: c.pop("bn"), r"'bn' and 'decoder', not \['decoder'\]"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_sentence_and_changes_nothing(
    spoil: Callable[[Checkpoint], object], message: str
) -> None:
    checkpoint, _ = numbered("resnet18")
    spoil(checkpoint)
    student = empty_student("resnet18")
    state = student.state_dict()
    for value in state.values():
        value.fill_(-1)
    with pytest.raises(InputError, match=message):
        load_release(checkpoint, student)
    assert all((value == -1).all() for value in state.values())


def test_a_checkpoint_of_another_backbone_is_refused() -> None:
    with pytest.raises(InputError, match=r"no place for bn\.bn_layer\.2"):
        load_release(numbered("resnet34")[0], empty_student("resnet18"))
    with pytest.raises(InputError, match=r"has no bn\.bn_layer\.2"):
        load_release(numbered("resnet18")[0], empty_student("resnet34"))
    with pytest.raises(InputError, match=r"bn\.conv1\.weight .*\(128, 64, 3, 3\).*\(512, 256, 3, 3\)"):
        load_release(numbered("resnet18")[0], empty_student("resnet50"))


def test_a_student_that_the_release_does_not_have_is_refused() -> None:
    checkpoint, _ = numbered("resnet18")
    with pytest.raises(InputError, match="signed=False"):
        load_release(checkpoint, empty_student("resnet18", signed=True))
    plug_ins = (nn.BatchNorm2d(64), nn.BatchNorm2d(128), nn.BatchNorm2d(256))
    with pytest.raises(InputError, match=r"nothing for the student's decoder\.plug_ins\.0\.weight"):
        load_release(checkpoint, empty_student("resnet18", plug_ins=plug_ins))


def test_memory_keys_which_the_releases_own_loader_drops_are_dead() -> None:
    checkpoint, _ = numbered("resnet18")
    checkpoint["bn"]["memory.units"] = torch.zeros(3)
    assert load_release(checkpoint, empty_student("resnet18")) == [*DEAD, "bn.memory.units"]
