"""How good methods are: tables of metrics over categories and seeds."""

from __future__ import annotations

import statistics

from tables.wording import Row, alone, chosen, pair, ranged, ranges, seeds_of, table, where

__all__ = ["balance", "logical", "memory_bank", "methods", "normalisation", "unified"]


def unified(rows: list[Row]) -> str:
    """Show image / pixel AUROC in percent per method and category: mean over seeds, and range."""
    categories = rows[0]["trained_on"].split()
    seeds = sorted(seeds_of(rows))
    lines = [
        f"| one model for all {len(categories)} | " + " | ".join(categories) + " | mean | training |",
        "|---|" + "---|" * (len(categories) + 2),
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        if seeds_of(own) != set(seeds):
            continue  # a mean over fewer seeds would not compare
        cells = [pair([r for r in own if r["category"] == c]) for c in categories]
        per_seed = [[r for r in own if r["seed"] == seed] for seed in seeds]
        minutes = [float(one[0]["train_seconds"]) / 60 for one in per_seed]
        time = f"{min(minutes):.1f} to {max(minutes):.1f} min"
        lines.append(f"| {method} | " + " | ".join(cells) + f" | **{ranges(own)}** | {time} |")
    first = rows[0]
    note = (
        f"\nImage / pixel AUROC in percent, mean over seeds {', '.join(seeds)} (± half the range in the mean "
        f"column); {first['steps']} steps of {first['batch_size']}, {where(rows)}.\n"
        "Made by `python benchmarks/unified.py --data REALBENCH --out benchmarks/results/unified.csv`; "
        "nothing was chosen on test pictures.\n"
    )
    return "\n".join(lines) + "\n" + note


def methods(rows: list[Row]) -> str:
    """Show quality, speed and memory per method: one model for all categories, and one for each."""
    first = rows[0]
    unified_on = max((row["trained_on"] for row in rows), key=len)
    categories, seeds = unified_on.split(), sorted(seeds_of(rows))
    lines = [
        "| method | models | image AUROC | pixel AUROC | AUPRO | training | scoring | peak memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    image: dict[tuple[str, bool], float] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        for one_class in (False, True):
            own = [r for r in rows if r["method"] == method and (r["trained_on"] != unified_on) == one_class]
            per_seed = [[r for r in own if r["seed"] == seed] for seed in seeds]
            if any(len(one) != len(categories) for one in per_seed):
                continue  # a mean over fewer seeds or categories would not compare
            means = {
                name: [statistics.mean(float(r[name]) for r in one) for one in per_seed]
                for name in ("image_auroc", "pixel_auroc", "aupro")
            }
            image[method, one_class] = statistics.mean(means["image_auroc"])
            seconds = [
                sum({r["trained_on"]: float(r["train_seconds"]) for r in one}.values()) for one in per_seed
            ]
            rate = statistics.median(float(r["scored_per_second"]) for r in own)
            peak = max(float(r["peak_mib"]) for r in own) / 1024
            cells = [
                f"`{method}`",
                f"one for each of {len(categories)}" if one_class else f"one for all {len(categories)}",
                *(ranged(means[name]) for name in means),
                f"{statistics.median(seconds):.0f} s",
                f"{rate:.1f} /s",
                f"{peak:.1f} GiB",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    pictures = int(first["batch_size"]) * max(int(r["steps"]) for r in rows)
    note = (
        f"\nPercent, mean over {', '.join(categories)} and seeds {', '.join(seeds)} (± half the range "
        f"over seeds), {where(rows)}. Each method saw {pictures} pictures in batches of "
        f"{first['batch_size']}, as one model or shared among the one-class models. "
        "Training: seconds of a seed's models together, median over seeds. Scoring: "
        "float32, decoding included.\n"
        + "".join(_against_base(image, *pair) for pair in (("snl-rd", "rd"), ("snl-fd", "stpm")))
        + "Made by `python benchmarks/methods.py --data REALBENCH --out benchmarks/results/methods.csv "
        f"--pictures {pictures}`; nothing was chosen on test pictures.\n"
    )
    return "\n".join(lines) + "\n" + note


def _against_base(image: dict[tuple[str, bool], float], snl: str, base: str) -> str:
    """Say whether SNL is ahead of its base, as one model for all and as one for each category."""
    said = []
    for one_class, label in ((False, "as one model"), (True, "one model a category")):
        if (snl, one_class) in image and (base, one_class) in image:
            gain = 100 * (image[snl, one_class] - image[base, one_class])
            verdict = "does not beat" if gain <= 0 else "is ahead of"
            said.append(f"{label} `{snl}` {verdict} `{base}` ({gain:+.1f} points of image AUROC)")
    return f"{'; '.join(said)[:1].upper()}{'; '.join(said)[1:]}. " if said else ""


def logical(rows: list[Row]) -> str:
    """Show image AUROC of each map of the dual student on logical and structural anomalies."""
    kinds = ("logical", "structural", "all")
    rows = [row for row in rows if (row["steps"], row["settings"]) == (rows[0]["steps"], rows[0]["settings"])]
    seeds = sorted(seeds_of(rows))
    lines = ["| map | " + " | ".join(kinds) + " | pixel AUROC |", "|---|" + "---|" * (len(kinds) + 1)]
    labels = {"local": "local student", "global": "global student", "fused": "both, fused"}
    for name, label in labels.items():
        own = [row for row in rows if row["map"] == name]
        cells = (ranged([float(row[k]) for row in own]) for k in (*kinds, "pixel_auroc"))
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    first = rows[0]
    note = (
        f"\nImage AUROC in percent, mean over seeds {', '.join(seeds)} (± half the range), each with a set "
        f"and a model of its own; {first['steps']} steps of {first['batch_size']}, {where(rows)}. Made by "
        "`python benchmarks/logical.py --out benchmarks/results/logical.csv"
        f"`.\n"
    )
    return "\n".join(lines) + "\n" + note


def balance(rows: list[Row]) -> str:
    """Show AUROC per category if every picture, or every category, is learned from equally often."""
    same = ("method", "steps", "batch_size", "trained_on")
    first = rows[0]
    rows = [row for row in rows if all(row[k] == first[k] for k in same)]
    categories, seeds = first["trained_on"].split(), sorted(seeds_of(rows))
    sizes = {row["category"]: row["learned_from"] for row in rows}
    lines = [
        "| equally often | " + " | ".join(f"{c} ({sizes[c]})" for c in categories) + " | mean |",
        "|---|" + "---|" * (len(categories) + 1),
    ]
    for sampling, label in {"natural": "every picture", "balanced": "every category"}.items():
        own = [row for row in rows if row["sampling"] == sampling]
        if seeds_of(own) != set(seeds):
            continue  # a mean over fewer seeds would not compare
        cells = [*(ranges(chosen(own, category=c)) for c in categories), ranges(own)]
        lines.append(f"| {label} (`{sampling}`) | " + " | ".join(cells) + " |")
    note = (
        f"\nImage / pixel AUROC in percent of one `{first['method']}` model for all, mean over seeds "
        f"{', '.join(seeds)} (± half the range), by category (pictures learned from); {first['steps']} steps "
        f"of {first['batch_size']}, {where(rows)}.\nMade by `python benchmarks/balance.py --data REALBENCH "
        f"--out benchmarks/results/balance.csv --method {first['method']} --steps {first['steps']}`; nothing "
        "was chosen on test pictures.\n"
    )
    return "\n".join(lines) + "\n" + note


def memory_bank(rows: list[Row]) -> str:
    """Show image / pixel AUROC of a memory bank by category, one line for each size and grid."""
    categories, seeds = rows[0]["trained_on"].split(), sorted(seeds_of(rows))
    lines = []
    for size, grid in dict.fromkeys((row["size"], row["grid"]) for row in rows):
        own = chosen(rows, size=size, grid=grid)
        cells = [pair(chosen(own, category=c)) for c in categories]
        lines.append([f"{size} px", f"{grid} x {grid}{alone(own)}", *cells, pair(own)])
    note = (
        f"\nImage / pixel AUROC in percent, means over seeds {', '.join(seeds)}; one bank for all, every "
        f"cell of every picture learned from, {where(rows)}. Made by `python benchmarks/memory_bank.py "
        "--data REALBENCH --out benchmarks/results/memory_bank.csv`.\n"
    )
    return table(["pictures", "grid", *categories, "mean"], lines) + note


def normalisation(rows: list[Row]) -> str:
    """Show image / pixel AUROC by category and seed, with running and with recomputed statistics."""
    first, seeds = rows[0], sorted(seeds_of(rows))
    categories, lines = first["trained_on"].split(), []
    for seed in seeds:
        for kind in dict.fromkeys(row["statistics"] for row in rows):
            own = chosen(rows, seed=seed, statistics=kind)
            if own:
                cells = [pair(chosen(own, category=c)) for c in categories]
                lines.append([f"{kind}, seed {seed}", *cells, pair(own)])
    note = (
        f"\nImage / pixel AUROC in percent; `{first['method']}`, one model for all, every category equally "
        f"often, {first['steps']} steps of {first['batch_size']}, {where(rows)}. Made by `python "
        "benchmarks/normalisation.py --data REALBENCH --out benchmarks/results/normalisation.csv`; nothing "
        "was chosen on test pictures.\n"
    )
    return table(["statistics", *categories, "mean"], lines) + note
