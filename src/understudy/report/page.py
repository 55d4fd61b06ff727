"""Fill the report's template with an evaluation's figures and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from understudy.evaluation import NAMES, Evaluation, Tested
from understudy.model import TrainedModel
from understudy.report.embed import data_address
from understudy.report.template import write_page
from understudy.runtime.heatmap import colour_span, heatmap, outline
from understudy.runtime.images import read_picture, resize_mask

__all__ = ["write_report"]

_GOOD_SHOWN, _DEFECTS_SHOWN = 3, 9  # pictures a category
_THUMBNAIL = 240  # pixels on the longer side


@dataclass(frozen=True)
class Card:
    """One test picture as the page shows it: three thumbnails as data addresses."""

    title: str
    score: str
    verdict: str
    wrong: bool
    picture: str
    marked: str | None
    heat: str


def write_report(path: Path, model: TrainedModel, evaluation: Evaluation) -> None:
    """Write one self-contained HTML file.

    Raises:
        WorkError: the file cannot be written.
    """
    write_page(
        path,
        "report.html.j2",
        names=NAMES,
        metrics=evaluation.metrics,
        manifest=model.manifest,
        thresholds=model.thresholds,
        outcome=_outcome(evaluation.tested),
        galleries=_galleries(
            evaluation.tested, colour_span(model.thresholds, [t.score for t in evaluation.tested])
        ),
    )


def _outcome(tested: Sequence[Tested]) -> dict[str, int] | None:
    """How the verdicts fell; ``None`` without thresholds."""
    if any(t.verdict is None for t in tested):
        return None
    good = [t.verdict for t in tested if t.record.is_good]
    bad = [t.verdict for t in tested if not t.record.is_good]
    return {
        "good": len(good),
        "false_alarms": good.count("FAIL"),
        "defects": len(bad),
        "caught": bad.count("FAIL"),
        "missed": bad.count("PASS"),
        "reviewed": good.count("REVIEW") + bad.count("REVIEW"),
    }


def _galleries(tested: Sequence[Tested], span: tuple[float, float]) -> dict[str, list[Card]]:
    """Per category the most wrong pictures first: highest good ones, then lowest defects."""
    galleries = {}
    for category in dict.fromkeys(t.record.category for t in tested):
        own = sorted((t for t in tested if t.record.category == category), key=lambda t: t.score)
        good = [t for t in reversed(own) if t.record.is_good][:_GOOD_SHOWN]
        bad = [t for t in own if not t.record.is_good]
        galleries[category] = [_card(t, span) for t in good + _spread(bad, _DEFECTS_SHOWN)]
    return galleries


def _spread(ordered: list[Tested], count: int) -> list[Tested]:
    """The lowest third of what is shown, the rest evenly from all: not the failures alone."""
    worst = ordered[: count // 3]
    rest = ordered[count // 3 :]
    places = np.linspace(0, len(rest) - 1, min(count - len(worst), len(rest)))
    return worst + [rest[i] for i in sorted({round(p) for p in places})]


def _card(t: Tested, span: tuple[float, float]) -> Card:
    image = Image.fromarray(read_picture(t.record.path))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    picture = np.asarray(image)
    marked = None
    if t.mask is not None and not t.record.is_good:
        marked = data_address(outline(picture, resize_mask(t.mask, picture.shape[:2])))
    wrong = t.verdict == ("FAIL" if t.record.is_good else "PASS")
    heat = data_address(heatmap(picture, t.anomaly_map, *span))
    title = f"{t.record.defect} · {t.record.path.name}"
    return Card(title, f"{t.score:.3f}", t.verdict or "", wrong, data_address(picture), marked, heat)
