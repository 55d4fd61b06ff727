"""Over many calibrations with made scores, rates are kept as promised; estimates are as good as we say."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.calibrate.estimate import ProductFigures, fit_tail
from understudy.calibrate.thresholds import HeldOut, Rates, estimated, promised
from understudy.runtime.decision import Calibration, Limits

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
RATES = (0.005, 0.01, 0.02, 0.05)
DRAWS = 250


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("promises")


def enough(share: float, wanted: float = 0.95, draws: int = DRAWS) -> bool:
    """Whether a share of draws is as large as wanted, within three standard errors."""
    return share >= wanted - 3 * np.sqrt(wanted * (1 - wanted) / draws)


@pytest.mark.parametrize("name", ["normal", "exponential", "heavy", "rare pose"])
def test_the_true_rates_are_those_of_what_is_drawn(name: str, sim: Any) -> None:
    shape = sim.SHAPES[name]
    drawn = shape.draw(np.random.default_rng(0), 400_000)
    assert drawn.mean() == pytest.approx(0, abs=0.01)
    assert drawn.std() == pytest.approx(1, abs=0.03)
    limits = np.array([-1.5, 0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(shape.above(limits), [(drawn > x).mean() for x in limits], atol=0.003)


PROMISED = [(1, 100), (3, 300), (10, 10), (30, 5), (5, 0)]


@pytest.mark.parametrize(("products", "pictures"), PROMISED)
def test_a_promised_rate_is_kept_by_all_products_together_and_by_each_with_its_own_limit(
    products: int, pictures: int, sim: Any
) -> None:
    setting = sim.Setting("promised", False, "mixed", products, pictures)
    drawn = sim.draw(setting, DRAWS, seed=1)
    for rate in RATES:
        together = drawn.together(rate)
        if np.isnan(together).all():  # too few pictures
            continue
        assert sim.keeps(together, rate)
        assert all(sim.keeps(own, rate, errors=4) for own in drawn.alone(rate).T)
    assert enough(sim.below_bound(drawn, sum(setting.sizes)))
    assert sim.keeps(drawn.looked_at @ drawn.weights, 0.05)


def plain(line: Sequence[Any], setting: Any, rng: np.random.Generator) -> Calibration:
    """Calibrate wrongly: so many of the given pictures, not of new ones, are above each limit."""
    names = [p.name for p in line for _ in range(p.n)]
    scores = np.concatenate([p.scores(rng, p.n) for p in line])
    pictures = [HeldOut(name, float(s), 0.0, 0.0) for name, s in zip(names, scores, strict=True)]
    right = promised(pictures, Rates(0.01))
    limits = [
        Limits(rate=each.rate, overall=float(np.quantile(scores, 1 - each.rate)), categories={})
        for each in right.rates
    ]
    return right.model_copy(update={"rates": tuple(limits)})


@pytest.mark.parametrize(("products", "pictures"), [(1, 100), (10, 10), (30, 5)])
def test_thresholds_at_the_plain_quantile_of_the_given_pictures_are_found_to_break_the_promise(
    products: int, pictures: int, sim: Any
) -> None:
    setting = sim.Setting("promised", False, "mixed", products, pictures)
    drawn = sim.draw(setting, DRAWS, seed=1, calibrate=plain)
    assert not sim.keeps(drawn.together(0.01), 0.01)
    assert not enough(sim.below_bound(drawn, sum(setting.sizes)))


@pytest.mark.parametrize("few", [120, 30])
def test_products_that_share_a_limit_keep_it_together_though_brighter_than_those_with_their_own(
    few: int, sim: Any
) -> None:
    rng, normal, found = np.random.default_rng(2), sim.SHAPES["normal"], []
    line = [sim.Product("many", 300, 0.0, 1.0, normal), sim.Product("few", few, 6.0, 1.0, normal)]
    for _ in range(DRAWS):
        calibration = promised(sim.unseen(line, rng), Rates(0.01))
        (limits,) = (each for each in calibration.rates if each.rate == 0.01)
        assert ("many" in limits.categories) == (few == 120)  # thirty pictures cannot promise it alone
        found.append(sum(p.n * p.above([limits.of(p.name)])[0] for p in line) / sum(p.n for p in line))
    assert sim.keeps(np.array(found), 0.01)


@pytest.mark.parametrize(
    ("products", "pictures", "shape", "optimism", "factor"),
    [
        (10, 25, "normal", 0.035, 1.5),  # a lighter tail than the exponential: fewer fail than asked
        (10, 25, "exponential", 0.035, 1.4),
        (10, 25, "heavy", 0.035, 1.7),  # too optimistic
        (10, 25, "rare pose", 0.035, 1.9),  # too optimistic
        (10, 25, "mixed", 0.0, 1.3),
        (10, 25, "mixed", 0.07, 1.8),
        (3, 100, "mixed", 0.035, 1.4),
        (10, 100, "mixed", 0.035, 1.25),
    ],
)
def test_an_estimated_rate_is_near_the_one_asked_for(
    products: int, pictures: int, shape: str, optimism: float, factor: float, sim: Any
) -> None:
    drawn = sim.draw(sim.Setting("estimated", True, shape, products, pictures, optimism), DRAWS, seed=3)
    assert sim.is_near(drawn.together(0.01), 0.01, factor)
    assert sim.covered(drawn) >= 0.75
    assert (drawn.looked_at @ drawn.weights).mean() <= 1.3 * 0.05


def test_an_estimate_of_which_nothing_is_known_has_an_interval_of_everything() -> None:
    low, high = fit_tail({"nut": np.arange(20.0)}).interval(30.0, more=1e6)
    assert 0 <= low < 1e-100
    assert high == 1


def uncorrected(sim: Any) -> Any:
    """Make a calibration that takes pictures learned from for new ones."""

    def calibrate(line: Sequence[Any], setting: Any, rng: np.random.Generator) -> Calibration:
        scores, distances = sim.figures_of_training(line, setting, rng)
        blind = {p: ProductFigures(f.learned, f.unseen, 0.0) for p, f in scores.items()}
        return estimated({"score": blind, "distance": distances, "level": distances}, Rates(0.01))

    return calibrate


def test_an_estimate_that_takes_pictures_learned_from_for_new_ones_is_found_to_be_wrong(sim: Any) -> None:
    setting = sim.Setting("estimated", True, "normal", 10, 25, 0.07)
    drawn = sim.draw(setting, 100, seed=3, calibrate=uncorrected(sim))
    assert not sim.is_near(drawn.together(0.01), 0.01, 1.8)


def test_a_product_that_the_training_saw_more_often_than_others_has_its_own_correction(sim: Any) -> None:
    drawn = sim.draw(sim.Setting("estimated", True, "normal", 5, 0, 0.05), DRAWS, seed=4)
    _, rarely, _, _, often = drawn.own[:, :, RATES.index(0.01)].T  # 300 and 25 pictures
    assert sim.is_near(rarely, 0.01, 1.4)
    assert often.mean() <= 3 * 0.01


def test_brighter_good_pictures_of_one_product_break_the_rate_there_and_nowhere_else(sim: Any) -> None:
    moved = sim.draw(sim.Setting("promised", False, "mixed", 3, 300, shift=2.0), 100, seed=5)
    at = RATES.index(0.01)
    assert moved.own[:, 0, at].mean() > 5 * 0.01
    assert not sim.keeps(moved.together(0.01), 0.01)
    assert all(sim.keeps(moved.own[:, product, at], 0.01, errors=4) for product in (1, 2))


def test_the_tables_show_the_rates_and_leave_out_what_cannot_be_promised(sim: Any) -> None:
    tables = importlib.import_module("tables.promises")
    where = {"machine": "a machine", "date": "2026-01-01", "commit": "abc"}
    settings = [sim.Setting("promised", False, "mixed", n, 100) for n in (1, 3)]
    settings += [sim.Setting("promised", False, "mixed", 3, 300)]
    rows = [{k: str(v) for k, v in sim.row_of(each, sim.draw(each, 4)).items()} | where for each in settings]
    shown = tables.promised(rows).splitlines()
    share = 100 * float(rows[1]["false_alarms"])
    assert f"{share:.2f} ({100 * float(rows[1]['below_bound']):.0f})" in shown[2]
    assert shown[3].startswith("| 300 | – | ")
    assert "mean over 4 calibrations" in shown[-1]
