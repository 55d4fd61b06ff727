"""What more products cost a model's quality: 5, 10 and 20 categories, with MixDiag and PasteDiag.

    python benchmarks/interference.py --data REALBENCH --out benchmarks/results/interference.csv

Five real categories are evaluated. The ten are these five, a sixth real one and the four of the demo's
factory. The twenty are those ten twice: once as they are, once turned by ninety degrees with red and blue
exchanged. Every category is seen equally often, so a training grows with their number; the recipes of 400
steps do not grow. One-class models of the five see each picture as often. The diagnosis compares with them.
Rows are added as runs finish. A run whose rows exist is not repeated.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apart import parser_of, print_rows, run_missing
from machine import provenance, read
from tables.interference import interference
from understudy import Model, Reporter
from understudy.lab.factory.write import FactoryPlan, write_factory
from unified import rows_of
from variations import KEPT

VIEWS = 533  # pictures of each category that a training sees; the default gives six categories as many
BATCH = 8
RECIPES: dict[str, dict[str, Any]] = {
    "rd, paper": {"method": "rd", "recipe": "paper", "sampling": "balanced"},
    "snl-rd, terms kept, 533 views each": {"method": "snl-rd", "settings": KEPT},
    "snl-rd, terms kept, 400 steps": {"method": "snl-rd", "settings": KEPT, "max_steps": 400},
    "snl-rd, default, 400 steps": {"method": "snl-rd", "max_steps": 400},
}
FIVE = ("ballscrew", "hazelnut", "cookie", "magnetic_tile", "pcb")
SIXTH = "alien"


def main() -> None:
    """Run what is missing and print the table."""
    parser = parser_of(__doc__, seeds="0,1,2")
    parser.add_argument("--counts", default="5,10,20")
    parser.add_argument("--recipes", default=";".join(RECIPES), help="recipes, separated by semicolons")
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    for seed in map(int, asked.seeds.split(",")):
        for recipe in asked.recipes.split(";"):
            for count in map(int, asked.counts.split(",")):
                run_missing(__file__, asked.data, asked.out, {"recipe": recipe, "count": count, "seed": seed})
    print(interference(read(asked.out)))


def run(data: Path, recipe: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Train on so many categories and evaluate on the five; with five, compare with one-class models too."""
    grown = {"max_steps": round(count * VIEWS / BATCH)}
    options = grown | RECIPES[recipe] | {"seed": seed, "batch_size": BATCH}
    key = {"recipe": recipe, "count": count, "seed": seed}
    with tempfile.TemporaryDirectory() as place:
        folder, pictures = Path(place), Path(place) / "pictures"
        gather(data, pictures, count)
        model = _fit(pictures, folder / "all", None, options)
        rows = [
            key | {"what": "evaluate"} | row for row in rows_of(model, _evaluated(model, data, list(FIVE)))
        ]
        if count > len(FIVE):
            return rows
        for one in FIVE:
            steps = round(options["max_steps"] / len(FIVE))
            alone = _fit(data, folder / "one" / one, (one,), options | {"max_steps": steps})
            found = _evaluated(alone, data, [one])
            rows += [key | {"what": "one-class"} | row for row in rows_of(alone, found)]
        diagnosis = model.diagnose(pictures, one_class=folder / "one", pictures=30, seed=seed, progress=False)
        return rows + [key | row for row in _diagnosed(diagnosis.figures)]


def gather(data: Path, folder: Path, count: int) -> None:
    """Fill a folder with so many categories: five real ones, the sixth, the factory's, then turned ones."""
    folder.mkdir()
    for name in FIVE if count == len(FIVE) else (*FIVE, SIXTH):
        (folder / name).symlink_to((data / name).resolve(), target_is_directory=True)
    if count == len(FIVE):
        return
    write_factory(folder, FactoryPlan(good=1, each_defect=1))
    there = sorted(p.name for p in folder.iterdir())
    for name in there[: count - len(there)]:
        for path in sorted((folder / name / "train" / "good").iterdir()):
            turned = folder / f"{name}_turned" / "train" / "good" / f"{path.stem}.png"
            turned.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as picture:
                Image.fromarray(np.rot90(np.asarray(picture.convert("RGB")))[..., ::-1].copy()).save(turned)
    made = len(list(folder.iterdir()))
    if made != count:
        raise ValueError(f"{made} categories can be made of {data}, not {count}")


def _fit(data: Path, out: Path, categories: tuple[str, ...] | None, options: dict[str, Any]) -> Model:
    return Model.fit(data, out=out, progress=Reporter(say=print), categories=categories, **options)


def _evaluated(model: Model, data: Path, categories: list[str]) -> dict[str, Any]:
    return model.evaluate(data, categories=categories, progress=False).metrics


def _diagnosed(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Means of MixDiag and PasteDiag over pairs of categories, as rows with the columns of an evaluation."""
    mix, paste = figures["mix"]["mean"], figures["paste"]["mean"]
    shown = {
        "mix": {"image_auroc": mix["mixed"]["together"]["auroc"]},
        "mix, index": {"image_auroc": mix["interference"]["index"]["auroc"]},
        "paste": {name: paste["pasted"][name] for name in ("image_auroc", "pixel_auroc", "aupro")},
        "paste, index": {
            name: paste["interference"]["index"][name] for name in ("image_auroc", "pixel_auroc", "aupro")
        },
    }
    return [{"what": what, "category": "", **found} | provenance() for what, found in shown.items()]


if __name__ == "__main__":
    main()
