"""Run a paper's table on a folder of pictures: do the runs that are missing, and write the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from understudy.data.layouts import as_picture_set
from understudy.data.overview import announce, describe
from understudy.data.records import PictureData, PictureSet
from understudy.errors import InputError
from understudy.files import write_text
from understudy.lab.reproduce.page import Measurements, page, strongest_gains
from understudy.lab.reproduce.runs import Protocol, Results, Run, carry_out, kept_precision, runs_of
from understudy.lab.reproduce.tables import FIGURES, TABLES, Models, Table, TableCell, reported, sources
from understudy.lab.spread import spread, threads_each
from understudy.progress import Progress, Reporter, reporting
from understudy.types import DeviceChoice, PrecisionChoice

__all__ = ["EPOCHS", "Reproduction", "reproduce"]


EPOCHS: Mapping[Models, int] = {"unified": 100, "one-class": 200}
"""Default length of a training in epochs. RD's release trains for 200; SNL's paper names no length."""


@dataclass(frozen=True)
class Reproduction:
    """A finished table.

    Attributes:
        page: Markdown file with the table.
        runs: file with one row for every run and category.
        text: content of the page.
        rows: (label of the table's row, row of ``runs``) for every run and category of this table.
    """

    page: Path
    runs: Path
    text: str
    rows: list[tuple[str, dict[str, str]]]


def reproduce(
    name: str,
    data: PictureData,
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
    workers: int = 1,
    progress: Progress = True,
) -> Reproduction:
    """Do the runs of a table that are still missing, and write its page again after every run.

    Training is as in the papers: every picture is shown equally often, none is held out, the learning rate is
    constant (UniAD's falls once), and the student of the last step counts. Runs are kept in ``out/runs.csv``,
    which several tables share. A run that was stopped continues from its last checkpoint when the same call
    is made again. The figures of the paper stand beside ours if the data has the category names of the
    paper's data set.

    Args:
        name: table: ``snl-1`` to ``snl-4`` (MVTec AD, VisA; image and pixel AUROC), ``snl-5`` (terms),
            ``snl-6`` (centres), ``stpm`` or ``loco``.
        data: folder or list of pictures to train and test on, as ``fit`` takes it.
        out: folder of the results; several tables share it.
        teacher: any timm backbone, for every row; by default those of the paper.
        teacher_weights: weights of the teacher: a ``.safetensors`` or ``.pth`` file, or the word ``random``;
            by default those that are installed, or those of the hub.
        seeds: random seeds to run and average.
        epochs: length of every training in passes over the pictures; by default 100 for one model of all
            categories and 200 for a model of one category.
        max_steps: length of every training in optimiser steps, in place of ``epochs``.
        categories: categories to use; all by default.
        rows: rows of the table to run, such as ``["RD", "SNL(RD)"]``; all by default.
        models: ``unified`` runs only one model for all categories, ``one-class`` only one model for each; by
            default as the table has it.
        image_size: side of the square input in pixels.
        device: where to run; ``auto`` takes a GPU if there is one.
        precision: precision of training; ``auto`` takes that of the runs in ``out``. If there are none, it
            takes bf16 where a measurement says that it is faster.
        workers: processes that share the cores and do a run each; figures are those of runs with as many
            threads as each has. In a script, call this below ``if __name__ == "__main__":`` then.
        progress: see :data:`understudy.progress.Progress`.

    Returns:
        The page and the runs behind it.

    Raises:
        InputError: there is no such table or row, or data, teacher or options cannot be used.
        WorkError: a training failed; finished runs are kept.
    """
    table = _chosen(name, rows, models)
    if any(length is not None and length < 1 for length in (epochs, max_steps)):
        raise InputError("a training has one epoch or one step at least")
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(
            f"seeds are one number or more, each once, got {', '.join(map(str, seeds)) or 'none'}"
        )
    if workers < 1:
        raise InputError(f"runs are spread over one process or more, got {workers}; see --workers")
    if epochs is not None and max_steps is not None:
        raise InputError("a training has a number of epochs or a number of steps; choose one")
    everything = as_picture_set(data)
    found = everything.only(categories)
    for category in found.categories:  # missing pictures raise before any work is done
        pictures = found.only([category])
        pictures.train(), pictures.test()
    protocol = Protocol(
        data=everything,
        found=found,
        teacher=teacher,
        paper_teacher=table.teacher,
        teacher_weights=teacher_weights,
        image_size=image_size,
        epochs=dict.fromkeys(EPOCHS, epochs) if epochs else EPOCHS,
        max_steps=max_steps,
        device=device,
        precision=kept_precision(Path(out), device) if precision == "auto" else precision,
    )
    runs = list(runs_of(table, found, seeds))
    for run in runs:
        protocol.options(run)  # so do options that cannot be used
    paper = reported(name, TABLES[name]) if everything.categories == list(table.categories) else {}
    with reporting(progress) as reporter:
        return _run(name, table, runs, seeds, protocol, Path(out), paper, workers, reporter)


def _run(
    name: str,
    table: Table,
    runs: Sequence[Run],
    seeds: Sequence[int],
    protocol: Protocol,
    out: Path,
    paper: Mapping[TableCell, float],
    workers: int,
    reporter: Reporter,
) -> Reproduction:
    """Do the missing runs, and write the page again after each of them."""
    results, found = Results(out, protocol), protocol.found
    heavy = [c for c in strongest_gains(TABLES[name], paper) if c in found.categories]
    missing = [run for run in runs if not results.of(run)]
    announce(found, reporter.say)
    reporter.say(f"{name}: {len(runs)} runs, {len(runs) - len(missing)} of them done before")
    file = out / f"{name}.md"

    def write() -> str:
        ours = _found(results, runs, seeds, found, protocol)
        text = page(name, table, ours, paper, sources(name, table), heavy)
        write_text(file, text)
        return text

    text = write()
    if workers == 1:
        for number, run in enumerate(missing, start=1):
            reporter.say(f"run {number} of {len(missing)}: {run.describe()}")
            results.add(run, reporter)
            text = write()
    else:
        each = threads_each(workers)
        reporter.say(f"{workers} processes do a run each, with {each} thread{'s' if each > 1 else ''}")
        protocol = replace(protocol, precision=protocol.computed_in[1])  # measured once, not by each
        work = partial(_elsewhere, protocol=protocol)
        jobs = [(run, results.place_of(run)) for run in missing]
        for number, ((run, _), rows) in enumerate(spread(work, jobs, workers), start=1):
            results.keep(run, rows)
            reporter.say(f"run {number} of {len(missing)} is done: {run.describe()}")
            text = write()
    done = [(run.variant.label, row) for run in runs for row in results.of(run).values()]
    return Reproduction(file, results.file, text, done)


def _elsewhere(job: tuple[Run, Path], protocol: Protocol) -> list[dict[str, str]]:
    """Carry a run out in another process, which says nothing."""
    run, folder = job
    return carry_out(run, protocol, folder, Reporter())


def _chosen(name: str, rows: Sequence[str] | None, models: Models | None) -> Table:
    """Table of a name, with only the rows and models that were asked for."""
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
    """Collect the figures of all finished runs."""
    by_seed: dict[TableCell, dict[int, float | None]] = {}
    seconds: dict[str, list[float]] = {}
    software, unreadable = dict[str, None](), 0
    for run in runs:
        rows = results.of(run)
        for category, row in rows.items():
            for figure in FIGURES:
                cell = TableCell(run.variant.label, run.models, category, figure)
                by_seed.setdefault(cell, {})[run.seed] = float(row[figure]) if row[figure] else None
            software[f"{row['device']}, {row['precision']}; {row['versions']}"] = None
        if rows:
            first = rows[run.categories[0]]
            seconds.setdefault(f"{run.variant.label}, {run.models}", []).append(float(first["seconds"]))
            unreadable = max(unreadable, int(first["unreadable"]))
    lengths = {models: protocol.length(models) for models in dict.fromkeys(run.models for run in runs)}
    weights = f", weights {protocol.teacher_weights}" if protocol.teacher_weights else ""
    teachers = " and ".join(dict.fromkeys(protocol.teacher_of(run.variant) for run in runs))
    facts = [
        describe(data),
        f"teacher {teachers}{weights}, {protocol.image_size} px, learning rate as in the paper's recipe, "
        "every picture equally often, none held out; "
        + ", ".join(f"{models}: {length}" for models, length in lengths.items()),
        *software,
        *(
            f"{label}: {sum(s) / 60:.1f} minutes of training in {len(s)} runs, each since its last start"
            for label, s in seconds.items()
        ),
    ]
    if unreadable:
        facts.append(f"{unreadable} test pictures could not be read, and are in no figure")
    return Measurements(by_seed, seeds, data.categories, facts)
