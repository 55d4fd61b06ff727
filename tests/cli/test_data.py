"""``understudy data`` as a user meets it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from understudy.cli import main
from understudy.data.layouts import open_pictures


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_a_sound_data_set_is_told_in_a_table_with_exit_code_0(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "inspect", data) == 0
    out, err = capsys.readouterr()
    lines, pictures = out.splitlines(), len(open_pictures(data).records)
    assert lines[0] == f"{data}: MVTec AD layout, 4 categories, {pictures} pictures"
    assert lines[1].split() == ["category", "split", "good", "defects", "with", "mask", "size", "mode"]
    (nuts,) = (line.split() for line in lines if line.startswith("nut") and "test" in line)
    assert nuts == ["nut", "test", "2", "3", "3", "64x64", "RGB"]
    assert "checked: headers and ends of files" in out
    assert lines[-1] == "nothing is wrong"
    assert f"inspect {pictures}/{pictures}" in err
    assert "\x1b[" not in out + err


def test_each_finding_is_one_line_and_serious_ones_exit_with_1(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nut = data / "nut"
    (nut / "train" / "good" / "000.png").write_bytes(b"")
    Image.new("L", (9, 7), 1).save(nut / "ground_truth" / "rust" / "000_mask.png")
    (nut / "ground_truth" / "chip" / "000_mask.png").unlink()
    shutil.copy(nut / "train" / "good" / "001.png", nut / "test" / "good" / "[red] ü %.png")
    shutil.copy(nut / "train" / "good" / "001.png", nut / "train" / "good" / "copy.png")
    assert run("data", "inspect", data) == 1
    out = capsys.readouterr().out
    lines = [line.split(": ")[0] for line in out.splitlines()[-6:]]
    assert lines[:5] == ["copies within train", "broken", "mask size", "train and test", "no mask"]
    assert "copies within train: 1" in out
    assert "[red] ü %.png is to be tested on" in out
    assert out.splitlines()[-1] == "3 of these findings would break or bias a run"


def test_a_finding_that_stops_nothing_exits_with_0_and_many_are_cut_short(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(data / "nut" / "ground_truth")
    for i in range(20):
        Image.new("L", (9, 7), i).save(data / "nut" / "test" / "rust" / f"x{i}.png")
    assert run("data", "inspect", data) == 0
    out = capsys.readouterr().out
    assert out.count("that no mask marks") == 10
    assert "no mask: 13 more (--format json lists all)" in out
    assert "mostly 9x7" in out
    assert "none of these findings" in out


def test_json_holds_everything(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (64, 64)).save(data / "nut" / "ground_truth" / "rust" / "000_mask.png")
    assert run("data", "inspect", data, "--format", "json", "--decode") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["root"], found["layout"]) == (1, str(data), "MVTec AD layout")
    assert (found["check"], found["sound"], found["copies"]) == ("decode", False, {})
    assert [(p["category"], p["split"]) for p in found["parts"]][:3] == [
        ("capsule", "train"),
        ("capsule", "test"),
        ("linen", "train"),
    ]
    size = {"width": 64, "height": 64}
    assert found["parts"][0] == {
        "category": "capsule",
        "split": "train",
        "good": 6,
        "defects": 0,
        "with_mask": 0,
        "sizes": {"smallest": size, "largest": size, "most_common": size},
        "modes": {"RGB": 6},
    }
    (finding,) = found["findings"]
    assert (finding["fault"], finding["serious"]) == ("empty mask", True)
    assert finding["path"].endswith("rust/000_mask.png")


@pytest.mark.parametrize(
    ("files", "options", "parts", "left_out"),
    [
        ("bottle/0 screw/0 screw/1", [], ["bottle train 1 0 0", "screw train 2 0 0"], []),
        (
            "nut/train/good/0 nut/test/OK/0 nut/test/Good/0 nut/test/hole/0 nut/ground_truth/hole/0_mask "
            "screw/0",
            [],
            ["nut train 1 0 0", "nut test 2 1 1", "screw train 1 0 0"],
            [],
        ),
        ("ok/0 nok/0 reject/0 scratch/0", [], ["line train 1 0 0", "line test 0 3 0"], []),
        (
            "nut/train/good/0 cup/in/0 more/0",
            [],
            ["more train 1 0 0", "nut train 1 0 0"],
            ["line/cup/in: 1 file, in no layout"],
        ),
        ("bottle/0 screw/0 bad/0", ["--good", "bottle,screw"], ["line train 2 0 0", "line test 0 1 0"], []),
        (
            "bottle/0 bad/0",
            ["--layout", "products"],
            ["bottle train 1 0 0"],
            ["line/bad: 1 file, bad by its name, so no product"],
        ),
    ],
)
def test_every_layout_is_shown_as_it_is_read(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    files: str,
    options: list[str],
    parts: list[str],
    left_out: list[str],
) -> None:
    root = tmp_path / "line"
    for i, name in enumerate(files.split()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), i + 1).save(root / f"{name}.png")
    assert run("data", "inspect", root, *options) == 0
    lines = capsys.readouterr().out.splitlines()
    end = next(i for i, line in enumerate(lines) if line.startswith(("kinds of", "left out", "checked")))
    table = lines[2:end]
    assert [" ".join(row.split()[:5]) for row in table] == parts
    assert [line.replace(f"{tmp_path}/", "") for line in lines if "left out" in line] == [
        f"left out: {line}" for line in left_out
    ]
    assert run("data", "inspect", root, *options, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(each["files"] for each in found["left_out"]) == len(left_out)


@pytest.mark.parametrize("verb", ["evaluate", "calibrate", "fit"])
def test_what_was_recognised_and_left_out_is_said_before_the_work_starts(
    verb: str, data: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "overview.png").touch()
    model = Path(shutil.copytree(model_folder, tmp_path / "model"))
    tiny = ("--image-size", 64, "--max-steps", 1, "--strides", "8,16", "--device", "cpu", "--precision", 32)
    arguments = {
        "evaluate": (model, data),
        "calibrate": (model, data, "--false-alarm-rate", 0.2),
        "fit": (data, "--out", tmp_path / "new", *tiny),
    }
    assert run(verb, *arguments[verb]) == 0
    lines = capsys.readouterr().err.splitlines()
    header = lines.index("category  split  good  defects  with mask")
    assert lines[header - 1].startswith(f"{data}: MVTec AD layout, 4 categories, ")
    assert lines[header + 1].split() == ["capsule", "train", "6", "0", "0"]
    left_out = lines.index(f"left out: {data}: 1 file, loose beside product folders")
    assert not any(re.match(r"\w+ \d+/\d+", line) for line in lines[:left_out])


def test_a_category_of_broken_pictures_alone_has_no_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert run("data", "inspect", tmp_path) == 1
    assert "folder of good pictures, 1 category, 1 picture" in capsys.readouterr().out
    assert run("data", "inspect", tmp_path, "--format", "json") == 1
    assert json.loads(capsys.readouterr().out)["parts"][0]["sizes"]["smallest"] is None


def test_what_cannot_be_inspected_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "inspect", tmp_path / "none") == 2
    assert capsys.readouterr().err.startswith("understudy: ")
    assert run("data", "inspect", tmp_path, "--format", "xml") == 2


def test_synthetic_pictures_are_made_in_both_layouts_from_a_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--pictures", 1, "--size", 64)
    assert run("data", "synthesize", tmp_path / "a", *options) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path / 'a'}: MVTec AD and MVTec LOCO layouts, 5 categories, ")
    assert "produce " in err
    assert "produce kit " in err
    found = open_pictures(tmp_path / "a")
    assert found.categories == ["capsule", "kit", "linen", "nut", "veneer"]
    assert len(found.train()) == 5
    (tmp_path / "b").mkdir()
    assert run("data", "synthesize", tmp_path / "b", "--seed", 1, *options) == 0
    first, other = (tmp_path / p / "nut" / "train" / "good" / "000.png" for p in "ab")
    assert first.read_bytes() != other.read_bytes()
    with Image.open(first) as picture:
        assert picture.size == (64, 64)


def test_a_folder_that_holds_something_is_not_written_to(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out in (data, tmp_path / "file"):
        assert run("data", "synthesize", out) == 2
        assert "holds something already; name a new or an empty folder" in capsys.readouterr().err
    assert open_pictures(data).categories == ["capsule", "linen", "nut", "veneer"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], ["data", "DATA", "VisA", ".csv", ".parquet"]),
        (["data"], ["inspect", "synthesize"]),
        (["data", "inspect"], ["DATA", "--format", "--decode", "LOCO", "VisA", ".parquet"]),
        (["data", "synthesize"], ["OUT", "--seed", "--pictures", "--size"]),
    ],
)
def test_help_names_what_can_be_asked(
    arguments: list[str],
    named: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(*arguments, "--help") == 0
    shown = capsys.readouterr().out
    assert [word for word in named if word not in shown] == []


def test_the_kinds_of_defect_are_named_in_text_and_json(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "inspect", data / "nut") == 0
    assert "kinds of defect: chip 1, rust 1, scratch 1" in capsys.readouterr().out.splitlines()
    assert run("data", "inspect", data / "nut", "--format", "json") == 0
    kinds = json.loads(capsys.readouterr().out)["kinds_of_defect"]
    assert kinds == {"nut": {"chip": 1, "rust": 1, "scratch": 1}}
