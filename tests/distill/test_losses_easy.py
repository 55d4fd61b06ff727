"""The gradient that easy cells have a tenth of, in a loss whose value stays what it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from understudy.distill.losses import (
    cosine_distance,
    cosine_loss,
    easing_cosine_distance,
    easy_share,
    global_cosine_distance,
)
from understudy.types import Pair

SHAPE = (3, 6, 4, 5)  # sixty cells
CELLS = SHAPE[0] * SHAPE[2] * SHAPE[3]


def gradient(pair: Pair, share: float | None) -> tuple[Tensor, Tensor]:
    """Value and gradient by the student, with a share of easy cells or plainly."""
    leaf = pair.student.clone().requires_grad_()
    pair = pair._replace(student=leaf)
    loss = global_cosine_distance(pair) if share is None else easing_cosine_distance(pair, share)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


@pytest.fixture
def pair() -> Pair:
    return Pair(torch.randn(SHAPE), torch.randn(SHAPE))


def test_a_share_of_none_leaves_the_gradient_untouched(pair: Pair) -> None:
    assert all(torch.equal(a, b) for a, b in zip(gradient(pair, 0.0), gradient(pair, None), strict=True))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_the_cells_that_differ_least_have_a_tenth_of_the_gradient_and_the_value_is_the_same(
    share: float, pair: Pair
) -> None:
    (value, eased), (expected, plain) = gradient(pair, share), gradient(pair, None)
    assert value == expected
    hard = int(CELLS * (1 - share))
    threshold = cosine_distance(pair).flatten().sort(descending=True).values[hard - 1]
    easy = cosine_distance(pair) < threshold
    assert int(easy.sum()) == CELLS - hard
    assert abs(CELLS - hard - share * CELLS) <= 1
    assert torch.allclose(eased, torch.where(easy, 0.1 * plain, plain), rtol=1e-6, atol=0)


def test_cells_that_do_not_count_are_in_no_quantile(pair: Pair) -> None:
    valid = torch.ones(SHAPE[0], 1, *SHAPE[2:])
    valid[:, :, :2] = 0
    half = Pair(pair.teacher[:, :, 2:].clone(), pair.student[:, :, 2:].clone())
    masked = Pair(pair.teacher.clone(), pair.student.clone(), valid)
    masked.teacher[:, :, :2], masked.student[:, :, :2] = 1.0, -1.0  # as far off as can be
    (value, eased), (expected, alone) = gradient(masked, 0.9), gradient(half, 0.9)
    assert value == pytest.approx(expected)
    assert torch.allclose(eased[:, :, 2:], alone, rtol=1e-5, atol=1e-8)
    assert not eased[:, :, :2].any()


def test_a_batch_in_which_nothing_counts_asks_for_nothing(pair: Pair) -> None:
    value, slope = gradient(pair._replace(valid=torch.zeros(SHAPE[0], 1, *SHAPE[2:])), 0.9)
    assert value == 0
    assert not slope.any()


def test_the_share_rises_linearly_and_then_stays() -> None:
    shares = [easy_share(done, 0.8, 0.2) for done in (0, 0.05, 0.1, 0.2, 0.7, 1)]
    assert shares == pytest.approx([0, 0.2, 0.4, 0.8, 0.8, 0.8])
    paper = [easy_share(step / 10_000, 0.9, 0.1) for step in (0, 500, 1000, 9999)]
    assert paper == pytest.approx([0.9 * min(step / 1000, 1) for step in (0, 500, 1000, 9999)])


def test_the_easy_reading_is_this_loss_and_the_others_do_not_look_at_the_time(pair: Pair) -> None:
    leaf = pair.student.clone().requires_grad_()
    slopes = [
        torch.autograd.grad(cosine_loss(pair._replace(student=leaf), "easy", done), leaf)[0]
        for done in (0.15, 0.3, 1.0)
    ]
    for slope, share in zip(slopes, (0.45, 0.9, 0.9), strict=True):
        assert torch.equal(slope, gradient(pair, share)[1])
    for reading in ("local", "global", "hard"):
        assert cosine_loss(pair, reading, 0.0) == cosine_loss(pair, reading, 1.0)
