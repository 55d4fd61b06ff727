"""A memory bank, to compare with the students: no training, but the same teacher, levels, size and pictures.

    python benchmarks/memory_bank.py --data REALBENCH --out benchmarks/results/memory_bank.csv

The bank keeps every cell of every good picture. A test cell is as abnormal as its distance from the nearest
kept cell. Levels are resized to one grid, scaled to length one and concatenated. The distance is one minus
the cosine, and the map is made from it like that of ``rd``. The nearest cell is searched in bf16. The bank
holds the pictures that a student of the same seed would learn from. Rows are added as runs finish. A run
whose rows exist is not repeated.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apart import SIX, parser_of, print_rows, run_missing
from machine import read
from tables.quality import memory_bank
from understudy import Model
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.distiller import Distiller
from understudy.distill.network import Normaliser, TorchNetwork
from understudy.train.options import fit_options
from understudy.train.plan import recipe_of
from understudy.train.split import divide
from understudy.types import Features, Pair
from unified import rows_of

_AT_ONCE = 65536  # cells of the bank in one product, so that its other factor stays in the caches


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    parser = parser_of(__doc__, categories=SIX)
    parser.add_argument("--image-sizes", default="256")
    parser.add_argument("--grids", default="16,32", help="cells along a side of the map")
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    for seed in map(int, asked.seeds.split(",")):
        for size in map(int, asked.image_sizes.split(",")):
            for grid in map(int, asked.grids.split(",")):
                job = {"seed": seed, "size": size, "grid": grid}
                job["trained_on"] = asked.categories.replace(",", " ")
                run_missing(__file__, asked.data, asked.out, job)
    print(memory_bank(read(asked.out)))


class MemoryBank(nn.Module):
    """Takes the place of a student: for each cell it gives the nearest cell that it has been shown.

    Args:
        grid: cells along a side; every level is resized to it.
    """

    sees_images = False

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.bank = torch.empty(0)

    def remember(self, parts: Sequence[Features]) -> None:
        """Keep every cell of these features."""
        cells = [self._stacked(f).movedim(1, -1).flatten(0, -2) for f in parts]
        self.bank = torch.cat(cells).to(torch.bfloat16).T.contiguous()

    def forward(self, images: Tensor | None, features: Features) -> list[Pair]:  # noqa: D102
        stacked = self._stacked(features)
        cells = stacked.movedim(1, -1).flatten(0, -2).to(torch.bfloat16)
        best, nearest = cells.new_full((len(cells),), -1), torch.zeros(len(cells), dtype=torch.long)
        for start in range(0, self.bank.shape[1], _AT_ONCE):
            likeness, where = (cells @ self.bank[:, start : start + _AT_ONCE]).max(1)
            nearer = likeness > best
            best, nearest = torch.where(nearer, likeness, best), torch.where(nearer, where + start, nearest)
        found = self.bank[:, nearest].T.float().view(len(stacked), self.grid, self.grid, -1)
        return [Pair(stacked, found.movedim(-1, 1))]

    def _stacked(self, features: Features) -> Tensor:
        """(B, D_k, h_k, w_k) a level -> (B, D_1 + .. + D_K, grid, grid): a level's cells have length one."""
        size = (self.grid, self.grid)
        levels = [
            F.adaptive_avg_pool2d(f, size)
            if f.shape[-1] >= self.grid
            else F.interpolate(f, size, mode="bilinear", align_corners=False)
            for f in (f.float() for f in features)
        ]
        return torch.cat([F.normalize(level, dim=1) for level in levels], dim=1)


@torch.no_grad()
def run(data: Path, seed: int, size: int, grid: int, trained_on: str) -> list[dict[str, Any]]:
    """Fill a bank and evaluate it: one row a category."""
    categories = tuple(trained_on.split())
    options: dict[str, Any] = {"method": "rd", "categories": categories, "seed": seed, "image_size": size}
    with tempfile.TemporaryDirectory() as folder:  # the student is not used; the teacher and the map are
        out = Path(folder) / "model"
        model = Model.fit(data, out=out, max_steps=1, device="cpu", progress=False, **options)
    teacher, inputs = model.distiller.teacher, Normaliser(model.preprocess)
    asked = fit_options(options)
    found = open_pictures(data).only(categories)
    learn = divide(found, asked.holdout, recipe_of(asked).validation, asked.seed).learn
    bank, store = MemoryBank(grid), PictureStore([r.path for r in learn], model.preprocess)
    began = time.monotonic()
    bank.remember(
        [
            teacher(inputs(torch.stack([store[i] for i in range(at, min(at + 16, len(store)))]))[0])
            for at in range(0, len(store), 16)
        ]
    )
    filling = round(time.monotonic() - began, 1)
    network = TorchNetwork(Distiller(teacher, bank, (), model.distiller.to_map))
    model.inspector.scorer = replace(model.inspector.scorer, network=network, calibration=None)
    metrics = model.evaluate(data, categories=categories, progress=False).metrics
    key = {"seed": seed, "size": size, "grid": grid, "trained_on": trained_on}
    return [key | row | {"train_seconds": filling, "batch_size": ""} for row in rows_of(model, metrics)]


if __name__ == "__main__":
    main()
