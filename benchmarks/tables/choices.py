"""What a choice costs or gains: framing, the length of a training, its precision."""

from __future__ import annotations

from statistics import mean

from tables.wording import Row, chosen, made_on, middle, pair, ranged, seeds_of, table, where

__all__ = ["framing", "points_of", "precision", "recipe", "recipes_of"]


def framing(rows: list[Row]) -> str:
    """Show quality and cost of each way to give pictures to a network."""
    first = rows[0]
    seeds, lines = sorted(seeds_of(rows)), []
    for name in dict.fromkeys(row["framing"] for row in rows):
        own = chosen(rows, framing=name)
        quality = [ranged([float(row[n]) for row in own]) for n in ("image_auroc", "pixel_auroc", "aupro")]
        cells = [f"{middle(own, 'train_seconds'):.0f} s", f"{middle(own, 'scored_per_second'):.1f} /s"]
        lines.append([name, *quality, *cells])
    which = f"seeds {', '.join(seeds)} (± half the range)" if len(seeds) > 1 else f"seed {seeds[0]}"
    note = (
        f"\n{first['category']}, percent at the masks' own size, {which}; "
        f"`{first['method']}`, {first['steps']} steps of {first['batch_size']} windows, teacher "
        f"`{first['teacher']}`, {first['precision']}, {made_on(rows)}. "
        "Scoring: float32, decoding included. "
        "Made by `python benchmarks/framing.py --data REALBENCH --out benchmarks/results/framing.csv`.\n"
    )
    header = ["pictures", "image AUROC", "pixel AUROC", "AUPRO", "training", "scoring"]
    return table(header, lines) + note


def recipes_of(rows: list[Row]) -> dict[str, list[Row]]:
    """Group rows by recipe, in the order of the file; only points that all seeds have reached."""
    seeds = seeds_of(rows)
    found: dict[str, list[Row]] = {}
    for row in rows:
        label = f"batch {row['batch_size']}, lr {row['lr']}, {row['schedule']}"
        found.setdefault(label, []).append(row)
    whole = {
        label: [r for at in points_of(own).values() if seeds_of(at) == seeds for r in at]
        for label, own in found.items()
    }
    return {label: own for label, own in whole.items() if own}


def points_of(rows: list[Row]) -> dict[int, list[Row]]:
    """Group rows by the step after which they were measured, in order."""
    return {step: chosen(rows, step=str(step)) for step in sorted({int(row["step"]) for row in rows})}


def recipe(rows: list[Row]) -> str:
    """Show quality and seconds at several points of a training, one line a recipe."""
    steps = list(points_of(rows))
    asked, lines = [], []
    for label, own in recipes_of(rows).items():
        asked.append(":".join(own[0][name] for name in ("batch_size", "lr", "schedule")))
        points = points_of(own)
        cells = [
            f"{pair(points[step])} ({mean(float(r['seconds']) for r in points[step]):.0f} s)"
            if step in points
            else ""
            for step in steps
        ]
        lines.append([label, *cells])
    first = rows[0]
    note = (
        f"\nImage / pixel AUROC in percent (seconds of training so far), means over "
        f"{first['trained_on'].replace(' ', ', ')} and seeds {_listed(rows, 'seed')}; points of one "
        f"training each where the rate is constant, a training each where it falls. `{first['method']}`, one "
        f"model for all, every category equally often, {where(rows)}. Made by `python benchmarks/recipe.py "
        f"--data REALBENCH --out FILE --method {first['method']} --categories "
        f"{first['trained_on'].replace(' ', ',')} --recipes {','.join(asked)} --points "
        f"{','.join(map(str, steps))} --seeds {_listed(rows, 'seed').replace(' ', '')}`.\n"
    )
    return table(["recipe", *(f"{step} steps" for step in steps)], lines) + note


def precision(rows: list[Row]) -> str:
    """Compare bf16 with float32, seed by seed, and by the means."""
    names = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}
    sides = {p: chosen(rows, precision=p) for p in ("bf16", "32")}
    seeds = sorted(seeds_of(rows))
    seeds = [s for s in seeds if all(chosen(side, seed=s) for side in sides.values())]
    lines = []
    for label, wanted in [*((s, [s]) for s in seeds), ("mean", seeds)]:
        halves = {p: [r for r in side if r["seed"] in wanted] for p, side in sides.items()}
        cells = []
        for name in names:
            bf16, full = (100 * mean(float(r[name]) for r in half) for half in halves.values())
            cells.append(f"{bf16:.1f} / {full:.1f} ({bf16 - full:+.1f})")
        fast, slow = (mean(float(r["train_seconds"]) for r in half) for half in halves.values())
        lines.append([label, *cells, f"{fast:.0f} / {slow:.0f} s ({fast / slow:.2f})"])
    first = rows[0]
    note = (
        f"\nbf16 / float32 (difference; ratio of times), percent, means over "
        f"{first['trained_on'].replace(' ', ', ')}; `{first['method']}`, one model for all, every category "
        f"equally often, {first['steps']} steps of {first['batch_size']}, {first['image_size']} px, teacher "
        f"`{first['teacher']}`, {made_on(rows)}. Made by `python benchmarks/precision.py --data REALBENCH "
        f"--out benchmarks/results/precision.csv --steps {first['steps']}`; nothing was chosen on test "
        "pictures.\n"
    )
    return table(["seed", *names.values(), "training"], lines) + note


def _listed(rows: list[Row], name: str) -> str:
    return ", ".join(sorted({row[name] for row in rows}))
