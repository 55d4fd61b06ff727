"""Explanations -> explain.html: one file with the pictures, their heat maps and the nearest good ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from understudy.errors import PictureError
from understudy.evaluate.explain import Explanation
from understudy.evaluate.reasons import Row, reasons_for
from understudy.evaluate.report.gallery import data_address
from understudy.evaluate.report.page import write_page
from understudy.runtime.heatmap import heatmap
from understudy.runtime.images import read_picture
from understudy.runtime.inspector import Inspector
from understudy.types import Region, Result

__all__ = ["WIDE", "ExplanationCard", "ScoreBar", "score_bar", "write_explanations"]

_BUDGET = 12_000_000  # characters of all pictures together
_SIDE = 360  # longer side of a picture in pixels
_COLOUR = (60, 230, 90)  # of a region, as in the report
_DRAWN = 20  # regions, at most
_ROOM = 24  # side of a box that holds its number, in pixels

WIDE = 600
"""Width of a bar in units of the drawing."""
_TICKS = 100  # of good scores, at most


@dataclass(frozen=True)
class ScoreBar:
    """Where a score lies between the good scores and the thresholds, from 0 to :data:`WIDE`.

    Attributes:
        at: place of the score; at an end if it lies far beyond everything else.
        beyond: whether it does.
        good: places of scores of good pictures, 100 at most.
        zones: verdict -> where it begins and ends.
    """

    at: float
    beyond: bool
    good: tuple[float, ...]
    zones: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class ExplanationCard:
    """One explained picture as the page shows it.

    Attributes:
        name: file of the picture.
        verdict: PASS, REVIEW or FAIL; empty without thresholds or if the picture cannot be read.
        rows: labels and texts; see :func:`understudy.evaluate.reasons.reasons_for`.
        pictures: caption -> picture as a ``data:`` address.
        bar: where the score lies; ``None`` if there is nothing to compare it with.
        left_out: whether pictures were left out, so that the page stays small.
    """

    name: str
    verdict: str
    rows: list[Row]
    pictures: dict[str, str]
    bar: ScoreBar | None
    left_out: bool = False


def write_explanations(path: Path, inspector: Inspector, explanations: Iterable[Explanation]) -> None:
    """Write explanations as one self-contained HTML file.

    The pictures are read once more. They take 12 MB of the page at most; what comes later has words alone.

    Args:
        path: file to write.
        inspector: the model that the explanations are from.
        explanations: explanations of picture files; taken one at a time.

    Raises:
        WorkError: the file cannot be written.
    """
    cards, used = [], 0
    for each in explanations:
        card = _card(inspector, each, used < _BUDGET)
        used += sum(map(len, card.pictures.values()))
        cards.append(card)
    write_page(path, "explain.html.j2", cards=cards, folder=str(inspector.folder), wide=WIDE)


def _card(inspector: Inspector, explanation: Explanation, with_pictures: bool) -> ExplanationCard:
    result = explanation.result
    return ExplanationCard(
        name=str(result.path),
        verdict=result.verdict or "",
        rows=reasons_for(explanation),
        pictures=_pictures(inspector, explanation) if with_pictures and result.ok else {},
        bar=score_bar(explanation),
        left_out=result.ok and not with_pictures,
    )


def _pictures(inspector: Inspector, explanation: Explanation) -> dict[str, str]:
    """Draw the picture and the nearest good one, each with its heat map, in the same colours."""
    result, nearest = explanation.result, explanation.nearest
    category = explanation.product.name if explanation.product else None
    judged = [result, *([nearest.result] if nearest else [])]
    span = inspector.colour_span(category, [float(each.anomaly_map.max()) for each in judged])
    drawn = {}
    for each, what in zip(judged, ("this picture", "nearest good picture"), strict=False):
        try:
            picture = _thumbnail(inspector, each)
        except PictureError:  # it has gone since
            continue
        drawn[what] = data_address(_with_regions(picture, each.regions, each.size))
        drawn[f"heat map of {what}"] = data_address(heatmap(picture, each.anomaly_map, *span))
    return drawn


def _thumbnail(inspector: Inspector, result: Result) -> NDArray[np.uint8]:
    image = Image.fromarray(read_picture(result.path, inspector.manifest.preprocess.depth))
    image.thumbnail((_SIDE, _SIDE))
    return np.asarray(image)


def _with_regions(
    picture: NDArray[np.uint8], regions: tuple[Region, ...], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """(h, w, 3) thumbnail -> the same with a numbered box around each region, two pixels wide.

    Args:
        picture: thumbnail.
        regions: regions in pixels of the whole picture.
        size: (height, width) of the whole picture.
    """
    height, width, _ = picture.shape
    down, across = height / size[0], width / size[1]
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for place, region in reversed(list(enumerate(regions[:_DRAWN], start=1))):
        left, top = region.left * across, region.top * down
        box = (left, top, max(left, region.right * across - 1), max(top, region.bottom * down - 1))
        draw.rectangle(box, outline=_COLOUR, width=2)
        beside = box[2] - left < _ROOM or box[3] - top < _ROOM  # a small box would be covered
        draw.text(
            (box[2] + 3 if beside else left + 4, top + 2),
            str(place),
            fill=_COLOUR,
            stroke_width=1,
            stroke_fill=(0, 0, 0),
        )
    return np.asarray(image)


def score_bar(explanation: Explanation) -> ScoreBar | None:
    """Return where a score lies between the good scores and the thresholds; ``None`` without either.

    Args:
        explanation: explanation of a picture.
    """
    score, good, limits = explanation.result.score, explanation.good_scores, explanation.thresholds
    known = [*good, *([limits.review_above, limits.fail_above] if limits else [])]
    if not known or not np.isfinite(score):
        return None
    spread = max(max(known) - min(known), 1e-6 * max(map(abs, known)), 1e-9)
    low, high = min(*known, score) - 0.05 * spread, max(known) + 0.5 * spread
    low = max(low, min(known) - 0.5 * spread)

    def at(value: float) -> float:
        return WIDE * float(np.clip((value - low) / (high - low), 0, 1))

    shown = [good[int((i + 0.5) * len(good) / _TICKS)] for i in range(_TICKS)] if len(good) > _TICKS else good
    zones = {}
    if limits:
        review, fail = at(limits.review_above), at(limits.fail_above)
        zones = {"PASS": (0.0, review), "REVIEW": (review, fail), "FAIL": (fail, float(WIDE))}
    return ScoreBar(at(score), not low <= score <= high, tuple(map(at, shown)), zones)
