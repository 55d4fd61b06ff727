"""Write diagnosis.html: fill its template with figures, histograms and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from understudy.evaluate.report.charts import HEIGHT, WIDTH, Histogram, histogram
from understudy.evaluate.report.gallery import data_address
from understudy.evaluate.report.page import write_page
from understudy.lab.diagnose import Diagnosis
from understudy.lab.diagnose.job import Example
from understudy.lab.diagnose.measure import PASTE_NAMES, MixResult
from understudy.runtime.heatmap import colour_span, heatmap, outline
from understudy.runtime.inspector import Inspector

__all__ = ["write_diagnosis"]


_HISTOGRAMS = 6  # pairs drawn, those with the lowest AUROC
_ROWS = 30  # pairs in a table, those with the lowest AUROC; diagnosis.json holds all


@dataclass(frozen=True)
class ExampleCard:
    """One example as the page shows it.

    Attributes:
        title: what it is made of.
        is_control: whether it is made of one category only.
        score: image-level anomaly score, formatted.
        picture: the picture as a ``data:`` address, with an outline around a patch.
        heat: the heat map as a ``data:`` address.
    """

    title: str
    is_control: bool
    score: str
    picture: str
    heat: str


def write_diagnosis(path: Path, model: Inspector, diagnosis: Diagnosis) -> None:
    """Write a diagnosis as one self-contained HTML file.

    Args:
        path: file to write.
        model: the model that was diagnosed; its thresholds set the colours of the heat maps.
        diagnosis: the result.

    Raises:
        WorkError: the file cannot be written.
    """
    figures, measured = diagnosis.figures, diagnosis.measured
    mixes = sorted(measured.mixes, key=lambda m: m.auroc)
    normal = np.concatenate(list(measured.normal.values()))
    span = colour_span(None, normal.tolist())
    write_page(
        path,
        "diagnosis.html.j2",
        figures=figures,
        mixes=[m.to_dict() for m in mixes[:_ROWS]],
        pastes=[p.to_dict() for p in sorted(measured.pastes, key=lambda p: p.auroc)[:_ROWS]],
        paste_names=PASTE_NAMES,
        histograms=_histograms(mixes),
        size=(WIDTH, HEIGHT),
        cards=[_card(e, span) for e in diagnosis.examples],
        reading=_reading(figures),
    )


def _histograms(mixes: Sequence[MixResult]) -> list[Histogram]:
    return [
        histogram({"normal": m.normal, "control": m.same_class, "mixed": m.mixed}, f"{m.a} + {m.b}")
        for m in mixes[:_HISTOGRAMS]
    ]


def _reading(figures: dict[str, Any]) -> dict[str, Any]:
    """Mean figures that the first paragraph of the page shows."""
    mix, paste = figures["mix"]["mean"], figures["paste"]["mean"]
    return {
        "mix": mix["mixed"]["together"]["auroc"],
        "mix_control": mix["same_class"] and mix["same_class"]["together"]["auroc"],
        "paste": paste["pasted"]["pixel_auroc"],
        "paste_control": paste["same_class"] and paste["same_class"]["pixel_auroc"],
        "index": mix["interference"] and mix["interference"]["index"]["auroc"],
        "paste_index": paste["interference"] and paste["interference"]["index"]["pixel_auroc"],
    }


def _card(e: Example, span: tuple[float, float]) -> ExampleCard:
    picture = e.picture if e.mask is None else outline(e.picture, e.mask)
    heat = heatmap(e.picture, e.anomaly_map, *span)
    return ExampleCard(e.title, e.is_control, f"{e.score:.3f}", data_address(picture), data_address(heat))
