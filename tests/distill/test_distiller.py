"""The algorithm around a method's parts: pairs, maps, losses and what is saved."""

from __future__ import annotations

import warnings

import pytest
import torch

from understudy.distill.teacher import Teacher
from understudy.distill.valid import valid_cells
from understudy.distill.weights import load_teacher
from understudy.methods import build, settings_for


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher("resnet18", (8, 16), "random", 32)[0]


@torch.no_grad()
@pytest.mark.parametrize("method", ["snl-rd", "dskd"])
def test_a_distiller_gives_every_pair_its_cells_and_scores_what_counts(method: str, teacher: Teacher) -> None:
    distiller = build(method, teacher, settings_for(method)).eval()
    images, valid = torch.randn(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    valid[0, :, :, 20:] = 0
    pairs, plain = distiller.pairs(images, valid), distiller.pairs(images)
    assert all(pair.valid is None for pair in plain)
    for pair, bare in zip(pairs, plain, strict=True):
        assert torch.equal(pair.valid, valid_cells(valid, pair.teacher.shape[2:]))
        assert torch.equal(pair.student, bare.student)
    found, score, _ = distiller.inspect(images, valid=valid)
    assert torch.equal(found, distiller(images, valid))
    assert torch.equal(found, distiller.score(images, valid)[0])
    assert (found[0, :, :, 20:] == found[0, :, :, :20].min()).all()
    assert score[0] == found[0, :, :, :20].max()
    losses, without = (distiller.training_loss(images, 1, one) for one in (valid, None))
    assert all(losses[name] != without[name] for name in losses)


def test_a_batch_of_one_leaves_inter_affinity_out_and_says_so_once(teacher: Teacher) -> None:
    distiller, one = build("snl-rd", teacher, settings_for("snl-rd")), torch.randn(1, 3, 128, 128)
    with pytest.warns(UserWarning, match="inter-affinity is left out"):
        losses = distiller.training_loss(one)
    assert list(losses) == ["cosine", "spatial", "intra"]
    with warnings.catch_warnings(action="error"):
        assert list(distiller.training_loss(one)) == ["cosine", "spatial", "intra"]


def test_what_is_learned_is_the_student_and_the_scales_and_not_the_teacher(teacher: Teacher) -> None:
    images = torch.randn(2, 3, 32, 32)
    one, other = (build("dskd", teacher, settings_for("dskd")).eval() for _ in range(2))
    one.to_map.zero.fill_(0.25)
    names = one.learned()
    assert {"to_map.zero", "to_map.unit"} <= set(names)
    assert not any(name.startswith("teacher.") for name in names)
    assert not torch.equal(one(images), other(images))
    other.load_learned(names)
    assert torch.equal(one(images), other(images))
    with pytest.raises(RuntimeError, match="student"):
        build("rd", teacher, settings_for("rd")).load_learned(names)
