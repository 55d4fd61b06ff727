"""Whether false alarms and REVIEW keep to their rates, on made scores whose true rates are known exactly.

    python benchmarks/promises.py --out benchmarks/results/promises.csv

Each draw makes a line: products with their own location, scale and shape of scores. It makes good pictures
of each, as ``understudy fit`` or ``understudy calibrate`` meets them, and sets thresholds from them. The
share of all good pictures above a threshold then follows from the product's distribution.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from machine import append, provenance, read
from understudy.calibrate.conformal import good_pictures_needed, rate_bound
from understudy.calibrate.estimate import MOST_VIEWS as VIEWS
from understudy.calibrate.estimate import PER_VIEW, ProductFigures
from understudy.calibrate.job import FEWEST
from understudy.calibrate.thresholds import RATES_SHOWN, HeldOut, Rates, estimated, promised
from understudy.runtime.decision import Calibration, thresholds_for

Numbers = NDArray[np.float64]
Basis = Literal["promised", "estimated"]

ASKED = Rates(0.01, 0.05)
SEEN, SEEN_EACH = 3200, 160  # pictures that a training shows at least: of all products, and of each
SCORED, SCORED_EACH = 2000, 50  # pictures learned from that are scored again, as the two above
HELD_OUT = 0.1  # share of a product's pictures that a training does not see
POSE, POSE_AWAY = 0.03, 4.0  # share of a rare pose, and how far above the others its scores are
MOST = 600_000  # pictures of a setting, all draws together; the largest settings have fewer draws
MIXED = (5, 300, 10, 100, 25)  # pictures of the first product, the second ..., and again from the start


@dataclass(frozen=True)
class Shape:
    """A distribution of mean 0 and standard deviation 1.

    Attributes:
        draw: makes so many figures.
        above: returns the share of all figures above each limit.
    """

    draw: Callable[[np.random.Generator, int], Numbers]
    above: Callable[[Numbers], Numbers]


def _rare_pose(rng: np.random.Generator, n: int) -> Numbers:
    drawn = rng.standard_normal(n) + POSE_AWAY * (rng.random(n) < POSE)
    return np.asarray((drawn - POSE * POSE_AWAY) / _POSE_SCALE, np.float64)


def _above_rare_pose(x: Numbers) -> Numbers:
    limit = x * _POSE_SCALE + POSE * POSE_AWAY
    return np.asarray((1 - POSE) * ndtr(-limit) + POSE * ndtr(POSE_AWAY - limit), np.float64)


_POSE_SCALE = math.sqrt(1 + POSE * (1 - POSE) * POSE_AWAY**2)
SHAPES = {
    "normal": Shape(lambda rng, n: rng.standard_normal(n), lambda x: np.asarray(ndtr(-x))),
    "exponential": Shape(
        lambda rng, n: rng.standard_exponential(n) - 1, lambda x: np.minimum(1.0, np.exp(-1 - x))
    ),
    "heavy": Shape(
        lambda rng, n: rng.standard_t(4, n) / math.sqrt(2),
        lambda x: np.asarray(stdtr(4, -x * math.sqrt(2))),
    ),
    "rare pose": Shape(_rare_pose, _above_rare_pose),
}
"""Shapes by name; ``heavy`` is Student's t with 4 degrees of freedom."""


@dataclass(frozen=True)
class Product:
    """Scores and distances of one product's good pictures.

    Attributes:
        name: its name.
        n: number of good pictures that are given.
        location: mean score of new pictures.
        scale: standard deviation of scores, above 0.
        shape: shape of scores and of distances.
    """

    name: str
    n: int
    location: float
    scale: float
    shape: Shape

    def scores(self, rng: np.random.Generator, n: int) -> Numbers:
        """Draw scores of new good pictures."""
        return self.location + self.scale * self.shape.draw(rng, n)

    def distances(self, rng: np.random.Generator, n: int) -> Numbers:
        """Draw distances from the prototype; the scale of scores has no part in them."""
        return 0.5 + 0.05 * self.shape.draw(rng, n)

    def above(self, limits: Sequence[float], shift: float = 0.0) -> Numbers:
        """Return the share of new good pictures whose score is above each limit.

        Args:
            limits: limits on the score.
            shift: how much brighter new pictures are than those given, in scales.
        """
        return self.shape.above((np.asarray(limits) - self.location) / self.scale - shift)

    def beyond(self, limit: float) -> float:
        """Return the share of new good pictures that are farther from the prototype than a limit."""
        return float(self.shape.above(np.array([(limit - 0.5) / 0.05]))[0])


@dataclass(frozen=True)
class Setting:
    """What all draws of a setting share.

    Attributes:
        basis: whether thresholds are promised or estimated.
        trained: whether ``understudy fit`` sets them, else ``understudy calibrate``, from unseen pictures.
        shape: a name of :data:`SHAPES`, or ``mixed``: each product has one of them.
        products: number of products.
        pictures: good pictures of each product; 0 for :data:`MIXED`.
        optimism: by how much a score is lower after one view, in scales.
        levels_off: views after which it falls no more; 0 for never.
        shift: how much brighter new pictures of the first product are, in scales.
    """

    basis: Basis
    trained: bool
    shape: str
    products: int
    pictures: int
    optimism: float = 0.0
    levels_off: int = 0
    shift: float = 0.0

    @property
    def sizes(self) -> list[int]:
        """Number of good pictures of each product."""
        return [self.pictures or MIXED[i % len(MIXED)] for i in range(self.products)]

    def draw(self, rng: np.random.Generator) -> list[Product]:
        """Make a line. Scales differ by a factor of about 2 from product to product."""
        shapes = list(SHAPES.values())
        return [
            Product(
                f"p{i:02}",
                n,
                2 * rng.standard_normal(),
                math.exp(0.5 * rng.standard_normal()),
                shapes[rng.integers(len(shapes))] if self.shape == "mixed" else SHAPES[self.shape],
            )
            for i, n in enumerate(self.sizes)
        ]


def promise(line: Sequence[Product], setting: Setting, rng: np.random.Generator) -> Calibration:
    """Calibrate as ``understudy calibrate`` does with pictures enough: the training has seen none of them."""
    return promised(unseen(line, rng), ASKED)


def unseen(line: Sequence[Product], rng: np.random.Generator) -> list[HeldOut]:
    """Make good pictures that no training has seen."""
    return [
        HeldOut(p.name, float(score), float(distance), 0.0)
        for p in line
        for score, distance in zip(p.scores(rng, p.n), p.distances(rng, p.n), strict=True)
    ]


def estimate(line: Sequence[Product], setting: Setting, rng: np.random.Generator) -> Calibration:
    """Calibrate as ``understudy fit`` does, or as ``understudy calibrate`` does with too few pictures."""
    if setting.trained:
        scores, distances = figures_of_training(line, setting, rng)
    else:
        none = np.zeros(0)
        scores = {p.name: ProductFigures(none, p.scores(rng, p.n), 0.0) for p in line}
        distances = {p.name: ProductFigures(none, p.distances(rng, p.n), 0.0) for p in line}
    level = {
        line[0].name: ProductFigures(np.linspace(0, 1, 10), np.zeros(0), 0.0)
    }  # masks do not matter here
    return estimated({"score": scores, "distance": distances, "level": level}, ASKED)


def figures_of_training(
    line: Sequence[Product], setting: Setting, rng: np.random.Generator
) -> tuple[dict[str, ProductFigures], dict[str, ProductFigures]]:
    """Make scores and distances of pictures that were learned from and of held-out ones."""
    scores, distances = {}, {}
    for p in line:
        new = round(HELD_OUT * p.n)
        learned = p.n - new
        views = max(1.0, max(SEEN / len(line), SEEN_EACH) / learned)
        counting = min(views, setting.levels_off or views)
        scored = -(-learned // -(-learned // max(SCORED // len(line), SCORED_EACH)))
        low = p.scores(rng, scored) - p.scale * setting.optimism * counting
        scores[p.name] = ProductFigures(low, p.scores(rng, new), views)
        distances[p.name] = ProductFigures(p.distances(rng, scored), p.distances(rng, new), 0.0)
    return scores, distances


CALIBRATE = {"promised": promise, "estimated": estimate}


@dataclass(frozen=True)
class Drawn:
    """True rates over all draws of a setting, each in [0, 1].

    Attributes:
        own: (draws, products, rates) share of a product's good pictures above its limit, at each of
            :data:`RATES_SHOWN`; NaN where the pictures do not allow the rate.
        looked_at: (draws, products) share that is a REVIEW or taken for an unknown product.
        weights: (products,) share of good pictures that show a product.
        with_own: (products, rates) whether a product has a limit of its own; the last draw's.
        interval: (draws, 2) interval of the false-alarm rate; zeros if promised.
    """

    own: Numbers
    looked_at: Numbers
    weights: Numbers
    with_own: NDArray[np.bool_]
    interval: Numbers

    def together(self, rate: float) -> Numbers:
        """(draws,) share of all good pictures above their limit."""
        return np.asarray(self.own[:, :, RATES_SHOWN.index(rate)] @ self.weights)

    def alone(self, rate: float) -> Numbers:
        """(draws, n) share for each product that has a limit of its own."""
        at = RATES_SHOWN.index(rate)
        return self.own[:, self.with_own[:, at], at]


def draw(
    setting: Setting,
    draws: int,
    seed: int = 0,
    calibrate: Callable[[Sequence[Product], Setting, np.random.Generator], Calibration] | None = None,
) -> Drawn:
    """Calibrate many times, and find the true rates of each calibration.

    Args:
        setting: what the draws share.
        draws: number of draws, at least 1.
        seed: seed of all draws.
        calibrate: sets the thresholds of a line; by default as the product does.
    """
    calibrate = calibrate or CALIBRATE[setting.basis]
    rng = np.random.default_rng(seed)
    own = np.full((draws, setting.products, len(RATES_SHOWN)), np.nan)
    looked_at, interval = np.zeros((draws, setting.products)), np.zeros((draws, 2))
    with_own = np.zeros((setting.products, len(RATES_SHOWN)), bool)
    for i in range(draws):
        line = setting.draw(rng)
        calibration = calibrate(line, setting, rng)
        interval[i] = calibration.interval or (0, 0)
        at = [RATES_SHOWN.index(limits.rate) for limits in calibration.rates]
        for j, p in enumerate(line):
            moved = setting.shift if j == 0 else 0.0
            own[i, j, at] = p.above([limits.of(p.name) for limits in calibration.rates], moved)
            with_own[j, at] = [p.name in limits.categories for limits in calibration.rates]
            t = thresholds_for(calibration, p.name)
            reviewed, failed = p.above([t.review_above, t.fail_above], moved)
            unknown = p.beyond(calibration.distances.of(p.name))
            looked_at[i, j] = unknown + (1 - unknown) * (reviewed - failed)
    sizes = np.array(setting.sizes, np.float64)
    return Drawn(own, looked_at, sizes / sizes.sum(), with_own, interval)


def error_of(values: Numbers) -> float:
    """(draws,) values -> standard error of their mean."""
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def keeps(values: Numbers, asked: float, errors: float = 3.0) -> bool:
    """(draws,) true rates -> whether their mean is at most what was asked, within some standard errors."""
    return bool(values.mean() <= asked + errors * error_of(values))


def is_near(values: Numbers, asked: float, factor: float) -> bool:
    """(draws,) true rates -> whether their mean is what was asked, but for a factor above 1."""
    return bool(asked / factor <= values.mean() <= asked * factor)


def below_bound(drawn: Drawn, pictures: int) -> float:
    """Return the share of calibrations whose true rate is below what the promise is 95 % sure of."""
    return float((drawn.together(ASKED.false_alarm) < rate_bound(pictures, ASKED.false_alarm)).mean())


def covered(drawn: Drawn) -> float:
    """Return the share of draws whose interval holds the true rate."""
    true = drawn.together(ASKED.false_alarm)
    return float(((drawn.interval[:, 0] <= true) & (true <= drawn.interval[:, 1])).mean())


def settings() -> Iterator[Setting]:
    """Yield every setting of the benchmark."""
    sizes, numbers = (5, 10, 25, 100, 300, 0), (1, 3, 10, 30)
    for products in numbers:
        for pictures in sizes:
            if pictures == 0 and products == 1:  # no mixture
                continue
            every = Setting("promised", False, "mixed", products, pictures)
            if sum(every.sizes) >= good_pictures_needed(ASKED.false_alarm):
                yield every
                yield Setting("promised", False, "heavy", products, pictures)
            elif sum(every.sizes) >= FEWEST:
                yield Setting("estimated", False, "mixed", products, pictures)
            if sum(every.sizes) < 10:  # too few for thresholds
                continue
            for shape in (*SHAPES, "mixed"):
                yield Setting("estimated", True, shape, products, pictures, PER_VIEW, VIEWS)
            for optimism in (0.0, 2 * PER_VIEW):
                yield Setting("estimated", True, "mixed", products, pictures, optimism, VIEWS)
            yield Setting("estimated", True, "mixed", products, pictures, PER_VIEW)
    for pictures in (25, 300):
        for shift in (1.0, 2.0, 3.0):
            yield Setting("promised", False, "mixed", 10, pictures, shift=shift)
            yield Setting("estimated", True, "mixed", 10, pictures, PER_VIEW, VIEWS, shift)


def row_of(setting: Setting, drawn: Drawn) -> dict[str, Any]:
    """Make a row: means over draws, and how far the draws are apart."""
    asked = ASKED.false_alarm
    together, alone = drawn.together(asked), drawn.alone(asked)
    looked_at = drawn.looked_at @ drawn.weights
    own = drawn.own[:, :, RATES_SHOWN.index(asked)]
    rest = own[:, 1:] @ (drawn.weights[1:] / drawn.weights[1:].sum()) if setting.products > 1 else None
    figures = {
        "false_alarms": together.mean(),
        "error": error_of(together),
        "low": np.quantile(together, 0.05),
        "high": np.quantile(together, 0.95),
        "product_high": np.quantile(own, 0.95),
        "with_own_limits": alone.shape[1],
        "highest_of_own": alone.mean(axis=0).max() if alone.size else None,
        "covered": covered(drawn) if setting.basis == "estimated" else None,
        "below_bound": below_bound(drawn, sum(setting.sizes)) if setting.basis == "promised" else None,
        "first": own[:, 0].mean(),
        "others": rest.mean() if rest is not None else None,
        "looked_at": looked_at.mean(),
        "looked_at_error": error_of(looked_at),
        **{f"at_{rate:g}": drawn.together(rate).mean() for rate in RATES_SHOWN},
    }
    found = {k: "" if v is None or np.isnan(v) else round(float(v), 6) for k, v in figures.items()}
    return asdict(setting) | {"draws": len(own), "asked": asked, "budget": ASKED.budget} | found


def main() -> None:
    """Simulate the settings that the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=1000)
    asked = parser.parse_args()
    names = list(asdict(next(settings())))
    done = {tuple(row[name] for name in names) for row in read(asked.out)}
    for setting in settings():
        if tuple(str(value) for value in asdict(setting).values()) not in done:
            draws = min(asked.draws, max(200, MOST // sum(setting.sizes)))
            append(asked.out, [row_of(setting, draw(setting, draws)) | provenance()])


if __name__ == "__main__":
    main()
