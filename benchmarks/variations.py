"""Quality of the default recipe, of SNL as printed with one or two things changed, and of other models.

    python benchmarks/variations.py --data REALBENCH --out benchmarks/results/variations.csv

Every run is ``understudy fit`` and ``understudy evaluate`` in its own process. One-class models see each
picture as often as the unified model does; those called "each as long" take as many steps each as the unified
model. Rows are added as runs finish. A run whose rows exist is not repeated. ``--workers 2`` does two runs at
a time, which share the cores. A row says how many threads its training had.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from apart import SIX, add_workers, parser_of, print_rows, refuse_failed, run_all_missing
from machine import read
from tables.variations import variations
from understudy import Model, Reporter
from understudy.train.options import fit_options
from understudy.train.plan import recipe_of
from unified import rows_of

KEPT: dict[str, Any] = {"anneal_structural_terms": False, "affinity_map": 1.0}
"""Settings of SNL as it is printed: all terms to the end, and the whole affinity map in the score."""
RD_BY_THE_PAPER: dict[str, Any] = {"method": "rd", "recipe": "paper", "max_steps": 400, "batch_size": 8}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "one-class": {},
    "terms that fall and no affinity map": {"settings": {"affinity_map": 0.0}},
    "terms that fall and an affinity map of weight 1": {"settings": {"affinity_map": 1.0}},
    "RD by our recipe": {"method": "rd"},
    "RD with the cosine by picture": {"method": "rd", "settings": {"cosine": "global"}},
    "RD with last weights": {"method": "rd", "averaging": 0.0},
    "RD with last weights and every cell alike": {
        "method": "rd",
        "averaging": 0.0,
        "settings": {"cosine": "local"},
    },
    "RD twice as long": {"method": "rd", "max_steps": 800},
    "SNL(RD) by the paper": {"recipe": "paper", "max_steps": 400},
    "RD by the paper": RD_BY_THE_PAPER,
    "RD by the paper and the cosine by cell": RD_BY_THE_PAPER | {"settings": {"cosine": "local"}},
}
OF_KEPT: dict[str, dict[str, Any]] = {
    "terms kept to the end": {},
    "one-class and each as long": {"max_steps": 400},
    "no spatial term": {"settings": {"lambda_spatial": 0}},
    "no affinity terms": {"settings": {"lambda_intra": 0, "lambda_inter": 0}},
    "no affinity terms nor map": {"settings": {"lambda_intra": 0, "lambda_inter": 0, "affinity_map": 0}},
    "no CRAM": {"settings": {"centers": 0}},
    "terms of weight 0.3": {"settings": {"lambda_spatial": 0.3, "lambda_intra": 0.3, "lambda_inter": 0.3}},
    "no SNL terms": {"settings": {"lambda_spatial": 0, "lambda_intra": 0, "lambda_inter": 0}},
    "affinities of strides 16 and 32": {"settings": {"affinity_levels": 2}},
    "affinities of stride 32": {"settings": {"affinity_levels": 1}},
    "spatial temperature of 0.5": {"settings": {"temperature": 0.5}},
    "spatial temperature of 2": {"settings": {"temperature": 2}},
    "affinities' absolute difference": {"settings": {"affinity_form": "abs"}},
    "affinities' squared difference": {"settings": {"affinity_form": "squared"}},
    "25 centres": {"settings": {"centers": 25}},
    "75 centres": {"settings": {"centers": 75}},
    "a sharpness per centre": {"settings": {"per_center_alpha": True}},
    "centres from a normal distribution": {"settings": {"center_init": "normal"}},
    "CRAM out of line": {"settings": {"cram_in_line": False}},
    "codebook": {"settings": {"cram_mode": "codebook"}},
    "no affinity map": {"settings": {"affinity_map": 0}},
    "affinity map of weight 0.5": {"settings": {"affinity_map": 0.5}},
    "smoothing of 4 pixels": {"settings": {"smoothing": 4}},
    "the cosine by picture": {"settings": {"cosine": "global"}},
    "every cell alike": {"settings": {"cosine": "local"}},
    "last weights": {"averaging": 0.0},
    "last weights and a falling rate": {"averaging": 0.0, "schedule": "cosine"},
    "batches of 16": {"batch_size": 16, "max_steps": 200},
    "batches of 32": {"batch_size": 32, "max_steps": 100},
    "half as long": {"max_steps": 200},
    "twice as long": {"max_steps": 800},
    "strides 8 and 16": {"strides": (8, 16)},
    "strides 4 to 32": {"strides": (4, 8, 16, 32)},
    "every picture equally often": {"sampling": "natural"},
    "running statistics": {"statistics": "running"},
    "384 px": {"image_size": 384},
    "EfficientNet-Lite1": {"teacher": "tf_efficientnet_lite1"},
    "EfficientNet-Lite2": {"teacher": "tf_efficientnet_lite2"},
}
OF_KEPT |= {  # with the smoothing that was once the default
    f"{name} and smoothing of 4 pixels": {**own, "settings": {**own.get("settings", {}), "smoothing": 4}}
    for name, own in OF_KEPT.items()
    if name in ("every cell alike", "last weights", "no affinity terms", "no CRAM")
}
VARIANTS |= {name: {**own, "settings": KEPT | own.get("settings", {})} for name, own in OF_KEPT.items()}


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    parser = parser_of(__doc__, categories=SIX)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    add_workers(parser)
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    jobs = [
        {"variant": variant, "seed": seed, "trained_on": asked.categories.replace(",", " ")}
        for seed in map(int, asked.seeds.split(","))
        for variant in asked.variants.split(",")
    ]
    failed = run_all_missing(__file__, asked.data, asked.out, jobs, asked.workers)
    print(variations(read(asked.out)))
    refuse_failed(failed)


def run(data: Path, variant: str, seed: int, trained_on: str) -> list[dict[str, Any]]:
    """Fit and evaluate one model for all, or one for each category: one row a category."""
    categories = trained_on.split()
    options = {"seed": seed, **VARIANTS[variant]}
    key = {"variant": variant, "seed": seed, "trained_on": trained_on}
    key |= {"threads": torch.get_num_threads()}
    if not variant.startswith("one-class"):
        return [key | row for row in _rows(data, categories, options)]
    recipe = recipe_of(fit_options(options))
    views = recipe.seen(len(categories)) / len(categories)
    options = {"max_steps": round(views / recipe.batch_size)} | options
    return [key | row for one in categories for row in _rows(data, [one], options)]


def _rows(data: Path, categories: list[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        out, said = Path(folder) / "model", Reporter(say=print)
        model = Model.fit(data, out=out, progress=said, categories=tuple(categories), **options)
        found = model.evaluate(data, categories=categories, progress=False).metrics
        return [{"steps": model.manifest.training.steps} | row for row in rows_of(model, found)]


if __name__ == "__main__":
    main()
