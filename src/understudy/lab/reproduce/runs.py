"""The runs behind a table: list them, carry them out, and keep their figures in ``runs.csv``."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from understudy import files
from understudy.data.records import PictureData, PictureSet
from understudy.distill.network import resolve_device
from understudy.distill.precision import resolve_precision
from understudy.errors import InputError, WorkError
from understudy.evaluate import evaluate
from understudy.folders import remove_own
from understudy.lab.reproduce.tables import FIGURES, Models, Table, Variant
from understudy.methods import METHODS, settings_for
from understudy.methods.saved import load_trained, versions
from understudy.progress import Reporter
from understudy.runtime import manifest as manifests
from understudy.runtime.inspector import Inspector
from understudy.train.job import train_model
from understudy.train.loop import begun_precision, checkpoint_file
from understudy.train.options import FitOptions, fit_options
from understudy.train.plan import recipe_of
from understudy.types import DeviceChoice, PrecisionChoice

__all__ = ["Protocol", "Results", "Run", "carry_out", "kept_precision", "runs_of"]


_SPRO_LIMIT = "0.05"
_FACTS = ("steps", "seconds", "precision", "device")
_RUNS, _UNFINISHED = "runs.csv", "unfinished"
_AGAIN = "give the same command again to go on"


@dataclass(frozen=True)
class Protocol:
    """What all runs of a table have in common.

    Attributes:
        data: folder or list of the pictures.
        found: its pictures.
        teacher: timm name of the teacher of every row; ``None`` for those of the paper.
        paper_teacher: timm name of the table's teacher, for rows that have none of their own.
        teacher_weights: file of weights or the word ``random``, as ``fit`` takes it; ``None`` by default.
        image_size: side of the square input in pixels.
        epochs: unified or one-class -> passes over the pictures.
        max_steps: optimiser steps in place of ``epochs``; ``None`` to count epochs.
        device: device as ``fit`` takes it.
        precision: precision as ``fit`` takes it.
    """

    data: PictureData
    found: PictureSet
    teacher: str | None
    paper_teacher: str
    teacher_weights: str | None
    image_size: int
    epochs: Mapping[Models, int]
    max_steps: int | None
    device: DeviceChoice
    precision: PrecisionChoice

    def length(self, models: Models) -> str:
        """Length of a training, in words."""
        return f"{self.max_steps} steps" if self.max_steps else f"{self.epochs[models]} epochs"

    def teacher_of(self, variant: Variant) -> str:
        """Return the teacher of a row. A file of weights is that of one teacher, so all rows have it then."""
        if self.teacher:
            return self.teacher
        one_file = self.teacher_weights not in (None, "random")
        return self.paper_teacher if one_file else variant.teacher or self.paper_teacher

    def strides_of(self, variant: Variant) -> tuple[int, ...] | None:
        """Return the strides of a row's levels: its own if the teacher is its own, else the default ones."""
        return variant.strides if self.teacher_of(variant) == variant.teacher else None

    def options(self, run: Run) -> FitOptions:
        """Options of ``fit`` for a run: train as the paper does, and keep the student of the last step.

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
                "teacher": self.teacher_of(run.variant),
                "teacher_weights": self.teacher_weights,
                "strides": self.strides_of(run.variant),
                "image_size": self.image_size,
                "device": self.device,
                "precision": self.computed_in[1],
                "holdout": 0.0,
                "validation": 0.0 if chooses else None,
                "max_steps": self.max_steps,
                "epochs": None if self.max_steps else self.epochs[run.models],
            }
        )
        recipe_of(asked)  # raises for an unknown setting before any work is done
        return asked

    @cached_property
    def weights(self) -> str:
        """SHA-256 of the file of the teacher's weights; if there is no file, the option as it was given."""
        file = Path(self.teacher_weights or "")
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else self.teacher_weights or ""

    @cached_property
    def computed_in(self) -> tuple[str, Literal["32", "bf16"]]:
        """Kind of device, such as ``cpu``, and precision, which is measured once for all runs."""
        device = resolve_device(self.device)
        return device.type, resolve_precision(self.precision, device)

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Category -> digest of the names and sizes of its pictures and masks, wherever their folder is."""
        digests = {category: hashlib.sha256() for category in self.found.categories}
        for record in self.found.records:
            for path in (record.path, *record.masks):
                what = (record.split, record.defect, path.name, path.stat().st_size)
                digests[record.category].update(repr(what).encode())
        return {category: digest.hexdigest() for category, digest in digests.items()}

    def pictures(self, categories: Sequence[str]) -> str:
        """Categories -> digest of their pictures, 16 hexadecimal digits."""
        digests = [(category, self._digests[category]) for category in categories]
        return hashlib.sha256(repr(digests).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Attributes:
        variant: row of the table.
        models: whether one model learns all categories or only one.
        categories: the categories that it learns, sorted.
        seed: random seed of the training.
    """

    variant: Variant
    models: Models
    categories: tuple[str, ...]
    seed: int

    def key(self, protocol: Protocol) -> dict[str, str]:
        """Everything that decides the figures of the run, as text: runs with equal keys are the same run."""
        variant, recipe = self.variant, METHODS[self.variant.method].recipes["paper"]
        settings = settings_for(variant.method, variant.settings).model_dump(mode="json")
        device, precision = protocol.computed_in
        strides = protocol.strides_of(variant)  # older rows have no such column, and default levels
        own = {"strides": ",".join(map(str, strides))} if strides else {}
        return own | {
            "method": variant.method,
            "settings": json.dumps(settings, sort_keys=True),
            "recipe": json.dumps(asdict(recipe), sort_keys=True),
            "models": self.models,
            "trained_on": " ".join(self.categories),
            "seed": str(self.seed),
            "length": protocol.length(self.models),
            "batch_size": str(variant.batch_size or recipe.batch_size),
            "teacher": protocol.teacher_of(variant),
            "teacher_weights": protocol.weights,
            "image_size": str(protocol.image_size),
            "computed_in": f"{device} {precision}",
            "pictures": protocol.pictures(self.categories),
            "version": versions()["understudy"],
        }

    def describe(self) -> str:
        """Describe the run in words."""
        what = "all" if self.models == "unified" else self.categories[0]
        return f"{self.variant.label}, {self.models}, {what}, seed {self.seed}"


def runs_of(table: Table, found: PictureSet, seeds: Sequence[int]) -> Iterator[Run]:
    """List all runs of a table on a data set: first the whole table for the first seed, then for the next."""
    everything = tuple(found.categories)
    for seed in seeds:
        for variant in table.variants:
            for models in table.models:
                for categories in [everything] if models == "unified" else [(c,) for c in everything]:
                    yield Run(variant, models, categories, seed)


def kept_precision(folder: Path, device: DeviceChoice) -> PrecisionChoice:
    """Return the precision of the runs in a folder of results; ``auto`` if it has none of such a device.

    What is faster may be measured otherwise the next time, and runs in another precision are other runs.

    Args:
        folder: folder of the results, which may not exist yet.
        device: device as ``fit`` takes it.
    """
    kind = resolve_device(device).type
    kept = Counter(row["computed_in"] for row in _read(folder / _RUNS) if row.get("computed_in"))
    for place in sorted((folder / _UNFINISHED).glob("*")):
        with suppress(InputError):  # a damaged one; its run says what to do
            if manifests.holds_model(place):
                trained = manifests.read_manifest(place).training
                kept[f"{trained.device} {trained.precision}"] += 1
            else:
                kept[f"{kind} {begun_precision(place)}"] += 1
    found: dict[str, PrecisionChoice] = {f"{kind} 32": "32", f"{kind} bf16": "bf16"}
    return next((found[name] for name, _ in kept.most_common() if name in found), "auto")


class Results:
    """The finished runs in a folder: ``runs.csv`` has one row for every category of every finished run.

    Several tables share the folder, so that a run that two tables need is carried out once. A run that was
    stopped lies in ``unfinished`` and continues from its last checkpoint.

    Args:
        folder: folder of the results; created if it is missing.
        protocol: what all runs have in common.

    Attributes:
        file: path of ``runs.csv``.
    """

    def __init__(self, folder: Path, protocol: Protocol) -> None:
        files.prepare_folder(folder)
        self._unfinished, self._protocol = folder / _UNFINISHED, protocol
        self.file = folder / _RUNS
        self._rows = _read(self.file)

    def of(self, run: Run) -> dict[str, dict[str, str]]:
        """Category -> row of a finished run; empty if a category is missing."""
        key = run.key(self._protocol)
        rows = {r["category"]: r for r in self._rows if all(r.get(k) == v for k, v in key.items())}
        return rows if rows.keys() == set(run.categories) else {}

    def add(self, run: Run, reporter: Reporter) -> None:
        """Carry out a run: train, evaluate, and add its rows to ``runs.csv``.

        Raises:
            InputError: data, teacher or options cannot be used.
            WorkError: the work failed; finished runs and the last checkpoint are kept.
        """
        self.keep(run, carry_out(run, self._protocol, self.place_of(run), reporter))

    def place_of(self, run: Run) -> Path:
        """Folder in which a run is trained."""
        digest = hashlib.sha256(json.dumps(run.key(self._protocol)).encode()).hexdigest()[:12]
        return self._unfinished / f"{run.variant.method}-seed{run.seed}-{digest}"

    def keep(self, run: Run, rows: Sequence[Mapping[str, str]]) -> None:
        """Add the rows of a run to ``runs.csv``, and remove the folder that it was trained in.

        Raises:
            WorkError: the file cannot be written; the folder is still there.
        """
        self._rows = [*_read(self.file), *map(dict, rows)]  # another table may have added rows meanwhile
        _write(self.file, self._rows)
        remove_own(self.place_of(run), manifests.MANIFEST)


def carry_out(run: Run, protocol: Protocol, folder: Path, reporter: Reporter) -> list[dict[str, str]]:
    """Train and evaluate; return one row for each category.

    Args:
        run: what to do.
        protocol: what all runs have in common.
        folder: folder of the model; a training that was stopped there goes on.
        reporter: takes messages and progress.

    Raises:
        InputError: data, teacher or options cannot be used.
        WorkError: the work failed; the last checkpoint is kept.
    """
    try:
        model = _trained(run, protocol, folder, reporter)
    except WorkError as error:
        raise WorkError(f"{error} (of reproduce: {_AGAIN})") from error
    metrics = evaluate(model, protocol.data, categories=run.categories, progress=reporter).metrics
    facts = {name: str(getattr(model.manifest.training, name)) for name in _FACTS}
    facts["unreadable"] = str(len(metrics["unreadable"]))
    facts["versions"] = ", ".join(f"{n} {v}" for n, v in metrics["versions"].items())
    return [
        run.key(protocol) | {"category": category} | figures_of(metrics["categories"][category]) | facts
        for category in run.categories
    ]


def _trained(run: Run, protocol: Protocol, folder: Path, reporter: Reporter) -> Inspector:
    begun = manifests.holds_model(folder) or checkpoint_file(folder).is_file()
    asked = protocol.options(run).model_copy(update={"resume": begun, "overwrite": not begun})
    try:
        train_model(protocol.data, folder, asked, reporter)
        return load_trained(folder, resolve_device(asked.device), calibrated=False)[1]
    except InputError as error:
        if not begun:
            raise
        raise InputError(f"{error} (of reproduce: delete {folder} to begin this run anew)") from error


def figures_of(own: Mapping[str, Any]) -> dict[str, str]:
    """Metrics of one category -> :data:`FIGURES` as text; empty text for a figure that is unknown."""
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
    """Write all rows through a temporary file, so that a kill or a full disk leaves the earlier file."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    files.write_text(path, text.getvalue())
