"""Write a data set of held-out good pictures with drawn defects. A recipe can be chosen by it.

    python benchmarks/pasted.py --data REALBENCH --out PASTED

Only good training pictures are read. A fifth of each category is held out. These pictures are the good test
pictures, and defects are drawn on copies of them. The defects are those of the demo's factory; each gets a
random place and a random strength. The other pictures are for training. The set has the MVTec AD layout, so
every other script takes its folder as ``--data``.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apart import SIX
from understudy.data.layouts import open_pictures
from understudy.data.records import Record
from understudy.lab.factory.defects import DEFECTS, Defect, spoil
from understudy.lab.factory.scenes import Scene
from understudy.runtime.images import read_picture
from understudy.train.split import split_off

KINDS = {
    name: defect
    for own in DEFECTS.values()
    for name, defect in own.items()
    if name not in ("chip", "knot")  # a chip needs a rim, a knot needs wood
}
EACH = 6  # pictures of every kind, per category
SHARE = 0.2  # share of the good pictures that is held out
_SIDE = 256  # side of the square that a defect is drawn in; it is scaled afterwards
_GROUND = 0.3  # a hole shows this share of the median colour


def main() -> None:
    """Write the categories that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--categories", default=SIX)
    asked = parser.parse_args()
    if asked.out.exists():
        parser.error(f"{asked.out} exists already; name a new folder, or delete it")
    paste(asked.data, asked.out, asked.categories.split(","))


def paste(data: Path, out: Path, categories: list[str]) -> None:
    """Link the good pictures into their parts, and draw every kind of defect on the held-out ones."""
    learn, held_out = split_off(open_pictures(data).only(categories).train(), SHARE, seed=0)
    for split, records in (("train", learn), ("test", held_out)):
        for record in records:
            link = out / record.category / split / "good" / record.path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(record.path.resolve())
    for category in categories:
        own = [record for record in held_out if record.category == category]
        rng = np.random.default_rng(zlib.crc32(category.encode()))
        for kind, defect in KINDS.items():
            for number in range(EACH):
                _write(out / category, kind, number, *_spoiled(rng, own, defect))


def _spoiled(
    rng: np.random.Generator, records: list[Record], defect: Defect
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw a defect on a square of one of the pictures: the picture and its mask."""
    picture = read_picture(records[rng.integers(len(records))].path)
    h, w = picture.shape[:2]
    side = int(min(h, w) * rng.uniform(0.4, 1.0))
    top, left = rng.integers(h - side + 1), rng.integers(w - side + 1)
    square = picture[top : top + side, left : left + side]
    clean = _scaled(square, _SIDE) / 255
    ground = np.full_like(clean, _GROUND) * np.median(clean, axis=(0, 1))
    spoiled, small = spoil(rng, Scene(clean, np.ones((_SIDE, _SIDE)), ground), defect)
    change = 255 * rng.uniform(0.5, 1.0) * _scaled(spoiled - clean, side)
    picture[top : top + side, left : left + side] = np.clip(np.rint(square + change), 0, 255)
    mask = np.zeros((h, w), bool)
    mask[top : top + side, left : left + side] = _scaled(small[..., None], side)[..., 0] >= 0.5
    return picture, mask


def _scaled(picture: NDArray[np.generic], side: int) -> NDArray[np.float64]:
    """Resize (S, S, C) -> (side, side, C), bilinear."""
    channels = np.moveaxis(picture.astype(np.float32), -1, 0)
    scaled = [Image.fromarray(c).resize((side, side), Image.Resampling.BILINEAR) for c in channels]
    return np.stack([np.asarray(c, np.float64) for c in scaled], axis=-1)


def _write(folder: Path, kind: str, number: int, picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """Write a picture and its mask, in the MVTec AD layout."""
    for path, pixels in (
        (folder / "test" / kind / f"{number:03}.png", picture),
        (folder / "ground_truth" / kind / f"{number:03}_mask.png", mask.astype(np.uint8) * 255),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


if __name__ == "__main__":
    main()
