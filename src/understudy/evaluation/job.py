"""Score every test picture of a folder and measure: what ``understudy evaluate`` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from understudy.data.folder import describe, open_pictures
from understudy.data.records import PictureSet, Record
from understudy.errors import InputError, PictureError
from understudy.evaluation.figures import NAMES, Figures, Numbers, SproFigures, Tested
from understudy.evaluation.marks import enlarge, read_defects, union_of
from understudy.metrics import EXACT_PIXELS, Channel
from understudy.metrics.binned import BINS
from understudy.model import TrainedModel
from understudy.reporter import Reporter
from understudy.runtime.decision import decide
from understudy.runtime.images import picture_size, resize_mask
from understudy.scoring import Scored

__all__ = ["Evaluation", "MapResolution", "evaluate"]

MapResolution = Literal["model", "mask"]
METRICS_SCHEMA = 1


@dataclass(frozen=True)
class Evaluation:
    """Results of all test pictures and the metrics over them.

    Attributes:
        tested: pictures that could be scored, in order of category, kind and name.
        broken: pictures and masks that could not be read; they are in no metric.
        metrics: what ``metrics.json`` holds.
    """

    tested: list[Tested]
    broken: list[PictureError]
    metrics: dict[str, Any]


def evaluate(
    model: TrainedModel,
    data: str | Path,
    categories: Sequence[str] | None = None,
    map_resolution: MapResolution = "model",
    reporter: Reporter | None = None,
) -> Evaluation:
    """Score every test picture of a folder and compute the metrics.

    Memory does not grow with the number of pictures: maps are let go once their pixels are counted, and
    beyond ``EXACT_PIXELS`` pixels are counted in bins, with the largest error stated.

    Args:
        model: trained.
        data: folder with test pictures.
        categories: products to evaluate; ``None`` for those that the model was trained on.
        map_resolution: ``model`` brings masks to the map's size, the literature's protocol;
            ``mask`` brings maps to each mask's own size.
        reporter: where progress goes.

    Raises:
        InputError: the folder has no test pictures, or none of them can be read.
    """
    reporter = reporter or Reporter()
    found = open_pictures(Path(data))
    found = found.only(categories) if categories else model.known(found)
    records = found.test()
    side = model.preprocess.image_size
    pixels = {
        c: _count_pixels(records, c, side if map_resolution == "model" else None) for c in found.categories
    }
    reporter.say(f"{describe(found)}, {len(records)} of them to test")
    reporter.say(_how_counted(sum(pixels.values())))
    broken: list[PictureError] = []
    pooled = Figures(_exact(sum(pixels.values())))
    rows = {c: _row(Figures(exact=True), None) for c in found.categories}
    looked_at = _look(model, found, records, broken, reporter)
    for category, own in groupby(looked_at, key=lambda looked: looked.tested.record.category):
        figures, spro = Figures(_exact(pixels[category])), None
        if category in found.saturations:
            kinds = sorted({r.defect for r in records if r.category == category and not r.is_good})
            spro = SproFigures(kinds, _exact(_count_pixels(records, category, None)))
        for looked in own:
            _add(looked, map_resolution, [figures, pooled], spro)
        rows[category] = _row(figures, spro)
    if not pooled.tested:
        raise InputError(f"none of the {len(records)} test pictures can be used; first: {broken[0]}")
    metrics = {
        "schema": METRICS_SCHEMA,
        "method": model.manifest.method,
        "teacher": model.manifest.teacher.name,
        "image_size": side,
        "seed": model.manifest.training.seed,
        "data": {"root": str(found.root), "layout": found.layout},
        "map_resolution": f"{side}x{side}" if map_resolution == "model" else "mask",
        "pixel_mode": _pixel_mode(sum(pixels.values())),
        **_over_all(rows, pooled),
        "unreadable": [str(error) for error in broken],
    }
    return Evaluation(pooled.tested, broken, metrics)


@dataclass(frozen=True)
class _Looked:
    """A test picture with all that is measured on it."""

    tested: Tested
    scored: Scored
    defects: list[Channel] | None


def _look(
    model: TrainedModel,
    found: PictureSet,
    records: list[Record],
    broken: list[PictureError],
    reporter: Reporter,
) -> Iterator[_Looked]:
    """Score pictures and read what is marked on them; what cannot be read is added to ``broken``."""
    results = model.score([r.path for r in records])
    for done, (record, result) in enumerate(zip(records, results, strict=True), start=1):
        reporter.advance("evaluate", done, len(records), "")
        try:
            if isinstance(result, PictureError):
                raise result
            defects = read_defects(record, result.size, found.saturations.get(record.category))
        except PictureError as error:
            broken.append(error)
            continue
        yield _Looked(Tested(record, result.score, decide(result.score, model.thresholds)), result, defects)


def _add(
    looked: _Looked, resolution: MapResolution, figures: Sequence[Figures], spro: SproFigures | None
) -> None:
    """Bring a picture's map and mask to one size and count them."""
    scored, defects = looked.scored, looked.defects
    anomaly_map, mask = scored.anomaly_map, None
    if defects is not None:
        mask, large = union_of(defects, scored.size), None
        if spro or resolution == "mask":
            large = enlarge(anomaly_map, scored.size)
        if spro and large is not None:
            spro.add(looked.tested.record, large, defects)
        if resolution == "mask" and large is not None:
            anomaly_map = large
        else:
            mask = resize_mask(mask, (anomaly_map.shape[0], anomaly_map.shape[1]))
    for each in figures:
        each.add(looked.tested, anomaly_map, mask)


def _row(figures: Figures, spro: SproFigures | None) -> dict[str, Any]:
    return figures.numbers() | {
        "au_spro": spro.numbers() if spro else None,
        "defects": figures.by_defect(),
    }


def _over_all(rows: dict[str, dict[str, Any]], pooled: Figures) -> dict[str, Any]:
    """What is said of the categories together."""
    return {
        "categories": rows,
        "mean": {name: _mean(row[name] for row in rows.values()) for name in NAMES},
        "worst": {name: _worst(name, rows) for name in NAMES},
        "pooled": pooled.numbers(),
        "mean_au_spro": _mean_spro([row["au_spro"] for row in rows.values() if row["au_spro"]]),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """Unweighted mean over the categories that have the figure."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _mean_spro(known: list[dict[str, Numbers]]) -> dict[str, Numbers] | None:
    """The mean over the categories that have AU-sPRO, limit by limit and kind by kind."""
    if not known:
        return None
    kinds = dict.fromkeys(kind for own in known for kind in next(iter(own.values())))
    return {limit: {k: _mean(own[limit].get(k) for own in known) for k in kinds} for limit in known[0]}


def _worst(name: str, rows: dict[str, dict[str, Any]]) -> list[Any] | None:
    """[category, figure] of the category that does worst."""
    known = [(v, c) for c, row in rows.items() if (v := row[name]) is not None]
    return [min(known)[1], min(known)[0]] if known else None


def _count_pixels(records: list[Record], category: str, side: int | None) -> int:
    """Pixels of a category's maps at ``side``, or at its pictures' own size, told from the first one."""
    own = [r.path for r in records if r.category == category]
    if not own:
        return 0
    try:
        width, height = (side, side) if side else picture_size(own[0])
    except PictureError:  # it will be reported when its turn comes
        return 0
    return len(own) * width * height


def _exact(pixels: int) -> bool:
    return pixels <= EXACT_PIXELS


def _how_counted(pixels: int) -> str:
    if _exact(pixels):
        return f"pixel metrics are exact ({pixels / 1e6:.1f} million pixels)"
    return (
        f"{pixels / 1e6:.0f} million pixels are counted in {BINS} bins, metrics.json states the largest error"
    )


def _pixel_mode(pixels: int) -> dict[str, Any]:
    """Of the pooled figures; a category's are exact where their ``max_error`` is ``None``."""
    exact = _exact(pixels)
    return {"form": "exact" if exact else "histogram", "pixels": pixels, "bins": None if exact else BINS}
