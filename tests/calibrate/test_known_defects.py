"""Known defects: which pictures they are, how many are found, and that none of them sets a threshold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import InputError, Inspector, Model, open_pictures
from understudy.calibrate.known_defects import (
    DefectPicture,
    DefectsFound,
    find_defects,
    list_defects,
    suggest_rate,
)
from understudy.progress import Reporter
from understudy.runtime.decision import Limits
from understudy.runtime.sources import digest_of

SILENT = Reporter()


@pytest.fixture
def inspector(model: Model) -> Inspector:
    """May be changed: the model keeps its own."""
    return replace(model.inspector)


@pytest.fixture
def pictures(factory: Path, tmp_path: Path) -> Callable[..., Path]:
    """Put a copy of a defective nut into each place; return the folder of all."""

    def put(*places: str) -> Path:
        for i, place in enumerate(places):
            path = tmp_path / "defects" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = ("chip", "rust", "scratch")[i % 3]
            shutil.copy(next((factory / "nut" / "test" / kind).iterdir()), path)
        return tmp_path / "defects"

    return put


def names(root: Path, listed: list[DefectPicture]) -> dict[str, str | None]:
    return {str(each.path.relative_to(root)): each.category for each in listed}


def test_of_a_known_layout_only_the_defective_pictures_count(inspector: Inspector, factory: Path) -> None:
    for data in (factory, open_pictures(factory)):
        listed = list_defects(inspector, data, SILENT)
        assert len(listed) == 12
        assert all(each.category == each.path.parts[-4] and each.path.parts[-2] != "good" for each in listed)


@pytest.mark.parametrize(
    ("places", "known"),
    [
        (("a.png", "b.png"), {"a.png": None, "b.png": None}),
        (("nut/a.png", "strange/b.png"), {"nut/a.png": "nut", "strange/b.png": None}),
        (("scratch/a.png", "dent/b.png"), {"scratch/a.png": None, "dent/b.png": None}),
        (("nut/ng/a.png", "nut/ok/b.png"), {"nut/ng/a.png": "nut"}),
        (("nut/ng/a.png", "nut/ok/b.png", "bolt/c.png"), {"nut/ng/a.png": "nut", "bolt/c.png": None}),
        (
            ("x.png", "nut/deep/a.png", "ok/b.png", "ground_truth/c.png"),  # `fit` would refuse this folder
            {"x.png": None, "nut/deep/a.png": "nut"},
        ),
    ],
)
def test_a_folder_of_any_kind_is_read_and_its_folders_name_the_products(
    places: tuple[str, ...],
    known: dict[str, str | None],
    inspector: Inspector,
    pictures: Callable[..., Path],
) -> None:
    root = pictures(*places)
    assert names(root, list_defects(inspector, root, SILENT)) == known


def test_a_folder_without_defects_is_refused(
    inspector: Inspector, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    root = pictures("nut/test/good/a.png")
    with pytest.raises(InputError, match="marks no picture as defective; name a folder"):
        list_defects(inspector, root, SILENT)
    (tmp_path / "list.csv").write_text(f"path,category\n{root}/nut/test/good/a.png,nut\n")
    with pytest.raises(InputError, match="marks no picture as defective"):
        list_defects(inspector, tmp_path / "list.csv", SILENT)
    with pytest.raises(InputError, match="does not exist"):
        list_defects(inspector, tmp_path / "nothing", SILENT)


def test_defects_are_counted_by_the_limits_of_their_products(inspector: Inspector, factory: Path) -> None:
    listed = list_defects(inspector, factory, SILENT)
    scored = list(inspector.scorer.score([d.path for d in listed], categories=[d.category for d in listed]))
    scores = np.array([each.score for each in scored])  # type: ignore[union-attr]
    own = {c: float(np.median(scores)) for c in inspector.categories} | {"nut": -1e9}
    assert inspector.calibration is not None
    limits = (Limits(rate=0.01, overall=1e9, categories=own), Limits(rate=0.05, overall=-1e9, categories={}))
    inspector.calibration = inspector.calibration.model_copy(update={"rates": limits})
    found = find_defects(inspector, listed, SILENT)
    above = [s > own[str(d.category)] for s, d in zip(scores, listed, strict=True)]
    assert (found.n, found.found) == (12, {0.01: sum(above), 0.05: 12})
    assert (found.unknown, found.seen, found.broken) == (0, 0, ())


def test_an_unknown_product_goes_to_review_and_is_not_found(inspector: Inspector, factory: Path) -> None:
    assert inspector.calibration is not None
    never = Limits(rate=0.01, overall=0.0, categories={})
    always = Limits(rate=0.01, overall=-1e9, categories={})
    inspector.calibration = inspector.calibration.model_copy(update={"distances": never, "rates": (always,)})
    listed = [each._replace(category=None) for each in list_defects(inspector, factory, SILENT)]
    found = find_defects(inspector, listed, SILENT)
    assert (found.unknown, found.reviewed, found.failed, found.found) == (12, 12, 0, {0.01: 0})
    assert "12 of the defective pictures look like no known product" in found.lines()[0]


def test_a_broken_picture_is_one_line_and_the_others_are_scored(
    inspector: Inspector, pictures: Callable[..., Path]
) -> None:
    root = pictures("nut/a.png", "nut/b.png")
    (root / "nut" / "c.png").write_bytes(b"no picture")
    found = find_defects(inspector, list_defects(inspector, root, SILENT), SILENT)
    assert found.n == 2
    (line,) = found.broken
    assert str(root / "nut" / "c.png") in line
    assert f"left out of the defects: {line}" in found.lines()
    (root / "nut" / "a.png").write_bytes(b"no picture")
    (root / "nut" / "b.png").write_bytes(b"no picture")
    nothing = find_defects(inspector, list_defects(inspector, root, SILENT), SILENT).lines()
    assert nothing[-1] == "no defective picture can be used, so nothing is known of how many are found"


def test_a_defect_that_was_learned_from_as_good_is_said(
    inspector: Inspector, pictures: Callable[..., Path]
) -> None:
    listed = list_defects(inspector, pictures("nut/a.png", "nut/b.png"), SILENT)
    trained = [*inspector.seen.trained, digest_of(listed[0].path.read_bytes())]
    inspector.seen = inspector.seen.model_copy(update={"trained": trained})
    found = find_defects(inspector, listed, SILENT)
    assert found.seen == 1
    assert found.lines()[0].startswith("1 of the defective pictures were among the good ones of the training")


def test_no_defect_changes_a_threshold(
    model_folder: Path, factory: Path, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    root = pictures("nut/a.png", "nut/b.png", "nut/c.png")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(root / "nut" / "d.png")
    made, said = [], []
    for i, defects in enumerate((None, root)):
        model = Model.load(Path(shutil.copytree(model_folder, tmp_path / str(i))), "cpu")
        lines: list[str] = []
        model.calibrate(factory, false_alarm_rate=0.2, defects=defects, progress=Reporter(say=lines.append))
        made.append((model.folder / "calibration.json").read_bytes())
        said.append(lines)
    assert made[0] == made[1]
    assert [line for line in said[1] if line in said[0]] == said[0]
    more = [line for line in said[1] if line not in said[0]]
    assert more[0] == f"{root}: 4 defective pictures"
    assert more[1].startswith("of 4 defective pictures ")


def test_a_folder_of_defects_that_cannot_be_read_is_told_before_the_work(model: Model, factory: Path) -> None:
    before = (model.folder / "calibration.json").read_bytes()
    with pytest.raises(InputError, match="does not exist"):
        model.calibrate(factory, false_alarm_rate=0.2, defects=factory / "nothing", progress=False)
    assert (model.folder / "calibration.json").read_bytes() == before


@pytest.mark.parametrize(
    ("found", "rate"),
    [
        ({0.005: 50, 0.01: 51, 0.02: 52, 0.05: 53}, 0.005),
        ({0.005: 50, 0.01: 51, 0.02: 60, 0.05: 62}, 0.02),  # one flat step is not the end
        ({0.005: 0, 0.01: 0, 0.02: 0, 0.05: 33}, 0.05),
        ({0.005: 50, 0.01: 40, 0.02: 50, 0.05: 50}, 0.005),  # back to what a smaller rate finds is no gain
        ({0.005: 50, 0.01: 40, 0.02: 60, 0.05: 55}, 0.02),
        ({0.005: 40, 0.01: 50, 0.02: 60, 0.05: 62}, 0.02),  # 0.05 is 1.3 doublings of 0.02
        ({0.005: 40, 0.01: 50, 0.02: 60, 0.05: 63}, 0.05),
        ({0.005: 40, 0.01: 50, 0.02: 51, 0.05: 90}, 0.05),
        ({0.005: 0, 0.01: 0, 0.02: 0, 0.05: 0}, None),
        ({0.01: 40, 0.02: 42}, 0.02),
        ({0.02: 40}, None),
        ({}, None),
    ],
)
def test_the_suggested_rate_is_the_smallest_beyond_which_no_doubling_finds_two_points_more(
    found: dict[float, int], rate: float | None
) -> None:
    assert suggest_rate(found, 100) == rate


def test_the_lines_say_each_share_and_the_rule_of_the_suggestion() -> None:
    found = DefectsFound(
        n=40, failed=20, reviewed=10, unknown=0, found={0.01: 20, 0.02: 22, 0.05: 22}, seen=0, broken=()
    )
    assert found.lines() == [
        "of 40 defective pictures 50 % FAIL and 25 % go to REVIEW",
        "this many would FAIL, by the rate of false alarms: 50 % at 1 %, 55 % at 2 %, 55 % at 5 %",
        "suggested: --false-alarm-rate 0.02, the smallest rate beyond which no doubling finds 2 points more; "
        "no defect has changed a threshold",
        "one picture of 40 is 2.5 %, so this is rough",
    ]
    assert "rough" not in replace(found, n=50).lines()[-1]
    assert replace(found, found={}).lines()[1:] == [
        "other rates of false alarms are not compared: the good pictures are too few for them"
    ]


def test_where_no_rate_finds_anything_none_is_suggested_and_a_line_says_so() -> None:
    nothing = DefectsFound(
        n=40, failed=0, reviewed=0, unknown=0, found={0.01: 0, 0.02: 0}, seen=0, broken=()
    ).lines()
    assert nothing[-1] == (
        "no rate of these finds any of the defective pictures, so none is suggested; "
        "see understudy explain for where their scores lie"
    )
    assert not any("--false-alarm-rate" in line for line in nothing)


def test_good_pictures_that_are_left_out_of_the_defects_are_counted_in_a_line(
    inspector: Inspector, factory: Path
) -> None:
    said: list[str] = []
    list_defects(inspector, factory, Reporter(say=said.append))
    assert said == [f"{factory}: 12 defective pictures; 32 others beside them are left out"]
