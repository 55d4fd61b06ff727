"""How many defects are found at asked rates of false alarms, by the limits of the model and by an oracle's.

The model's limits come from good pictures that are no test pictures. The *oracle* sets the limit of each
category by the good test pictures themselves, so that no more of them are above it than asked. What lies
between the two is what it costs to set limits without test pictures.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlog1py, xlogy

from understudy.calibrate.conformal import smallest_rate, true_rate
from understudy.calibrate.estimate import NORMAL_95
from understudy.calibrate.thresholds import RATES_SHOWN
from understudy.evaluate.figures import Tested, mean_of
from understudy.runtime.decision import Calibration, Limits
from understudy.types import Basis

__all__ = ["Judged", "false_alarm_chances", "found_at", "mean_interval", "oracle_limit", "share_interval"]


_SHARES = ("found", "false_alarms", "oracle_found", "oracle_false_alarms")

Interval = tuple[float, float]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Counted test pictures at one rate.

    Attributes:
        n_defect: number of defective pictures.
        n_found: of these, the number above the model's limit.
        n_good: number of good pictures.
        n_false_alarms: of these, the number above the model's limit.
        n_oracle_found: number of defective pictures above the oracle's limit; ``None`` without good pictures.
        n_oracle_false_alarms: the same for good pictures.
    """

    n_defect: int
    n_found: int
    n_good: int
    n_false_alarms: int
    n_oracle_found: int | None
    n_oracle_false_alarms: int | None


@dataclass(frozen=True)
class _Limit:
    """Where the limit of a category comes from.

    Attributes:
        above: a score above it counts as found, or as a false alarm.
        group: name that categories with one common limit share.
        n_set: number of good pictures that set it.
        unsaid: why the rate says nothing of the category alone; ``None`` if it does.
        unsaid_of_all: why the rate says nothing of the category even among others; ``None`` if it does.
    """

    above: float
    group: str
    n_set: int
    unsaid: str | None
    unsaid_of_all: str | None


def found_at(
    tested: Sequence[Tested],
    categories: Mapping[str, str | None],
    calibration: Calibration | None,
    *,
    one_for_all: bool = False,
) -> dict[str, Any]:
    """Count the defects found at each rate of :data:`understudy.calibrate.thresholds.RATES_SHOWN`.

    Args:
        tested: test pictures.
        categories: category of the test pictures -> the model's category; ``None`` if it does not know it.
        calibration: limits of the model; ``None`` if it is not calibrated.
        one_for_all: judge every category by the limit for all.

    Returns:
        ``found_at`` and ``found_at_missing`` of ``metrics.json``; ``docs/metrics.md`` defines them.
    """
    limits = {each.rate: each for each in calibration.rates} if calibration else {}
    missing = {f"{rate:g}": _missing(calibration) for rate in RATES_SHOWN if rate not in limits}
    if calibration is None or not limits:
        return {"found_at": None, "found_at_missing": missing}
    scores = _scores_of(tested, categories)
    found = {
        f"{rate:g}": _at(scores, limits[rate], calibration, categories, one_for_all)
        if rate in limits
        else None
        for rate in RATES_SHOWN
    }
    return {"found_at": found, "found_at_missing": missing}


def _missing(calibration: Calibration | None) -> str:
    """Why there is no limit at a rate."""
    if calibration is None:
        return "the model is not calibrated"
    if not (calibration.rates or calibration.scores):
        return "the thresholds are of an older version, which kept no limits at other rates; calibrate again"
    n = calibration.thresholds.n_good
    return f"{n} good pictures can promise {100 * smallest_rate(n):.2g} % at best"


def _scores_of(tested: Sequence[Tested], categories: Iterable[str]) -> dict[str, tuple[Scores, Scores]]:
    """Category -> sorted scores of its good and of its defective pictures."""
    scores: dict[str, tuple[list[float], list[float]]] = {c: ([], []) for c in categories}
    for t in tested:
        scores[t.record.category][not t.record.is_good].append(t.score)
    return {c: (np.sort(np.array(good)), np.sort(np.array(bad))) for c, (good, bad) in scores.items()}


def _at(
    scores: Mapping[str, tuple[Scores, Scores]],
    limits: Limits,
    calibration: Calibration,
    categories: Mapping[str, str | None],
    one_for_all: bool,
) -> dict[str, Any]:
    """Entry of one rate in ``metrics.json``."""
    basis, rate = calibration.thresholds.basis, limits.rate
    judged: dict[str, Judged] = {}
    places: dict[str, _Limit] = {}
    for category, (good, bad) in scores.items():
        places[category] = _limit(limits, calibration, categories[category], one_for_all)
        judged[category] = _judged(good, bad, places[category].above, rate)
    rows = {
        c: _row(
            j,
            _allowed({places[c].n_set: j.n_good}, rate, basis),
            places[c].unsaid or places[c].unsaid_of_all,
        )
        for c, j in judged.items()
    }
    groups: dict[tuple[str, int], int] = Counter()
    for c, place in places.items():
        groups[place.group, place.n_set] += judged[c].n_good
    unsaid = [place.unsaid_of_all for c, place in places.items() if judged[c].n_good and place.unsaid_of_all]
    return {
        "basis": basis,
        "categories": rows,
        "mean": _mean(list(rows.values())),
        "worst": {
            "found": _extreme(rows, "found", least=True),
            "false_alarms": _extreme(rows, "false_alarms", least=False),
        },
        "all": _row(
            _sum(list(judged.values())),
            _allowed_of(
                false_alarm_chances([(n_set, n) for (_, n_set), n in groups.items()], rate, basis), basis
            ),
            unsaid[0] if unsaid else None,
        ),
    }


def _limit(limits: Limits, calibration: Calibration, known: str | None, one_for_all: bool) -> _Limit:
    """Find the limit of a category of the model, and what its rate says."""
    promised = calibration.thresholds.basis == "promised"
    own = not one_for_all and known in limits.categories
    alone = among = None
    if known is None:
        among = "no good picture of this category set the limits"
    elif known not in calibration.scores:
        among = "the last calibration had no good pictures of this category"
    elif not own and len(calibration.scores) > 1:
        alone = (
            "the promise holds for all categories that share the limit together"
            if promised
            else "all pictures together set the limit for all, so its rate is not that of one category"
        )
    above = limits.of(known) if own else limits.overall
    group = known if own and known else ""
    return _Limit(above, group, _n_set(limits, calibration, group, one_for_all), alone, among)


def _n_set(limits: Limits, calibration: Calibration, own: str, one_for_all: bool) -> int:
    """Count the good pictures that set the limit of a category, or of those that share one.

    A shared limit is one of all pictures, or a higher one of those alone that share it. So the latter tell
    how far the true rate may be from the promised one.
    """
    if own in calibration.scores:
        return len(calibration.scores[own]) or calibration.thresholds.n_good
    shared = sum(len(scores) for c, scores in calibration.scores.items() if c not in limits.categories)
    return shared if shared and limits.categories and not one_for_all else calibration.thresholds.n_good


def _judged(good: Scores, bad: Scores, above: float, rate: float) -> Judged:
    def beyond(scores: Scores, limit: float) -> int:
        return len(scores) - int(np.searchsorted(scores, limit, side="right"))

    oracle = oracle_limit(good, rate)
    return Judged(
        n_defect=len(bad),
        n_found=beyond(bad, above),
        n_good=len(good),
        n_false_alarms=beyond(good, above),
        n_oracle_found=None if oracle is None else beyond(bad, oracle),
        n_oracle_false_alarms=None if oracle is None else beyond(good, oracle),
    )


def oracle_limit(good: Scores, rate: float) -> float | None:
    """(n,) sorted scores of good pictures -> the lowest limit that at most floor(rate * n) of them exceed.

    Returns:
        The limit; ``None`` if there are no good pictures.
    """
    n = len(good)
    return float(good[n - 1 - math.floor(round(rate * n, 9))]) if n else None


def _sum(judged: Sequence[Judged]) -> Judged:
    """Count the pictures of all categories together; each keeps its own limits."""
    filled = [j for j in judged if j.n_good or j.n_defect]
    whole = all(j.n_good for j in filled)
    return Judged(
        n_defect=sum(j.n_defect for j in filled),
        n_found=sum(j.n_found for j in filled),
        n_good=sum(j.n_good for j in filled),
        n_false_alarms=sum(j.n_false_alarms for j in filled),
        n_oracle_found=sum(j.n_oracle_found or 0 for j in filled) if whole else None,
        n_oracle_false_alarms=sum(j.n_oracle_false_alarms or 0 for j in filled) if whole else None,
    )


def _row(judged: Judged, allowed: tuple[int, int], unsaid: str | None) -> dict[str, Any]:
    """Figures of a category, or of all pictures together; what is ``None`` has a reason in ``missing``."""
    j, missing = judged, {}
    found, alarms = _share(j.n_found, j.n_defect), _share(j.n_false_alarms, j.n_good)
    best = _share(j.n_oracle_found, j.n_defect)
    if found is None:
        missing["found"] = missing["oracle_found"] = "no defective test pictures"
    if alarms is None:
        missing["false_alarms"] = missing["as_said"] = "no good test pictures"
    elif unsaid:
        missing["as_said"] = unsaid
    if j.n_oracle_found is None:
        reason = "no good test pictures" if alarms is None else "a category has no good test pictures"
        missing["oracle_found"] = missing["oracle_false_alarms"] = reason
    if not best:
        missing["of_oracle"] = missing.get("oracle_found", "the oracle finds nothing")
    said = "as_said" not in missing
    return {
        "found": found,
        "n_found": j.n_found,
        "n_defect": j.n_defect,
        "found_interval": _listed(share_interval(j.n_found, j.n_defect)),
        "false_alarms": alarms,
        "n_false_alarms": j.n_false_alarms,
        "n_good": j.n_good,
        "false_alarms_interval": _listed(share_interval(j.n_false_alarms, j.n_good)),
        "allowed": [end / j.n_good for end in allowed] if said else None,
        "as_said": allowed[0] <= j.n_false_alarms <= allowed[1] if said else None,
        "oracle_found": best,
        "oracle_false_alarms": _share(j.n_oracle_false_alarms, j.n_good),
        "of_oracle": found / best if best and found is not None else None,
        "missing": missing,
    }


def _share(count: int | None, of: int) -> float | None:
    return count / of if of and count is not None else None


def _listed(interval: Interval | None) -> list[float] | None:
    """An interval as JSON holds it."""
    return interval and list(interval)


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Unweighted means over the categories that have a figure, and their intervals."""
    means: dict[str, Any] = {name: mean_of(row[name] for row in rows) for name in _SHARES}
    for name in ("found", "false_alarms"):
        known = [row for row in rows if row[name] is not None]
        means[f"{name}_interval"] = _listed(
            mean_interval([row[name] for row in known], [row[f"{name}_interval"] for row in known])
        )
    both = [row for row in rows if row["found"] is not None and row["oracle_found"] is not None]
    best = mean_of(row["oracle_found"] for row in both)
    own = mean_of(row["found"] for row in both)
    return means | {"of_oracle": own / best if best and own is not None else None}


def _extreme(rows: Mapping[str, Mapping[str, Any]], name: str, *, least: bool) -> list[Any] | None:
    """[category, figure] of the worst category; ``None`` if no category has the figure."""
    known = [(row[name] if least else -row[name], c) for c, row in rows.items() if row[name] is not None]
    return [min(known)[1], abs(min(known)[0])] if known else None


def false_alarm_chances(parts: Iterable[tuple[int, int]], rate: float, basis: Basis) -> Scores:
    """Return the probabilities of 0, 1, 2, ... false alarms, if the good pictures are as said.

    At an estimated rate the number is binomial. A promised rate varies over calibrations by a beta
    distribution, see :func:`understudy.calibrate.conformal.true_rate`, so the number is beta-binomial.

    Args:
        parts: for each limit, the number of good pictures that set it, and of those that it judged.
        rate: rate of false alarms, in (0, 1).
        basis: what the rate rests on.
    """
    parts = list(parts)
    if basis == "estimated":
        n = sum(judged for _, judged in parts)
        k = np.arange(n + 1)
        return np.exp(_log_ways(k, n) + xlogy(k, rate) + xlog1py(n - k, -rate))
    chances = np.ones(1)
    for n_set, judged in parts:
        k = np.arange(judged + 1)
        a, b = true_rate(n_set, rate)
        own = _log_ways(k, judged) + betaln(k + a, judged - k + b) - betaln(a, b)
        chances = np.convolve(chances, np.exp(own))
    return chances


def _log_ways(k: NDArray[np.intp], n: int) -> Scores:
    """Logarithm of the number of ways to choose k of n."""
    return np.asarray(-math.log(n + 1) - betaln(n - k + 1, k + 1), np.float64)


def _allowed(parts: Mapping[int, int], rate: float, basis: Basis) -> tuple[int, int]:
    return _allowed_of(false_alarm_chances(parts.items(), rate, basis), basis)


def _allowed_of(chances: Scores, basis: Basis) -> tuple[int, int]:
    """Range of the number of false alarms in 95 of 100 tests; a promise allows any smaller number too."""
    below = np.cumsum(chances)
    last = len(chances) - 1
    if basis == "promised":
        return 0, min(int(np.searchsorted(below, 0.95)), last)
    low, high = (int(np.searchsorted(below, share)) for share in (0.025, 0.975))
    return min(low, last), min(high, last)


def share_interval(count: int, of: int) -> Interval | None:
    """95 % confidence interval of a share, by Wilson's score method; ``None`` if there are no pictures.

    It stays in [0, 1], and none or all of a few pictures do not make it certain (Wilson, "Probable inference,
    the law of succession, and statistical inference", JASA 22, 1927).

    Args:
        count: number of pictures that count.
        of: number of all pictures.
    """
    if not of:
        return None
    p, z2 = count / of, NORMAL_95**2
    centre = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = NORMAL_95 * math.sqrt(p * (1 - p) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    return (0.0 if not count else centre - half, 1.0 if count == of else centre + half)


def mean_interval(shares: Sequence[float], intervals: Sequence[Interval]) -> Interval | None:
    """95 % confidence interval of a mean of independent shares, from theirs; ``None`` if there are none.

    The distances to the ends are added in squares (Zou and Donner, "Construction of confidence limits about
    effect measures", Statistics in Medicine 27, 2008). It says how sure the pictures make the mean of these
    categories. It says nothing of other categories.

    Args:
        shares: shares of the categories.
        intervals: their 95 % confidence intervals.
    """
    if not shares:
        return None
    n, mean = len(shares), sum(shares) / len(shares)
    down = math.sqrt(sum((p - low) ** 2 for p, (low, _) in zip(shares, intervals, strict=True))) / n
    up = math.sqrt(sum((high - p) ** 2 for p, (_, high) in zip(shares, intervals, strict=True))) / n
    return max(0.0, mean - down), min(1.0, mean + up)
