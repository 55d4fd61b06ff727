"""Which options become defaults: what one half of the products chooses is reported on the other half.

    python benchmarks/choose.py --data REALBENCH --out benchmarks/results/choose.csv
    python benchmarks/choose.py --data REALBENCH --out benchmarks/results/choose.csv --one-class
    python benchmarks/choose.py --data REALBENCH --out benchmarks/results/presets.csv --speed

``--questions preset`` or ``--candidates "today,320 px"`` run a part; ``candidates.py`` lists all. Every run
is ``understudy fit`` and ``understudy evaluate`` in its own process. Defects are counted by the limits that
``fit`` sets. With ``--one-class`` each product is trained alone; ``candidates.py`` says how long. Rows are
added as runs finish. A run whose rows exist is not repeated, unless the options of its candidate have
changed. What a preset or a recipe stands for is no part of them: after a change of these, delete the rows.
``--workers 2`` does two runs at a time, which share the cores. With ``--speed`` the candidates are trained
for a few steps, exported, and timed in turn in one process, one picture at a time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apart import add_workers, parser_of, print_rows, run_all_missing
from candidates import CANDIDATES, QUESTIONS, written
from machine import append, provenance, read
from tables.choose import one_class, question
from understudy import Inspector, Model, Reporter, WorkError
from understudy.data.layouts import open_pictures
from understudy.evaluate import Evaluation
from understudy.metrics import Ranking
from understudy.progress import Lap
from understudy.runtime.graph import Answers, Network
from understudy.types import GraphFormat

RATES = {"1": "0.01", "5": "0.05"}  # percent in a column's name -> rate in metrics.json
SPEED_STEPS, THREADS, ROUNDS = 10, 2, 5
GRAPHS: tuple[GraphFormat, ...] = ("onnx", "openvino")


def main() -> None:
    """Run what is missing, seed by seed, and print the tables; or measure the speed."""
    parser = parser_of(__doc__)
    parser.add_argument("--questions", default=",".join(QUESTIONS))
    parser.add_argument("--candidates", default="", help="their names; by default all of the questions")
    parser.add_argument("--categories", default="", help="products, separated by commas; all by default")
    add_workers(parser)
    parser.add_argument("--one-class", action="store_true", help="a model for each product")
    parser.add_argument("--speed", action="store_true", help="time one picture at a time")
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    questions = asked.questions.split(",")
    names = asked.candidates.split(",") if asked.candidates else _names(questions)
    if unknown := [name for name in names if name not in CANDIDATES]:
        parser.error(f"no candidate {', '.join(unknown)}; there are {', '.join(CANDIDATES)}")
    categories = sorted(filter(None, asked.categories.split(","))) or open_pictures(asked.data).categories
    if asked.speed:
        if asked.out.exists():
            parser.error(f"{asked.out} exists, and times compare within one run alone; name another file")
        append(asked.out, speeds(asked.data, names, categories))
        return
    failed = run_all(asked, names, categories)
    rows = read(asked.out)
    for name in questions:
        print(f"{name}\n\n{question(rows, name)}")
    print(one_class(rows))
    if failed:
        raise SystemExit(f"failed: {'; '.join(failed)}")


def _names(questions: Sequence[str]) -> list[str]:
    """List the candidates of some questions, each once."""
    return list(dict.fromkeys(name for asked in questions for name in QUESTIONS[asked]))


def run_all(asked: argparse.Namespace, names: Sequence[str], categories: Sequence[str]) -> list[str]:
    """Run what is missing; list the runs that failed."""
    jobs = [
        {
            "candidate": name,
            "seed": seed,
            "trained_on": trained_on,
            "options": written(name, len(categories) if asked.one_class else 1),
        }
        for seed in map(int, asked.seeds.split(","))
        for name in names
        for trained_on in (categories if asked.one_class else [" ".join(categories)])
    ]
    failed = run_all_missing(__file__, asked.data, asked.out, jobs, asked.workers)
    return [f"{job['candidate']}, seed {job['seed']}, {job['trained_on']}" for job in failed]


def run(data: Path, candidate: str, seed: int, trained_on: str, options: str) -> list[dict[str, Any]]:
    """Fit and evaluate once: one row a product."""
    key = {"candidate": candidate, "seed": seed, "trained_on": trained_on, "options": options}
    categories = trained_on.split()
    with tempfile.TemporaryDirectory() as folder:
        model = Model.fit(
            data,
            out=Path(folder) / "model",
            categories=tuple(categories),
            seed=seed,
            progress=Reporter(say=print),
            **json.loads(options),
        )
        scorer = model.inspector.scorer
        noting = Noting(scorer.network)
        model.inspector.scorer = replace(scorer, network=noting)
        evaluation = model.evaluate(data, categories=categories, progress=False)
        model.inspector.scorer = scorer
        if evaluation.broken:
            raise evaluation.broken[0]
        facts = facts_of(model) | {"milliseconds": milliseconds(model.inspector, data, categories)}
    rows = [key | figures_of(evaluation, c, noting.maxima) | facts for c in categories]
    print(candidate, seed, {k: round(100 * v, 1) for k, v in evaluation.metrics["mean"].items() if v})
    return rows


@dataclass
class Noting:
    """A network that notes the maximum of each map that it makes."""

    network: Network
    maxima: list[float] = field(default_factory=list)

    def __call__(self, images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap) -> Answers:
        """Score windows."""
        answers = self.network(images, valid, lap)
        self.maxima += map(float, answers.scores)
        return answers


def figures_of(evaluation: Evaluation, category: str, maxima: Sequence[float]) -> dict[str, Any]:
    """Make the figures of one product; empty where there is none. Pictures are counted, not their shares."""
    found, metrics = evaluation.metrics["categories"][category], evaluation.metrics
    row = {"category": category, "n_good": found["n_good"], "n_defect": found["n_defect"]}
    row |= {name: _rounded(found[name]) for name in ("image_auroc", "pixel_auroc", "aupro")}
    row["image_auroc_of_maximum"] = _rounded(_auroc_of_maximum(evaluation, category, maxima))
    for percent, rate in RATES.items():
        judged = (metrics["found_at"] or {}).get(rate)
        own = judged["categories"][category] if judged else {"n_found": "", "n_false_alarms": ""}
        row |= {f"found_{percent}": own["n_found"], f"false_alarms_{percent}": own["n_false_alarms"]}
    return row


def _auroc_of_maximum(evaluation: Evaluation, category: str, maxima: Sequence[float]) -> float | None:
    """Image AUROC of the maximum of the network's map; ``None`` if a picture was cut into windows."""
    if len(maxima) != len(evaluation.tested):
        return None
    own = [
        (score, not t.record.is_good)
        for t, score in zip(evaluation.tested, maxima, strict=True)
        if t.record.category == category
    ]
    scores, defective = (np.array(column) for column in zip(*own, strict=True))
    return Ranking(scores, defective).auroc()


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 5)


def facts_of(model: Model) -> dict[str, Any]:
    """Say how and where a model was trained."""
    training = model.manifest.training
    return provenance() | {
        "steps": training.steps,
        "batch_size": training.batch_size,
        "image_size": model.preprocess.image_size,
        "teacher": model.manifest.teacher.name,
        "precision": training.precision,
        "device": model.device.type,
        "threads": torch.get_num_threads(),
        "train_seconds": training.seconds,
    }


def milliseconds(inspector: Inspector, data: Path, categories: Sequence[str]) -> float:
    """Median time of one picture at a time, from its file to its verdict. The first pictures do not count."""
    pictures = pictures_of(data, categories)
    for _ in latencies(inspector, pictures[:3]):
        pass
    return round(median(latencies(inspector, pictures)), 2)


def latencies(inspector: Inspector, pictures: Sequence[Path]) -> Iterator[float]:
    """Yield the milliseconds of each picture, judged by itself."""
    for picture in pictures:
        began = time.perf_counter()
        (result,) = inspector.predict([picture], batch_size=1)
        yield 1000 * (time.perf_counter() - began)
        if not result.ok:
            raise SystemExit(f"{picture} was not scored: {result.error}")


def pictures_of(data: Path, categories: Sequence[str], each: int = 2) -> list[Path]:
    """List some test pictures of each product."""
    test = open_pictures(data).only(categories).test()
    return [r.path for c in categories for r in [r for r in test if r.category == c][:each]]


def speeds(data: Path, names: Sequence[str], categories: Sequence[str]) -> list[dict[str, Any]]:
    """Time every candidate in torch and as exported, in turn. The first round warms up and does not count."""
    torch.set_num_threads(THREADS)
    pictures = pictures_of(data, categories)
    with tempfile.TemporaryDirectory() as place:
        made = [row for name in names for row in runtimes_of(data, name, categories, Path(place) / name)]
        rounds = [
            [list(latencies(inspector, pictures)) if inspector else [] for _, inspector in made]
            for _ in range(ROUNDS + 1)
        ]
    taken = [list(chain(*own)) for own in zip(*rounds[1:], strict=True)]
    return [
        row | {"milliseconds": round(median(own), 2) if own else "", "threads": THREADS} | provenance()
        for (row, _), own in zip(made, taken, strict=True)
    ]


def runtimes_of(
    data: Path, name: str, categories: Sequence[str], place: Path
) -> list[tuple[dict[str, Any], Inspector | None]]:
    """Train a candidate for a few steps and export it: a row for each runtime, and what judges by it."""
    options = {k: v for k, v in CANDIDATES[name].items() if k != "epochs"} | {"max_steps": SPEED_STEPS}
    said = Reporter(say=print)
    model = Model.fit(data, out=place / "torch", categories=tuple(categories), progress=said, **options)
    model = Model.load(model.folder, "cpu")
    facts = {"candidate": name, "options": written(name), "image_size": model.preprocess.image_size}
    facts |= {"teacher": model.manifest.teacher.name}
    made: list[tuple[dict[str, Any], Inspector | None]] = [
        (facts | {"runtime": "torch", "refused": "", "megabytes": _megabytes(model.folder)}, model.inspector)
    ]
    for form in GRAPHS:
        inspector, refused, size = None, "", ""
        try:
            model.export(place / form, format=form, progress=False)
            inspector, size = Inspector.load(place / form, THREADS), _megabytes(place / form)
        except WorkError as error:
            refused = str(error)
        made.append((facts | {"runtime": form, "refused": refused, "megabytes": size}, inspector))
    return made


def _megabytes(model: Path) -> str:
    """Size of a model's folder."""
    return f"{sum(p.stat().st_size for p in model.rglob('*') if p.is_file()) / 1e6:.1f}"


if __name__ == "__main__":
    main()
