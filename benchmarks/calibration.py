"""How well thresholds keep the promised false-alarm rate in every category, in three ways of choosing them.

    python benchmarks/calibration.py --data REALBENCH --model MODEL --out benchmarks/results/calibration.csv

Good pictures that the model was not trained on are scored once: held-out ones and test ones. Then they are
split at random, again and again, category by category. One half calibrates. On the other half the false
alarms are counted. docs/from-score-to-decision.md says what the three ways are.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from machine import append, provenance
from understudy import Model, PictureError, Reporter
from understudy.calibrate.job import HeldOut, Rates, calibration_from, unseen_pictures
from understudy.data.layouts import open_pictures
from understudy.runtime.decision import Calibration, distances_to, judge, recognise

Way = Literal["global", "category", "recognised"]


@dataclass(frozen=True)
class Good:
    """One good picture: its category, its score and its distances from all prototypes."""

    category: str
    score: float
    distances: dict[str, float]

    @property
    def held_out(self) -> HeldOut:
        """What a calibration takes of it. No mask is calibrated here, so the level is 0."""
        return HeldOut(self.category, self.score, self.distances[self.category], level=0.0)


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a trained model; one is trained if none is named")
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument(
        "--holdout", type=float, default=0.3, help="held-out share, if a model is trained here"
    )
    parser.add_argument("--steps", type=int, default=1500, help="steps, if a model is trained here")
    asked = parser.parse_args()
    model = Model.load(asked.model) if asked.model else trained(asked.data, asked.holdout, asked.steps)
    rows = measure(good_pictures(model, asked.data), asked.rate, asked.draws)
    facts = {
        "method": model.manifest.method,
        "rate": asked.rate,
        "draws": asked.draws,
        "steps": model.manifest.training.steps,
        "batch_size": model.manifest.training.batch_size,
        "image_size": model.preprocess.image_size,
        "teacher": model.manifest.teacher.name,
        "precision": "float32",
    }
    append(asked.out, [row | facts | provenance() for row in rows])


def trained(data: Path, holdout: float, steps: int) -> Model:
    """Train one model of all categories."""
    said = Reporter(say=print)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model"
        return Model.fit(data, out=out, progress=said, holdout=holdout, max_steps=steps)


def good_pictures(model: Model, data: Path) -> list[Good]:
    """Score every good picture of a known category that the training has not seen."""
    known = open_pictures(data).keep_known(model.categories)
    records = [r for r in known.records if r.is_good and r.category in model.categories]
    records = unseen_pictures(model.inspector.seen, records)
    scorer, found = model.inspector.scorer, []
    for record, result in zip(records, scorer.score([r.path for r in records]), strict=True):
        if isinstance(result, PictureError):
            raise result
        found.append(Good(record.category, result.score, distances_to(result.embedding, scorer.prototypes)))
    return found


def measure(good: Sequence[Good], rate: float, draws: int) -> list[dict[str, Any]]:
    """Make a row for each category and way: mean false alarms over the draws, and what recognition did."""
    rng = np.random.default_rng(0)
    own = {c: [g for g in good if g.category == c] for c in sorted({g.category for g in good})}
    counts = {c: {way: np.zeros((draws, 3)) for way in get_args(Way)} for c in own}
    with_own = dict.fromkeys(own, 0)
    for draw in range(draws):
        halves = {c: divided(pictures, rng) for c, pictures in own.items()}
        calibration = calibration_from(
            [g.held_out for half, _ in halves.values() for g in half], Rates(rate, rate, rate)
        )
        for c, (_, checked) in halves.items():
            with_own[c] += c in calibration.categories
            for way in get_args(Way):
                counts[c][way][draw] = shares(checked, calibration, way)
    return [
        {
            "category": c,
            "way": way,
            "pictures": len(own[c]),
            "own_thresholds": with_own[c] / draws,
            "false_alarms": round(float(found[:, 0].mean()), 5),
            "low": round(float(np.quantile(found[:, 0], 0.05)), 5),
            "high": round(float(np.quantile(found[:, 0], 0.95)), 5),
            "recognised": round(float(found[:, 1].mean()), 5),
            "unknown": round(float(found[:, 2].mean()), 5),
        }
        for c, ways in counts.items()
        for way, found in ways.items()
    ]


def divided(pictures: Sequence[Good], rng: np.random.Generator) -> tuple[list[Good], list[Good]]:
    """Split pictures at random into two halves; of an odd number the first half gets one more."""
    order = [pictures[i] for i in rng.permutation(len(pictures))]
    middle = (len(order) + 1) // 2
    return order[:middle], order[middle:]


def shares(checked: Sequence[Good], calibration: Calibration, way: Way) -> tuple[float, float, float]:
    """Shares of some good pictures: that FAIL, that are taken for their own category, or for unknown."""
    everything = calibration.model_copy(update={"categories": {}})
    fails, right, unknown = 0, 0, 0
    for g in checked:
        shown = recognise(g.distances, calibration.distances) if way == "recognised" else g.category
        verdict, _ = judge(g.score, everything if way == "global" else calibration, shown)
        fails += verdict == "FAIL"
        right += shown == g.category
        unknown += shown is None
    n = max(len(checked), 1)
    return fails / n, right / n, unknown / n


if __name__ == "__main__":
    main()
