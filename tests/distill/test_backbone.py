"""Backbones of timm: their levels, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from understudy import InputError
from understudy.distill.backbone import _spread_over
from understudy.distill.weights import load_teacher
from understudy.types import Level


@pytest.mark.parametrize(
    ("name", "strides", "size"),
    [
        ("vit_tiny_patch16_224", (16, 16, 16), 64),  # one stride, twelve levels
        ("swin_tiny_patch4_window7_224", (8, 16), 224),  # channels last
        ("convnext_atto", (8, 16), 64),
        ("efficientnet_b0", (8, 16, 32), 64),
    ],
)
def test_backbones_of_every_family_give_levels_of_the_stated_shapes(
    name: str, strides: tuple[int, ...], size: int
) -> None:
    teacher, _, _ = load_teacher(name, strides, "random", size)
    features = teacher(torch.randn(2, 3, size, size))
    expected = [
        (2, level.channels, size // s, size // s) for level, s in zip(teacher.levels, strides, strict=True)
    ]
    assert [tuple(f.shape) for f in features] == expected
    assert isinstance(teacher.is_signed(), bool)


def test_repeated_strides_take_levels_that_are_evenly_spread() -> None:
    twelve = [Level(8, 16)] * 12
    assert _spread_over("vit", twelve, (16, 16, 16)) == (3, 7, 11)
    with pytest.raises(InputError, match="no level of stride 16 left"):
        _spread_over("vit", twelve[:2], (16, 16, 16))


def test_a_size_that_a_backbone_cannot_take_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(*args: object, **kwargs: object) -> None:
        raise AssertionError("Input height (100) doesn't match model (224).")

    monkeypatch.setattr("timm.create_model", picky)
    with pytest.raises(InputError, match=r"gives no features of 100-pixel pictures: Input height \(100\)"):
        load_teacher("resnet18", (4, 8), "random", 100)


def test_an_unknown_name_and_a_missing_level_are_named() -> None:
    with pytest.raises(InputError, match="timm knows no model named 'resnet17'"):
        load_teacher("resnet17", (4, 8, 16))
    with pytest.raises(InputError, match=r"no level of stride 5; it has \[2, 4, 8, 16, 32\]"):
        load_teacher("resnet18", (5,))
    with pytest.raises(InputError, match="from fine to coarse"):
        load_teacher("resnet18", (16, 8))
