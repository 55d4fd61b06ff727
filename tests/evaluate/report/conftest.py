"""Evaluations made by hand, so that a test knows what the report must say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy import Inspector
from understudy.data.records import Record
from understudy.evaluate import NAMES, Evaluation, Tested
from understudy.evaluate.report.page import write_report
from understudy.metrics import Ranking
from understudy.runtime.decision import Thresholds, decide

Scores = Mapping[str, Mapping[str, Sequence[float]]]
Made = Callable[..., Evaluation]
Written = Callable[..., str]


@pytest.fixture
def made(factory: Path) -> Made:
    """``{category: {kind: scores}}`` -> an evaluation; every picture is one of the factory's nuts.

    ``spro`` are the figures of every category and their mean.
    """

    def make(
        scores: Scores,
        thresholds: Thresholds | None = None,
        spro: dict[str, Any] | None = None,
        **metrics: Any,
    ) -> Evaluation:
        tested = [
            Tested(_record(factory, category, kind), score, decide(score, thresholds), "right")
            for category, kinds in scores.items()
            for kind, values in kinds.items()
            for score in values
        ]
        return Evaluation(
            tested,
            [],
            _metrics(scores, tested, spro) | metrics,
            dict.fromkeys(scores, thresholds) if thresholds else {},
        )

    return make


def _record(factory: Path, category: str, kind: str) -> Record:
    folder, masks = ("good", ()) if kind == "good" else ("chip", (_mask(factory),))
    return Record(category, "test", kind, factory / "nut" / "test" / folder / "000.png", masks)


def _mask(factory: Path) -> Path:
    return factory / "nut" / "ground_truth" / "chip" / "000_mask.png"


def _metrics(scores: Scores, tested: Sequence[Tested], spro: dict[str, Any] | None) -> dict[str, Any]:
    """Figures of the images as they are, and 0.875 for all that belong to pixels."""
    rows = {
        c: _numbers(own := [t for t in tested if t.record.category == c])
        | {"au_spro": spro, "au_spro_max_error": None, "image_auroc_of_kinds": 0.875, "defects": _kinds(own)}
        for c in scores
    }
    known = [(row["image_auroc"], c) for c, row in rows.items() if row["image_auroc"] is not None]
    low, worst = min(known) if known else (None, None)
    mean = dict.fromkeys(NAMES, 0.875) | {
        "image_auroc": float(np.mean([v for v, _ in known])) if known else None
    }
    return {
        "schema": 1,
        "method": "snl-rd",
        "teacher": "tf_efficientnet_lite0",
        "image_size": 64,
        "seed": 0,
        "data": {"root": "/data/line 3", "layout": "MVTec AD layout", "seen_in_training": 0},
        "map_resolution": "64x64",
        "aupro_limit": 0.3,
        "thresholds": "auto",
        "pixel_mode": {"form": "exact", "pixels": 4096 * len(tested), "bins": None},
        "spro_mode": {"form": "exact", "pixels": 8192 * len(tested), "bins": None} if spro else None,
        "categories": rows,
        "mean": mean,
        "worst": {n: ["nut", 0.875] for n in NAMES} | {"image_auroc": [worst, low] if known else None},
        "pooled": _numbers(tested),
        "mean_image_auroc_of_kinds": 0.875,
        "mean_au_spro": spro,
        "found_at": None,
        "found_at_missing": {},
        "unreadable": [],
        "versions": {"python": "3.11.7"},
    }


def _numbers(tested: Sequence[Tested]) -> dict[str, Any]:
    good = [t for t in tested if t.record.is_good]
    auroc = _auroc(tested)
    return dict.fromkeys(NAMES, 0.875) | {
        "image_auroc": auroc,
        "image_auroc_interval": None if auroc is None else [auroc / 2, (1 + auroc) / 2],
        "false_alarm_rate": [t.verdict for t in good].count("FAIL") / len(good) if good else None,
        "recognition": {"right": 0.75, "wrong": 0.0, "unknown": 0.25},
        "max_error": None,
        "missing": {} if auroc is not None else {"image_auroc": "no defective test pictures"},
        "n_good": len(good),
        "n_defect": len(tested) - len(good),
        "n_masks": len(tested) - len(good),
    }


def _kinds(tested: Sequence[Tested]) -> dict[str, Any]:
    good = [t for t in tested if t.record.is_good]
    kinds = {t.record.defect: [b for b in tested if b.record.defect == t.record.defect] for t in tested}
    return {kind: _kind(good, own) for kind, own in kinds.items() if kind != "good"}


def _kind(good: Sequence[Tested], own: Sequence[Tested]) -> dict[str, float | None]:
    verdicts = [t.verdict for t in own]
    judged = None not in verdicts
    return {
        "image_auroc": _auroc([*good, *own]),
        "pixel_auroc": 0.875,
        "aupro": 0.875,
        "recall": verdicts.count("FAIL") / len(own) if judged else None,
        "flagged": 1 - verdicts.count("PASS") / len(own) if judged else None,
        "n": len(own),
    }


def _auroc(tested: Sequence[Tested]) -> float | None:
    return Ranking(
        np.array([t.score for t in tested]), np.array([not t.record.is_good for t in tested])
    ).auroc()


@pytest.fixture
def written(inspector: Inspector, tmp_path: Path, made: Made) -> Written:
    """Scores and thresholds -> the page as text, with every run of white space as one blank."""

    def write(
        scores: Scores, thresholds: Thresholds | None = None, command: str | None = None, **metrics: Any
    ) -> str:
        path = tmp_path / "report.html"
        alone = {"thresholds": thresholds, "categories": {}}
        own = replace(inspector)
        assert own.calibration
        own.calibration = own.calibration.model_copy(update=alone) if thresholds else None
        write_report(path, own, made(scores, thresholds, **metrics), command)
        return " ".join(path.read_text(encoding="utf-8").split())

    return write
