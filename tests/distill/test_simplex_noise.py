"""Pseudo-anomalies: where they are, how large, and which table of noise they have."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from opensimplex import OpenSimplex

from understudy.distill.simplex_noise import PseudoAnomaly, _place, rectangle_sides, simplex_texture
from understudy.errors import InputError

PLAIN = (1.0, 1.0, 1.0)


def changed(noisy: torch.Tensor, images: torch.Tensor) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of the rectangle of each picture that was changed."""
    boxes = []
    for one in (noisy != images).any(1):
        rows, columns = (torch.nonzero(one.any(axis)).flatten() for axis in (1, 0))
        assert one[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].float().mean() > 0.99
        boxes.append((int(rows[0]), int(columns[0]), len(rows), len(columns)))
    return boxes


def test_a_texture_is_the_sum_of_six_octaves_of_opensimplex_noise() -> None:
    texture, noise = simplex_texture(5, 6), OpenSimplex(5)
    for c, y, x in ((0, 0, 0), (0, 5, 1), (2, 3, 4), (1, 2, 5)):
        grids = [32 / 2**o for o in range(6)]
        total = sum(0.6**o * noise.noise3(x / f, y / f, c / f) for o, f in enumerate(grids))
        assert texture[c, y, x] == pytest.approx(total, abs=1e-6)
    assert np.abs(simplex_texture(5, 31)).max() <= 2.38
    np.testing.assert_array_equal(simplex_texture(5, 31)[:, :6, :6], texture)


def test_rectangles_of_a_picture_of_256_pixels_have_10_to_31_pixels_a_side() -> None:
    sides, starts = torch.tensor([_place(256) for _ in range(8000)]).T
    assert rectangle_sides(256) == (10, 31)
    assert (int(sides.min()), int(sides.max())) == (10, 31)
    assert torch.bincount(sides)[10:].min() > 0.7 * 8000 / 22
    assert int(starts.min()) == 1
    assert int((starts + sides).max()) == 255


def test_pixels_outside_of_the_rectangle_stay_and_inside_noise_is_added_before_normalising() -> None:
    std = (0.2, 0.5, 1.0)
    images = torch.rand(4, 3, 96, 128)
    before = images.clone()
    noisy = PseudoAnomaly(std, "fixed")
    found = noisy(images)
    assert torch.equal(images, before)
    for (top, left, h, w), one, plain in zip(changed(found, images), found, images, strict=True):
        texture = torch.from_numpy(simplex_texture(int(noisy.table), 15)[:, :h, :w])
        expected = 0.2 * texture / torch.tensor(std)[:, None, None]
        rectangle = (slice(None), slice(top, top + h), slice(left, left + w))
        torch.testing.assert_close(one[rectangle] - plain[rectangle], expected, rtol=1e-4, atol=1e-6)
        assert 10 <= h <= 11
        assert 10 <= w <= 15


def corners(noise: PseudoAnomaly) -> list[torch.Tensor]:
    """First ten rows and columns of what is added to each of six pictures."""
    images = torch.zeros(6, 3, 88, 88)
    found = noise(images)
    starts = [(top, left) for top, left, *_ in changed(found, images)]
    return [one[:, t : t + 10, s : s + 10] for one, (t, s) in zip(found, starts, strict=True)]


def test_fixed_gives_all_pictures_one_texture_and_per_sample_each_its_own() -> None:
    same = corners(PseudoAnomaly(PLAIN, "fixed"))
    assert all(torch.equal(one, same[0]) for one in same)
    assert same[0].abs().sum() > 0
    own = corners(PseudoAnomaly(PLAIN, "per_sample"))
    assert len({float(one.sum()) for one in own}) > 2
    torch.manual_seed(7)
    other = PseudoAnomaly(PLAIN, "fixed")
    assert not torch.equal(corners(other)[0], same[0])


def test_all_numbers_come_from_torchs_generator_and_the_table_is_part_of_the_state() -> None:
    images = torch.rand(3, 3, 64, 64)
    for tables in ("fixed", "per_sample"):
        one = PseudoAnomaly(PLAIN, tables)  # type: ignore[arg-type]
        other = PseudoAnomaly(PLAIN, tables)  # type: ignore[arg-type]
        other.load_state_dict(one.state_dict())
        found = []
        for noise in (one, other):
            torch.manual_seed(3)
            found.append(noise(images))
        assert torch.equal(*found)
        assert not torch.equal(one(images), found[0])
        assert set(one.state_dict()) == {"table"}


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (50, 70)])
def test_small_pictures_have_small_rectangles(size: tuple[int, int]) -> None:
    images = torch.rand(5, 3, *size)
    for top, left, h, w in changed(PseudoAnomaly(PLAIN, "fixed")(images), images):
        assert (h, w) == tuple(max(1, length // 8 - 1) for length in size)
        assert top + h < size[0]
        assert left + w < size[1]


def test_a_missing_package_is_one_sentence_and_only_noise_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensimplex", None)
    noise = PseudoAnomaly(PLAIN, "fixed")
    simplex_texture.cache_clear()
    with pytest.raises(
        InputError, match=r"package opensimplex; install it: pip install 'understudy\[train\]'"
    ):
        noise(torch.rand(1, 3, 64, 64))
