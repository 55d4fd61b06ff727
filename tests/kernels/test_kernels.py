"""Every kernel against the plain function that it stands for: the same signature, value and gradient."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import product
from typing import Any, get_args, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import Conv2dSame
from torch import Tensor, nn

from understudy.distill import acceleration, affinity, losses
from understudy.distill.acceleration import plain_equations
from understudy.distill.affinity import AffinityAgainst, AffinityForm, RowMeasure
from understudy.distill.losses import CosineReading, SpatialReduction, SpatialScale
from understudy.distill.valid import SHORTEST, AffinityNorm
from understudy.kernels import KERNELS
from understudy.types import Pair

STATS = []
EXPLORE = False
Options = Mapping[str, Sequence[Any]]
Shape = tuple[int, int, int, int]

FORMS: Options = {"form": get_args(AffinityForm), "norm": get_args(AffinityNorm)}
OF_PAIRS: dict[Callable[..., Tensor], Options] = {  # (pair, options) -> value; every combination is compared
    losses.channel_distillation: {"reading": get_args(CosineReading)},
    losses.spatial_distillation: {
        "scale": get_args(SpatialScale),
        "temperature": (0.3, 1.0, 4.0),
        "reduction": get_args(SpatialReduction),
    },
    affinity.intra_affinity_distillation: FORMS,
    affinity.inter_affinity_distillation: {"shift": (0, 1, 2), **FORMS},
    affinity.affinity_map: FORMS,
    affinity.contextual_distance: {"against": get_args(AffinityAgainst), "measure": get_args(RowMeasure)},
}
OTHERS = (acceleration.prepare_convolutions, acceleration.kept_memory)  # each has a test of its own below

# How far a kernel may be from its plain function, which works in float32 whatever the features are: by a
# share of the largest number, and besides. Gradients are those by features of length one.
SHARE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
BESIDES = {torch.float32: 2e-6, torch.bfloat16: 2e-3}
# Besides, where the student is far from its teacher and has its affinities all the same, because it is turned
# or constant: nearly everything cancels. The slope of a root says nothing there.
FLOOR_OF_ROOT = {torch.float32: 1.5e-3, torch.bfloat16: 0.1}
FLOOR = {torch.float32: 2e-6, torch.bfloat16: 0.1}
# Besides, of gradients: by the direction of a row that is nearly zero; and of a divergence that is rounded to
# zero, where the plain form has no slope.
SHORT_ROW, NO_DIVERGENCE = 2e-3, 2e-4

SIDES = st.integers(1, 5)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 9), SIDES, SIDES)
TEACHERS = st.sampled_from([None, None, 0.0, 3.0, -2.0])  # a number fills all of it; None: random
STUDENTS = st.sampled_from(["unlike", "near", "same"])
ODD_STUDENTS = st.sampled_from(["rotated", 0.0, 1e-3, 3.0])
MASKS = st.sampled_from(["none", "all", "some", "one picture without"])
DTYPES = st.sampled_from([torch.float32, torch.bfloat16])
LAYOUTS = st.sampled_from([torch.contiguous_format, torch.channels_last])
over_pairs = partial(
    given, shape=SHAPES, seed=st.integers(0, 999), masked=MASKS, dtype=DTYPES, layout=LAYOUTS
)
quickly = settings(max_examples=25, deadline=None, derandomize=True)


def names(function: Callable[..., Any]) -> str:
    return function.__name__


def test_every_kernel_is_compared() -> None:
    assert set(KERNELS) == {*OF_PAIRS, *OTHERS}


@pytest.mark.parametrize("plain", KERNELS, ids=names)
def test_a_kernel_has_the_signature_of_its_plain_function(plain: Callable[..., Any]) -> None:
    ours, theirs = inspect.signature(KERNELS[plain]), inspect.signature(plain)
    assert list(ours.parameters.values()) == list(theirs.parameters.values())
    assert KERNELS[plain].__name__ == plain.__name__


@pytest.mark.parametrize("plain", OF_PAIRS, ids=names)
def test_every_option_is_compared_at_every_value(plain: Callable[..., Any]) -> None:
    hints = get_type_hints(plain)
    assert list(OF_PAIRS[plain]) == list(inspect.signature(plain).parameters)[1:]
    for name, values in OF_PAIRS[plain].items():
        assert set(get_args(hints[name])) <= set(values), name


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def features(shape: Shape, seed: int, teacher: float | None, student: str | float) -> tuple[Tensor, Tensor]:
    t = drawn(seed, *shape) if teacher is None else torch.full(shape, teacher)
    if isinstance(student, float):
        return t, torch.full(shape, student)
    if student == "rotated":
        turn = torch.linalg.qr(drawn(seed + 1, shape[1], shape[1]))[0]
        return t, torch.einsum("ij,bjhw->bihw", turn, t)
    other = drawn(seed + 1, *shape)
    return t, {"unlike": other, "near": t * (1 + 0.05 * other), "same": t.clone()}[student]


def mask(shape: Shape, seed: int, masked: str) -> Tensor | None:
    if masked == "none":
        return None
    valid = (drawn(seed + 2, shape[0], 1, *shape[2:]) < 0.3).float()
    if masked == "all":
        valid.fill_(1)
    if masked == "one picture without":
        valid[seed % shape[0]] = 0
    return valid


def value_and_slope(function: Callable[..., Tensor], pair: Pair, **options: Any) -> tuple[Tensor, Tensor]:
    """A function's value, and its gradient by the student's features as if each had length one."""
    leaf = pair.student.clone(memory_format=torch.preserve_format).requires_grad_()
    value = function(pair._replace(student=leaf), **options)
    weights = 0.5 + torch.rand(value.shape, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad((value * weights).sum(), leaf)
    assert gradient.dtype == leaf.dtype
    length = pair.student.float().norm(dim=1, keepdim=True).clamp_min(SHORTEST)
    return value.detach(), gradient.float() * length


def besides(what: str, dtype: torch.dtype, options: Mapping[str, Any], cancels: bool) -> float:
    if what == "gradient" and options.get("measure") == "cosine":
        return SHORT_ROW
    if what == "gradient" and "temperature" in options and dtype == torch.float32:
        return NO_DIVERGENCE
    if cancels and options.get("form") == "rms":
        return FLOOR_OF_ROOT[dtype] if what == "value" else math.inf
    return FLOOR[dtype] if cancels else BESIDES[dtype]


def compare(plain: Callable[..., Tensor], pair: Pair, *, cancels: bool = False) -> None:
    dtype = pair.student.dtype
    for values in product(*OF_PAIRS[plain].values()):
        options = dict(zip(OF_PAIRS[plain], values, strict=True))
        with plain_equations():
            expected = value_and_slope(plain, pair, **options)
        found = value_and_slope(KERNELS[plain], pair, **options)
        with torch.no_grad():
            assert torch.equal(KERNELS[plain](pair, **options), found[0]), options
        for what, ours, theirs in zip(("value", "gradient"), found, expected, strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, torch.float32)
            assert ours.isfinite().all(), (what, options)
            allowed = besides(what, dtype, options, cancels) + SHARE[dtype] * theirs.abs().max().item()
            assert (ours - theirs).abs().max().item() <= allowed, (what, options)


@pytest.mark.parametrize("plain", OF_PAIRS, ids=names)
@quickly
@over_pairs(student=STUDENTS)
def test_value_and_gradient_are_those_of_the_plain_function(
    plain: Callable[..., Tensor],
    shape: Shape,
    seed: int,
    student: str,
    masked: str,
    dtype: torch.dtype,
    layout: torch.memory_format,
) -> None:
    both = (f.to(dtype).contiguous(memory_format=layout) for f in features(shape, seed, None, student))
    compare(plain, Pair(*both, mask(shape, seed, masked)))


@pytest.mark.parametrize("plain", OF_PAIRS, ids=names)
@quickly
@over_pairs(teacher=TEACHERS, student=ODD_STUDENTS)
def test_value_and_gradient_of_constant_and_rotated_features_are_so_to_the_stated_floor(
    plain: Callable[..., Tensor],
    shape: Shape,
    seed: int,
    teacher: float | None,
    student: str | float,
    masked: str,
    dtype: torch.dtype,
    layout: torch.memory_format,
) -> None:
    both = (f.to(dtype).contiguous(memory_format=layout) for f in features(shape, seed, teacher, student))
    compare(plain, Pair(*both, mask(shape, seed, masked)), cancels=True)


class Depthwise(nn.Module):
    """Depthwise convolutions of both kernel sizes, strides and paddings between dense ones."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 1),
            nn.Conv2d(8, 8, 5, 2, 2, groups=8, bias=False),
            nn.BatchNorm2d(8),
            Conv2dSame(8, 8, 3, 2, groups=8, bias=False),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8),
            nn.Conv2d(8, 4, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


@pytest.mark.parametrize(("bf16", "apart"), [(True, 0.02), (False, 1e-5)])
def test_prepared_convolutions_give_a_network_its_outputs_and_gradients(bf16: bool, apart: float) -> None:
    plain = Depthwise().to(memory_format=torch.channels_last)
    quick = copy.deepcopy(plain)
    KERNELS[acceleration.prepare_convolutions](quick)
    assert sum(type(a) is not type(b) for a, b in zip(plain.body, quick.body, strict=True)) == 3
    assert list(plain.state_dict()) == list(quick.state_dict())
    images = torch.randn(2, 3, 17, 22).contiguous(memory_format=torch.channels_last)
    found = []
    for network in (plain, quick):
        leaf = images.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = network(leaf)
        out.float().square().mean().backward()
        found.append([out.detach(), *(t.grad for t in (leaf, *network.parameters()))])
    for theirs, ours in zip(*found, strict=True):
        assert theirs is not None
        assert ours is not None
        assert ours.dtype == theirs.dtype
        assert (ours - theirs).float().norm() <= apart * theirs.float().norm() + 1e-6


def test_kept_memory_is_a_context_manager_as_its_plain_function_is() -> None:
    for function in (acceleration.kept_memory, KERNELS[acceleration.kept_memory]):
        block = function()
        assert isinstance(block, AbstractContextManager)
        with block:
            pass
