"""Where a teacher's weights come from, and what is said where they do not fit."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from understudy import InputError
from understudy.distill import weights
from understudy.distill.weights import (
    TeacherWeights,
    architecture_of,
    load_teacher,
    register_teacher,
)
from understudy.files import sha256_of
from understudy.types import EMBEDDED_TEACHER


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


def test_a_plain_transformer_is_filled_from_a_file_with_its_positions_resampled(tmp_path: Path) -> None:
    source = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64, depth=3)
    torch.nn.init.normal_(source.pos_embed)
    path = tmp_path / "vit.safetensors"
    save_file(source.state_dict(), path)
    for size in (64, 96):
        teacher, _, _ = load_teacher("vit_tiny_patch16_224", (16, 16, 16), str(path), size)
        held = teacher.backbone.state_dict()
        assert torch.equal(held["model.blocks.0.attn.qkv.weight"], source.blocks[0].attn.qkv.weight)
        assert held["model.pos_embed"].shape == (1, 1 + (size // 16) ** 2, 192)
        assert torch.equal(held["model.pos_embed"][:, 0], source.pos_embed[:, 0])
        assert torch.equal(held["model.pos_embed"], source.pos_embed) == (size == 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos_embed": torch.zeros(1, 26, 32)}, "its position embeddings cannot be resampled"),
        (
            {"patch_embed.proj.weight": torch.zeros(32, 3, 16, 16)},
            r"patch_embed.proj.weight is \(32, 3, 16, 16\)",
        ),
    ],
)
def test_a_file_of_another_transformer_is_named(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("tiny_dinov2").state_dict() | change, path)
    with pytest.raises(InputError, match=f"{path} do not fit tiny_dinov2: {message}"):
        load_teacher("tiny_dinov2", (14, 14), str(path), 70)


@pytest.mark.parametrize("original", [False, True])
def test_a_file_of_dinov2_is_taken_by_its_own_names_and_timms(tmp_path: Path, original: bool) -> None:
    source = timm.create_model("tiny_dinov2")
    torch.nn.init.normal_(source.pos_embed)
    torch.nn.init.normal_(source.reg_token)
    state = dict(source.state_dict())
    if original:  # the class token's position apart from it, registers under their own name
        state["mask_token"] = torch.zeros(1, 32)
        state["register_tokens"] = state.pop("reg_token")
        state["pos_embed"] = torch.cat([torch.ones(1, 1, 32), state["pos_embed"]], dim=1)
        state["cls_token"] = state["cls_token"] - 1
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    teacher, _, origin = load_teacher("tiny_dinov2", (14, 14), str(path), 70)
    held = teacher.backbone.model.state_dict()
    for key in ("cls_token", "pos_embed", "reg_token", "blocks.9.mlp.fc2.weight"):
        assert torch.allclose(held[key], source.state_dict()[key], atol=1e-6), key
    assert origin.origin == "file weights.pth"


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
