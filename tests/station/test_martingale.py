"""Evidence against exchangeability: literal equations, the bound, and the power of the bets."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.station.martingale import (
    BETS,
    HORIZON,
    Wealth,
    conformal_p,
    fair_odds,
    spent,
    start_weights,
)

FIGURES = st.integers(0, 6).map(float)


@given(st.lists(FIGURES, max_size=30), FIGURES, st.floats(0, 1, exclude_max=True))
def test_a_p_value_is_the_share_of_higher_figures_with_ties_broken_at_random(
    before: list[float], figure: float, chance: float
) -> None:
    above = sum(x > figure for x in before)
    ties = sum(x == figure for x in before) + 1
    assert conformal_p(sorted(before), figure, chance) == (above + chance * ties) / (len(before) + 1)


def test_p_values_of_exchangeable_figures_are_uniform_and_independent_ties_included() -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(4000):
        figures = rng.integers(0, 3, 7).tolist()
        pairs.append([conformal_p(sorted(figures[:n]), figures[n], rng.random()) for n in (5, 6)])
    p = np.array(pairs)
    for column in p.T:
        assert np.abs(np.histogram(column, 10, (0, 1))[0] / len(p) - 0.1).max() < 0.02
    assert abs(np.corrcoef(p.T)[0, 1]) < 0.05


def test_a_bet_pays_the_density_of_a_beta_distribution() -> None:
    for place, (a, b) in enumerate(BETS):
        constant = math.gamma(a + b) / math.gamma(a) / math.gamma(b)
        for p in (0.01, 0.3, 0.9):
            literal = constant * p ** (a - 1) * (1 - p) ** (b - 1)
            assert fair_odds(np.array(p))[place] == pytest.approx(literal)


def test_every_bet_is_fair_and_has_its_mirror_image() -> None:
    u = (np.arange(10_000) + 0.5) / 10_000
    p, width = 0.5 * u**8, 4 * u[:, None] ** 7  # fine near 0, and, mirrored, near 1
    paid = (fair_odds(p) * width).mean(axis=0) + (fair_odds(1 - p) * width).mean(axis=0)
    assert paid == pytest.approx(np.ones(len(BETS)), abs=0.01)
    assert {(b, a) for a, b in BETS} == set(BETS)


def test_p_values_of_zero_and_one_pay_a_finite_sum() -> None:
    assert np.isfinite(fair_odds(np.array([0.0, 1.0]))).all()


def test_the_parts_that_are_staked_sum_to_one_and_are_half_at_the_start_and_half_harmonic() -> None:
    weights = start_weights()
    harmonic = sum(1 / t for t in range(1, HORIZON + 1))
    assert len(weights) == HORIZON
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == pytest.approx(0.5 + 0.5 / harmonic)
    assert weights[9] == pytest.approx(0.5 / (10 * harmonic))


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=12))
def test_the_wealth_is_what_each_bet_won_since_each_start_and_what_is_idle(p: list[float]) -> None:
    wealth, weights = Wealth(), start_weights()
    for each in p:
        level = wealth.bet(each)
    won = sum(
        weights[start] / len(BETS) * math.prod(float(fair_odds(np.array(x))[k]) for x in p[start:])
        for start in range(len(p))
        for k in range(len(BETS))
    )
    assert float(level) == pytest.approx(math.log10(won + 1 - weights[: len(p)].sum()), abs=1e-9)
    assert float(wealth.level) == float(level)


def test_the_wealth_of_many_lines_is_that_of_each() -> None:
    p = np.random.default_rng(1).random((3, 40))
    together, alone = Wealth((3,)), [Wealth() for _ in range(3)]
    for column in p.T:
        levels = together.bet(column)
        assert levels == pytest.approx([float(w.bet(x)) for w, x in zip(alone, column, strict=True)])


def test_of_exchangeable_lines_no_more_reach_the_limit_than_ville_allows() -> None:
    """One in ten may; of 2,000 lines 3 standard errors more would be 12 %."""
    rng = np.random.default_rng(2)
    wealth, reached = Wealth((2000,)), np.zeros(2000, bool)
    for _ in range(HORIZON):
        reached |= wealth.bet(rng.random(2000)) >= 1
    assert 0.01 < reached.mean() <= 0.12
    with pytest.raises(IndexError):
        wealth.bet(rng.random(2000))


@pytest.mark.parametrize("away", [3.0, -3.0])
@pytest.mark.parametrize("before", [0, 300])
def test_a_large_shift_either_way_is_seen_within_fifteen_pictures(away: float, before: int) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        figures = [*rng.normal(0, 1, 50 + before), *rng.normal(away, 1, 15)]
        wealth = Wealth()
        levels = [
            float(wealth.bet(conformal_p(sorted(figures[:n]), figures[n], rng.random())))
            for n in range(50, len(figures))
        ]
        assert max(levels) > 3


def test_a_million_certain_wins_or_losses_stay_finite() -> None:
    for p in (0.0, 1.0, 0.5):
        wealth = Wealth()
        assert all(math.isfinite(float(wealth.bet(p))) for _ in range(HORIZON))


def test_the_parts_of_all_runs_and_lives_sum_to_at_most_the_whole() -> None:
    assert sum(spent(life, run) for life in range(1, 200) for run in range(1, 200)) == pytest.approx(
        (1 - 1 / 200) ** 2
    )
    assert (spent(1, 1), spent(1, 2), spent(2, 1)) == (1 / 4, 1 / 12, 1 / 12)


def test_a_wealth_goes_on_after_it_was_written_and_read() -> None:
    rng, wealth = np.random.default_rng(3), Wealth()
    for _ in range(30):
        wealth.bet(rng.random())
    again, fresh = Wealth.load(json.loads(json.dumps(wealth.dump()))), Wealth.load(Wealth().dump())
    assert [float(again.bet(p)) for p in (0.1, 0.7)] == [float(wealth.bet(p)) for p in (0.1, 0.7)]
    assert float(fresh.level) == 0


@pytest.mark.parametrize(
    "spoiled",
    [{"t": -1}, {"t": HORIZON + 1}, {"t": 0.5}, {"shares": [1.0]}, {"shares": [math.nan] * 8}, {"t": 0}],
)
def test_what_is_no_wealth_is_refused(spoiled: dict[str, object]) -> None:
    wealth = Wealth()
    wealth.bet(0.5)
    with pytest.raises(ValueError, match="no wealth"):
        Wealth.load(wealth.dump() | spoiled)
