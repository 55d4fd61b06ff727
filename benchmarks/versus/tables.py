"""The tables of ``versus_anomalib.py``. Each has its own CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

__all__ = ["TABLES"]

Row = dict[str, str]

_METHODS = {"stpm": "STPM, ResNet-18", "rd": "RD, WideResNet-50"}
_PRECISIONS = {"32": "float32", "bf16": "bf16"}
_CASES = {
    ("default", "default"): "each one's defaults",
    ("8", "32"): "equal batch, float32",
    ("8", "bf16"): "equal batch, bf16",
}


def training(rows: list[Row]) -> str:
    """Show pictures per second of a training step on both sides, by method and case, and their ratio."""
    lines = ["| training | | Understudy | anomalib | ratio |", "|---|---|---|---|---|"]
    for method, label in _METHODS.items():
        for case, said in _CASES.items():
            of_case = [r for r in rows if (r["method"], r["batch"], r["precision"]) == (method, *case)]
            theirs = [r for r in of_case if r["contender"] == "anomalib"]
            for cache, how in (("auto", ", features cached"), ("off", "")):
                ours = [r for r in of_case if r["contender"] == "understudy" and r["cache_features"] == cache]
                if ours and theirs:
                    ratio = _middle(ours, "pictures_per_s") / _middle(theirs, "pictures_per_s")
                    cells = [label, said + how, _speed(ours), _speed(theirs), f"{ratio:.2f}"]
                    lines.append("| " + " | ".join(cells) + " |")
    first = rows[0]
    note = (
        f"Pictures per second: median over runs of the median over {first['steps']} steps (least to most "
        "of several runs), decoding as each one does by default; then the batch and precision, and after "
        f"which time the first step was done. {first['pictures']} pictures, 256 px, random teachers, "
        "validation off."
    )
    options = f"--steps {first['steps']} --pictures {first['pictures']}"
    return _table(lines, note, rows, f"training {_rounds(rows, 'number')} {options}")


def scoring(rows: list[Row]) -> str:
    """Show latency of one picture, throughput of batches and peak memory of every way to score."""
    columns = ["one picture, p50 / p99", "decoded before", "batches of 8", "decoded before"]
    lines = [
        "| scoring | | " + " | ".join(columns) + " | memory |",
        "|---|---|" + "---|" * (len(columns) + 1),
    ]
    for method, label in _METHODS.items():
        for who in dict.fromkeys((r["contender"], r["way"]) for r in rows if r["method"] == method):
            own = [r for r in rows if (r["method"], r["contender"], r["way"]) == (method, *who)]

            def cell(size: int, decode: str, show: Callable[[list[Row]], str], own: list[Row] = own) -> str:
                chosen = [r for r in own if r["batch_size"] == str(size) and r["decode"] == decode]
                return show(chosen) if chosen else ""

            cells = [
                label,
                ", ".join(who),
                *(cell(1, decode, _latency) for decode in ("included", "apart")),
                *(cell(8, decode, _rate) for decode in ("included", "apart")),
                f"{max(float(r['peak_mib']) for r in own) / 1024:.1f} GiB",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    note = (
        "Milliseconds from one picture to its result, pictures per second in batches, median over runs "
        f"(least to most of several), {rows[0]['scored']} pictures; decoded before: 256 px in memory. Memory "
        "is the most that a process held, which on either side and for the exported runtime includes torch. "
        "Random weights; float32, but for Understudy's `openvino in bf16` and anomalib's `openvino`, where "
        "OpenVINO takes bf16 by itself if the hardware has it."
    )
    return _table(lines, note, rows, f"scoring {_rounds(rows, 'number')} --scored {rows[0]['scored']}")


def footprint(rows: list[Row]) -> str:
    """Show installed sizes and times of whole processes, one environment a column."""
    columns = list(dict.fromkeys(row["contender"] for row in rows))
    lines = ["| | " + " | ".join(f"`{c}`" for c in columns) + " |", "|---|" + "---|" * len(columns)]
    for figure in dict.fromkeys(row["figure"] for row in rows):
        found = {row["contender"]: row for row in rows if row["figure"] == figure}
        cells = [_footprint_cell(found[c]) if c in found else "" for c in columns]
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    note = "Size after `pip install`; seconds of a whole fresh process, median (least to most)."
    return _table(lines, note, rows, "footprint")


def accuracy(rows: list[Row]) -> str:
    """Show quality after equally many steps on both sides, by Understudy's metrics."""
    lines = [
        "| STPM, EfficientNet-Lite0 | image AUROC | pixel AUROC | AUPRO | training | memory |",
        "|---|---|---|---|---|---|",
    ]
    for contender, label in (("understudy", "Understudy"), ("anomalib", "anomalib")):
        own = [row for row in rows if row["contender"] == contender]
        if not own:
            continue
        cells = [_spread(own, name, "{:.1f}", 100) for name in ("image_auroc", "pixel_auroc", "aupro")]
        cells += [_spread(own, "seconds", "{:.0f}") + " s", f"{_middle(own, 'peak_mib') / 1024:.1f} GiB"]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    first = rows[0]
    seeds = ", ".join(sorted({row["seed"] for row in rows}, key=int))
    note = (
        f"Percent, median over seeds {seeds} (least to most): `{first['category']}` alone, {first['steps']} "
        f"steps of {first['batch_size']}, float32, 256 px, the same teacher weights, levels and "
        "normalisation, the last step's student, metrics of Understudy on the maps and scores of both; all "
        "else is each one's default."
    )
    options = f"{_rounds(rows, 'seed')} --accuracy-steps {first['steps']}"
    return _table(lines, note, rows, f"accuracy {options}")


def _table(lines: Sequence[str], note: str, rows: list[Row], part: str) -> str:
    """Join lines and a note; add machine, versions, commit and command."""
    versions = "; ".join(f"{c}: {v}" for c, v in {r["contender"]: r["versions"] for r in rows}.items())
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    where = f"On {rows[0]['machine']}, {rows[0]['date']}, commit {commits}; {versions}."
    made = f"Made by `python benchmarks/versus_anomalib.py --data REALBENCH --parts {part}`."
    return "\n".join(lines) + f"\n\n{note} {where}\n{made}\n"


def _rounds(rows: list[Row], name: str) -> str:
    return f"--rounds {len({row[name] for row in rows})}"


def _speed(rows: list[Row]) -> str:
    first = rows[0]
    look = f"{first['batch_size']}, {_PRECISIONS[first['computed_in']]}"
    start = f"first after {_middle(rows, 'first_step_after_s'):.1f} s"
    return f"{_spread(rows, 'pictures_per_s', '{:.1f}')}; {look}; {start}"


def _latency(rows: list[Row]) -> str:
    return f"{_middle(rows, 'p50_ms'):.1f} / {_middle(rows, 'p99_ms'):.1f} ms"


def _rate(rows: list[Row]) -> str:
    return _spread(rows, "pictures_per_s", "{:.1f}") + " /s"


def _footprint_cell(row: Row) -> str:
    if row["unit"] == "MiB":
        return f"{float(row['median']):,.0f} MiB"
    return f"{float(row['median']):.2f} s ({float(row['least']):.2f} to {float(row['most']):.2f})"


def _middle(rows: list[Row], name: str) -> float:
    return median(float(row[name]) for row in rows)


def _spread(rows: list[Row], name: str, form: str, factor: float = 1) -> str:
    """Write the median (least to most); for one run only its value."""
    values = sorted(factor * float(row[name]) for row in rows)
    middle, least, most = (form.format(v) for v in (median(values), values[0], values[-1]))
    return f"{middle} ({least} to {most})" if len(rows) > 1 else middle


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "versus_training": training,
    "versus_scoring": scoring,
    "versus_footprint": footprint,
    "versus_accuracy": accuracy,
}
