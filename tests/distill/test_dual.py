"""The dual student and its condensed context."""

from __future__ import annotations

import pytest
import torch

from understudy.distill.dual import GlobalContextBlock, dual_student
from understudy.distill.teacher import Teacher


def test_pairs_are_the_local_students_levels_and_then_the_global_ones(embedded: Teacher) -> None:
    student = dual_student(embedded, width=8, condensing="code").eval()
    images = torch.randn(2, 3, 256, 256)
    features = embedded(images)
    pairs = student(images, features)
    assert all(p.teacher is f for p, f in zip(pairs, [*features, *features], strict=True))
    own = student.local_student(images, features)
    assert all(torch.equal(a.student, b.student) for a, b in zip(pairs[:3], own, strict=True))


def influence(block: GlobalContextBlock) -> torch.Tensor:
    """Which positions (of 16) of the output change when one corner of the input does."""
    embedding = torch.rand(1, 6, 4, 4)
    changed = embedding.clone()
    changed[..., 0, 0] += 5
    return (block.eval()(embedding) - block(changed)).abs().amax(1).flatten() > 0


def test_a_code_carries_a_corner_everywhere_and_condensed_channels_leave_it_there() -> None:
    assert influence(GlobalContextBlock(6, 32, (4, 4), "code")).all()
    assert influence(GlobalContextBlock(6, 32, (4, 4), "channels")).nonzero().tolist() == [[0]]


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (1, 1)])
def test_a_context_block_keeps_the_shape_of_whatever_grid_comes(grid: tuple[int, int]) -> None:
    embedding = torch.rand(2, 6, *grid)
    assert GlobalContextBlock(6, 3, (4, 4))(embedding).shape == embedding.shape
