"""The trainings behind a table: which there are, which are done, and one more of them."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.data.records import PictureSet
from understudy.errors import InputError
from understudy.evaluation import evaluate
from understudy.fitting import fit
from understudy.fitting.training import checkpoint_file
from understudy.methods import METHODS, settings_for
from understudy.model import TrainedModel, versions
from understudy.reporter import Reporter
from understudy.reproduction.tables import FIGURES, Models, Table, Variant
from understudy.runtime import bundle
from understudy.runtime.bundle import writing

__all__ = ["Protocol", "Results", "Run", "runs_of", "settings_text"]

_SPRO_LIMIT = "0.05"
_FACTS = ("steps", "seconds", "precision", "device")


@dataclass(frozen=True)
class Protocol:
    """What every run of a table has in common.

    Attributes:
        data: the folder.
        teacher: timm name.
        teacher_weights: as ``fit`` takes it.
        image_size: side of the input.
        epochs: passes over the pictures, for each way to learn.
        max_steps: steps in their place.
        device: as ``fit`` takes it.
        precision: likewise.
    """

    data: Path
    teacher: str
    teacher_weights: str | None
    image_size: int
    epochs: Mapping[Models, int]
    max_steps: int | None
    device: str
    precision: str

    def length(self, models: Models) -> str:
        """Of a training, in words."""
        return f"{self.max_steps} steps" if self.max_steps else f"{self.epochs[models]} epochs"


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Attributes:
        variant: what is learned.
        models: whether its categories are all that there are, or one of them.
        categories: sorted.
        seed: of everything random.
    """

    variant: Variant
    models: Models
    categories: tuple[str, ...]
    seed: int

    def key(self, protocol: Protocol) -> dict[str, str]:
        """All that decides its figures, as text: two runs of one key are the same run."""
        return {
            "method": self.variant.method,
            "settings": settings_text(self.variant),
            "models": self.models,
            "trained_on": " ".join(self.categories),
            "seed": str(self.seed),
            "length": protocol.length(self.models),
            "batch_size": str(self.variant.batch_size or METHODS[self.variant.method].recipe.batch_size),
            "teacher": protocol.teacher,
            "teacher_weights": protocol.teacher_weights or "",
            "image_size": str(protocol.image_size),
            "asked_precision": protocol.precision,
            "data": str(protocol.data.resolve()),
            "version": versions()["understudy"],
        }

    def describe(self) -> str:
        """In words."""
        what = "all" if self.models == "unified" else self.categories[0]
        return f"{self.variant.label}, {self.models}, {what}, seed {self.seed}"


def settings_text(variant: Variant) -> str:
    """Settings that differ from the method's defaults, as JSON: alike for two rows that are the same."""
    usual = settings_for(variant.method).model_dump(mode="json")
    asked = settings_for(variant.method, variant.settings).model_dump(mode="json")
    return json.dumps({name: value for name, value in asked.items() if value != usual[name]}, sort_keys=True)


def runs_of(table: Table, found: PictureSet, seeds: Sequence[int]) -> Iterator[Run]:
    """All runs of a table on a data set: a whole table for one seed after the other."""
    everything = tuple(found.categories)
    for seed in seeds:
        for variant in table.variants:
            for models in table.models:
                for categories in [everything] if models == "unified" else [(c,) for c in everything]:
                    yield Run(variant, models, categories, seed)


class Results:
    """A folder with ``runs.csv``, which has a row for every category of every run that is done.

    Runs of several tables share it: what two tables have in common is run once. A run that was stopped is
    in ``unfinished`` and goes on from its last checkpoint.

    Args:
        folder: made where it is missing.
        protocol: of the runs.

    Attributes:
        file: ``runs.csv``.
    """

    def __init__(self, folder: Path, protocol: Protocol) -> None:
        bundle.prepare_folder(folder)
        self._unfinished, self._protocol = folder / "unfinished", protocol
        self.file = folder / "runs.csv"
        self._rows = _read(self.file)

    def of(self, run: Run) -> dict[str, dict[str, str]]:
        """Rows of a run by category; none unless all of them are there."""
        key = run.key(self._protocol)
        own = {r["category"]: r for r in self._rows if all(r.get(k) == v for k, v in key.items())}
        return own if own.keys() == set(run.categories) else {}

    def add(self, run: Run, reporter: Reporter) -> None:
        """Train, evaluate, and write the rows.

        Raises:
            InputError: data, teacher or options cannot be used.
            WorkError: the work failed; what is done is kept.
        """
        key = run.key(self._protocol)
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
        folder = self._unfinished / f"{run.variant.method}-seed{run.seed}-{digest}"
        model = self._trained(run, folder, reporter)
        metrics = evaluate(model, self._protocol.data, run.categories, reporter=reporter).metrics
        facts = {name: str(getattr(model.manifest.training, name)) for name in _FACTS}
        facts["versions"] = ", ".join(f"{n} {v}" for n, v in metrics["versions"].items())
        rows = [
            key | {"category": category} | figures_of(metrics["categories"][category]) | facts
            for category in run.categories
        ]
        _append(self.file, rows)
        self._rows += rows
        shutil.rmtree(folder, ignore_errors=True)

    def _trained(self, run: Run, folder: Path, reporter: Reporter) -> TrainedModel:
        protocol = self._protocol
        length = {"max_steps": protocol.max_steps} if protocol.max_steps else {}
        if not length:
            length = {"epochs": protocol.epochs[run.models]}
        options: dict[str, Any] = {
            "method": run.variant.method,
            "settings": dict(run.variant.settings),
            "categories": run.categories,
            "seed": run.seed,
            "batch_size": run.variant.batch_size,
            "teacher": protocol.teacher,
            "teacher_weights": protocol.teacher_weights,
            "image_size": protocol.image_size,
            "device": protocol.device,
            "precision": protocol.precision,
            "schedule": "constant",
            "sampling": "natural",
            "holdout": 0.0,
            **length,
        }
        if bundle.holds_model(folder) or checkpoint_file(folder).is_file():
            try:
                return fit(protocol.data, folder, resume=True, reporter=reporter, **options)
            except InputError as error:
                reporter.say(f"what was begun does not fit any more ({error}); it is begun anew")
        return fit(protocol.data, folder, overwrite=True, reporter=reporter, **options)


def figures_of(own: Mapping[str, Any]) -> dict[str, str]:
    """One category's metrics -> :data:`FIGURES` as text, empty where one cannot be told."""
    kinds = {name.removesuffix("_anomalies"): kind["image_auroc"] for name, kind in own["defects"].items()}
    logical, structural = kinds.get("logical"), kinds.get("structural")
    spro = (own["au_spro"] or {}).get(_SPRO_LIMIT, {})
    found = {
        **{name: own[name] for name in ("image_auroc", "pixel_auroc", "aupro")},
        "logical_auroc": logical,
        "structural_auroc": structural,
        "mean_auroc": None if logical is None or structural is None else (logical + structural) / 2,
        "au_spro": spro.get("mean"),
    }
    return {name: "" if found[name] is None else f"{found[name]:.6f}" for name in FIGURES}


def _read(path: Path) -> list[dict[str, str]]:
    """Rows that are whole; a line that a killed run left half written is none."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values() and None not in row]


def _append(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with writing(path, "make room there"):
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        with path.open("a", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            if before and not before.endswith("\n"):
                file.write("\n")
            if not before:
                table.writeheader()
            table.writerows(rows)
