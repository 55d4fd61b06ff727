"""Layouts drawn at random, each with its expected reading: exactly that is found, or it is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy import InputError
from understudy.data.layouts import open_pictures

Found = tuple[str, str, str, str, tuple[str, ...]]
"""Category, split, kind of defect, picture, masks."""

ROOT = "line 4"
PRODUCTS = ("bottle", "Screw", "nut M8", "größe 2", "裂纹", "50 %", "v1.2")
KINDS = ("hole", "Deep Cut", "rille", "缺口", "x-1")
PARTS = ("2026-01-05", "cam_2", "left")
GENERAL = ("NOK", "n.i.O.", "Reject", "defects")
DRAW = Callable[[st.SearchStrategy[str]], str]


@dataclass
class Layout:
    """Files and links of a folder, and how they are to be read.

    Attributes:
        files: files, from the root on.
        links: linked folders and where they lead, from the folder beside the root on.
        found: what is expected, if it is not refused.
        refused: part of the sentence that refuses it.
    """

    files: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    refused: str = ""

    def add(self, category: str, split: str, defect: str, path: str, *masks: str) -> None:
        self.files += [path, *masks]
        self.found.append((category, split, defect, path, masks))


def spelt(*words: str) -> st.SearchStrategy[str]:
    """One of the words, in some case and with some separators."""
    cases = st.sampled_from([str, str.upper, str.lower, str.title])
    ends = st.sampled_from(["", "_", " ", "-"])
    return st.builds(lambda word, case, end: case(word) + end.strip(), st.sampled_from(words), cases, ends)


GOOD = spelt("good", "ok", "o.k.", "normal", "pass", "i.O.", "in_ordnung", "conforme", "良品")
BAD = spelt("bad", "n.ok", "not_ok", "NG", "ko", "reject", "defects", "n.i.O.", "défaut", "scratch", "不良")
NAMES = st.lists(st.integers(0, 99).map("{:03d}".format), min_size=1, max_size=3, unique=True)
SUFFIXES = st.sampled_from([".png", ".JPG", ".tif", ".Bmp", ".webp"])


@st.composite
def pictures(draw: DRAW, deep: bool = True) -> list[str]:
    """Pictures of a folder, some of them in subfolders."""
    inner = f"{draw(st.sampled_from(PARTS))}/" if deep and draw(st.booleans()) else ""
    return [inner * draw(st.booleans()) + name + draw(SUFFIXES) for name in draw(NAMES)]


@st.composite
def products(draw: DRAW) -> Layout:
    """One product a folder: some with good pictures alone, some with good and bad ones."""
    layout = Layout()
    for product in draw(st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=3, unique=True)):
        _plain(draw, layout, product)
    return layout


def _plain(draw: DRAW, layout: Layout, product: str) -> None:
    if draw(st.booleans()):
        for path in draw(pictures(deep=False)):
            layout.add(product, "train", "good", f"{product}/{path}")
    else:
        _labelled(draw, layout, product, f"{product}/")


@st.composite
def labelled(draw: DRAW) -> Layout:
    """Good and bad folders of one product."""
    layout = Layout()
    _labelled(draw, layout, ROOT, "")
    return layout


def _labelled(draw: DRAW, layout: Layout, product: str, place: str) -> None:
    good = draw(GOOD)
    for path in draw(pictures(deep=False)):
        layout.add(product, "train", "good", f"{place}{good}/{path}")
    for kind in draw(st.lists(st.one_of(BAD, st.sampled_from(KINDS)), max_size=2, unique=True)):
        for path in draw(pictures()):
            layout.add(product, "test", kind, f"{place}{kind}/{path}")


@st.composite
def dated(draw: DRAW) -> Layout:
    """Products with good and bad folders below dates and cameras, and kinds of defect below the bad ones."""
    layout = Layout()
    for product in draw(st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=2, unique=True)):
        for part in draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3, unique=True)):
            place = f"{product}/{part}"
            good, bad = draw(GOOD), draw(st.sampled_from(GENERAL))
            for path in draw(pictures()):
                layout.add(product, "train", "good", f"{place}/{good}/{path}")
            for kind in draw(st.lists(st.sampled_from(KINDS), max_size=2, unique=True)):
                for path in draw(pictures()):
                    mask = f"{place}/{bad}/{kind}_masks/{path}"
                    layout.add(
                        product, "test", kind, f"{place}/{bad}/{kind}/{path}", *[mask] * draw(st.booleans())
                    )
    return layout


@st.composite
def loose(draw: DRAW) -> Layout:
    """Good pictures of one product."""
    layout = Layout()
    for path in draw(pictures(deep=False)):
        layout.add(ROOT, "train", "good", path)
    return layout


@st.composite
def mvtec(draw: DRAW) -> Layout:
    """Products with splits, some beside them without; masks for some defects."""
    layout = Layout()
    first, *others = draw(st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=3, unique=True))
    for product in (first, *others):
        if product != first and draw(st.booleans()):
            _plain(draw, layout, product)
            continue
        train, test = draw(spelt("train")), draw(spelt("test"))
        masks = draw(spelt("ground_truth", "masks"))
        good = draw(st.one_of(GOOD.map("{}/".format), st.just("")))
        for path in draw(pictures(deep=bool(good))):
            layout.add(product, "train", "good", f"{product}/{train}/{good}{path}")
        tested = draw(GOOD)
        for path in draw(pictures()):
            layout.add(product, "test", "good", f"{product}/{test}/{tested}/{path}")
        for kind in draw(st.lists(st.one_of(BAD, st.sampled_from(KINDS)), max_size=2, unique=True)):
            for path in draw(pictures()):
                stem = PurePosixPath(path).with_suffix("")
                ending = draw(st.sampled_from(["_mask.png", ".png", "_MASK.tif"]))
                marked = [f"{product}/{masks}/{kind}/{stem}{ending}"] * draw(st.booleans())
                layout.add(product, "test", kind, f"{product}/{test}/{kind}/{path}", *marked)
    return layout


@st.composite
def loco(draw: DRAW) -> Layout:
    """One product with a folder of masks for each defective picture."""
    layout, product = Layout(), draw(st.sampled_from(PRODUCTS))
    for split in ("train", "validation"):
        name, good = draw(spelt(split)), draw(GOOD)
        for path in draw(pictures()):
            layout.add(product, split, "good", f"{product}/{name}/{good}/{path}")
    for path in draw(pictures(deep=False)):
        place = f"{product}/ground_truth/hole/{PurePosixPath(path).stem}"
        masks = [f"{place}/{i:03d}.png" for i in range(draw(st.integers(1, 2)))]
        layout.add(product, "test", "hole", f"{product}/test/hole/{path}", *masks)
    return layout


@st.composite
def refused(draw: DRAW) -> Layout:
    """Folders with two readings."""
    one, two = draw(st.lists(st.sampled_from(PRODUCTS), min_size=2, max_size=2, unique=True))
    good, bad = draw(GOOD), draw(BAD)
    files, words = draw(
        st.sampled_from(
            [
                (["0.png", f"{one}/0.png"], "--layout good"),
                (["0.png", f"{bad}/0.png"], "--layout good"),
                ([f"{one}/0.png", f"{two}/0.png", f"{bad}/0.png"], "--layout products"),
                ([f"{one}/{two}/0.png"], "--layout products"),
                ([f"{one}/0.png", f"{one}/{bad}/0.png"], "move them into a folder good"),
                ([f"{good}/{one}/0.png", f"{bad}/{one}/0.png"], f"--good {good}"),
                ([f"{one}/train/{good}/0.png", f"{bad}/0.png"], "--layout mvtec"),
                ([f"train/{one}/0.png", f"train/{two}/0.png"], "--good or --bad"),
                (["0/0.png", "1/0.png"], "--good and --bad"),
                ([f"{one}/0.png", f"{bad}_1/0.png"], f"{bad}_1"),
                ([f"{one}/0/0.png", f"{one}/1/0.png"], "--good and --bad"),
                ([f"{one}/{good}/{two}/{bad}/0.png"], "good by its name"),
                ([f"{one}/0.png", "masks/0.png"], "--layout products"),
            ]
        )
    )
    return Layout(files, refused=words)


@st.composite
def with_extras(draw: DRAW, layouts: st.SearchStrategy[Layout]) -> Layout:
    """Add what must not be read, and move a folder elsewhere, with a link in its place."""
    layout = draw(layouts)
    folders = sorted({str(PurePosixPath(path).parent) for path in layout.files})
    where = st.sampled_from(folders)
    for name in draw(
        st.lists(st.sampled_from(["notes.txt", ".hidden.png", "Thumbs.db", ".git/0.png"]), max_size=2)
    ):
        layout.files.append(f"{draw(where)}/{name}")
    if draw(st.booleans()):
        layout.links[draw(where)] = "back"
    tops = sorted({PurePosixPath(path).parts[0] for path in layout.files if "/" in path} - {"."})
    if tops and draw(st.booleans()):
        layout.links[draw(st.sampled_from(tops))] = "elsewhere"
    return layout


@contextmanager
def built(layout: Layout) -> Iterator[Path]:
    """Make the folder."""
    with tempfile.TemporaryDirectory() as place:
        root, elsewhere = Path(place, ROOT), Path(place, "elsewhere")
        elsewhere.mkdir()
        for name in layout.files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        for name, leads in layout.links.items():
            if leads == "back":
                (root / name / "to the root").symlink_to(root)
                continue
            (root / name).rename(elsewhere / name)
            (root / name).symlink_to(elsewhere / name)
        yield root


STEADY = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}
LAYOUTS = st.one_of(mvtec(), products(), mvtec(), labelled(), loose(), loco(), mvtec(), dated())


@settings(max_examples=150, **STEADY)
@given(with_extras(LAYOUTS))
def test_a_layout_is_read_as_it_is_meant_and_nothing_else_is_lost(layout: Layout) -> None:
    with built(layout) as root:
        found = open_pictures(root)
        read = [
            (
                r.category,
                r.split,
                r.defect,
                r.path.relative_to(root).as_posix(),
                tuple(m.relative_to(root).as_posix() for m in r.masks),
            )
            for r in found.records
        ]
        assert sorted(read) == sorted(layout.found)
        unread = len(set(layout.files)) - sum(1 + len(masks) for *_, masks in layout.found)
        unread -= sum("/.git/" in f or f.startswith(".git/") for f in set(layout.files))
        assert sum(each.files for each in found.left_out) == unread


@settings(max_examples=50, **STEADY)
@given(refused())
def test_a_layout_with_two_readings_is_refused_with_the_option_that_settles_it(layout: Layout) -> None:
    with built(layout) as root, pytest.raises(InputError) as caught:
        open_pictures(root)
    assert layout.refused in str(caught.value)
