"""The teacher: frozen, with the levels that it says."""

from __future__ import annotations

import torch

from understudy.distill.embedded import EMBEDDED, TorchPackage
from understudy.distill.teacher import Teacher, default_strides
from understudy.types import Level


def test_the_embedded_teacher_has_its_stated_levels_and_real_weights(embedded: Teacher) -> None:
    assert embedded.levels == [Level(40, 8), Level(112, 16), Level(320, 32)]
    features = embedded(torch.randn(1, 3, 64, 64))
    assert [tuple(f.shape) for f in features] == [(1, 40, 8, 8), (1, 112, 4, 4), (1, 320, 2, 2)]
    running = embedded.backbone.state_dict()["bn1.running_var"]
    assert not torch.allclose(running, torch.ones_like(running))  # what random weights would have


def test_the_teacher_is_frozen_and_stays_in_eval_mode(embedded: Teacher) -> None:
    embedded.train()
    assert not any(m.training for m in embedded.modules())
    assert not any(p.requires_grad for p in embedded.parameters())
    before = {k: v.clone() for k, v in embedded.state_dict().items()}
    assert not embedded(torch.randn(2, 3, 64, 64))[0].requires_grad
    assert all(torch.equal(before[k], v) for k, v in embedded.state_dict().items())


def test_whether_features_can_be_negative_is_seen(embedded: Teacher) -> None:
    assert embedded.is_signed()
    assert not Teacher("resnet18", (4, 8, 16)).is_signed()


def test_default_levels_are_the_papers_but_for_the_embedded_teachers() -> None:
    assert default_strides("wide_resnet50_2") == (4, 8, 16)
    lite = [name for name, packaged in EMBEDDED.items() if isinstance(packaged, TorchPackage)]
    assert all(default_strides(name) == (8, 16, 32) for name in lite)
    assert default_strides("vit_tiny_patch16_224", 64) == (16, 16, 16)
    assert default_strides("vit_small_patch14_dinov2.lvd142m", 252) == (14, 14)


def test_a_network_of_the_same_levels_has_weights_of_its_own() -> None:
    for name, strides, blocks in (("test_resnet", (8, 16), None), ("tiny_dinov2", (14,), ((2, 3),))):
        teacher = Teacher(name, strides, 70, blocks)
        picture = torch.randn(1, 3, 70, 70)
        for theirs, ours in zip(teacher(picture), teacher.new_network()(picture), strict=True):
            assert theirs.shape == ours.shape
            assert not torch.equal(theirs, ours)
