"""A paper's table on a folder of pictures: run what is missing, and show it beside the paper's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from understudy.data.layouts import describe, open_pictures
from understudy.data.records import PictureSet
from understudy.errors import InputError
from understudy.files import write_text
from understudy.lab.reproduce.page import Measurements, page, strongest_gains
from understudy.lab.reproduce.runs import Protocol, Results, Run, runs_of
from understudy.lab.reproduce.tables import FIGURES, TABLES, Cell, Models, Table, reported, sources
from understudy.progress import Progress, Reporter, reporting
from understudy.types import DeviceChoice, PrecisionChoice

__all__ = ["EPOCHS", "Reproduction", "reproduce"]


EPOCHS: Mapping[Models, int] = {"unified": 100, "one-class": 200}
"""Length of a training where none is asked for: RD's release has 200, SNL's paper names none."""


@dataclass(frozen=True)
class Reproduction:
    """A table that was made.

    Attributes:
        page: the file, Markdown.
        runs: the file with a row for every run and category.
        text: what the page says.
        rows: of this table's runs, by the row's label, with all that ``runs`` holds of each.
    """

    page: Path
    runs: Path
    text: str
    rows: list[tuple[str, dict[str, str]]]


def reproduce(
    name: str,
    data: str | Path,
    out: str | Path = "reproduction",
    *,
    teacher: str | None = None,
    teacher_weights: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int | None = None,
    max_steps: int | None = None,
    categories: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    models: Models | None = None,
    image_size: int = 256,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    progress: Progress = True,
) -> Reproduction:
    """Run what a table still lacks and write its page, anew after every run.

    As the papers do, every picture is learned from equally often, none is held out, the learning rate is
    constant and the last student counts. Runs are kept in ``out/runs.csv``, which several tables share; a run
    that was stopped goes on from its last checkpoint when the same command is given again. The paper's
    figures stand beside ours where the folder holds the categories of the paper's data set, by their names.

    Args:
        name: The table: snl-1 to snl-4 (MVTec AD, VisA; image and pixel AUROC), snl-5 (terms), snl-6 (centres),
            stpm, or loco.
        data: Pictures to learn from and to test on, as fit takes them.
        out: Folder of the results, shared by all tables.
        teacher: Any timm backbone; the paper's by default.
        teacher_weights: Its weights: a .safetensors or .pth file, or the word random; embedded or from the hub by
            default.
        seeds: Random seeds to run and average.
        epochs: Length of every training: passes over the pictures; 100 for one model of all categories, 200 for one
            category by default.
        max_steps: Length of every training in steps, in place of epochs.
        categories: Only these categories; all by default.
        rows: Only these rows of the table, such as RD,SNL(RD).
        models: Only one model for all (``unified``), or only one a category (``one-class``).
        image_size: Side of the network's square input, in pixels.
        device: Where to run; auto takes a GPU where there is one.
        precision: Precision of training; auto takes bf16 where the hardware has it.
        progress: see :data:`understudy.progress.Progress`.

    Raises:
        InputError: no such table or row, or data, teacher or options cannot be used.
        WorkError: a training failed; what is done is kept.
    """
    table = _chosen(name, rows, models)
    if any(length is not None and length < 1 for length in (epochs, max_steps)):
        raise InputError("a training has one epoch or one step at least")
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(
            f"seeds are one number or more, each once, got {', '.join(map(str, seeds)) or 'none'}"
        )
    if epochs is not None and max_steps is not None:
        raise InputError("a training has a number of epochs or a number of steps; choose one")
    everything = open_pictures(Path(data))
    found = everything.only(categories)
    for category in found.categories:  # what is missing is named before any work is spent
        own = found.only([category])
        own.train(), own.test()
    protocol = Protocol(
        data=Path(data),
        found=found,
        teacher=teacher or table.teacher,
        teacher_weights=teacher_weights,
        image_size=image_size,
        epochs=dict.fromkeys(EPOCHS, epochs) if epochs else EPOCHS,
        max_steps=max_steps,
        device=device,
        precision=precision,
    )
    runs = list(runs_of(table, found, seeds))
    for run in runs:
        protocol.options(run)  # likewise
    paper = reported(name, TABLES[name]) if everything.categories == list(table.categories) else {}
    with reporting(progress) as reporter:
        return _run(name, table, runs, seeds, protocol, Path(out), paper, reporter)


def _run(
    name: str,
    table: Table,
    runs: Sequence[Run],
    seeds: Sequence[int],
    protocol: Protocol,
    out: Path,
    paper: Mapping[Cell, float],
    reporter: Reporter,
) -> Reproduction:
    """Run what is missing, and write the page anew after every run."""
    results, found = Results(out, protocol), protocol.found
    heavy = [c for c in strongest_gains(TABLES[name], paper) if c in found.categories]
    missing = [run for run in runs if not results.of(run)]
    reporter.say(describe(found))
    reporter.say(f"{name}: {len(runs)} runs, {len(runs) - len(missing)} of them done before")
    file = out / f"{name}.md"

    def write() -> str:
        ours = _found(results, runs, seeds, found, protocol)
        text = page(name, table, ours, paper, sources(name, table), heavy)
        write_text(file, text)
        return text

    text = write()
    for number, run in enumerate(missing, start=1):
        reporter.say(f"run {number} of {len(missing)}: {run.describe()}")
        results.add(run, reporter)
        text = write()
    done = [(run.variant.label, row) for run in runs for row in results.of(run).values()]
    return Reproduction(file, results.file, text, done)


def _chosen(name: str, rows: Sequence[str] | None, models: Models | None) -> Table:
    """The table, with those of its rows and models that are asked for."""
    if name not in TABLES:
        raise InputError(f"no table is named {name!r}; there are {', '.join(TABLES)}")
    table = TABLES[name]
    labels = [variant.label for variant in table.variants]
    if rows is not None and not rows:
        raise InputError(f"no row is named; {name} has {', '.join(labels)}")
    unknown = [row for row in rows or () if row not in labels]
    if unknown:
        raise InputError(f"{name} has no row {unknown[0]!r}; it has {', '.join(labels)}")
    if models and models not in table.models:
        raise InputError(f"{name} has {' and '.join(table.models)} models alone, not {models}")
    return replace(
        table,
        variants=tuple(v for v in table.variants if rows is None or v.label in rows),
        models=(models,) if models else table.models,
    )


def _found(
    results: Results, runs: Sequence[Run], seeds: Sequence[int], data: PictureSet, protocol: Protocol
) -> Measurements:
    """Our figures so far."""
    by_seed: dict[Cell, dict[int, float | None]] = {}
    seconds: dict[str, list[float]] = {}
    software, unreadable = dict[str, None](), 0
    for run in runs:
        rows = results.of(run)
        for category, row in rows.items():
            for figure in FIGURES:
                cell = Cell(run.variant.label, run.models, category, figure)
                by_seed.setdefault(cell, {})[run.seed] = float(row[figure]) if row[figure] else None
            software[f"{row['device']}, {row['precision']}; {row['versions']}"] = None
        if rows:
            first = rows[run.categories[0]]
            seconds.setdefault(f"{run.variant.label}, {run.models}", []).append(float(first["seconds"]))
            unreadable = max(unreadable, int(first["unreadable"]))
    lengths = {models: protocol.length(models) for models in dict.fromkeys(run.models for run in runs)}
    weights = f", weights {protocol.teacher_weights}" if protocol.teacher_weights else ""
    facts = [
        describe(data),
        f"teacher {protocol.teacher}{weights}, {protocol.image_size} px, constant learning rate, every "
        "picture equally often, none held out; "
        + ", ".join(f"{models}: {length}" for models, length in lengths.items()),
        *software,
        *(
            f"{label}: {sum(own) / 60:.1f} minutes of training in {len(own)} runs, each since its last start"
            for label, own in seconds.items()
        ),
    ]
    if unreadable:
        facts.append(f"{unreadable} test pictures could not be read, and are in no figure")
    return Measurements(by_seed, seeds, data.categories, facts)
