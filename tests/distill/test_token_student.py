"""The token student: its noise, its grid, its size, and that it takes pictures of any size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.token_student import FeatureJitter, TokenStudent, stack_on_grid, token_level
from understudy.errors import InputError
from understudy.types import Level

LEVELS = [Level(6, 8), Level(10, 16)]


def student(size: int = 72, **options: object) -> TokenStudent:
    return TokenStudent(LEVELS, size, depth=1, **options)  # type: ignore[arg-type]


def features(height: int = 9, width: int = 9, n: int = 2, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    grids = [(height, width), (-(-height // 2), -(-width // 2))]
    drawn = [
        torch.randn(n, level.channels, *grid, dtype=dtype) for level, grid in zip(LEVELS, grids, strict=True)
    ]
    return [f.contiguous(memory_format=torch.channels_last) for f in drawn]


def test_it_has_the_papers_weights_grid_and_start() -> None:
    """For the levels of an EfficientNet-B4 of pictures of 224 pixels."""
    paper = TokenStudent([Level(24, 2), Level(32, 4), Level(56, 8), Level(160, 16)], 224)
    assert sum(p.numel() for p in paper.parameters()) == 7_717_392
    assert paper.grid == (14, 14)
    for layer in paper.modules():
        if isinstance(layer, nn.Linear):
            bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
            assert bound * 0.99 < layer.weight.abs().max() <= bound
            assert not layer.bias.any()
    for table in (paper.rows, paper.columns):
        assert 0 <= table.min() < 0.01
        assert 0.99 < table.max() <= 1
    for decoder in paper.decoder:
        assert decoder.queries.detach().std() == pytest.approx(1, abs=0.02)
        attention = decoder.to_memory.in_proj_weight.detach().abs().max()
        assert attention == pytest.approx((6 / (4 * 256)) ** 0.5, rel=0.01)


@pytest.mark.parametrize(("channels", "ratio"), [(272, 20 / 272**0.5), (50, 1.21), (900, 0.5)])
def test_noise_is_as_long_as_the_ratio_says_for_tokens_of_any_length(channels: int, ratio: float) -> None:
    tokens = torch.randn(2, 400, channels) * torch.linspace(0.1, 30, 400)[:, None]
    jitter = FeatureJitter(ratio)
    share = (jitter(tokens) - tokens).norm(dim=2) / tokens.norm(dim=2)
    assert share.mean() == pytest.approx(ratio, rel=0.02)
    assert torch.equal(jitter.eval()(tokens), tokens)


def test_noise_is_drawn_in_training_alone_and_the_training_is_told_so() -> None:
    noisy, quiet = FeatureJitter(0.3), FeatureJitter(0.0)
    tokens = torch.randn(1, 3, 5)
    assert (noisy.draws, quiet.draws) == (True, False)
    assert torch.equal(quiet(tokens), tokens)
    assert not torch.equal(noisy(tokens), noisy(tokens))


def test_the_target_has_no_noise_and_all_levels_on_one_grid() -> None:
    given = features()
    (pair,) = student()(None, given)
    large = F.interpolate(given[1], (9, 9), mode="bilinear", align_corners=True)
    assert torch.equal(pair.teacher, torch.cat([given[0], large], 1))
    assert pair.student.shape == pair.teacher.shape
    assert torch.equal(stack_on_grid(given, 1)[:, 6:], given[1])


@pytest.mark.parametrize(
    ("sides", "cells", "level"),
    [
        ((112, 56, 28, 14), 14, 3),
        ((32, 16, 8), 14, 1),
        ((32, 16, 8), 17, 0),
        ((8, 4, 2), 14, 0),
        ((18,), 14, 0),
    ],
)
def test_tokens_are_on_the_coarsest_level_with_enough_cells(
    sides: tuple[int, ...], cells: int, level: int
) -> None:
    assert token_level(sides, cells) == level


def test_it_looks_at_no_picture_repeats_when_scoring_and_is_noisy_in_training() -> None:
    one, given = student(dropout=0.0), features()
    assert not one.sees_images
    assert not torch.equal(one(None, given)[0].student, one(None, given)[0].student)
    one.eval()
    assert torch.equal(one(None, given)[0].student, one(None, given)[0].student)
    still = student(dropout=0.0, jitter=0.0)
    assert torch.equal(still(None, given)[0].student, still(None, given)[0].student)


def test_noise_is_the_same_however_features_lie_in_memory() -> None:
    one, given, found = student(), features(), []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        found.append(one(None, [f.contiguous(memory_format=layout) for f in given])[0].student)
    torch.testing.assert_close(found[0], found[1])


def test_a_cells_position_is_its_column_then_its_row() -> None:
    one = student()
    places = one._places(one.grid)
    for y, x in ((0, 0), (3, 7), (8, 1)):
        assert torch.equal(places[y * 9 + x], torch.cat([one.columns[x], one.rows[y]]))


@torch.no_grad()
def test_positions_and_queries_are_interpolated_for_pictures_of_another_size() -> None:
    one = student().eval()
    (pair,) = one(None, features(8, 13))
    assert pair.student.shape == (2, 16, 8, 13)
    places, queries = one._places((17, 9)), one.decoder[0].queries_on((17, 9))
    for y, x in ((0, 0), (4, 7), (8, 8)):  # every second row is a learned one
        assert torch.allclose(places[2 * y * 9 + x], one._places(one.grid)[y * 9 + x], atol=1e-5)
        assert torch.allclose(queries[2 * y * 9 + x], one.decoder[0].queries[y * 9 + x], atol=1e-5)
    with pytest.raises(InputError, match="middle of 7 x 6 cells"):
        one(None, features(7, 6))


def test_a_grid_with_too_few_cells_for_the_neighbours_is_refused_before_any_picture() -> None:
    with pytest.raises(
        InputError, match=r"middle of 7 x 7 cells .* use --set neighbours=5, a larger --image-size"
    ):
        student(56)
    student(56, neighbours=5)


def test_it_runs_in_half_precision_close_to_float32() -> None:
    one, given = student().eval(), features(dtype=torch.bfloat16)
    (expected,) = one(None, [f.float() for f in given])
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = one(None, given)
    error = (found.student.float() - expected.student).norm() / expected.student.norm()
    assert 0 < error < 0.03
    found.student.float().sum().backward()
    assert torch.equal(found.teacher, expected.teacher)
