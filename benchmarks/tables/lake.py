"""The tables of ``lake.py``: what workers judge in a second, and what a hundred million pictures cost."""

from __future__ import annotations

import json
import statistics

from tables.wording import Row, made_on, table

__all__ = ["hundred_million", "measured"]

COMMAND = "python benchmarks/lake.py --model EXPORTED --data REALBENCH --out benchmarks/results/lake.csv"
PICTURES = 100_000_000
CORES = 16
"""Cores of a machine of the calculation."""


def measured(rows: list[Row]) -> str:
    """Show rates, CPU time and memory; runs of one worker are averaged."""
    lines = []
    for workers in sorted({row["workers"] for row in rows}, key=int):
        runs = [row for row in rows if row["workers"] == workers]
        rate, share = _mean(runs, "rate"), _mean(runs, "rate") / (int(workers) * _mean(_single(rows), "rate"))
        held = json.loads(runs[-1]["worker_mib"]) or [0]
        lines.append(
            [
                workers,
                f"{int(runs[-1]['pictures']):,}",
                f"{rate:.1f} /s",
                f"{100 * share:.0f} %",
                f"{_mean(runs, 'worker_ms'):.1f} ms",
                f"{_mean(runs, 'engine_ms'):.1f} ms",
                f"{held[0]} and {held[-2] if len(held) > 1 else held[-1]} MiB",
            ]
        )
    header = [
        "workers",
        "pictures",
        "rate",
        "of so many times one worker's",
        "CPU time a picture, workers",
        "the engine",
        "memory of a worker, after a tenth and nine",
    ]
    return table(header, lines) + f"\nOne thread a worker, {made_on(rows)}. Made by `{COMMAND}`."


def hundred_million(rows: list[Row]) -> str:
    """Show what a hundred million pictures take on 1, 10 and 100 machines, at a worker's rate."""
    most = max((int(row["workers"]) for row in rows), default=1)
    each = _mean([row for row in rows if row["workers"] == str(most)], "rate") / most
    core_hours = PICTURES / each / 3600
    lines = [
        [str(n), str(n * CORES), _duration(core_hours / (n * CORES)), f"{each * n * CORES:,.0f} /s"]
        for n in (1, 10, 100)
    ]
    note = f"\nCalculated, not run: {core_hours:,.0f} core-hours at {each:.1f} pictures a second and core."
    return table(["machines", "cores", "time", "pictures"], lines) + note


def _single(rows: list[Row]) -> list[Row]:
    least = min(rows, key=lambda row: int(row["workers"]))["workers"]
    return [row for row in rows if row["workers"] == least]


def _mean(rows: list[Row], name: str) -> float:
    return statistics.mean(float(row[name]) for row in rows)


def _duration(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 3 else f"{60 * hours:.0f} min"
