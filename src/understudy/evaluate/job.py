"""Score every test picture of a folder and compute the metrics: what ``understudy evaluate`` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from understudy.data.layouts import as_picture_set
from understudy.data.overview import announce
from understudy.data.records import PictureData, PictureSet, Record
from understudy.errors import InputError, PictureError
from understudy.evaluate.figures import NAMES, Figures, Numbers, Recognition, SproFigures, Tested, mean_of
from understudy.evaluate.marks import ThresholdChoice, read_defects, thresholds_by_category, union_of
from understudy.evaluate.pixels import count_pixels
from understudy.evaluate.rates import found_at
from understudy.methods.saved import versions
from understudy.metrics import AUPRO_LIMIT, Channel, by_channel, by_region
from understudy.progress import Progress, Reporter, reporting
from understudy.runtime.decision import Thresholds, decide
from understudy.runtime.images import enlarge_valid, resize_map, resize_mask
from understudy.runtime.inspector import Inspector
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.scoring import ScoreAll, Scored

__all__ = ["Evaluation", "MapResolution", "evaluate"]


MapResolution = Literal["model", "mask"]
METRICS_SCHEMA = 1


@dataclass(frozen=True)
class Evaluation:
    """Results of all test pictures, and the metrics over them.

    Attributes:
        tested: pictures that could be scored, sorted by category, kind of defect and name.
        broken: pictures and masks that could not be read or scored; no metric counts them.
        metrics: content of ``metrics.json``; ``docs/metrics.md`` defines it.
        thresholds: category -> the thresholds that gave its verdicts; empty while the model is not
            calibrated.
    """

    tested: list[Tested]
    broken: list[PictureError]
    metrics: dict[str, Any]
    thresholds: Mapping[str, Thresholds]


def evaluate(
    inspector: Inspector,
    data: PictureData,
    *,
    categories: Sequence[str] | None = None,
    map_resolution: MapResolution = "model",
    aupro_limit: float = AUPRO_LIMIT,
    thresholds: ThresholdChoice = "auto",
    progress: Progress = True,
    score: ScoreAll | None = None,
) -> Evaluation:
    """Score every test picture of a folder and compute the metrics; ``docs/metrics.md`` defines them.

    Memory is bounded. A map is dropped once its pixels are counted. Where there are too many pixels to keep,
    they are counted in bins, and the metrics state the largest error that this can cause.

    Args:
        inspector: the model, trained or exported.
        data: folder or list with test pictures.
        categories: names of the categories to test; by default those that the model was trained on.
        map_resolution: size at which maps and masks are compared: the model's (``model``, as in the
            literature) or each mask's own (``mask``).
        aupro_limit: false-positive rate up to which AUPRO goes, in (0, 1].
        thresholds: which thresholds give the verdicts. ``auto`` takes a category's own where it has any, else
            those for all categories; ``category`` insists on its own; ``global`` takes those for all.
        progress: see :data:`understudy.progress.Progress`.
        score: scores the pictures in place of the inspector, as several processes do; see
            :func:`understudy.scale.pool.scoring_pool`.

    Returns:
        Every test picture with its score and verdict, and the metrics.

    Raises:
        InputError: there are no test pictures, none of them can be read, ``aupro_limit`` is out of range, or
            ``category`` was asked for and a category has no thresholds of its own.
    """
    if not 0 < aupro_limit <= 1:
        raise InputError(f"AUPRO's limit is a false-positive rate above 0 and at most 1, got {aupro_limit:g}")
    found = as_picture_set(data)
    found = found.only(categories) if categories else found.keep_known(inspector.categories)
    applied = thresholds_by_category(inspector, found.categories, thresholds)
    with reporting(progress) as reporter:
        evaluation = _evaluate(
            inspector, found, applied, map_resolution, aupro_limit, reporter, score or _scoring(inspector)
        )
    evaluation.metrics["thresholds"] = thresholds if applied else None
    named = {c: inspector.match_category(c) for c in found.categories}
    evaluation.metrics.update(
        found_at(evaluation.tested, named, inspector.calibration, one_for_all=thresholds == "global")
    )
    return evaluation


def _evaluate(
    inspector: Inspector,
    found: PictureSet,
    applied: Mapping[str, Thresholds],
    map_resolution: MapResolution,
    aupro_limit: float,
    reporter: Reporter,
    score: ScoreAll,
) -> Evaluation:
    records = found.test()
    preprocess, manifest = inspector.scorer.preprocess, inspector.manifest
    pixel_budget = count_pixels(records, preprocess.canvas if map_resolution == "model" else None)
    spro_budget = count_pixels([r for r in records if r.category in found.saturations], None)
    announce(found, reporter.say, f", {len(records)} of them to test")
    reporter.say(pixel_budget.statement("pixel metrics", pooled=True))
    if spro_budget.pixels:
        reporter.say(spro_budget.statement("AU-sPRO", pooled=False))
    results = _Results(inspector, found, records, applied, reporter, score)
    pooled = Figures(pixel_budget.is_exact(), aupro_limit)
    rows: dict[str, dict[str, Any]] = {}
    for category, group in groupby(results, key=lambda result: result.tested.record.category):
        figures = Figures(pixel_budget.is_exact(category), aupro_limit)
        spro = SproFigures(spro_budget.is_exact(category)) if category in spro_budget.pixels else None
        for result in group:
            _count(result, map_resolution, (figures, pooled), spro)
        rows[category] = _row(figures, spro, results.left_out[category])
    if not pooled.tested:
        raise InputError(f"none of the {len(records)} test pictures can be used; first: {results.broken[0]}")
    if results.seen:
        reporter.say(
            f"{results.seen} test pictures are, byte for byte, pictures that the training has seen, which "
            "flatters the figures; `understudy data inspect` names those of one data set"
        )
    nothing = Figures(True, aupro_limit)
    metrics = {
        "schema": METRICS_SCHEMA,
        "method": manifest.method,
        "teacher": manifest.teacher.name,
        "image_size": preprocess.image_size,
        "seed": manifest.training.seed,
        "data": {"root": str(found.root), "layout": found.layout, "seen_in_training": results.seen},
        "map_resolution": _resolution(preprocess, map_resolution),
        "aupro_limit": aupro_limit,
        "thresholds": None,
        "pixel_mode": pixel_budget.mode(pooled=True),
        "spro_mode": spro_budget.mode(pooled=False) if spro_budget.pixels else None,
        **_over_all({c: rows.get(c) or _row(nothing, None, results.left_out[c]) for c in found.categories}),
        "pooled": pooled.numbers(len(results.broken)),
        "unreadable": [str(error) for error in results.broken],
        "versions": versions(),
    }
    return Evaluation(pooled.tested, results.broken, metrics, applied)


def _scoring(inspector: Inspector) -> ScoreAll:
    """Return a function that scores pictures in this process."""

    def score(paths: Sequence[Path], categories: Sequence[str | None]) -> Iterator[Scored | PictureError]:
        return inspector.scorer.score(paths, categories=categories, steady=True)

    return score


@dataclass(frozen=True)
class _Result:
    """A test picture with its map and its defects; ``defects`` is ``None`` where nobody marked them."""

    tested: Tested
    scored: Scored
    defects: list[Channel] | None


class _Results:
    """Iterates over the test pictures: scores each one and reads its masks.

    Attributes:
        broken: errors of the pictures that could not be read or scored.
        left_out: category -> number of these pictures.
        seen: number of the other pictures that the training has seen.
    """

    def __init__(
        self,
        inspector: Inspector,
        found: PictureSet,
        records: Sequence[Record],
        thresholds: Mapping[str, Thresholds],
        reporter: Reporter,
        score: ScoreAll,
    ) -> None:
        self.broken: list[PictureError] = []
        self.left_out: Counter[str] = Counter()
        self.seen = 0
        self._inspector, self._found = inspector, found
        self._records, self._reporter = records, reporter
        self._thresholds, self._score = thresholds, score

    def __iter__(self) -> Iterator[_Result]:
        seen = self._inspector.seen
        known = {*seen.trained, *seen.validation, *seen.held_out}
        named = [self._inspector.match_category(r.category) for r in self._records]
        scored = self._score([r.path for r in self._records], named)
        for done, (record, result) in enumerate(zip(self._records, scored, strict=True), start=1):
            self._reporter.advance("evaluate", done, len(self._records), "")
            try:
                if isinstance(result, PictureError):
                    raise result
                found = self._result(record, result)
            except PictureError as error:
                self.broken.append(error)
                self.left_out[record.category] += 1
                continue
            self.seen += result.digest in known
            yield found

    def _result(self, record: Record, scored: Scored) -> _Result:
        if not (np.isfinite(scored.score) and np.isfinite(scored.anomaly_map).all()):
            raise PictureError(record.path, "has a score that is not a number (NaN); train the model again")
        defects = read_defects(record, scored.size, self._found.saturations.get(record.category))
        verdict = decide(scored.score, self._thresholds.get(record.category))
        return _Result(
            Tested(record, scored.score, verdict, self._recognition(record, scored)), scored, defects
        )

    def _recognition(self, record: Record, scored: Scored) -> Recognition | None:
        category = self._inspector.match_category(record.category)
        recognised = self._inspector.scorer.recognise(scored.embedding)
        if category is None:
            return None
        return "unknown" if recognised is None else "right" if recognised == category else "wrong"


def _count(
    result: _Result, resolution: MapResolution, figures: Sequence[Figures], spro: SproFigures | None
) -> None:
    """Bring a picture's map and mask to one size, and add its pixels to all figures."""
    scored, defects, pixels = result.scored, result.defects, None
    if defects is not None:
        anomaly_map, mask, valid = scored.anomaly_map, union_of(defects, scored.size), scored.valid
        if spro or resolution == "mask":
            large = resize_map(anomaly_map, scored.size)
            counts = None if valid is None else enlarge_valid(valid, scored.size)
            if spro:
                spro.add(result.tested.record.defect, by_channel(large, defects, counts))
        if resolution == "mask":
            pixels = by_region(large, mask, counts)
        else:
            pixels = by_region(anomaly_map, resize_mask(mask, anomaly_map.shape[:2]), valid)
    for each in figures:
        each.add(result.tested, pixels)


def _resolution(preprocess: Preprocess, asked: MapResolution) -> str:
    """Resolution at which maps and masks are compared, in words for ``metrics.json``."""
    if asked == "mask":
        return "mask"
    side, tile = preprocess.image_size, preprocess.tile
    if tile:
        return f"picture x {side / tile:g}"
    return f"{side} at most" if preprocess.keep_aspect else f"{side}x{side}"


def _row(figures: Figures, spro: SproFigures | None, left_out: int) -> dict[str, Any]:
    """Entry of one category in ``metrics.json``."""
    kinds = figures.by_defect()
    none: dict[str, Any] = {"au_spro": None, "au_spro_max_error": None}
    return {
        **figures.numbers(left_out),
        "image_auroc_of_kinds": mean_of(kind["image_auroc"] for kind in kinds.values()),
        **(spro.numbers() if spro else none),
        "defects": kinds,
    }


def _over_all(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Entries of all categories, their means, and the worst of each metric."""
    spro = [row["au_spro"] for row in rows.values() if row["au_spro"]]
    return {
        "categories": rows,
        "mean": {name: mean_of(row[name] for row in rows.values()) for name in NAMES},
        "worst": {name: _worst(name, rows) for name in NAMES},
        "mean_image_auroc_of_kinds": mean_of(row["image_auroc_of_kinds"] for row in rows.values()),
        "mean_au_spro": _mean_spro(spro) if spro else None,
    }


def _mean_spro(known: Sequence[dict[str, Numbers]]) -> dict[str, Numbers]:
    """Mean over the categories that have AU-sPRO, for each limit and each kind."""
    kinds = dict.fromkeys(kind for spro in known for kind in next(iter(spro.values())))
    return {limit: {k: mean_of(spro[limit].get(k) for spro in known) for k in kinds} for limit in known[0]}


def _worst(name: str, rows: dict[str, dict[str, Any]]) -> list[Any] | None:
    """[category, figure] of the category with the lowest figure; ``None`` if no category has it."""
    known = [(v, c) for c, row in rows.items() if (v := row[name]) is not None]
    return [min(known)[1], min(known)[0]] if known else None
