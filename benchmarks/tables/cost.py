"""Tables of time and memory."""

from __future__ import annotations

import math
import statistics

from tables.wording import Row, chosen, made_on, middle, table

__all__ = [
    "affinity",
    "compiled",
    "feature_cache",
    "memory_exponent",
    "metrics",
    "optimiser",
    "scoring",
    "startup",
    "structure_cost",
]


def metrics(rows: list[Row]) -> str:
    """Show time and memory of every contender, and its time relative to ours on as many maps."""
    lines = [
        "| maps | contender | time | against ours | peak memory | AUPRO | pixel AUROC |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = {row["maps"]: float(row["seconds"]) for row in rows if row["contender"] == "ours"}
    for row in sorted(rows, key=lambda r: (int(r["maps"]), float(r["seconds"]))):
        seconds = float(row["seconds"])
        cells = [
            row["maps"],
            row["contender"],
            f"{seconds:.2f} s",
            f"x {seconds / ours[row['maps']]:.1f}",
            f"{float(row['peak_mib']) / 1024:.2f} GiB",
            f"{100 * float(row['aupro']):.3f}",
            f"{100 * float(row['pixel_auroc']):.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    first = rows[0]
    note = (
        f"\nMaps of {first['side']} x {first['side']}, both figures together, each contender in a process of "
        f"its own, one after the other, on {first['machine']}, {first['date']}, commit {first['commit']}. "
        "Made by `python benchmarks/metrics.py --out benchmarks/results/metrics.csv`.\n"
    )
    return "\n".join(lines) + "\n" + note


def startup(rows: list[Row]) -> str:
    """Show how long each command takes, by its newest figures."""
    newest = {row["command"]: row for row in rows}.values()
    lines = [
        [f"`{r['command']}`", f"{r['median_s']} s", f"{r['least_s']} to {r['most_s']} s"] for r in newest
    ]
    note = (
        f"\nWall time of whole processes in turn, {rows[-1]['rounds']} rounds, {made_on(list(newest))}. "
        "Made by `python benchmarks/startup.py --out benchmarks/results/startup.csv`.\n"
    )
    return table(["command", "median", "range"], lines) + note


def feature_cache(rows: list[Row]) -> str:
    """Compare a training step with features computed at each step, and once."""
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        off, once = (chosen(rows, method=method, cache_features=way) for way in ("off", "auto"))
        lines.append([f"`{method}`", *_compared(off, once)])
    first = rows[0]
    note = (
        f"\nMedians over rounds in turn, processes of their own; {first['steps']} steps of "
        f"{first['batch_size']}, {first['image_size']} px, teacher `{first['teacher']}`, "
        f"{first['computed_in']}, {made_on(rows)}. Made by `python benchmarks/feature_cache.py --out "
        f"benchmarks/results/feature_cache.csv --steps {first['steps']}`.\n"
    )
    header = ["method", *_comparing("at each step", "once")]
    return table(header, lines) + note


def compiled(rows: list[Row]) -> str:
    """Compare a step with and without torch.compile: its time, the first ten steps and the last loss."""
    lines = []
    for method, precision in dict.fromkeys((row["method"], row["computed_in"]) for row in rows):
        own = chosen(rows, method=method, computed_in=precision)
        as_is, fast = (chosen(own, compiled=word) for word in ("False", "True"))
        if not (as_is and fast):
            continue
        starts = [f"{middle(side, 'first_report_s'):.1f} s" for side in (as_is, fast)]
        losses = [f"{middle(side, 'loss'):.2f}" for side in (as_is, fast)]
        lines.append([f"`{method}`", precision, *_compared(as_is, fast), *starts, *losses])
    first = rows[0]
    note = (
        f"\nMedians over rounds in turn, processes of their own, features computed at each step; "
        f"{first['steps']} steps of {first['batch_size']}, {first['image_size']} px, `stpm` on a random "
        f"ResNet-18, the others on the embedded teacher, {made_on(rows)}. Made by "
        "`python benchmarks/compiled.py --out benchmarks/results/compiled.csv`.\n"
    )
    header = ["method", "precision", *_comparing("as it is", "compiled")]
    starts = ["first 10 steps, as it is", "compiled"]
    return table([*header, *starts, "last loss, as it is", "compiled"], lines) + note


def structure_cost(rows: list[Row]) -> str:
    """Compare a training step of SNL(RD) with one of RD, and tell of a step on a large picture."""
    usual, capped = chosen(rows, memory_cap_gb="0"), [row for row in rows if row["memory_cap_gb"] != "0"]
    lines = []
    for precision in dict.fromkeys(row["computed_in"] for row in usual):
        for way, label in {"off": "at each step", "auto": "once"}.items():
            same = chosen(usual, computed_in=precision, cache_features=way)
            sides = [chosen(same, method=method) for method in ("rd", "snl-rd")]
            if all(sides):
                lines.append([precision, label, *_compared(*sides)])
    first = rows[0]
    note = (
        f"\nMedians over rounds in turn, processes of their own; batches of {first['batch_size']}, "
        f"{first['image_size']} px, teacher `{first['teacher']}` with {first['weights']} weights, "
        f"{made_on(rows)}.{''.join(map(_large, capped))} Made by `python benchmarks/structure_cost.py --out "
        "benchmarks/results/structure_cost.csv`.\n"
    )
    return table(["precision", "features", *_comparing("`rd`", "`snl-rd`")], lines) + note


def _comparing(one: str, other: str) -> list[str]:
    return [f"step, {one}", other, "ratio", f"peak memory, {one}", other, "ratio"]


def _compared(one: list[Row], other: list[Row]) -> list[str]:
    """Cells for the time of a step and for peak memory: one side, the other, and their ratio."""
    step, step2 = (middle(side, "step_ms") for side in (one, other))
    peak, peak2 = (middle(side, "peak_mib") / 1024 for side in (one, other))
    times = [f"{step:.0f} ms", f"{step2:.0f} ms", f"{step2 / step:.2f}"]
    return [*times, f"{peak:.2f} GiB", f"{peak2:.2f} GiB", f"{peak2 / peak:.2f}"]


def _large(row: Row) -> str:
    """Say how a step on a large picture went."""
    said = (
        f" A step of `{row['method']}` at {row['image_size']} px, batch of {row['batch_size']}, "
        f"{row['computed_in'] or row['precision']}, affinity {row['affinity']}, within "
        f"{float(row['memory_cap_gb']):g} GB: "
    )
    if row["outcome"] != "measured":
        return f"{said}{row['outcome']} ({float(row['naive_needs_gb']):.0f} GB of matrices at least)."
    return f"{said}{float(row['step_ms']) / 1000:.1f} s, peak {float(row['peak_mib']) / 1024:.1f} GiB."


def affinity(rows: list[Row]) -> str:
    """Show time and memory of the affinity terms in every form at every size."""
    forms = list(dict.fromkeys(row["form"] for row in rows))
    lines = []
    for batch_size, size in dict.fromkeys((row["batch_size"], row["image_size"]) for row in rows):
        cells = {row["form"]: _measured(row) for row in chosen(rows, batch_size=batch_size, image_size=size)}
        lines.append([batch_size, f"{size} px", *(cells.get(form, "") for form in forms)])
    first, exponent = rows[0], memory_exponent(rows, "squared")
    batches = ",".join(dict.fromkeys(row["batch_size"] for row in rows))
    growth = f" Memory of `squared` grows with pixels to the power of {exponent:.2f}." if exponent else ""
    note = (
        f"\nForward and backward, intra- and inter-affinity (a batch of 1 has no inter-affinity) summed "
        f"over the levels of a WideResNet-50 at strides {first['strides']}; memory beyond the features, of "
        f"at most {float(first['memory_cap_gb']):g} GB; a process each, {made_on(rows)}.{growth} Made by "
        f"`python benchmarks/affinity.py --out benchmarks/results/affinity.csv --batch-sizes {batches}`; "
        "what takes more than a time (`--time-cap`) is ended.\n"
    )
    return table(["batch", "picture", *(f"`{form}`" for form in forms)], lines) + note


def _measured(row: Row) -> str:
    if row["outcome"] == "measured":
        return f"{float(row['seconds']):.2f} s, {float(row['own_mib']) / 1024:.2f} GiB"
    naive = row["form"].startswith("naive") and row["outcome"] == "does not fit"
    return row["outcome"] + (f": {float(row['naive_needs_gb']):.0f} GB of matrices at least" if naive else "")


def memory_exponent(rows: list[Row], form: str) -> float | None:
    """Slope of log memory over log pixels of a form at the largest batch; ``None`` for a single size."""
    measured = chosen(rows, form=form, outcome="measured")
    largest = max((int(row["batch_size"]) for row in measured), default=0)
    points = [
        (math.log(int(row["image_size"]) ** 2), math.log(float(row["own_mib"])))
        for row in chosen(measured, batch_size=str(largest))
    ]
    return statistics.linear_regression(*zip(*points, strict=True)).slope if len(points) > 1 else None


def scoring(rows: list[Row]) -> str:
    """Show latency, throughput and memory of the ways to score."""
    batch_sizes = sorted({int(row["batch_size"]) for row in rows})
    lines = []
    for contender, threads in dict.fromkeys((row["contender"], row["threads"]) for row in rows):
        own = chosen(rows, contender=contender, threads=threads)
        taken, ready = (
            {int(row["batch_size"]): row for row in chosen(own, pictures=kind)}
            for kind in ("files", "arrays")
        )
        if not taken.keys() == ready.keys() == set(batch_sizes):
            continue  # some of it is not measured yet
        latencies = [f"{one[1][name]} ms" for name in ("p50_ms", "p99_ms") for one in (taken, ready)]
        rates = [f"{taken[b]['per_second']} ({ready[b]['per_second']})" for b in batch_sizes]
        peak = max(float(row["peak_mib"]) for row in own) / 1024
        p50, p50_ready, p99, p99_ready = latencies
        lines.append(
            [contender, threads, f"{p50} ({p50_ready})", f"{p99} ({p99_ready})", *rates, f"{peak:.2f} GiB"]
        )
    first = rows[0]
    note = (
        f"\nIn brackets: of arrays of the model's size, with nothing to decode. Latency: {first['count']} "
        f"pictures one by one; /s: as many together, median of {first['rounds']} passes. "
        f"`{first['method']}`, {first['image_size']} px, teacher `{first['teacher']}`; each contender held "
        f"to as many cores, in processes of its own, {made_on(rows)}. Made by "
        "`python benchmarks/scoring.py --data REALBENCH --out benchmarks/results/scoring.csv`.\n"
    )
    header = ["", "threads", "latency, median", "99th percentile", *(f"/s at {b}" for b in batch_sizes)]
    return table([*header, "peak memory"], lines) + note


def optimiser(rows: list[Row]) -> str:
    """Show the time of one optimiser step in PyTorch's three ways."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    lines = []
    for teacher, name in dict.fromkeys((row["teacher"], row["optimiser"]) for row in rows):
        own = {row["way"]: row for row in chosen(rows, teacher=teacher, optimiser=name)}
        millions = f"{float(own[ways[0]]['parameters']) / 1e6:.1f} M"
        lines.append([f"`{teacher}`", millions, name, *(f"{own[way]['step_ms']} ms" for way in ways)])
    note = (
        f"\nOne step over the student of RD, median of {rows[0]['rounds']} in turn, {made_on(rows)}. Made by "
        "`python benchmarks/optimiser.py --out benchmarks/results/optimiser.csv`.\n"
    )
    return table(["student of", "parameters", "optimiser", *ways], lines) + note
