"""Candidates for defaults on either half of the products, and the choice that holds on the other half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import mean, median

from candidates import CANDIDATES, QUESTIONS, written
from halves import half_of
from tables.wording import Row, alone, chosen, made_on, ranged, seeds_of, table

__all__ = [
    "FIGURES",
    "alarms",
    "by_product",
    "by_seed",
    "figure_of",
    "minutes",
    "models_of",
    "one_class",
    "pairs_of",
    "question",
    "speed",
]

FIGURES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "found_1": "found at 1 %",
    "found_5": "found at 5 %",
}
"""Column -> what the table calls it. Their mean chooses."""
HALVES = ("A", "B")
OTHER = {"A": "B", "B": "A"}
CLOSE = 0.01  # a product may be so much below its one-class model

Models = Mapping[str, list[Row]]
"""Rows of each candidate."""


def _share(row: Row, name: str) -> float | None:
    """Figure of a row in [0, 1]; ``None`` if the row lacks it. Defects found become a share of all."""
    if not row[name] or row["n_defect"] == "0":
        return None
    return float(row[name]) / (int(row["n_defect"]) if name.startswith("found") else 1)


def models_of(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[Row]]:
    """Candidates that have rows of their present options, as a model for all products -> these rows."""
    everything = max((row["trained_on"] for row in rows), key=lambda text: len(text.split()), default="")
    rows = chosen(rows, trained_on=everything)
    known = [n for n in names if n in CANDIDATES]
    return {n: own for n in known if (own := chosen(rows, candidate=n, options=written(n)))}


def by_seed(rows: Sequence[Row], name: str) -> list[float]:
    """Mean of a figure over the products that have it, for each seed; empty if none has it."""
    of_seeds = ([_share(r, name) for r in chosen(rows, seed=s)] for s in sorted(seeds_of(rows)))
    known = ([v for v in values if v is not None] for values in of_seeds)
    return [mean(values) for values in known if values]


def _of_half(rows: Sequence[Row], half: str) -> list[Row]:
    return [row for row in rows if half_of(row["category"]) == half]


def figure_of(rows: Sequence[Row]) -> float:
    """The one figure that chooses: mean of the five, each over the products that have it, and over seeds."""
    return mean(mean(values) for name in FIGURES if (values := by_seed(rows, name)))


def question(rows: Sequence[Row], name: str) -> str:
    """Show the candidates of a question on either half, and what each half chooses."""
    models = models_of(rows, QUESTIONS[name])
    if not models:
        return ""
    seeds = max((seeds_of(own) for own in models.values()), key=len)
    whole = {n: own for n, own in models.items() if seeds_of(own) == seeds}
    kept, said = _two_way(whole, QUESTIONS[name][0])
    lines = [
        [
            f"**{n}**" if n == kept else n + ("" if n in whole else alone(own)),
            *(_both(own, figure) for figure in FIGURES),
            " / ".join(
                f"{100 * figure_of(h):.1f}" if h else "–" for h in map(partial(_of_half, own), HALVES)
            ),
            alarms(own),
            _worst(own),
            minutes(own),
            f"{median(float(row['milliseconds']) for row in own):.0f}",
        ]
        for n, own in models.items()
    ]
    header = [
        "candidate",
        *FIGURES.values(),
        "mean of the five",
        "false alarms at 1 / 5 %",
        "worst product",
        "minutes of training",
        "ms a picture",
    ]
    every = [row for own in models.values() for row in own]
    note = (
        f"\n{said} Each figure is half A / half B of {len({r['category'] for r in every})} products in "
        f"percent, mean over seeds {', '.join(sorted(seeds))} (± half the range). Limits as `fit` sets "
        "them; false alarms of all good test pictures together. Worst: lowest image AUROC. One picture at a "
        f"time in torch, {made_on(every)}. `benchmarks/candidates.py` has the options of each candidate. "
        "Made by `python benchmarks/choose.py --data REALBENCH --out benchmarks/results/choose.csv "
        f"--questions {name}`.\n"
    )
    return table(header, lines) + note


def _two_way(models: Models, today: str) -> tuple[str, str]:
    """Let each half choose, and report on the other: the candidate that is kept, if any, and what to say.

    A choice that is worse than today's default on the half that did not choose it is dropped. Where both
    choices hold, the one that gains more on the other half is kept.
    """
    if today not in models or not all(_of_half(models[today], half) for half in HALVES):
        return "", f"There is no choice without figures of `{today}` on both halves."
    at = {h: {n: 100 * figure_of(_of_half(own, h)) for n, own in models.items()} for h in HALVES}
    best = {h: max(models, key=lambda n: at[h][n]) for h in HALVES}
    reported = {h: at[OTHER[h]][best[h]] for h in HALVES}
    gains = {h: reported[h] - at[OTHER[h]][today] for h in HALVES}
    holding = [h for h in HALVES if gains[h] >= 0]
    kept = best[max(holding, key=lambda h: gains[h])] if holding else today
    said = [
        f"chosen by {h}: {best[h]}, on {OTHER[h]} {reported[h]:.1f} ({gains[h]:+.1f})"
        + ("" if h in holding else ", dropped")
        for h in HALVES
    ]
    return kept, (
        f"By the mean of the five (gain over {today}) {'; '.join(said)}. Two-way "
        f"{mean(reported.values()):.1f} ({mean(gains.values()):+.1f}). Kept: **{kept}**."
    )


def _both(rows: Sequence[Row], name: str) -> str:
    """Figure on half A / half B, with half the range over seeds."""
    found = (by_seed(_of_half(rows, half), name) for half in HALVES)
    return " / ".join(ranged(values) if values else "–" for values in found)


def alarms(rows: Sequence[Row]) -> str:
    """False alarms at 1 / 5 % among all good pictures."""
    shares = []
    for name in ("false_alarms_1", "false_alarms_5"):
        known = [row for row in rows if row[name]]
        n_good = sum(int(row["n_good"]) for row in known)
        shares.append(f"{100 * sum(int(r[name]) for r in known) / n_good:.1f}" if n_good else "–")
    return " / ".join(shares)


def _worst(rows: Sequence[Row]) -> str:
    means = {c: mean(by_seed(own, "image_auroc")) for c, own in _products(rows).items()}
    worst = min(means, key=lambda c: means[c])
    return f"{worst} {100 * means[worst]:.1f}"


def _products(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Products with an image AUROC, by half and name -> their rows."""
    names = sorted({r["category"] for r in rows if r["image_auroc"]}, key=lambda c: (half_of(c), c))
    return {c: chosen(rows, category=c) for c in names}


def minutes(rows: Sequence[Row]) -> str:
    """Minutes of a training, and the device if it is no processor."""
    taken = median(float(row["train_seconds"]) for row in rows if row["train_seconds"]) / 60
    devices = sorted({row["device"] for row in rows} - {"cpu"})
    return f"{taken:.1f}" + "".join(f" ({device})" for device in devices)


def by_product(rows: Sequence[Row]) -> str:
    """Show the presets by product."""
    models = models_of(rows, QUESTIONS["preset"])
    if not models:
        return ""
    every = [row for own in models.values() for row in own]
    lines = [
        [c, half_of(c), *(_three(chosen(own, category=c)) for own in models.values())]
        for c in _products(every)
    ]
    lines.append(["mean", "", *(f"**{_three(own)}**" for own in models.values())])
    note = (
        "\nImage AUROC / pixel AUROC / found at 1 % of false alarms, in percent, mean over seeds "
        f"{', '.join(sorted(seeds_of(every)))}, {made_on(every)}.\n"
    )
    return table(["product", "half", *(n + alone(own) for n, own in models.items())], lines) + note


def _three(rows: Sequence[Row]) -> str:
    found = (by_seed(rows, name) for name in ("image_auroc", "pixel_auroc", "found_1"))
    return " / ".join(f"{100 * mean(values):.1f}" if values else "–" for values in found)


def speed(rows: Sequence[Row]) -> str:
    """Show the milliseconds of one picture by candidate and runtime, and their ratio to the first's."""
    runtimes = list(dict.fromkeys(row["runtime"] for row in rows))
    taken = {(row["candidate"], row["runtime"]): row["milliseconds"] for row in rows}
    names = list(dict.fromkeys(row["candidate"] for row in rows))
    lines = [[n, *(_timed(taken[n, r], taken[names[0], r]) for r in runtimes)] for n in names]
    note = (
        "\nMilliseconds of one picture, from its file to its verdict, median (ratio to the first line); "
        f"{rows[0]['threads']} threads, all in turn in one process, {made_on(rows)}. Made by `python "
        "benchmarks/choose.py --data REALBENCH --out benchmarks/results/presets.csv --speed`.\n"
    )
    return table(["candidate", *runtimes], lines) + note


def _timed(taken: str, base: str) -> str:
    """Write milliseconds, and their ratio to those of the first candidate."""
    if not taken:
        return "refused"
    return f"{float(taken):.1f}" + (f" ({float(taken) / float(base):.2f})" if base else "")


def one_class(rows: Sequence[Row]) -> str:
    """Show image AUROC of each product in the model for all beside a model of its own, by common seeds."""
    models = models_of(rows, list(CANDIDATES))
    pairs = {n: pairs_of(own, rows) for n, own in models.items()}
    pairs = {n: own for n, own in pairs.items() if own}
    products = sorted({c for own in pairs.values() for c in own}, key=lambda c: (half_of(c), c))
    if not products:
        return ""
    lines = [[c, half_of(c), *(_compared(own.get(c)) for own in pairs.values())] for c in products]
    said = []
    for n, own in pairs.items():
        below = [c for c, (unified, single) in own.items() if unified < single - CLOSE]
        said.append(f"{n}: {', '.join(below) or 'none'} of {len(own)}")
    used = [r for r in rows if r["candidate"] in pairs]
    note = (
        "\nImage AUROC in the model for all / in a model of the product alone (difference), in percent, mean "
        "over the seeds that both have. More than a point below its one-class model: "
        f"{'; '.join(said)}. {made_on(used)}. Made by `python benchmarks/choose.py --data REALBENCH --out "
        "benchmarks/results/choose.csv --one-class`.\n"
    )
    return table(["product", "half", *pairs], lines) + note


def pairs_of(unified: Sequence[Row], rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Product -> its mean image AUROC in the model for all, and in its own model, over common seeds."""
    products = _products(unified)
    pairs = {}
    for c, own in products.items():
        options = written(unified[0]["candidate"], len(unified[0]["trained_on"].split()))
        single = chosen(rows, candidate=own[0]["candidate"], trained_on=c, options=options, category=c)
        seeds = seeds_of(own) & seeds_of(single)
        if seeds:
            both = ([r for r in side if r["seed"] in seeds] for side in (own, single))
            first, second = (mean(by_seed(side, "image_auroc")) for side in both)
            pairs[c] = (first, second)
    return pairs


def _compared(pair: tuple[float, float] | None) -> str:
    if pair is None:
        return "–"
    unified, single = (100 * value for value in pair)
    return f"{unified:.1f} / {single:.1f} ({unified - single:+.1f})"
