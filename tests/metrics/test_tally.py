"""Pixels counted one picture at a time: exact, in bins within the stated error, and by several processes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from understudy.metrics import PixelTally, Ranking, aupro, by_picture, by_region, largest_error
from understudy.metrics.tally import BINS, bin_of

LIMIT = 0.3


def figures(ranking: Ranking) -> list[float | None]:
    return [ranking.auroc(), ranking.average_precision(), ranking.f1_max(), ranking.area(LIMIT)]


def tally_of(maps: np.ndarray, masks: np.ndarray, exact: bool) -> PixelTally:
    tally = PixelTally(exact)
    for anomaly_map, mask in zip(maps, masks, strict=True):
        tally.update(by_region(anomaly_map, mask))
    return tally


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Maps (n, 32, 32) and masks, every other one empty, the defects brighter."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, 32, 32), bool)
    for i in range(0, n, 2):
        y, x = rng.integers(0, 24, 2)
        masks[i, y : y + 6, x : x + 4] = True
    return (rng.gamma(2, 1, masks.shape) + 2 * masks).astype(np.float32), masks


def test_an_exact_tally_has_the_figures_of_all_pixels_at_once() -> None:
    maps, masks = draw(8)
    ranking = tally_of(maps, masks, exact=True).compute()
    assert ranking.area(LIMIT) == pytest.approx(aupro(list(maps), list(masks), LIMIT), abs=1e-6)
    assert ranking.auroc() == pytest.approx(Ranking(maps, masks).auroc())
    assert ranking.average_precision() == pytest.approx(Ranking(maps, masks).average_precision())


# Scores that a bin of 0.2 % cannot tell apart, beside others that it can.
close_scores = st.tuples(st.sampled_from([-3.0, 0.0, 1e-30, 1.0, 7.0]), st.integers(0, 6)).map(
    lambda v: v[0] * (1 + v[1] / 5000)
)


@given(
    hnp.arrays(np.float32, (2, 3, 4), elements=close_scores.map(np.float32)),
    hnp.arrays(bool, (2, 3, 4)),
)
def test_bins_stay_within_the_error_that_they_state(maps: np.ndarray, masks: np.ndarray) -> None:
    exact, binned = tally_of(maps, masks, exact=True), tally_of(maps, masks, exact=False)
    ranking = binned.compute()
    error = largest_error(ranking, LIMIT)
    if masks.all() or not masks.any():
        assert error is None
        return
    assert error is not None
    for true, found, bound in zip(figures(exact.compute()), figures(ranking), error.values(), strict=True):
        assert true is not None
        assert found is not None
        assert abs(found - true) <= bound + 1e-6  # weights are kept in float32


def test_bins_cost_little_on_maps_like_real_ones() -> None:
    maps, masks = draw(60)
    binned = tally_of(maps, masks, exact=False)
    error = largest_error(binned.compute(), LIMIT)
    assert error is not None
    assert 0 < max(error.values()) < 0.005


@given(hnp.arrays(np.float32, 20, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_bins_keep_the_order_of_scores(scores: np.ndarray) -> None:
    bins = bin_of(np.sort(scores))
    assert (np.diff(bins) >= 0).all()
    assert bins.min() >= 0
    assert bins.max() < BINS
    assert bin_of(np.array([-0.0], np.float32)) == bin_of(np.array([0.0], np.float32))


def test_a_score_that_is_no_number_is_refused_in_both_forms() -> None:
    maps, masks = draw(2)
    maps[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        tally_of(maps, masks, exact=True).compute()
    with pytest.raises(ValueError, match="finite"):
        tally_of(maps, masks, exact=False)


@pytest.mark.parametrize("exact", [True, False])
def test_two_tallies_merge_to_that_of_all_pictures_also_after_they_were_computed(exact: bool) -> None:
    maps, masks = draw(6)
    one, other = tally_of(maps[:2], masks[:2], exact), tally_of(maps[2:], masks[2:], exact)
    one.compute()
    one.merge_state(other)
    expected = pytest.approx(figures(tally_of(maps, masks, exact).compute()))
    assert figures(one.compute()) == expected
    empty = PixelTally(exact)
    empty.merge_state(one)
    assert figures(empty.compute()) == expected


def test_tallies_of_different_forms_do_not_merge() -> None:
    with pytest.raises(ValueError, match="make both of one form"):
        PixelTally(exact=True).merge_state(PixelTally(exact=False))


def test_a_tally_in_bins_does_not_grow() -> None:
    maps, masks = draw(2)
    tally = tally_of(maps, masks, exact=False)
    before = sum(s.numel() for s in tally.metric_state.values())
    for _ in range(20):
        tally.update(by_region(maps[0], masks[0]))
    assert sum(s.numel() for s in tally.metric_state.values()) == before


SCORES = [(0.5, False), (2.0, True), (1.0, False), (0.7, True)]


def _evaluate_a_share(rank: int, rendezvous: str, out: str) -> None:
    """The first process takes every other picture, the second the rest, the third none."""
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=3)
    maps, masks = draw(7)
    found = []
    for exact in (True, False):
        share = slice(rank, None, 2) if rank < 2 else slice(0)
        tally = tally_of(maps[share], masks[share], exact)
        pictures = PixelTally(exact)
        for score, is_defect in SCORES[share]:
            pictures.update(by_picture(score, is_defect))
        found.append([*figures(tally.compute()), pictures.compute().auroc()])
    np.save(f"{out}-{rank}.npy", np.array(found, dtype=float))
    dist.destroy_process_group()


def test_three_processes_one_of_them_idle_compute_the_figures_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    here = import_module(Path(__file__).stem)  # by the name by which another process finds it
    out = str(tmp_path / "found")
    torch.multiprocessing.spawn(here._evaluate_a_share, (str(tmp_path / "meeting"), out), nprocs=3)
    maps, masks = draw(7)
    expected = [[*figures(tally_of(maps, masks, exact).compute()), 0.75] for exact in (True, False)]
    for rank in range(3):
        assert np.load(f"{out}-{rank}.npy") == pytest.approx(np.array(expected, dtype=float), abs=1e-6)
