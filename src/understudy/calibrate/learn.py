"""Pictures that a model learned from -> what is usual in their maps, and their figures as if left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from understudy.calibrate.estimate import Numbers, standardise
from understudy.calibrate.learn_composition import learn_compositions
from understudy.data.records import Record
from understudy.errors import InputError, PictureError
from understudy.progress import Reporter
from understudy.runtime.bundle import save_usual
from understudy.runtime.decision import distances_to
from understudy.runtime.images import lower_ignored, read_size
from understudy.runtime.inspector import Inspector
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.regions import highest_threshold_with_region
from understudy.runtime.scoring import Scored, Scorer
from understudy.runtime.usual import ProductUsual, Usual, cells_of, excess_of
from understudy.types import ImageScore

__all__ = ["Learned", "learn_usual"]


ENOUGH, EACH = 2000, 50  # pictures that are looked at, of all products together, and of each at least
MEMORY, LEAST = 2**28, 10  # bytes of one product's maps that are held at once; pictures of it, at least
FLOOR = 0.1  # share of a product's variance that is added at each place, so that no place is too quiet
HALVINGS = 8  # random halves of a product's pictures, to see whether its places mean anything
MOST_CELLS = 2**16  # of a map; larger ones have one spread
FOR_PLACES = 4  # pictures of a product whose places can be told apart

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Learned:
    """Figures of pictures of one product that a model learned from, each by what is usual without it.

    Attributes:
        scores: (n,) image-level scores.
        levels: (n,) highest thresholds at which the map has a region of the smallest defect area.
        distances: (n,) distances from the prototype of the product; (0,) for a single picture, which is its
            own prototype.
        windows: number of windows of a picture, on average.
        brightness: (n,) mean luminances of the canvases, in [0, 1].
        sharpness: (n,) see :func:`understudy.runtime.light.sharpness`.
    """

    scores: Numbers
    levels: Numbers
    distances: Numbers
    windows: float
    brightness: Numbers = field(default_factory=lambda: np.zeros(0))
    sharpness: Numbers = field(default_factory=lambda: np.zeros(0))


def learn_usual(
    inspector: Inspector,
    records: Sequence[Record],
    image_score: ImageScore,
    min_area: int,
    reporter: Reporter,
) -> dict[str, Learned]:
    """Score pictures that a model learned from, and learn what is usual in the maps of each product.

    With ``image_score`` ``comparable`` what is usual is saved in the model's folder and takes effect at once.

    Args:
        inspector: new model; its scores are not yet comparable.
        records: pictures that it learned from.
        image_score: which scores the model is to have.
        min_area: smallest area of a defect, in pixels of the map.
        reporter: takes progress.

    Returns:
        The figures of each product, as scores of that kind.

    Raises:
        PictureError: a picture can no longer be read.
        InputError: a score is not a number.
    """
    window = inspector.scorer.preprocess.image_size
    products: dict[str, _Product] = {}
    chosen = list(_some_of_each(records, inspector.scorer.preprocess, reporter))
    for product, scored in _by_product(inspector.scorer, chosen, reporter):
        products[product] = _figures(product, scored, inspector, image_score, min_area, window)
    if image_score != "comparable":
        return {product: each.learned for product, each in products.items()}
    norms, _ = standardise({product: each.learned.scores for product, each in products.items()})
    usual: Usual = {
        product: ProductUsual(each.level, each.spread, norms[product].centre, norms[product].scale, each.n)
        for product, each in products.items()
    }
    scores = {product: norms[product](each.learned.scores) for product, each in products.items()}
    if all(len(each.compositions) for each in products.values()):
        usual, scores = _with_compositions(usual, scores, {p: x.compositions for p, x in products.items()})
    inspector.manifest = save_usual(inspector.folder, inspector.manifest, usual)
    inspector.scorer = replace(inspector.scorer, usual=usual)
    return {product: replace(each.learned, scores=scores[product]) for product, each in products.items()}


def _with_compositions(
    usual: Usual, scores: Mapping[str, Numbers], compositions: Mapping[str, Numbers]
) -> tuple[Usual, dict[str, Numbers]]:
    """Add what is usual in compositions: scores are sums, with mean 0 and standard deviation 1 again."""
    composed = learn_compositions(compositions)
    sums = {product: own + composed[product].scores for product, own in scores.items()}
    norms, _ = standardise(sums)
    both = {}
    for product, maps in usual.items():
        shift, unit, own = norms[product].centre, norms[product].scale, composed[product].usual
        both[product] = replace(
            maps,
            centre=maps.centre + maps.scale * shift,
            scale=maps.scale * unit,
            composition=own and own.over(unit),
        )
    return both, {product: norms[product](each) for product, each in sums.items()}


@dataclass(frozen=True)
class _Product:
    """What is usual in the maps of a product, and the figures of its pictures; scores are excesses."""

    level: float
    spread: Maps
    n: int
    learned: Learned
    compositions: Numbers = field(default_factory=lambda: np.zeros((0, 0)))  # (n, N)


def _some_of_each(records: Sequence[Record], preprocess: Preprocess, reporter: Reporter) -> Iterator[Record]:
    """Yield evenly spread pictures of each product, product by product, as many as fit in memory."""
    groups = [list(group) for _, group in groupby(sorted(records), key=lambda record: record.category)]
    most = max(EACH, ENOUGH // max(len(groups), 1))
    for members in groups:
        height, width = preprocess.canvas(read_size(members[0].path))
        room = max(LEAST, MEMORY // (4 * height * width))  # bytes of float32
        chosen = members[:: -(-len(members) // min(most, room))]
        if room < min(most, len(members)):
            reporter.say(
                f"the maps of {members[0].category} are large: what is usual is learned from {len(chosen)} "
                f"of its {len(members)} pictures"
            )
        yield from chosen


def _by_product(
    scorer: Scorer, records: Sequence[Record], reporter: Reporter
) -> Iterator[tuple[str, list[Scored]]]:
    """Score pictures and yield those of one product at a time, copies once."""
    raw = replace(scorer, calibration=None, usual=None)
    scored = raw.score([r.path for r in records], categories=[r.category for r in records])
    done = 0
    for product, group in groupby(zip(records, scored, strict=True), key=lambda pair: pair[0].category):
        kept: list[Scored] = []
        digests = set()
        for _, each in group:
            if isinstance(each, PictureError):
                raise each
            if not (np.isfinite(each.score) and np.isfinite(each.embedding).all()):
                raise InputError(
                    f"{each.path}, which the model learned from, has a score or an embedding that is not a "
                    "number (NaN); train the model again"
                )
            done += 1
            reporter.advance("what is usual", done, len(records), "")
            if each.digest not in digests:
                kept.append(each)
                digests.add(each.digest)
        yield product, kept


def _figures(
    product: str,
    scored: list[Scored],
    inspector: Inspector,
    image_score: ImageScore,
    min_area: int,
    window: int,
) -> _Product:
    n, trained = len(scored), inspector.manifest.training.categories[product]
    scorer, preprocess = inspector.scorer, inspector.scorer.preprocess
    windows = float(np.mean([len(preprocess.corners(s.anomaly_map.shape, s.valid)) for s in scored]))
    away = np.array([distances_to(each.embedding, scorer.prototypes)[product] for each in scored])
    # The prototype without the picture lies as much farther; a single picture is its own prototype.
    distances = away * trained / (trained - 1) if trained > 1 else np.zeros(0)
    light = (np.array([s.brightness for s in scored]), np.array([s.sharpness for s in scored]))
    if image_score != "comparable":
        scores = np.array([each.score for each in scored], np.float64)
        levels = np.array([highest_threshold_with_region(each.anomaly_map, min_area) for each in scored])
        return _Product(
            0.0, np.ones((1, 1), np.float32), n, Learned(scores, levels, distances, windows, *light)
        )
    places = _Places([cells_of(each.anomaly_map, each.valid) for each in scored])
    level, spread = places.usual()
    highest = []
    for i, each in enumerate(scored):
        others, places_of_others = places.usual_of_others(i)
        usual = ProductUsual(others, places_of_others.astype(np.float32), 0.0, 1.0, n)
        relative = lower_ignored(usual.relative(each.anomaly_map), each.valid)
        highest.append(highest_threshold_with_region(relative, min_area))
    scores = np.array(list(places.excesses(window)))
    learned = Learned(scores, np.array(highest), distances, windows, *light)
    composed = [each.composition for each in scored if each.composition is not None]
    compositions = np.array(composed, np.float64) if composed else np.zeros((0, 0))
    return _Product(level, spread.astype(np.float32), n, learned, compositions)


class _Places:
    """Level and spread of the maps of one product, of all pictures or without one of them.

    Args:
        cells: (h, w) cells of each map; NaN where nothing counts.
    """

    def __init__(self, cells: Sequence[Maps]) -> None:
        alike = len({c.shape for c in cells}) == 1 and cells[0].size <= MOST_CELLS
        self._by_place = alike and len(cells) >= FOR_PLACES
        self._cells = [c.astype(np.float64) for c in cells]
        moments = [_moments(c) if self._by_place else _summed(c) for c in self._cells]
        self._n, self._values, self._squares = (list(each) for each in zip(*moments, strict=True))
        self._sums = tuple(np.sum(x, axis=0) for x in (self._n, self._values, self._squares))
        self._reliability = self._measured_reliability() if self._by_place else 0.0

    def usual(self, without: int | None = None) -> tuple[float, Numbers]:
        """Return the level and the spread, of all pictures or without one of them.

        The variance at a place lies between its own and the mean of all places: the more the places of random
        halves of the pictures agree, the more its own counts.
        """
        n, values, squares = self._sums
        if without is not None:
            n = n - self._n[without]
            values = values - self._values[without]
            squares = squares - self._squares[without]
        return _level_and_spread(n, values, squares, self._reliability)

    def usual_of_others(self, i: int) -> tuple[float, Numbers]:
        """Return the level and the spread without a picture, or with it if it is the only one."""
        return self.usual(i if len(self._cells) > 1 else None)

    def excesses(self, window: int) -> Iterator[float]:
        """Yield the excess of each picture by what is usual of the others."""
        for i, cells in enumerate(self._cells):
            level, spread = self.usual_of_others(i)
            yield excess_of((cells - level) / spread, window)

    def _measured_reliability(self) -> float:
        """Return how well half of the pictures predicts the variances of the places, in [0, 1].

        It is the correlation of the logarithms between random halves, stepped up to all pictures by the
        Spearman-Brown formula.
        """
        total, found = len(self._cells), []
        for seed in range(HALVINGS):
            order = np.random.default_rng(seed).permutation(total)
            halves = [self._log_variances(half) for half in (order[: total // 2], order[total // 2 :])]
            both = np.isfinite(halves[0]) & np.isfinite(halves[1])
            a, b = (half[both] for half in halves)
            if len(a) < 2 or not (a.std() and b.std()):
                return 0.0
            found.append(float(np.corrcoef(a, b)[0, 1]))
        r = max(0.0, float(np.mean(found)))
        return 2 * r / (1 + r)

    def _log_variances(self, members: Iterable[int]) -> Numbers:
        chosen = list(members)
        n, values, squares = (
            np.sum([each[i] for i in chosen], axis=0) for each in (self._n, self._values, self._squares)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(squares / n - (values / n) ** 2))


def _moments(cells: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """(h, w) cells -> (h, w) whether each counts, its value and its square; 0 where it does not count."""
    values = np.nan_to_num(cells)
    return (~np.isnan(cells)).astype(np.float64), values, values**2


def _summed(cells: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """(h, w) cells -> (1, 1) number of cells that count, their sum, and the sum of their squares."""
    counts = ~np.isnan(cells)
    known = cells[counts]
    return tuple(np.full((1, 1), float(x)) for x in (counts.sum(), known.sum(), (known**2).sum()))  # type: ignore[return-value]


def _level_and_spread(
    n: Numbers, values: Numbers, squares: Numbers, reliability: float
) -> tuple[float, Numbers]:
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = values / n
        variance = np.maximum(squares / n - mean**2, 0) * n / np.maximum(n - 1, 1)
    level = float(np.nanmean(mean))
    typical = float(np.nanmean(variance)) if np.isfinite(variance).any() else 0.0
    typical = max(typical, 1e-12)  # copies of one picture do not vary
    shrunk = typical + reliability * (np.nan_to_num(variance, nan=typical) - typical)
    return level, np.sqrt(shrunk + FLOOR * typical)
