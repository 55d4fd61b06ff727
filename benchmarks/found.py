"""What share of the defects is found at a false-alarm rate, in several ways of scoring and of setting limits.

    python benchmarks/found.py --data REALBENCH --out benchmarks/results/found.csv --seeds 0,1,2
    python benchmarks/found.py --data REALBENCH --out benchmarks/results/image_scores.csv --scores
    python benchmarks/found.py --data REALBENCH --out benchmarks/results/few_pictures.csv --sizes 10,20,50,100

One unified model is trained, and every picture is scored once. The limits of every way come from good
pictures of the training set alone. Beside them stands the oracle, whose limits come from the good test
pictures. With ``--scores`` the ways of making one score of a map are compared. With ``--sizes`` a model is
trained on so many good pictures of each product, and limits are also set by cross-fitting: models that each
leave a quarter out score that quarter.
"""

from __future__ import annotations

import argparse
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from halves import half_of
from machine import append, provenance, read
from understudy import Model, PictureError, Reporter
from understudy.calibrate import learn
from understudy.calibrate.estimate import ProductFigures, fit_tail, pool_figures
from understudy.calibrate.job import calibrate_fresh, seen_pictures, unseen_pictures
from understudy.calibrate.thresholds import RATES_SHOWN, Rates
from understudy.data.layouts import open_pictures
from understudy.data.records import PictureSet, Record
from understudy.runtime import usual as usual_module
from understudy.runtime.inspector import Inspector
from understudy.runtime.scoring import Scored, Scorer
from understudy.types import ImageScore

QUIET = Reporter()
FOLDS = 4
SHARES = (0.00025, 0.001, 0.0025, 0.005, 0.01, 0.02)
DEFAULT = usual_module.HIGHEST

Limits = Mapping[str, float]
"""Limit on the score of each product."""


@dataclass(frozen=True)
class Stored(Scorer):
    """A scorer that answers with maps that were computed before."""

    maps: Mapping[Path, Scored] = None  # type: ignore[assignment]

    def score(self, sources: Iterable[Any], *_: Any, **options: Any) -> Iterator[Scored | PictureError]:
        """Yield the stored result of each picture; relative to what is usual, if that is known."""
        for source, category in zip(sources, options["categories"], strict=True):
            raw = self.maps[Path(source)]
            if self.usual is None:
                yield raw
                continue
            usual, window = self.usual[category], self.preprocess.image_size
            score = usual.score(raw.anomaly_map, raw.valid, window)
            yield replace(raw, score=score, anomaly_map=usual.relative(raw.anomaly_map))


@dataclass(frozen=True)
class Trained:
    """A trained model with the raw maps of all pictures, and the pictures by their use."""

    inspector: Inspector
    learned: list[Record]
    held_out: list[Record]
    tested: list[Record]


def main() -> None:
    """Measure what the options name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=_numbers, default=(0,))
    parser.add_argument("--methods", type=lambda text: text.split(","), default=["snl-rd"])
    parser.add_argument("--sizes", type=_numbers, default=(0,), help="good pictures of each product; 0: all")
    parser.add_argument("--folds", type=int, default=FOLDS, help="of the cross-fit; 0 leaves it out")
    parser.add_argument("--scores", action="store_true", help="compare ways of scoring")
    asked = parser.parse_args()
    everything = open_pictures(asked.data)
    done = {(r["method"], r["seed"], r["size"]) for r in read(asked.out)}
    for method in asked.methods:
        for seed in asked.seeds:
            for size in asked.sizes:
                if (method, str(seed), str(size)) in done:
                    continue
                facts = {"method": method, "seed": seed, "size": size}
                rows = measured(everything, method, seed, size, asked.scores, asked.folds)
                append(asked.out, [facts | row | provenance() for row in rows])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def measured(
    everything: PictureSet, method: str, seed: int, size: int, scores: bool, folds: int
) -> list[dict[str, Any]]:
    """Train a model and return the rows of all ways."""
    chosen = _some(everything, size, seed) if size else everything
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        trained = train(chosen, Path(folder) / "model", method, seed)
        if scores:
            for name, settings in score_variants():
                with_settings(settings)
                tested, limits = by_estimate(trained, settings.get("score", "comparable"))
                rows += rows_of(name, tested, limits)
                rows += rows_of(f"{name}, oracle", tested, None)
            with_settings({})
            return rows
        rows += rows_of("one limit for all", *by_one_limit(trained))
        tested, limits = by_estimate(trained, "comparable")
        rows += rows_of("estimated", tested, limits)
        rows += rows_of("promised", tested, by_promise(trained))
        if size and folds:
            rows += rows_of("cross-fitted", tested, by_cross_fit(chosen, Path(folder), method, seed, folds))
        rows += rows_of("oracle", tested, None)
    return rows


def score_variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and settings of each way of scoring."""
    yield "maximum", {"score": "maximum"}
    for share in SHARES:
        yield f"highest {100 * share:g} %", {"share": share}
    yield f"highest {100 * DEFAULT:g} %, one spread", {"share": DEFAULT, "places": False}


def with_settings(settings: Mapping[str, Any]) -> None:
    """Change how scores are made; without settings they are made as by default."""
    usual_module.HIGHEST = settings.get("share", DEFAULT)
    learn.MOST_CELLS = 2**16 if settings.get("places", True) else 0


def train(pictures: PictureSet, out: Path, method: str, seed: int, holdout: float = 0.1) -> Trained:
    """Train a model and compute the raw maps of all pictures."""
    model = Model.fit(pictures, out=out, method=method, seed=seed, holdout=holdout, progress=QUIET)
    inspector = model.inspector
    good = pictures.train()
    learned = seen_pictures(inspector.seen, good)
    held_out = unseen_pictures(inspector.seen, good)
    tested = [r for r in pictures.records if r.split == "test"]
    records = [*learned, *held_out, *tested]
    raw = replace(inspector.scorer, calibration=None, usual=None)
    maps: dict[Path, Scored] = {}
    for record, scored in zip(records, raw.score([r.path for r in records]), strict=True):
        if isinstance(scored, PictureError):
            raise scored
        maps[record.path] = replace(scored, anomaly_map=scored.anomaly_map.astype(np.float32))
    inspector.scorer = Stored(
        raw.network, raw.preprocess, raw.prototypes, rois=raw.rois, usual=inspector.scorer.usual, maps=maps
    )
    return Trained(inspector, learned, held_out, tested)


def _some(everything: PictureSet, size: int, seed: int) -> PictureSet:
    """Keep so many good training pictures of each product, chosen by the seed."""
    kept: list[Record] = [r for r in everything.records if r.split == "test"]
    for category in everything.categories:
        members = sorted(r for r in everything.train() if r.category == category)
        rng = np.random.default_rng([seed, size, zlib.crc32(category.encode())])
        kept += [members[i] for i in rng.permutation(len(members))[:size]]
    return replace(everything, records=tuple(sorted(kept)))


Tested = list[tuple[Record, float]]
"""Test pictures with their scores."""


def by_estimate(trained: Trained, score: ImageScore) -> tuple[Tested, dict[float, Limits]]:
    """Scores and limits as ``understudy fit`` sets them."""
    inspector = replace(trained.inspector, scorer=replace(trained.inspector.scorer, usual=None))
    calibration = calibrate_fresh(inspector, trained.learned, trained.held_out, score, Rates(0.01), QUIET)
    assert calibration is not None
    trained.inspector.scorer = inspector.scorer
    limits: dict[float, Limits] = {each.rate: each.categories for each in calibration.rates}
    return tested_by(inspector.scorer, trained.tested), limits


def by_one_limit(trained: Trained) -> tuple[Tested, dict[float, Limits]]:
    """The first edition's way: maxima of the maps, one limit for all from the held-out pictures."""
    raw = replace(trained.inspector.scorer, usual=None)
    held = [score for _, score in tested_by(raw, trained.held_out)]
    return tested_by(raw, trained.tested), _pooled(held, trained.tested)


def by_promise(trained: Trained) -> dict[float, Limits]:
    """One limit for all on comparable scores, promised by the held-out pictures alone."""
    held = [score for _, score in tested_by(trained.inspector.scorer, trained.held_out)]
    return _pooled(held, trained.tested)


def _pooled(scores: Sequence[float], tested: Sequence[Record]) -> dict[float, Limits]:
    """Split conformal limits; the smallest rate that the scores allow takes the place of smaller ones."""
    ordered, n = np.sort(scores), len(scores)
    categories = {r.category for r in tested}
    ranks = {rate: min(n, int(np.ceil(round((n + 1) * (1 - rate), 9)))) for rate in RATES_SHOWN}
    return {rate: dict.fromkeys(categories, float(ordered[rank - 1])) for rate, rank in ranks.items()}


def by_cross_fit(
    pictures: PictureSet, folder: Path, method: str, seed: int, folds: int
) -> dict[float, Limits]:
    """Limits from pictures that were each scored by a model that had not seen them."""
    scores: dict[str, list[float]] = {c: [] for c in pictures.categories}
    good = sorted(r for r in pictures.train())
    for fold in range(folds):
        out = {r for i, r in enumerate(good) if i % folds == fold}
        kept = tuple(r for r in pictures.records if r not in out and r.split == "train")
        model = Model.fit(
            replace(pictures, records=kept),
            out=folder / f"fold{fold}",
            method=method,
            seed=seed,
            holdout=0.0,
            progress=QUIET,
        )
        for record, score in tested_by(replace(model.inspector.scorer, calibration=None), sorted(out)):
            scores[record.category].append(score)
    figures = {c: ProductFigures(np.array(x), np.zeros(0), 0.0) for c, x in scores.items()}
    pool = pool_figures(figures)
    tail = fit_tail(pool.figures)
    return {
        rate: {c: norm.back(tail.limit(rate, c)) for c, norm in pool.norms.items()} for rate in RATES_SHOWN
    }


def tested_by(scorer: Scorer, records: Sequence[Record]) -> Tested:
    """Score pictures."""
    found = scorer.score([r.path for r in records], categories=[r.category for r in records])
    return [(r, s.score) for r, s in zip(records, found, strict=True) if not isinstance(s, PictureError)]


def rows_of(way: str, tested: Tested, limits: Mapping[float, Limits] | None) -> list[dict[str, Any]]:
    """Count defects found and false alarms, by rate and category; the oracle has no limits given."""
    rows = []
    for category in sorted({r.category for r, _ in tested}):
        good = np.sort([s for r, s in tested if r.category == category and r.is_good])
        bad = np.array([s for r, s in tested if r.category == category and not r.is_good])
        beats = (bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean()
        for rate in RATES_SHOWN:
            if limits is None:
                limit = float(good[len(good) - 1 - int(rate * len(good) + 1e-9)])
            else:
                limit = limits[rate][category]
            rows.append(
                {
                    "way": way,
                    "rate": rate,
                    "category": category,
                    "half": half_of(category),
                    "n_good": len(good),
                    "n_defect": len(bad),
                    "false_alarms": int((good > limit).sum()),
                    "found": int((bad > limit).sum()),
                    "image_auroc": round(float(beats), 6),
                }
            )
    return rows


if __name__ == "__main__":
    main()
