"""The same work by Understudy and by anomalib, in one run: training, scoring, footprint, accuracy.

    python benchmarks/versus_anomalib.py --data REALBENCH --category hazelnut --out benchmarks/results \
        [--rounds 2] [--parts training,scoring,footprint,accuracy] [--anomalib-env DIR]

Both sides do the same on the same machine, in turn, round by round. Every measurement runs in its own
process, by the same code (``versus/measure.py``):

- ``training``: STPM on ResNet-18 and RD on WideResNet-50 at 256 px, with each side's default batch and
  precision and with equal ones. A training starts as it does by default and is stopped after some steps.
  The good pictures of the category are copied until there are ``--pictures``, as in a category of usual size.
- ``scoring``: one picture at a time, and in batches, with the same teachers.
- ``accuracy``: STPM on the embedded teacher, on the category without copies, for equally many steps in
  float32. Understudy's metrics measure the maps and scores of both.
- ``footprint``: what ``pip install`` adds, and how long whole processes take; see ``versus/footprint.py``.

Only packages are downloaded. Teachers have random weights where only time is measured, because weights change
no arithmetic. Validation is off on both sides, and both learn from all good pictures. Each part has its own
CSV, ``versus_PART.csv``. Rows are added as runs finish. A run whose rows exist is not repeated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from apart import add_missing
from environments import ANOMALIB, EMBEDDED_WEIGHTS, python_with
from machine import append, provenance, read
from understudy.data.layouts import open_pictures
from understudy.evaluate.marks import read_masks
from understudy.metrics import AUPRO_LIMIT, Ranking, rank_regions
from understudy.runtime.images import read_picture, resize_mask
from versus.footprint import footprint_rows
from versus.tables import TABLES

HERE = Path(__file__).parent
CHILD = HERE / "versus_child.py"
SIZE = 256
SIDES = {"understudy": "ours", "anomalib": "theirs"}
EQUAL_BATCH, LARGEST_BATCH = 8, 32
SCORED_BATCHES = (1, 8)
# ways to score on each side; understudy's onnx and openvino are its light runtime
WAYS = {
    "understudy": ("torch", "onnx", "openvino", "openvino in bf16"),
    "anomalib": ("torch", "torch without gradients", "openvino", "openvino in float32"),
}

Job = dict[str, Any]


def main() -> None:
    """Run what the parts lack, and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the CSVs")
    parser.add_argument("--category", default="hazelnut")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--methods", default="stpm,rd", help="methods for training and scoring")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=256, help="training pictures; only whole batches")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of a training")
    parser.add_argument("--scored", type=int, default=96, help="pictures that are scored")
    parser.add_argument("--accuracy-steps", type=int, default=300)
    parser.add_argument(
        "--anomalib-env", type=Path, help="anomalib's environment; made if missing, temporary by default"
    )
    parser.add_argument(
        "--environments",
        type=Path,
        help="folder of environments for the footprint; made if missing, temporary by default",
    )
    asked = parser.parse_args()
    if asked.pictures % LARGEST_BATCH:
        parser.error(
            f"--pictures must be a multiple of {LARGEST_BATCH}: a short last batch would count as a whole one"
        )
    asked.data, asked.out = asked.data.resolve(), asked.out.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        for part in asked.parts.split(","):
            out = asked.out / f"versus_{part}.csv"
            PARTS[part](asked, out, Path(folder))
            print(TABLES[out.stem](read(out)), flush=True)


@dataclass(frozen=True)
class Bench:
    """What all jobs of a part share.

    Attributes:
        part: name of the part.
        out: CSV of its rows.
        pythons: the Python of each contender.
        scratch: folder for what jobs leave behind; it is emptied before each job.
        places: folders and files that jobs work on.
    """

    part: str
    out: Path
    pythons: dict[str, Path]
    scratch: Path
    places: dict[str, Path]

    def run(
        self, job: Job, places: dict[str, Path] | None = None, complete: Callable[[Job], Job] = dict
    ) -> None:
        """Run a job in the environment of its ``contender``, unless its rows exist."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        used = self.places | (places or {}) | {"scratch": self.scratch}
        task = json.dumps({"job": job, "places": {name: str(place) for name, place in used.items()}})
        contender = job["contender"]
        command = [str(self.pythons[contender]), str(CHILD), SIDES[contender], self.part, task]
        add_missing(self.out, job, command, lambda row: provenance() | complete(row))


def bench(asked: argparse.Namespace, part: str, out: Path, folder: Path, **places: Path) -> Bench:
    """Prepare anomalib's environment and the places."""
    environment = (asked.anomalib_env or folder / "anomalib").absolute()
    theirs = python_with(environment, ANOMALIB.format("[openvino]"), EMBEDDED_WEIGHTS)
    pythons = {"understudy": Path(sys.executable), "anomalib": theirs}
    return Bench(part, out, pythons, folder / "scratch", places)


def training(asked: argparse.Namespace, out: Path, folder: Path) -> None:
    """Measure the speed of a training step, and the time before the first one."""
    pictures = sorted((asked.data / asked.category / "train" / "good").iterdir())
    data = folder / "training" / asked.category
    copies(pictures, data / "train" / "good", asked.pictures)
    work = bench(asked, "training", out, folder, data=data)
    for number in range(asked.rounds):
        for method in asked.methods.split(","):
            for case in training_cases(method):
                work.run(
                    {"method": method, "number": number, "steps": asked.steps, "pictures": asked.pictures}
                    | case
                )


def training_cases(method: str) -> Iterator[Job]:
    """Yield each side's defaults, then equal settings; where features are cached by default, also without."""
    caches = ["auto", "off"] if method == "rd" else ["off"]  # STPM's student looks at the pictures
    ours = [{"contender": "understudy", "cache_features": cache} for cache in caches]
    for batch, precision in (("default", "default"), (EQUAL_BATCH, "32"), (EQUAL_BATCH, "bf16")):
        for side in [*ours, {"contender": "anomalib", "cache_features": "off"}]:
            yield side | {"batch": batch, "precision": precision}


def scoring(asked: argparse.Namespace, out: Path, folder: Path) -> None:
    """Measure latency, throughput and memory of scoring."""
    test = sorted(p for p in (asked.data / asked.category / "test").rglob("*") if p.is_file())
    pictures = copies(test, folder / "pictures", asked.scored)
    np.save(folder / "arrays.npy", np.stack([small(path) for path in pictures]))
    places = {"data": few(asked, folder), "pictures": folder / "pictures", "arrays": folder / "arrays.npy"}
    work = bench(asked, "scoring", out, folder, **places)
    ways = [(contender, way) for contender, own in WAYS.items() for way in own]
    for method in asked.methods.split(","):
        models = {contender: prepared(work, folder, contender, method, True) for contender in SIDES}
        for number in range(asked.rounds):
            for batch_size in SCORED_BATCHES:
                for contender, way in ways:
                    job = {"contender": contender, "way": way, "method": method, "batch_size": batch_size}
                    job |= {"number": number, "scored": asked.scored}
                    work.run(job, {"model": models[contender]})


def prepared(work: Bench, folder: Path, contender: str, method: str, exported: bool) -> Path:
    """Prepare a contender's model for torch, and if asked in every other form that it scores with."""
    model = folder / "models" / contender / method
    model.mkdir(parents=True)
    preparing = Bench(
        "prepare", model / "prepared.csv", work.pythons, work.scratch, work.places | {"model": model}
    )
    preparing.run({"contender": contender, "method": method, "exported": exported})
    return model


def accuracy(asked: argparse.Namespace, out: Path, folder: Path) -> None:
    """Measure detection and localisation after equally many steps, one seed a round."""
    data = asked.data / asked.category
    records = open_pictures(asked.data).only([asked.category]).test()
    (folder / "files.json").write_text(json.dumps([str(r.path) for r in records]), encoding="utf-8")
    work = bench(asked, "accuracy", out, folder, data=data, files=folder / "files.json")

    def measured(row: Job) -> Job:
        with np.load(work.scratch / "found.npz") as found:
            maps, scores = found["maps"], found["scores"]
        masks = [read_masks(r, read_picture(r.path).shape[:2]) for r in records]
        marked = [(m, resize_mask(k, m.shape)) for m, k in zip(maps, masks, strict=True) if k is not None]
        pixels = rank_regions(*zip(*marked, strict=True))
        image = Ranking(scores, np.array([not r.is_good for r in records]))
        figures = {
            "image_auroc": image.auroc(),
            "pixel_auroc": pixels.auroc(),
            "aupro": pixels.area(AUPRO_LIMIT),
        }
        return row | {name: "" if value is None else round(value, 5) for name, value in figures.items()}

    for seed in range(asked.rounds):
        for contender in SIDES:
            job = {"contender": contender, "category": asked.category, "seed": seed}
            work.run(job | {"steps": asked.accuracy_steps, "batch_size": EQUAL_BATCH}, complete=measured)


def footprint(asked: argparse.Namespace, out: Path, folder: Path) -> None:
    """Measure installed sizes and whole processes. All its rows are made together, or none."""
    if not read(out):
        work = bench(asked, "footprint", out, folder, data=few(asked, folder))
        models = {contender: prepared(work, folder, contender, "stpm", False) for contender in SIDES}
        places = (asked.environments or folder / "environments").absolute()
        append(out, [provenance() | row for row in footprint_rows(places, models, asked.rounds)])


def few(asked: argparse.Namespace, folder: Path) -> Path:
    """Make a category of four good pictures, for models whose scores do not matter."""
    category: Path = folder / "few" / asked.category
    if not category.exists():
        good = sorted((asked.data / asked.category / "train" / "good").iterdir())
        copies(good, category / "train" / "good", 4)
    return category


def copies(pictures: list[Path], folder: Path, count: int) -> list[Path]:
    """Copy pictures into a folder, in turn and repeatedly, until there are so many."""
    folder.mkdir(parents=True)
    numbered = enumerate(islice(cycle(pictures), count))
    return [Path(shutil.copy(path, folder / f"{i:04}{path.suffix}")) for i, path in numbered]


def small(path: Path) -> Any:
    """Read a picture as (256, 256, 3) uint8."""
    return np.asarray(Image.fromarray(read_picture(path)).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


PARTS: dict[str, Callable[[argparse.Namespace, Path, Path], None]] = {
    "training": training,
    "scoring": scoring,
    "footprint": footprint,
    "accuracy": accuracy,
}

if __name__ == "__main__":
    main()
