"""What is made of good pictures: mixes, pastes and their controls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from understudy.lab.diagnose.synthesis import AREA, ASPECT, LAMS, Trials, draw_place, mix, paste
from understudy.runtime.images import unit

SIDE = 40


def noise(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("lam", LAMS)
def test_a_mix_is_the_weighted_mean_of_its_pictures_in_the_unit_range(lam: float) -> None:
    a, b = noise(2)
    mixed = mix(a, b, lam)
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed, (lam * a.astype(float) + (1 - lam) * b) / 255, atol=1e-6)
    assert mixed.min() >= 0
    assert mixed.max() <= 1


def test_the_whole_weight_gives_the_picture_itself() -> None:
    a, b = noise(2)
    np.testing.assert_array_equal(mix(a, b, 1), unit(a))
    np.testing.assert_array_equal(mix(a, b, 0), unit(b))
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], got 1.1"):
        mix(a, b, 1.1)


@given(side=st.integers(32, 600), seed=st.integers(0, 2**32))
def test_a_patch_keeps_its_bounds_and_lies_within_both_pictures(side: int, seed: int) -> None:
    p = draw_place(side, np.random.default_rng(seed))
    assert AREA[0] <= p.height * p.width / side**2 <= AREA[1]
    assert ASPECT[0] <= p.width / p.height <= ASPECT[1]
    for corner, length in (
        (p.top, p.height),
        (p.from_top, p.height),
        (p.left, p.width),
        (p.from_left, p.width),
    ):
        assert 0 <= corner <= side - length
    assert p.mask(side).sum() == p.height * p.width


def test_patches_use_the_whole_range_of_sizes_and_places() -> None:
    rng = np.random.default_rng(0)
    places = [draw_place(256, rng) for _ in range(2000)]
    areas = np.array([p.height * p.width / 256**2 for p in places])
    aspects = np.log([p.width / p.height for p in places])
    assert (areas.min(), areas.max()) == pytest.approx(AREA, abs=0.002)
    assert areas.mean() == pytest.approx(np.mean(AREA), abs=0.005)
    assert (aspects.min(), aspects.max()) == pytest.approx(np.log(ASPECT), abs=0.03)
    assert any(p.top == 0 for p in places)
    assert any(p.top + p.height == 256 for p in places)


def test_pasted_pixels_are_the_sources_and_all_others_the_backgrounds() -> None:
    background, source = noise(2)
    before = background.copy()
    for seed in range(50):
        p = draw_place(SIDE, np.random.default_rng(seed))
        pasted, mask = paste(background, source, p), p.mask(SIDE)
        patch = source[p.from_top : p.from_top + p.height, p.from_left : p.from_left + p.width]
        np.testing.assert_array_equal(pasted[mask].reshape(patch.shape), patch)
        np.testing.assert_array_equal(pasted[~mask], background[~mask])
    np.testing.assert_array_equal(background, before)


def test_draws_depend_on_the_seed_and_the_names_and_on_nothing_else() -> None:
    good = {"a": noise(5), "b": noise(4, 1), "c": noise(6, 2)}
    trials, fewer = Trials(good, 7, 9, 9), Trials({n: good[n] for n in "ab"}, 7, 9, 9)
    assert trials.mixed_pairs("a", "b") == fewer.mixed_pairs("a", "b")
    assert trials.pastes("a", "b") == fewer.pastes("a", "b")
    assert trials.pastes("a", "b") != trials.pastes("c", "b")
    assert trials.pastes("a", "b") != replace(trials, seed=8).pastes("a", "b")
    assert trials.mixed_pairs("a", "b") != replace(trials, seed=8).mixed_pairs("a", "b")
    for one, other in zip(trials.mixes("a", "b"), fewer.mixes("a", "b"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_pair_of_pictures_is_mixed_twice_and_few_are_mixed_all() -> None:
    trials = Trials({"a": noise(5), "b": noise(4)}, n_mixes=12)
    pairs = trials.mixed_pairs("a", "b")
    assert len(set(pairs)) == len(pairs) == 12
    assert len(list(trials.mixes("a", "b"))) == 12 * len(LAMS)
    every = sorted(replace(trials, n_mixes=100).mixed_pairs("a", "b"))
    assert every == [(i, j) for i in range(5) for j in range(4)]


def test_a_control_mixes_two_different_pictures_of_one_category() -> None:
    trials = Trials({"a": noise(5), "one": noise(1)})
    assert sorted(trials.mixed_pairs("a", "a")) == [(i, j) for i in range(5) for j in range(i + 1, 5)]
    assert trials.mixed_pairs("one", "one") == []


def test_a_control_pastes_at_the_same_places_of_the_same_pictures() -> None:
    trials = Trials({"a": noise(7), "b": noise(3), "one": noise(1)}, n_pastes=60)
    pastes, control = trials.pastes("a", "b"), trials.control_pastes("a", "b")
    assert [p.place for p in pastes] == [p.place for p in control]
    assert [p.background for p in pastes] == [p.background for p in control]
    assert all(p.source != p.background for p in control)
    assert {p.source for p in control} == {0, 1, 2}
    assert trials.control_pastes("a", "one") == []
