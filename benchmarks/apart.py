"""Jobs of a benchmark. Each runs in its own process, and its rows are saved at once."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from answers import print_rows, rows_in
from machine import append, read

__all__ = ["SIX", "add_missing", "compare", "parser_of", "print_rows", "run_missing"]

Row = dict[str, Any]

SIX = "ballscrew,hazelnut,cookie,alien,magnetic_tile,pcb"
"""Six real products, separated by commas. Three of them are hard."""


def run_missing(
    script: str,
    data: Path | None,
    out: Path,
    job: Row,
    limit_s: float | None = None,
    late: Sequence[Row] = (),
) -> None:
    """Run ``script --run JOB`` in its own process and append the rows that it prints to ``out``.

    A job whose rows exist is not repeated. A job that takes longer than ``limit_s`` seconds is stopped, and
    the rows ``late`` are appended for it.
    """
    command = [sys.executable, script, "--out", str(out), "--run", json.dumps(job)]
    command += ["--data", str(data)] if data else []
    add_missing(out, job, command, limit_s=limit_s, late=late)


def add_missing(
    out: Path,
    job: Row,
    command: Sequence[str],
    complete: Callable[[Row], Row] = lambda row: row,
    limit_s: float | None = None,
    late: Sequence[Row] = (),
) -> None:
    """Run a command, complete each row that it prints, and append it to ``out``. Skip a finished job."""
    if any(all(row[k] == str(v) for k, v in job.items()) for row in read(out)):
        return
    try:
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=limit_s)
        rows = [complete(row) for row in rows_in(ended.stdout)]
    except subprocess.TimeoutExpired:
        rows = list(late)
    append(out, rows)
    for row in rows:
        print({k: v for k, v in row.items() if k in job or isinstance(v, float)}, flush=True)


def parser_of(
    about: str | None, *, categories: str | None = None, seeds: str = "0,1,2"
) -> argparse.ArgumentParser:
    """Make the parser of a script that trains on real pictures, seed by seed. ``--run`` is for its own jobs.

    Args:
        about: the script's docstring.
        categories: default products to learn from, separated by commas; ``None`` for no such option.
        seeds: default seeds, separated by commas.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    if categories is not None:
        parser.add_argument("--categories", default=categories)
    parser.add_argument("--seeds", default=seeds)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    return parser


def compare(
    script: str,
    about: str | None,
    option: str,
    values: Sequence[str],
    run: Callable[..., list[Row]],
    show: Callable[[list[dict[str, str]]], str],
    *,
    method: str,
    categories: str = "ballscrew,hazelnut,cookie",
    seeds: str = "0,1,2",
    steps: int = 1500,
) -> None:
    """Train with each value of an option, seed by seed, where rows are missing, and print the table.

    Args:
        script: file of the script whose command line this is.
        about: its docstring.
        option: name of the option that is compared; a column of the results.
        values: its values.
        run: (data, method, the option, seed, steps, batch_size, trained_on) -> rows of one training.
        show: rows of the results -> table.
        method: default method.
        categories: default products to learn from, separated by commas.
        seeds: default seeds, separated by commas.
        steps: default length of a training.
    """
    parser = parser_of(about, categories=categories, seeds=seeds)
    parser.add_argument("--method", default=method)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch-size", type=int, default=8)
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    for seed in map(int, asked.seeds.split(",")):
        for value in values:
            job = {
                "method": asked.method,
                option: value,
                "seed": seed,
                "steps": asked.steps,
                "batch_size": asked.batch_size,
                "trained_on": asked.categories.replace(",", " "),
            }
            run_missing(script, asked.data, asked.out, job)
    print(show(read(asked.out)))
