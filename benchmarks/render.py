"""Write the tables of README from benchmarks/results/*.csv: python benchmarks/render.py."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"

Row = dict[str, str]


def main() -> None:
    """Replace what stands between each pair of markers."""
    readme = ROOT / "README.md"
    readme.write_text(rendered(readme.read_text(encoding="utf-8")), encoding="utf-8")


def rendered(page: str) -> str:
    """The page with every table made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            page = before + begin + make(list(csv.DictReader(file))) + end + after
    return page


def unified(rows: list[Row]) -> str:
    """Image / pixel AUROC in percent per method and category: mean over seeds and range."""
    categories = rows[0]["trained_on"].split()
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        f"| one model for all {len(categories)} | " + " | ".join(categories) + " | mean | training |",
        "|---|" + "---|" * (len(categories) + 2),
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        if {row["seed"] for row in own} != set(seeds):
            continue  # a mean over fewer seeds would not compare
        cells = [_pair([r for r in own if r["category"] == c]) for c in categories]
        per_seed = [[r for r in own if r["seed"] == seed] for seed in seeds]
        means = {
            k: [statistics.mean(float(r[k]) for r in one) for one in per_seed]
            for k in ("image_auroc", "pixel_auroc")
        }
        spread = " / ".join(_range(means[k]) for k in means)
        minutes = [float(one[0]["train_seconds"]) / 60 for one in per_seed]
        time = f"{min(minutes):.1f} to {max(minutes):.1f} min"
        lines.append(f"| {method} | " + " | ".join(cells) + f" | **{spread}** | {time} |")
    first = rows[0]
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    note = (
        f"\nImage / pixel AUROC in percent at {first['image_size']} px, mean over seeds {', '.join(seeds)} "
        f"(± half the range in the mean column); {first['steps']} steps of {first['batch_size']}, "
        f"{first['precision']}, teacher `{first['teacher']}`, on {first['machine']}, {first['date']}, "
        f"commit {commits}.\n"
        "Made by `python benchmarks/unified.py --data REALBENCH --out benchmarks/results/unified.csv`; "
        "nothing was chosen on test pictures.\n"
    )
    return "\n".join(lines) + "\n" + note


def _pair(rows: list[Row]) -> str:
    return " / ".join(
        f"{100 * statistics.mean(float(r[k]) for r in rows):.1f}" for k in ("image_auroc", "pixel_auroc")
    )


def _range(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.1f} ± {50 * (max(values) - min(values)):.1f}"


TABLES: dict[str, Callable[[list[Row]], str]] = {"unified": unified}

if __name__ == "__main__":
    main()
