"""A trained model and a folder of test pictures -> every metric, per category and over all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.data.folder import open_pictures
from understudy.data.records import PictureSet, Record
from understudy.errors import InputError, PictureError
from understudy.metrics import Ranking, aupro
from understudy.model import TrainedModel
from understudy.reporter import Reporter
from understudy.runtime.decision import decide
from understudy.runtime.images import Mask, read_mask, resize_mask
from understudy.types import Verdict

__all__ = ["Evaluation", "MapResolution", "Tested", "evaluate"]

MapResolution = Literal["model", "mask"]
METRICS_SCHEMA = 1
NAMES = (
    "image_auroc",
    "image_ap",
    "image_f1max",
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1max",
    "aupro",
)

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Tested:
    """One test picture with its result.

    Attributes:
        record: what is known of it.
        score: image-level anomaly score.
        anomaly_map: (h, w) float32 at the evaluated resolution.
        mask: (h, w) bool at the same, of all its defects; ``None`` where nobody marked them.
        verdict: ``None`` while the model is not calibrated.
    """

    record: Record
    score: float
    anomaly_map: NDArray[np.float32]
    mask: Mask | None
    verdict: Verdict | None


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
    tested: list[Tested] = []
    broken: list[PictureError] = []
    results = model.score([r.path for r in records])
    for done, (record, result) in enumerate(zip(records, results, strict=True), start=1):
        reporter.advance("evaluate", done, len(records), "")
        if isinstance(result, PictureError):
            broken.append(result)
            continue
        try:
            mask = _mask(record, result.size)
        except PictureError as error:
            broken.append(error)
            continue
        verdict = decide(result.score, model.thresholds)
        anomaly_map, mask = _same_size(result.anomaly_map, mask, map_resolution)
        tested.append(Tested(record, result.score, anomaly_map, mask, verdict))
    if not tested:
        raise InputError(f"none of the {len(records)} test pictures can be used; first: {broken[0]}")
    reporter.say(
        f"{found.root}: {found.layout}, {len(found.categories)} categories, "
        f"{len(tested)} test pictures scored"
    )
    return Evaluation(tested, broken, _metrics(model, found, tested, broken, map_resolution))


def _mask(record: Record, size: tuple[int, int]) -> Mask | None:
    """(height, width) -> where its defects are; nowhere in a good picture; ``None`` where nobody marked them.

    Raises:
        PictureError: a mask cannot be read, has another size than the picture, or marks nothing.
    """
    if not record.is_good and not record.masks:
        return None
    union = np.zeros(size, dtype=bool)
    for path in record.masks:
        mask = read_mask(path, size)
        if not mask.any():
            raise PictureError(path, "is a mask that marks nothing; mark the defect in it or remove it")
        union |= mask
    return union


def _same_size(
    anomaly_map: NDArray[np.float32], mask: Mask | None, resolution: MapResolution
) -> tuple[NDArray[np.float32], Mask | None]:
    if mask is None:
        return anomaly_map, None
    if resolution == "model":
        return anomaly_map, resize_mask(mask, (anomaly_map.shape[0], anomaly_map.shape[1]))
    height, width = mask.shape
    large = Image.fromarray(anomaly_map).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(large), mask


def _metrics(
    model: TrainedModel,
    found: PictureSet,
    tested: list[Tested],
    broken: list[PictureError],
    resolution: MapResolution,
) -> dict[str, Any]:
    by_category = {c: [t for t in tested if t.record.category == c] for c in found.categories}
    categories: dict[str, dict[str, Any]] = {
        c: {**_numbers(own), **_counts(own), "defects": _by_defect(own)} for c, own in by_category.items()
    }
    side = model.preprocess.image_size
    return {
        "schema": METRICS_SCHEMA,
        "method": model.manifest.method,
        "teacher": model.manifest.teacher.name,
        "image_size": side,
        "seed": model.manifest.training.seed,
        "map_resolution": f"{side}x{side}" if resolution == "model" else "mask",
        "categories": categories,
        "mean": {name: _mean(c[name] for c in categories.values()) for name in NAMES},
        "worst": {name: _worst(name, categories) for name in NAMES},
        "pooled": _numbers(tested),
        "unreadable": [str(error) for error in broken],
    }


def _numbers(tested: Sequence[Tested]) -> Numbers:
    """All metrics of some pictures; ``None`` where one cannot be told."""
    image = _ranking(tested)
    marked = [(t.anomaly_map, t.mask) for t in tested if t.mask is not None]
    maps, masks = [m for m, _ in marked], [m for _, m in marked]
    values: Numbers = dict.fromkeys(NAMES)
    values |= zip(NAMES[:3], (image.auroc(), image.average_precision(), image.f1_max()), strict=True)
    if any(mask.any() for mask in masks):
        pixel = Ranking(np.concatenate([m.ravel() for m in maps]), np.concatenate([m.ravel() for m in masks]))
        found = (pixel.auroc(), pixel.average_precision(), pixel.f1_max(), aupro(maps, masks, ranking=pixel))
        values |= zip(NAMES[3:], found, strict=True)
    return values


def _by_defect(tested: Sequence[Tested]) -> dict[str, Numbers]:
    """Each kind of defect against all good pictures: its image AUROC and number of pictures."""
    good = [t for t in tested if t.record.is_good]
    kinds = sorted({t.record.defect for t in tested if not t.record.is_good})
    own = {kind: [t for t in tested if t.record.defect == kind] for kind in kinds}
    return {k: {"image_auroc": _ranking(good + bad).auroc(), "n": len(bad)} for k, bad in own.items()}


def _ranking(tested: Sequence[Tested]) -> Ranking:
    """Of whole pictures."""
    return Ranking(
        np.array([t.score for t in tested], dtype=np.float64),
        np.array([not t.record.is_good for t in tested], dtype=bool),
    )


def _counts(tested: Sequence[Tested]) -> dict[str, float | None]:
    good = sum(t.record.is_good for t in tested)
    masks = sum(t.mask is not None and not t.record.is_good for t in tested)
    return {"n_good": good, "n_defect": len(tested) - good, "n_masks": masks}


def _mean(values: Iterable[float | None]) -> float | None:
    """Unweighted mean over the categories that have the figure."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _worst(name: str, categories: dict[str, dict[str, Any]]) -> list[Any] | None:
    """[category, figure] of the category that does worst."""
    known = [(v, c) for c, numbers in categories.items() if (v := numbers[name]) is not None]
    return [min(known)[1], min(known)[0]] if known else None
