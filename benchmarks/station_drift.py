"""How often the drift monitor alarms on good lines, and how soon after a change, on simulated lines.

    python benchmarks/station_drift.py --data REALBENCH --model MODEL --figures FILE.npz --out RESULTS.csv

A model scores good pictures that its training has not seen, as they are and changed, once; the figures are
kept. A line is a sequence of figures drawn from them. MODEL comes from ``understudy fit --holdout 0.4``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from machine import append, provenance
from understudy.calibrate.job import unseen_pictures
from understudy.data.layouts import open_pictures
from understudy.data.records import Record
from understudy.errors import PictureError
from understudy.model import Model
from understudy.runtime.decision import distances_to, thresholds_for
from understudy.runtime.images import Picture, read_picture
from understudy.station.martingale import Wealth, spent

Numbers = NDArray[np.float64]
Figures = dict[str, dict[str, Numbers]]
"""Product -> what was done to its pictures -> (n, 4) score, distance, brightness, sharpness."""

STREAMS = ("score", "distance", "brightness", "sharpness")
BUDGET = 0.01
EACH = 100  # changed pictures of a product, at most
LINES, LENGTH = 1000, 2000  # good lines, and their pictures that count
CHANGED, BEFORE, AFTER = 100, 200, 500  # changed lines of a product; pictures before and after the change
REFERENCES = (20, 50, 100)


def darker(share: float) -> Callable[[Picture], Picture]:
    """Return a change that makes a picture darker by a share."""
    return lambda picture: np.asarray((picture * (1 - share)).round(), np.uint8)


def blurred(picture: Picture) -> Picture:
    """Blur a picture by a Gaussian of one pixel."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1)))


def shifted(picture: Picture) -> Picture:
    """Move a picture to the right by 3 % of its width; its left border is repeated."""
    by = max(1, round(0.03 * picture.shape[1]))
    return np.pad(picture, ((0, 0), (by, 0), (0, 0)), mode="edge")[:, : picture.shape[1]]


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "5 % darker": darker(0.05),
    "10 % darker": darker(0.1),
    "20 % darker": darker(0.2),
    "blur of 1 px": blurred,
    "shift of 3 %": shifted,
}
GOOD, DEFECTS, OTHER = "good", "defects", "another product"


def measure(model: Path, data: Path) -> Figures:
    """Score unseen good pictures, as they are and changed, those of another product, and defects."""
    inspector = Model.load(model, "cpu").inspector
    calibration = inspector.calibration
    assert calibration
    found = open_pictures(data).keep_known(inspector.categories)
    good = [*unseen_pictures(inspector.seen, found.train()), *(r for r in found.test() if r.is_good)]

    def figures(records: Sequence[Record], product: str, change: Callable[[Picture], Picture]) -> Numbers:
        pictures = (change(read_picture(r.path)) for r in records)
        rows, fail = [], thresholds_for(calibration, product).fail_above
        for each in inspector.scorer.score(pictures, categories=[product] * len(records)):
            assert not isinstance(each, PictureError)
            score = each.score if each.score <= fail else math.nan
            away = distances_to(each.embedding, inspector.scorer.prototypes)[product]
            rows.append((score, away, each.brightness, each.sharpness))
        return np.array(rows, np.float64)

    result: Figures = {}
    for place, product in enumerate(inspector.categories):
        own = [r for r in good if r.category == product]
        other = inspector.categories[(place + 1) % len(inspector.categories)]
        some = own[:: -(-len(own) // EACH)]
        result[product] = {GOOD: figures(own, product, lambda p: p)}
        result[product] |= {name: figures(some, product, change) for name, change in CHANGES.items()}
        others = [r for r in good if r.category == other]
        result[product][OTHER] = figures(others[:: -(-len(others) // EACH)], product, lambda p: p)
        defects = [r for r in found.test() if not r.is_good and r.category == product]
        result[product][DEFECTS] = figures(defects[:: -(-len(defects) // EACH)], product, lambda p: p)
        print(product, {name: len(x) for name, x in result[product].items()}, flush=True)
    return result


def cached(path: Path, model: Path, data: Path) -> Figures:
    """Read the figures, or measure them and keep them."""
    if not path.is_file():
        flat = {f"{c}/{n}": x for c, each in measure(model, data).items() for n, x in each.items()}
        np.savez(path, **flat)  # type: ignore[arg-type]
    result: Figures = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            product, _, name = key.partition("/")
            result.setdefault(product, {})[name] = arrays[key]
    return result


def first_alarms(lines: Numbers, n_reference: int, seed: int) -> NDArray[np.int64]:
    """(L, n + T, 4) figures of reference and line -> (L, 4) pictures until the first alarm; 0 for none.

    It is what :class:`understudy.station.drift.DriftMonitor` does on one product in its first run.

    Args:
        lines: figures; NaN where a picture has none.
        n_reference: number n of pictures of the reference.
        seed: seed of the random numbers that break ties.
    """
    limit = math.log10(len(STREAMS) / BUDGET / spent(1, 1))
    result = np.zeros((len(lines), len(STREAMS)), np.int64)
    for i in range(len(STREAMS)):
        level, place = _levels(lines[:, :, i], n_reference, np.random.default_rng([seed, i]))
        hit = level >= limit
        at = hit.argmax(axis=1)
        result[:, i] = np.where(hit.any(axis=1), place[np.arange(len(lines)), at] + 1, 0)
    return result


def _levels(x: Numbers, n: int, rng: np.random.Generator) -> tuple[Numbers, NDArray[np.int64]]:
    """(L, n + T) figures -> (L, T) levels of the martingale, and which picture of the line each is of."""
    _, ranks = np.unique(x, return_inverse=True, equal_nan=True)
    rank = ranks.reshape(x.shape).astype(np.int32)
    rows, length = len(x), x.shape[1] - n
    absent = np.isnan(x)
    order = np.argsort(absent[:, n:], axis=1, kind="stable")  # figures that are there come first
    rank[:, n:] = np.take_along_axis(rank[:, n:], order, axis=1)
    counts = (~absent[:, n:]).sum(axis=1)
    reference = np.where(absent[:, :n], -1, rank[:, :n])
    size = (~absent[:, :n]).sum(axis=1)
    wealth, level = Wealth((rows,)), np.full((rows, length), np.nan)
    before = np.concatenate([reference, rank[:, n:]], axis=1)
    for t in range(int(counts.max(initial=0))):
        now = before[:, n + t, None]
        seen = before[:, : n + t]
        above, ties = (seen > now).sum(axis=1), (seen == now).sum(axis=1) + 1
        p = (above + rng.random(rows) * ties) / (size + t + 1)
        level[:, t] = wealth.bet(np.clip(p, 0, 1))
    level[np.arange(length) >= counts[:, None]] = np.nan
    return level, order


def drawn(
    pool: Numbers, rng: np.random.Generator, n: int, block: int = 1, alike: bool = False
) -> NDArray[np.int64]:
    """Return which pictures of a pool follow each other on a line.

    Args:
        pool: (m, 4) figures.
        rng: random numbers.
        n: number of pictures.
        block: number of pictures that come in a row.
        alike: a block has pictures whose figures lie near each other, else pictures in the order of files.
    """
    order = np.arange(len(pool))
    if alike:
        known = np.nan_to_num(pool, nan=float(np.nanmax(pool[:, 0])))
        standard = (known - known.mean(axis=0)) / known.std(axis=0)
        order = np.argsort(standard @ np.linalg.svd(standard, full_matrices=False)[2][0])
    blocks = -(-n // block)
    places = rng.integers(len(pool), size=(blocks, 1)) + np.arange(block)  # in a circle: all equally often
    return np.asarray(order[places.ravel()[:n] % len(pool)])


def good_lines(
    figures: Figures, block: int, alike: bool, every: int, n: int = 50, defects: float = 0.0
) -> Numbers:
    """Make (L, n + T, 4) good lines of all products in turn; the reference is drawn at random."""
    rng = np.random.default_rng([block, alike, n, round(1000 * defects)])
    lines = []
    for i in range(LINES):
        each = list(figures.values())[i % len(figures)]
        pool, spoiled = each[GOOD], each[DEFECTS]
        line = pool[drawn(pool, rng, LENGTH * every, block, alike)][::every]
        if defects:
            at = rng.random(len(line)) < defects
            line[at] = spoiled[rng.integers(len(spoiled), size=int(at.sum()))]
        lines.append(np.concatenate([pool[drawn(pool, rng, n)], line]))
    return np.array(lines)


def false_alarms(figures: Figures) -> Iterator[dict[str, Any]]:
    """Yield one row for each kind of good line."""
    kinds = [(1, False, 0.0)]
    kinds += [(block, alike, 0.0) for alike in (False, True) for block in (5, 10, 50)]
    kinds += [(1, False, 0.02), (1, False, 0.05)]
    for block, alike, defects in kinds:
        for every in (1,) if block == 1 else (1, 5, 10, 50):
            lines = good_lines(figures, block, alike, every, defects=defects)
            first = first_alarms(lines, 50, 1)
            earliest = np.where(first > 0, first, LENGTH + 1).argmin(axis=1)
            order = "alike" if alike else "as files" if block > 1 else "independent"
            yield {
                "part": "good lines",
                "product": "all",
                "what": f"{order}, {defects:.0%} defects" if defects else order,
                "block": block,
                "every": every,
                "n_reference": 50,
                "lines": len(lines),
                "pictures": LENGTH,
                "alarms": int((first > 0).any(axis=1).sum()),
                **{
                    f"first_{name}": int(((first > 0).any(axis=1) & (earliest == i)).sum())
                    for i, name in enumerate(STREAMS)
                },
                "delay": "",
            }


def changed_lines(each: dict[str, Numbers], change: str, n: int, before: int, seed: int) -> Numbers:
    """Make (L, n + before + AFTER, 4) lines of one product that change."""
    rng = np.random.default_rng([seed, n, before])
    good, other = each[GOOD], each[change]
    return np.array(
        [
            np.concatenate([good[drawn(good, rng, n + before)], other[drawn(other, rng, AFTER)]])
            for _ in range(CHANGED)
        ]
    )


def delays(figures: Figures) -> Iterator[dict[str, Any]]:
    """Yield one row for each change of each product, size of the reference and time of the change."""
    for change in (*CHANGES, OTHER):
        for n in REFERENCES:
            for before in (0, BEFORE):
                for place, (product, each) in enumerate(figures.items()):
                    lines = changed_lines(each, change, n, before, place)
                    first = first_alarms(lines, n, place)
                    after = np.where(first > before, first - before, 10 * AFTER)
                    delay, earliest = after.min(axis=1), after.argmin(axis=1)
                    seen = delay <= AFTER
                    yield {
                        "part": "changed lines",
                        "product": product,
                        "what": change,
                        "block": 1,
                        "every": 1,
                        "n_reference": n,
                        "lines": len(lines),
                        "pictures": before,
                        "alarms": int(seen.sum()),
                        **{
                            f"first_{name}": int((seen & (earliest == i)).sum())
                            for i, name in enumerate(STREAMS)
                        },
                        "delay": " ".join(str(int(x)) for x in np.where(seen, delay, 0)),
                    }


def main() -> None:
    """Measure all, and write one row for each kind of line."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--data", type=Path, required=True, help="folder of products")
    options.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    options.add_argument("--figures", type=Path, required=True, help="file that keeps the figures (.npz)")
    options.add_argument("--out", type=Path, required=True, help="results file")
    asked = options.parse_args()
    where = provenance()
    figures = cached(asked.figures, asked.model, asked.data)
    for part in (false_alarms, delays):
        for row in part(figures):
            print({k: v for k, v in row.items() if k != "delay"}, flush=True)
            append(asked.out, [row | where])


if __name__ == "__main__":
    main()
