from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from understudy import InputError
from understudy.data.layouts import open_pictures

HEADER = "object,split,label,image,mask"


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


def listed(root: Path) -> Path:
    return root / "split_csv" / "1cls.csv"


@pytest.fixture
def visa(tmp_path: Path) -> Path:
    """Two objects of two good pictures to learn from, a good one to test, and a marked defect."""
    root, lines = tmp_path / "visa", [HEADER]
    for name in ("candle", "pipe_fryum"):
        data = f"{name}/Data"
        lines += [
            *(f"{name},train,normal,{data}/Images/Normal/{i:04d}.JPG," for i in (0, 1)),
            f"{name},test,normal,{data}/Images/Normal/0002.JPG,",
            f"{name},test,anomaly,{data}/Images/Anomaly/000.JPG,{data}/Masks/Anomaly/000.png",
        ]
    for line in lines[1:]:
        for file in filter(None, line.split(",")[3:]):
            touch(root / file)
    listed(root).parent.mkdir()
    listed(root).write_text("\n".join(lines) + "\n")
    return root


def test_the_list_tells_splits_defects_and_masks(visa: Path) -> None:
    found = open_pictures(visa)
    assert (found.layout, found.categories) == ("VisA layout", ["candle", "pipe_fryum"])
    assert len(found.train()) == 4
    assert found.validation() == []
    candles = [r for r in found.test() if r.category == "candle"]
    assert [(r.defect, r.path.name, len(r.masks)) for r in candles] == [
        ("anomaly", "000.JPG", 1),
        ("good", "0002.JPG", 0),
    ]
    assert candles[0].masks == (visa / "candle" / "Data" / "Masks" / "Anomaly" / "000.png",)


def test_one_object_alone_is_read_with_the_list_beside_it(
    visa: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (visa / "pipe_fryum" / "Data" / "Images" / "Normal" / "0000.JPG").unlink()  # not its business
    found = open_pictures(visa / "candle")
    assert (found.layout, found.categories) == ("one category in VisA layout", ["candle"])
    assert len(found.records) == 4
    monkeypatch.chdir(visa / "candle")
    assert len(open_pictures(Path()).records) == 4


@pytest.mark.parametrize("part", ["", "candle"])
def test_without_the_list_it_is_said_which_file_is_missing_and_where_it_comes_from(
    visa: Path, part: str
) -> None:
    listed(visa).unlink()
    with pytest.raises(InputError, match=r"visa/split_csv/1cls\.csv is missing.*amazon-science/spot-diff"):
        open_pictures(visa / part)


def test_missing_files_are_counted_and_the_first_one_is_named_with_its_line(visa: Path) -> None:
    (visa / "candle" / "Data" / "Images" / "Normal" / "0001.JPG").unlink()
    (visa / "candle" / "Data" / "Masks" / "Anomaly" / "000.png").unlink()
    with pytest.raises(
        InputError, match=r"1cls\.csv, line 3: .*Normal/0001\.JPG does not exist \(and 1 more\)"
    ):
        open_pictures(visa)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.replace("label", "class"), r"1cls\.csv has no column 'label' \(its columns are object"),
        (lambda s: s.replace("train", "learn", 1), r"line 2: the split is 'learn'.*one of train, test"),
        (lambda s: s.replace(",test,", ",val,", 1), r"line 4: the split is 'val'"),
        (lambda s: s.replace("anomaly", "bad", 1), r"line 5: the label is 'bad'.*one of normal, anomaly"),
        (lambda s: s.replace("normal", "", 1), r"line 2: the label is ''"),
        (lambda s: s.replace("candle,", ",", 1), r"line 2: the object or the image is empty"),
        (lambda s: s.replace("test,anomaly", "train,anomaly"), r"line 5: .*'anomaly' is in split train"),
        (lambda s: s.replace("0001", "0000", 1), r"line 3: .*0000\.JPG is listed already \(.*line 2\)"),
        (lambda s: s.replace("candle", "cändle", 1), r"line 2: not UTF-8"),
        (lambda s: HEADER, "lists no pictures"),
    ],
)
def test_a_list_that_breaks_a_rule_is_named_with_the_line(
    visa: Path, change: Callable[[str], str], message: str
) -> None:
    text = listed(visa).read_text()
    assert change(text) != text
    listed(visa).write_text(change(text), encoding="latin-1")
    with pytest.raises(InputError, match=message):
        open_pictures(visa)


def test_an_object_that_the_list_does_not_know_is_named(visa: Path) -> None:
    (visa / "candle").rename(visa / "candles")
    with pytest.raises(InputError, match="knows no object 'candles'; it lists candle, pipe_fryum"):
        open_pictures(visa / "candles")


def test_categories_in_mvtec_layout_beside_the_objects_are_read_too(visa: Path) -> None:
    touch(visa / "nut" / "train" / "good" / "000.png")
    found = open_pictures(visa)
    assert found.layout == "MVTec AD and VisA layouts"
    assert found.categories == ["candle", "nut", "pipe_fryum"]
