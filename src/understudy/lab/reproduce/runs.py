"""The trainings behind a table: which there are, which are done, and one more of them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from understudy import files
from understudy.data.records import PictureSet
from understudy.distill.network import resolve_device, resolve_precision
from understudy.errors import InputError, WorkError
from understudy.evaluate import evaluate
from understudy.lab.reproduce.tables import FIGURES, Models, Table, Variant
from understudy.methods import METHODS, settings_for
from understudy.methods.saved import load_trained, versions
from understudy.progress import Reporter
from understudy.runtime import manifest as manifests
from understudy.runtime.inspector import Inspector
from understudy.train.job import train_model
from understudy.train.loop import checkpoint_file
from understudy.train.options import FitOptions, fit_options
from understudy.train.plan import recipe_of
from understudy.types import DeviceChoice, PrecisionChoice

__all__ = ["Protocol", "Results", "Run", "runs_of"]


_SPRO_LIMIT = "0.05"
_FACTS = ("steps", "seconds", "precision", "device")
_AGAIN = "give the same command again to go on"


@dataclass(frozen=True)
class Protocol:
    """What every run of a table has in common.

    Attributes:
        data: the folder, as it was named.
        found: its pictures.
        teacher: timm name.
        teacher_weights: as ``fit`` takes it.
        image_size: side of the input.
        epochs: passes over the pictures, for each way to learn.
        max_steps: steps in their place.
        device: as ``fit`` takes it.
        precision: likewise.
    """

    data: Path
    found: PictureSet
    teacher: str
    teacher_weights: str | None
    image_size: int
    epochs: Mapping[Models, int]
    max_steps: int | None
    device: DeviceChoice
    precision: PrecisionChoice

    def length(self, models: Models) -> str:
        """Of a training, in words."""
        return f"{self.max_steps} steps" if self.max_steps else f"{self.epochs[models]} epochs"

    def options(self, run: Run) -> FitOptions:
        """What ``fit`` is asked for: as the papers train, and with the last step's student.

        Raises:
            InputError: an option is out of range.
        """
        chooses = METHODS[run.variant.method].recipes["paper"].choose_epoch
        asked = fit_options(
            {
                "method": run.variant.method,
                "recipe": "paper",
                "settings": dict(run.variant.settings),
                "categories": run.categories,
                "seed": run.seed,
                "batch_size": run.variant.batch_size,
                "teacher": self.teacher,
                "teacher_weights": self.teacher_weights,
                "image_size": self.image_size,
                "device": self.device,
                "precision": self.precision,
                "holdout": 0.0,
                "validation": 0.0 if chooses else None,
                "max_steps": self.max_steps,
                "epochs": None if self.max_steps else self.epochs[run.models],
            }
        )
        recipe_of(asked)  # names an unknown setting before any work is spent
        return asked

    @cached_property
    def weights(self) -> str:
        """Digest of the teacher's file, or what is taken in its place."""
        file = Path(self.teacher_weights or "")
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else self.teacher_weights or ""

    @cached_property
    def computed_in(self) -> tuple[str, str]:
        """Kind of device and precision."""
        device = resolve_device(self.device)
        return device.type, resolve_precision(self.precision, device)

    @cached_property
    def _digests(self) -> dict[str, str]:
        """By category, of the names and sizes of its pictures and masks, wherever their folder is."""
        digests = {category: hashlib.sha256() for category in self.found.categories}
        for record in self.found.records:
            for path in (record.path, *record.masks):
                what = (record.split, record.defect, path.name, path.stat().st_size)
                digests[record.category].update(repr(what).encode())
        return {category: digest.hexdigest() for category, digest in digests.items()}

    def pictures(self, categories: Sequence[str]) -> str:
        """Digest of the pictures of some categories."""
        own = [(category, self._digests[category]) for category in categories]
        return hashlib.sha256(repr(own).encode()).hexdigest()[:16]


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
        variant, recipe = self.variant, METHODS[self.variant.method].recipes["paper"]
        settings = settings_for(variant.method, variant.settings).model_dump(mode="json")
        device, precision = protocol.computed_in
        return {
            "method": variant.method,
            "settings": json.dumps(settings, sort_keys=True),
            "recipe": json.dumps(asdict(recipe), sort_keys=True),
            "models": self.models,
            "trained_on": " ".join(self.categories),
            "seed": str(self.seed),
            "length": protocol.length(self.models),
            "batch_size": str(variant.batch_size or recipe.batch_size),
            "teacher": protocol.teacher,
            "teacher_weights": protocol.weights,
            "image_size": str(protocol.image_size),
            "computed_in": f"{device} {precision}",
            "pictures": protocol.pictures(self.categories),
            "version": versions()["understudy"],
        }

    def describe(self) -> str:
        """In words."""
        what = "all" if self.models == "unified" else self.categories[0]
        return f"{self.variant.label}, {self.models}, {what}, seed {self.seed}"


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
        files.prepare_folder(folder)
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
        key, protocol = run.key(self._protocol), self._protocol
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
        folder = self._unfinished / f"{run.variant.method}-seed{run.seed}-{digest}"
        try:
            model = self._trained(run, folder, reporter)
        except WorkError as error:
            raise WorkError(f"{error} (of reproduce: {_AGAIN})") from error
        metrics = evaluate(model, protocol.data, categories=run.categories, progress=reporter).metrics
        facts = {name: str(getattr(model.manifest.training, name)) for name in _FACTS}
        facts["unreadable"] = str(len(metrics["unreadable"]))
        facts["versions"] = ", ".join(f"{n} {v}" for n, v in metrics["versions"].items())
        rows = [
            key | {"category": category} | figures_of(metrics["categories"][category]) | facts
            for category in run.categories
        ]
        self._rows = [*_read(self.file), *rows]  # another table may have come further meanwhile
        _write(self.file, self._rows)
        shutil.rmtree(folder, ignore_errors=True)

    def _trained(self, run: Run, folder: Path, reporter: Reporter) -> Inspector:
        begun = manifests.holds_model(folder) or checkpoint_file(folder).is_file()
        asked = self._protocol.options(run).model_copy(update={"resume": begun, "overwrite": not begun})
        try:
            train_model(self._protocol.data, folder, asked, reporter)
            return load_trained(folder, resolve_device(asked.device), calibrated=False)[1]
        except InputError as error:
            if not begun:
                raise
            raise InputError(f"{error} (of reproduce: delete {folder} to begin this run anew)") from error


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
    if not path.is_file():
        return []
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """All rows, through a temporary file: a kill or a full disk leaves what was there before."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    files.write_text(path, text.getvalue())
