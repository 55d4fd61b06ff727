"""``understudy predict`` as a user meets it."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from understudy import Inspector, Result, WorkError, load
from understudy.cli import main
from understudy.cli import predict as predict_module
from understudy.runtime.bundle import save_calibration
from understudy.runtime.decision import Calibration
from understudy.runtime.manifest import read_manifest


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def calibrated_as(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Give a model another calibration, as if it had been calibrated so."""
    manifest = read_manifest(model)
    content = json.loads((model / "calibration.json").read_text())
    change(content)
    asked = {name: content[name] for name in Calibration.model_fields}
    asked["masks"] |= {"categories": {}}  # one limit for all
    save_calibration(model, manifest, Calibration.model_validate(asked))


@pytest.fixture
def not_calibrated(model_folder: Path, tmp_path: Path, uncalibrate: Callable[[Path], Path]) -> Path:
    """A model that never was calibrated."""
    return uncalibrate(Path(shutil.copytree(model_folder, tmp_path / "not calibrated")))


def test_a_profile_names_every_part_on_stderr_and_leaves_the_results_alone(
    model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = data / "nut" / "test" / "good" / "000.png"
    broken.write_bytes(b"none")
    asked = ("predict", model_folder, data / "nut" / "test", "--batch-size", 2, "--device", "cpu")
    assert run(*asked) == 1
    plain = capsys.readouterr()
    assert run(*asked, "--profile") == 1
    profiled = capsys.readouterr()
    assert profiled.out == plain.out
    said = profiled.err.removeprefix(plain.err)
    parts = [
        "import",
        "load",
        "decode",
        "resize",
        "wait",
        "normalise",
        "teacher",
        "student",
        "map",
        "write",
        "other",
        "whole",
    ]
    assert {line.split()[0] for line in said.splitlines()} == {
        *("part", *parts, "write", "other", "whole", "beside:")
    }


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_one_broken_picture_is_reported_and_the_rest_scored(
    form: str,
    data: Path,
    model_folder: Path,
    tmp_path: Path,
    the_error: Callable[[], str],
) -> None:
    tests = data / "nut" / "test"
    model = Path(shutil.copytree(model_folder, tmp_path / "model"))
    one, *_ = (p for p in load(model, "cpu").predict(tests) if p.ok)
    half = float(np.median(one.anomaly_map))  # so that half of it is regions
    calibrated_as(model, lambda content: content["masks"].update(overall=half))
    (tests / "good" / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    assert run("predict", model, tests, "--out", out, "--format", form, "--heatmaps") == 1
    path = out / f"predictions.{form}"
    if form == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    elif form == "csv":
        rows = list(csv.DictReader(path.read_text().splitlines()))
    else:
        rows = pq.read_table(path).to_pylist()
    assert len(rows) == 6
    (broken,) = (row for row in rows if row["error"])
    assert broken["path"].endswith("broken.png")
    assert not broken["score"]
    assert all(math.isfinite(float(row["score"])) for row in rows if row is not broken)
    told = [r["regions"] if form == "jsonl" else json.loads(r["regions"]) for r in rows if r is not broken]
    found = [p for p in load(model, "cpu").predict(tests) if p.ok]
    assert told == [[region._asdict() for region in p.regions] for p in found]
    assert any(told)
    heatmaps = sorted((out / "heatmaps").iterdir())
    assert {row["heatmap"] for row in rows if row is not broken} == {str(p) for p in heatmaps}
    assert len(heatmaps) == 5
    with Image.open(heatmaps[0]) as heatmap:
        assert heatmap.size == (64, 64)
    assert "broken.png is no picture" in the_error()


def test_odd_pictures_are_scored(data: Path, model_folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    base = Image.open(data / "nut" / "train" / "good" / "000.png")
    Image.new("RGB", (1, 1)).save(odd / "pixel.png")
    base.convert("L").save(odd / "gray.png")
    base.convert("RGBA").save(odd / "alpha.png")
    base.convert("CMYK").save(odd / "cmyk.jpg")
    base.convert("I;16").save(odd / "wide.png")
    base.resize((300, 40)).save(odd / "long ü %.png")
    assert run("predict", model_folder, odd, "--out", tmp_path / "out") == 0
    rows = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    assert len(rows) == 6


def test_a_category_named_for_all_pictures_is_one_that_the_model_knows(
    data: Path,
    model_folder: Path,
    tmp_path: Path,
    the_error: Callable[[], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    assert run("predict", copy, data / "nut" / "test", "--category", "bolt") == 2
    assert "category 'bolt'; it knows capsule, linen, nut, veneer" in the_error()
    low = {"fail_above": -1, "review_above": -2}
    calibrated_as(copy, lambda content: content["categories"].update(nut=content["thresholds"] | low))
    assert run("predict", copy, data / "nut" / "test", "--category", "nut") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["verdict"] for row in rows] == ["FAIL"] * 5


def test_a_mask_has_its_pictures_size_and_marks_what_the_pixel_threshold_leaves(
    data: Path, model_folder: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    copy, out = Path(shutil.copytree(model_folder, tmp_path / "m")), tmp_path / "out"
    pictures = data / "nut" / "test" / "good"
    Image.open(pictures / "000.png").resize((96, 80)).save(pictures / "000.png")

    def shares(above: float) -> list[float]:
        calibrated_as(copy, lambda content: content["masks"].update(overall=above))
        assert run("predict", copy, pictures, "--out", out, "--masks", "--overwrite") == 0
        rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
        masks = [Image.open(row["mask"]) for row in rows]
        assert [mask.size for mask in masks] == [(96, 80), (64, 64)]
        return [float(np.asarray(mask).mean()) for mask in masks]

    assert shares(-1e9) == [1, 1]
    assert shares(1e9) == [0, 0]


def test_a_model_that_is_not_calibrated_gives_scores_says_so_and_exits_with_3(
    data: Path,
    not_calibrated: Path,
    tmp_path: Path,
    the_error: Callable[[], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    pictures = data / "nut" / "test"
    assert run("predict", not_calibrated, pictures) == 3
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 5
    assert all(math.isfinite(row["score"]) for row in rows)
    assert all(row["verdict"] is None and row["regions"] is None for row in rows)
    (said,) = (line for line in err.splitlines() if "calibrated" in line)
    assert said == (
        f"understudy: {not_calibrated} is not calibrated, so rows have scores and no verdicts; calibrate it "
        f"with understudy calibrate {not_calibrated} GOOD_PICTURES"
    )
    assert {r.verdict for r in load(not_calibrated, "cpu").predict(pictures)} == {None}
    (pictures / "good" / "000.png").write_bytes(b"none")
    assert run("predict", not_calibrated, pictures) == 1
    capsys.readouterr()
    for option, what in (("--masks", "--masks marks"), ("--heatmaps", "--heatmaps colours")):
        assert run("predict", not_calibrated, pictures, "--out", tmp_path / "out", option) == 2
        assert f"{what} by thresholds" in the_error()
    assert not (tmp_path / "out").exists()


def test_a_score_that_is_no_number_is_null_in_every_row(
    data: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = Inspector.predict

    def faulty(self: Inspector, *args: Any, **options: Any) -> Iterator[Result]:
        return (replace(each, score=math.nan) for each in predict(self, *args, **options))

    monkeypatch.setattr(Inspector, "predict", faulty)
    assert run("predict", model_folder, data / "nut" / "test" / "good") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(json.loads(line)["score"] is None and "NaN" not in line for line in lines)


@pytest.mark.parametrize("given", [[""], ["  "], ["PICTURES", ""]], ids=["none", "blank", "second"])
def test_a_picture_without_a_name_is_one_sentence(
    given: list[str], model_folder: Path, data: Path, the_error: Callable[[], str]
) -> None:
    assert run("predict", model_folder, *(str(data) if word == "PICTURES" else word for word in given)) == 2
    assert the_error().endswith("a picture, file or folder has no name; is a shell variable unset?")


@pytest.mark.parametrize("verb", [["fit", "", "--out", "o"], ["evaluate", "", "d"], ["calibrate", "m", ""]])
def test_no_verb_takes_the_current_folder_for_an_unset_variable(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, the_error: Callable[[], str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*verb) == 2
    assert "has no name; is a shell variable unset?" in the_error()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_odd_and_long_names_have_rows_heat_maps_and_masks(
    form: str, data: Path, model_folder: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    content = (data / "nut" / "train" / "good" / "000.png").read_bytes()
    names = [b"caf\xe9.png", "ü".encode() * 125 + b".png", b"x" * 251 + b".png", b"a?b.png"]
    for name in names:
        (odd / os.fsdecode(name)).write_bytes(content)
    out = tmp_path / "out"
    assert run("predict", model_folder, odd, "--out", out, "--format", form, "--heatmaps", "--masks") == 0
    path = out / f"predictions.{form}"
    if form == "jsonl":
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    elif form == "csv":
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    else:
        rows = pq.read_table(path).to_pylist()
    readable = {
        name.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode() for name in names
    }
    assert {Path(row["path"]).name for row in rows} == readable
    for kind in ("heatmap", "mask"):
        assert len({row[kind] for row in rows}) == len(names)
        for row in rows:
            with Image.open(row[kind]) as picture:
                assert picture.size == (64, 64)


def test_rows_survive_a_strict_locale_and_a_reader_that_stops_early(
    data: Path, exported: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    content = (data / "nut" / "train" / "good" / "000.png").read_bytes()
    for name in (b"caf\xe9.png", "ü.png".encode(), b"z.png"):
        (odd / os.fsdecode(name)).write_bytes(content)
    command = [sys.executable, "-m", "understudy", "predict", str(exported), str(odd)]
    for locale in ({"PYTHONIOENCODING": "utf-8:strict"}, {"LC_ALL": "C"}):
        done = subprocess.run(command, capture_output=True, check=False, env=os.environ | locale)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line)["path"] for line in done.stdout.decode("utf-8").splitlines()]
        assert {Path(path).name for path in rows} == {r"caf\udce9.png", "ü.png", "z.png"}
    stopped = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert stopped.stdout is not None
    stopped.stdout.close()
    assert stopped.stderr is not None
    assert stopped.stderr.read() == b""
    stopped.stderr.close()
    assert stopped.wait() == 141


def test_results_of_an_earlier_run_are_kept_unless_they_are_to_be_replaced(
    data: Path, model_folder: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    out, pictures = tmp_path / "out", data / "nut" / "test"
    assert run("predict", model_folder, pictures, "--out", out, "--heatmaps") == 0
    before = {p.relative_to(out): p.read_bytes() for p in out.rglob("*.*") if p.is_file()}
    assert run("predict", model_folder, pictures / "good", "--out", out, "--heatmaps") == 2
    assert "holds the results of an earlier run" in the_error()
    assert {p.relative_to(out): p.read_bytes() for p in out.rglob("*.*") if p.is_file()} == before
    (out / "notes.txt").write_text("mine")
    assert run("predict", model_folder, pictures / "good", "--out", out, "--heatmaps", "--overwrite") == 0
    assert len(list((out / "heatmaps").iterdir())) == 2
    assert (out / "notes.txt").read_text() == "mine"


def test_a_heat_map_that_cannot_be_written_leaves_the_rows_before_it(
    data: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    the_error: Callable[[], str],
) -> None:
    out, written = tmp_path / "out", predict_module._write_heatmap

    def full(path: Path, *others: Any) -> str:
        if path.name.startswith("00003"):
            raise WorkError(f"{path} cannot be written: No space left on device; make room there")
        return written(path, *others)

    monkeypatch.setattr(predict_module, "_write_heatmap", full)
    assert run("predict", model_folder, data / "nut" / "test", "--out", out, "--heatmaps") == 1
    assert "No space left on device; make room there" in the_error()
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [Path(row["heatmap"]).is_file() for row in rows] == [True, True]
    assert len(list((out / "heatmaps").iterdir())) == 2


def test_a_format_that_cannot_be_written_costs_no_earlier_results(
    model_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, out = data / "nut" / "test" / "good", tmp_path / "found"
    assert run("predict", model_folder, pictures, "--out", out) == 0
    before = (out / "predictions.jsonl").read_bytes()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run("predict", model_folder, pictures, "--out", out, "--overwrite", "--format", "parquet") == 2
    assert (out / "predictions.jsonl").read_bytes() == before
