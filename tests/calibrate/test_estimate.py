"""Figures of few pictures of many products give limits at any rate; each step is checked on made figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import InputError
from understudy.calibrate.estimate import (
    OTHERS,
    OWN,
    PER_VIEW,
    SHARE,
    Numbers,
    ProductFigures,
    fit_tail,
    pool_figures,
    standardise,
)

NONE = np.zeros(0)


def shrunk(x: Numbers, others: float) -> float:
    squares = ((x - x.mean()) ** 2).sum()
    return math.sqrt((squares + OTHERS * others**2) / (len(x) - 1 + OTHERS))


@given(
    st.lists(st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True), min_size=1, max_size=4)
)
def test_each_figure_is_standardised_by_the_others_of_its_product(drawn: list[list[int]]) -> None:
    figures = {str(i): np.array(x, np.float64) / 7 for i, x in enumerate(drawn)}
    others = math.exp(np.mean([math.log(x.std(ddof=1)) for x in figures.values()]))
    norms, standardised = standardise(figures)
    for product, x in figures.items():
        left_out = [np.delete(x, i) for i in range(len(x))]
        naive = [(x[i] - rest.mean()) / shrunk(rest, others) for i, rest in enumerate(left_out)]
        np.testing.assert_allclose(standardised[product], naive, rtol=1e-6, atol=1e-9)
        assert norms[product].centre == pytest.approx(x.mean())
        assert norms[product].scale == pytest.approx(shrunk(x, others))


def test_a_standardised_figure_goes_back_to_what_it_was() -> None:
    norms, _ = standardise({"nut": np.array([3.0, 5.0, 9.0])})
    assert norms["nut"].back(float(norms["nut"](np.array([7.5]))[0])) == pytest.approx(7.5)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_product_of_few_pictures_has_the_deviation_of_the_others(n: int) -> None:
    rng = np.random.default_rng(0)
    many = rng.normal(10, 2, 400)
    norms, standardised = standardise({"few": np.array([50.0, 50.1, 50.2])[:n], "many": many})
    assert norms["few"].centre == pytest.approx(50 + 0.05 * (n - 1))
    assert len(standardised["few"]) == (n if n > 1 else 0)
    alone = math.exp(
        np.mean([math.log(many.std(ddof=1)), *([math.log(0.1 / math.sqrt(2))] if n == 2 else [])])
    )
    if n < 3:
        assert norms["few"].scale == pytest.approx(alone, rel=0.1)
    assert np.isfinite(standardised["few"]).all()


def test_a_product_without_figures_has_the_norm_of_the_others() -> None:
    norms, standardised = standardise({"none": NONE, "nut": np.array([1.0, 3.0])})
    assert norms["none"].centre == 2.0
    assert norms["none"].scale == pytest.approx(np.array([1.0, 3.0]).std(ddof=1) * math.sqrt(5 / 5), rel=0.2)
    assert standardised["none"].size == 0


def test_equal_figures_stay_at_the_mean() -> None:
    norms, standardised = standardise({"nut": np.full(20, 4.0), "bolt": np.full(3, 9.0)})
    assert all((x == 0).all() for x in standardised.values())
    tail = fit_tail(standardised)
    assert norms["nut"].back(tail.limit(0.01, "nut")) == pytest.approx(4.0, abs=1e-3)


def seen(
    rng: np.random.Generator, n: int, unseen: int, views: float, optimism: float, products: int = 6
) -> dict[str, ProductFigures]:
    """Figures that are lower by ``optimism`` a view where the training has seen the picture."""
    return {
        f"product {i}": ProductFigures(
            10 * i + (i + 1) * (rng.normal(size=n) - optimism * views),
            10 * i + (i + 1) * rng.normal(size=unseen),
            views,
        )
        for i in range(products)
    }


@pytest.mark.parametrize("optimism", [0.0, 0.02, 0.06])
def test_the_optimism_of_a_training_is_found_by_pictures_that_it_has_not_seen(optimism: float) -> None:
    pool = pool_figures(seen(np.random.default_rng(1), 100, 60, 20.0, optimism))
    assert pool.optimism == pytest.approx(optimism, abs=4 * pool.error)
    assert pool.error < 0.003
    for x in pool.figures.values():  # as if none of them had been seen
        assert x[:100].mean() == pytest.approx(x[100:].mean(), abs=0.5)


def test_without_unseen_pictures_the_optimism_is_what_is_believed() -> None:
    figures = seen(np.random.default_rng(2), 30, 0, 10.0, 0.1)
    pool = pool_figures(figures)
    assert pool.optimism == PER_VIEW
    norms, plain = standardise({p: f.learned for p, f in figures.items()})
    for product, x in pool.figures.items():
        np.testing.assert_allclose(x, plain[product])
        assert pool.norms[product].centre == pytest.approx(norms[product].back(10 * PER_VIEW))


def test_a_training_is_never_believed_to_make_good_pictures_worse() -> None:
    assert pool_figures(seen(np.random.default_rng(3), 100, 60, 20.0, -0.3)).optimism == 0.0


def test_a_few_outliers_among_unseen_pictures_move_the_belief_a_little_only() -> None:
    figures = seen(np.random.default_rng(4), 60, 0, 5.0, PER_VIEW, products=1)
    f = figures["product 0"]
    found = pool_figures({"product 0": ProductFigures(f.learned, np.array([2.0]), 5.0)}).optimism
    assert PER_VIEW < found < PER_VIEW + 0.05


def test_where_nothing_was_learned_from_the_unseen_pictures_set_the_norm() -> None:
    x = np.random.default_rng(5).normal(3, 2, 50)
    pool = pool_figures({"nut": ProductFigures(NONE, x, 7.0)})
    norms, standardised = standardise({"nut": x})
    assert pool.norms == norms
    np.testing.assert_array_equal(pool.figures["nut"], standardised["nut"])
    assert (pool.optimism, pool.error) == (0.0, 0.0)


RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001, 1e-6)


@given(st.integers(10, 400), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_the_limit_rises_as_the_rate_falls(n: int, seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    tail = fit_tail({"a": rng.normal(size=n).round(decimals), "b": rng.gamma(2, size=5).round(decimals)})
    for product in (None, "a", "b"):
        limits = [tail.limit(rate, product) for rate in RATES]
        assert limits == sorted(limits)
        assert np.isfinite(limits).all()


@given(st.integers(10, 400), st.integers(0, 2**32 - 1))
def test_the_tail_begins_where_the_other_figures_end(n: int, seed: int) -> None:
    tail = fit_tail({"a": np.random.default_rng(seed).normal(size=n)})
    for product in (None, "a"):
        share = tail.own["a"][0] if product else tail.share
        assert tail.limit(share, product) == tail.start
        assert tail.limit(share * (1 - 1e-9), product) == pytest.approx(tail.start, abs=1e-6)


@pytest.mark.parametrize("rate", [0.05, 0.01, 0.001])
def test_the_limit_of_exponential_figures_is_their_quantile(rate: float) -> None:
    x = np.random.default_rng(6).exponential(3.0, 20_000)
    tail = fit_tail({"nut": x})
    assert tail.limit(rate) == pytest.approx(-3 * math.log(rate), rel=0.04)
    assert tail.limit(0.5) == pytest.approx(3 * math.log(2), rel=0.04)  # below the start, by the figures


def test_limits_of_few_pictures_are_right_on_average() -> None:
    rng = np.random.default_rng(7)
    rates = [math.exp(-fit_tail({"nut": rng.exponential(size=150)}).limit(0.01)) for _ in range(400)]
    assert np.mean(rates) == pytest.approx(0.01, rel=0.25)


def test_the_interval_covers_the_true_rate_in_ninety_five_of_a_hundred_draws() -> None:
    rng, covered = np.random.default_rng(8), 0
    for _ in range(1000):
        tail = fit_tail({"nut": rng.exponential(size=500)})
        limit = tail.limit(0.01)
        low, high = tail.interval(limit)
        covered += low <= math.exp(-limit) <= high
    assert 0.93 <= covered / 1000 <= 0.99


def test_the_interval_is_wider_for_fewer_pictures_and_for_uncertain_figures() -> None:
    rng = np.random.default_rng(9)
    few, many = (fit_tail({"nut": rng.exponential(size=n)}) for n in (100, 5000))

    def width(pair: tuple[float, float]) -> float:
        return pair[1] / pair[0]

    assert width(few.interval(few.limit(0.01))) > width(many.interval(many.limit(0.01)))
    assert width(many.interval(many.limit(0.01), 0.5)) > width(many.interval(many.limit(0.01)))
    below = few.start - 1
    above = few.share + float((few.figures > below).sum()) / few.n  # below the tail pictures are counted
    low, high = few.interval(below)
    assert few.share < low < above < high <= 1


def test_a_product_has_its_own_tail_the_more_the_more_pictures_it_has() -> None:
    rng = np.random.default_rng(10)
    common = rng.exponential(size=4000)
    limits = []
    for n in (10, 100, 1000, 100_000):
        quantiles = (np.arange(n) + 0.5) / n
        own = -4 * np.log(1 - quantiles)  # thins out four times more slowly
        limits.append(fit_tail({"common": common, "own": own}).limit(0.001, "own"))
    assert limits == sorted(limits)
    of_all, its_own = -math.log(0.001), -4 * math.log(0.001)
    assert limits[0] - of_all < its_own - limits[0]
    assert limits[-1] == pytest.approx(its_own, rel=0.05)
    tail = fit_tail({"common": common, "own": NONE})
    assert tail.own["own"] == pytest.approx((tail.share, tail.mean))
    assert tail.limit(0.001, "own") == pytest.approx(tail.limit(0.001))


def test_a_products_own_tail_weighs_half_at_a_hundred_pictures() -> None:
    common, own = np.random.default_rng(11).exponential(size=4000), np.full(OWN, -1.0)
    tail = fit_tail({"common": common, "own": own})
    assert tail.own["own"][0] == pytest.approx(tail.share / 2)


@pytest.mark.parametrize(("n", "above"), [(10, 2), (100, 25), (400, 50), (2000, SHARE * 2000)])
def test_the_tail_holds_a_tenth_of_the_figures_but_fifty_where_that_is_a_quarter_at_most(
    n: int, above: int
) -> None:
    tail = fit_tail({"nut": np.arange(n, dtype=np.float64)})
    assert tail.share * n == pytest.approx(above)


def test_too_few_figures_or_one_that_is_no_number_are_refused() -> None:
    with pytest.raises(
        InputError, match="the tail of 9 good pictures cannot be estimated; ten are the least"
    ):
        fit_tail({"nut": np.arange(9.0)})
    for broken in (np.nan, np.inf):
        with pytest.raises(InputError, match=r"a score that is not a number \(NaN\); check the model"):
            fit_tail({"nut": np.append(np.arange(20.0), broken)})
