"""Folders of pictures: layouts, words for good and bad, nesting, links, and what has two readings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from robustness.judge import Case, Kind, Trial

GOOD = ("good", "Good", "OK", "ok", "pass", "i.O.", "gut", "Normal")
BAD = ("bad", "NOK", "nok", "NG", "reject", "Defect", "n.i.O.", "ausschuss")
PRODUCTS = ("bottle", "screw", "Mutter Ö", "part-7", "x1")
SUFFIXES = (".png", ".PNG", ".jpg", ".tiff")
Reading = dict[str, tuple[str, str, bool, int]]
"""Real path -> category, split, whether good, number of masks."""
Layout = Callable[[Path, Random, Reading], None]


def _put(folder: Path, rng: Random, reading: Reading, category: str, split: str, good: bool) -> list[Path]:
    """Write some empty pictures, and note what each one is; sometimes in a subfolder."""
    paths = []
    for number in range(rng.randint(1, 3)):
        place = folder / ("line 2" if good else "shift 3") if rng.random() < 0.2 else folder
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{number:03}{rng.choice(SUFFIXES)}"
        path.write_bytes(b"")
        reading[os.path.realpath(path)] = (category, split, good, 0)
        paths.append(path)
    return paths


def _mvtec_product(folder: Path, rng: Random, reading: Reading) -> None:
    name, word = folder.name, rng.choice(GOOD)
    train, test = rng.choice((("train", "test"), ("Train", "Test"), ("train", "TEST")))
    _put(folder / train / word, rng, reading, name, "train", True)
    _put(folder / test / rng.choice((word, "good")), rng, reading, name, "test", True)
    for kind in rng.sample(("hole", "dent", "colour 2"), 2):
        for path in _put(folder / test / kind, rng, reading, name, "test", False):
            below = path.relative_to(folder / test)
            mask = folder / "ground_truth" / below.with_name(f"{path.stem}_mask.png")
            mask.parent.mkdir(parents=True, exist_ok=True)
            mask.write_bytes(b"")
            reading[os.path.realpath(path)] = (name, "test", False, 1)


def mvtec(root: Path, rng: Random, reading: Reading) -> None:
    """Several products with train and test."""
    for name in rng.sample(PRODUCTS, rng.randint(2, 3)):
        _mvtec_product(root / name, rng, reading)


def one_mvtec(root: Path, rng: Random, reading: Reading) -> None:
    """One product with train and test."""
    _mvtec_product(root, rng, reading)


def loco(root: Path, rng: Random, reading: Reading) -> None:
    """A product in the layout of MVTec LOCO, several masks a picture."""
    for split in ("train", "validation", "test"):
        _put(root / split / "good", rng, reading, root.name, split, True)
    for path in _put(root / "test" / "logical_anomalies", rng, reading, root.name, "test", False):
        if path.parent.name != "logical_anomalies":
            continue
        masks = root / "ground_truth" / "logical_anomalies" / path.stem
        masks.mkdir(parents=True)
        count = rng.randint(1, 2)
        for number in range(count):
            (masks / f"{number:03}.png").write_bytes(b"")
        reading[os.path.realpath(path)] = (root.name, "test", False, count)


def products(root: Path, rng: Random, reading: Reading) -> None:
    """One product a folder, all pictures good."""
    for name in rng.sample(PRODUCTS, 2):
        _put(root / name, rng, {}, "", "", True)  # without subfolders: see below
        for path in (root / name).rglob("*.*"):
            if path.is_file():
                flat = root / name / path.name
                path.replace(flat)
                reading[os.path.realpath(flat)] = (name, "train", True, 0)
        if (root / name / "line 2").is_dir():
            (root / name / "line 2").rmdir()


def products_by_words(root: Path, rng: Random, reading: Reading) -> None:
    """One product a folder, each with folders of good and of bad pictures."""
    for name in rng.sample(PRODUCTS, 2):
        _put(root / name / rng.choice(GOOD), rng, reading, name, "train", True)
        _put(root / name / rng.choice(BAD), rng, reading, name, "test", False)


def words(root: Path, rng: Random, reading: Reading) -> None:
    """One product: a folder of good pictures, and folders of bad ones."""
    _put(root / rng.choice(GOOD), rng, reading, root.name, "train", True)
    for bad in rng.sample(("NOK", "reject", "kratzer", "hole"), 2):
        _put(root / bad, rng, reading, root.name, "test", False)


def loose(root: Path, rng: Random, reading: Reading) -> None:
    """Good pictures alone."""
    for number in range(rng.randint(1, 4)):
        path = root / f"{number}{rng.choice(SUFFIXES)}"
        path.write_bytes(b"")
        reading[os.path.realpath(path)] = (root.name, "train", True, 0)


LAYOUTS: tuple[Layout, ...] = (mvtec, one_mvtec, loco, products, products_by_words, words, loose)


def _trimmings(root: Path, rng: Random) -> None:
    """What lies in folders and is no picture."""
    folders = [root, *(p for p in root.rglob("*") if p.is_dir() and p.name != "ground_truth")]
    folder = rng.choice(folders)
    rng.choice(
        (
            lambda: (folder / "Thumbs.db").write_bytes(b"x"),
            lambda: (folder / ".hidden.png").write_bytes(b"x"),
            lambda: (folder / "notes.txt").write_text("x"),
            lambda: (folder / "empty").mkdir(),
            lambda: (folder / "back").symlink_to(root, target_is_directory=True),
            lambda: (folder / ".cache").mkdir(),
        )
    )()


def _open(root: Path, **options: Any) -> Callable[[], Any]:
    def act() -> Any:
        from understudy.data.layouts import open_pictures

        found = open_pictures(root, **options)
        return {
            os.path.realpath(r.path): (r.category, r.split, r.is_good, len(r.masks)) for r in found.records
        }

    return act


def _is(expected: Reading) -> Callable[[Any], str | None]:
    def wrong(found: Any) -> str | None:
        if found == expected:
            return None
        differ = sorted({*found.items()} ^ {*expected.items()})
        return f"read as {[(('+' if found.get(p) == r else '-'), p[-40:], r) for p, r in differ[:4]]}"

    return wrong


def layout(case: Case) -> Trial:
    """A folder that can be read in one way; every picture must be what it was put there as."""
    rng, reading = case.rng, {}
    root = case.place / "root"
    root.mkdir()
    made = rng.choice(LAYOUTS)
    made(root, rng, reading)
    if rng.random() < 0.5:
        _trimmings(root, rng)
    asked = root
    if rng.random() < 0.2:
        asked = case.place / "root link"
        asked.symlink_to(root, target_is_directory=True)
    return Trial(made.__name__, _open(asked), _is(reading), plain=True)


def linked(case: Case) -> Trial:
    """A product whose pictures lie behind a link to a folder elsewhere."""
    rng, reading = case.rng, {}
    root, away = case.place / "root", case.place / "away"
    for folder in (root, away / "bottle"):
        folder.mkdir(parents=True)
    _put(away / "bottle", Random(1), reading, "bottle", "train", True)
    (root / "bottle").symlink_to(away / "bottle", target_is_directory=True)
    _put(root / "screw", Random(1), reading, "screw", "train", True)
    if rng.random() < 0.5:
        (root / "screw" / "again").symlink_to(root / "screw", target_is_directory=True)
    return Trial("linked product", _open(root), _is(reading), plain=True)


def _beside(root: Path, rng: Random) -> str:
    _put(root / "bottle", rng, {}, "", "", True)
    _put(root / "screw", rng, {}, "", "", True)
    _put(root / rng.choice(BAD), rng, {}, "", "", False)
    return "products beside bad pictures"


def _loose_beside(root: Path, rng: Random) -> str:
    _put(root / rng.choice(PRODUCTS), rng, {}, "", "", True)
    (root / "0.png").write_bytes(b"")
    return "loose pictures beside a product"


def _loose_beside_bad(root: Path, rng: Random) -> str:
    _put(root / rng.choice(BAD), rng, {}, "", "", False)
    (root / "0.png").write_bytes(b"")
    return "loose pictures beside bad ones"


def _twins(root: Path, rng: Random) -> str:
    for name in rng.choice((("Nut", "nut"), ("ma\u0308nner", "m\u00e4nner"))):
        _put(root / name, rng, {}, "", "", True)
    return "two products of one name"


def _not_utf8(root: Path, rng: Random) -> str:
    _put(root / os.fsdecode(b"caf\xe9"), rng, {}, "", "", True)
    _put(root / "nut", rng, {}, "", "", True)
    return "a product that is not UTF-8"


def _nothing(root: Path, rng: Random) -> str:
    _trimmings(root, rng)
    return "no pictures"


def ambiguous(case: Case) -> Trial:
    """A folder with two readings, or none: it must be refused."""
    root = case.place / "root"
    root.mkdir()
    make = case.rng.choice((_beside, _loose_beside, _loose_beside_bad, _twins, _not_utf8, _nothing))
    note = make(root, case.rng)
    return Trial(note, _open(root), lambda found: f"{note}: read as {sorted(found.values())[:4]}")


KINDS = (Kind("layouts", layout, 40), Kind("linked folders", linked, 5), Kind("two readings", ambiguous, 20))
