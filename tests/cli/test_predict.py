"""``understudy predict`` as a user meets it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from understudy import load
from understudy.cli import main


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


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
    content = json.loads((model / "calibration.json").read_text())
    content["masks"]["overall"] = float(np.median(one.anomaly_map))  # so that half of it is regions
    (model / "calibration.json").write_text(json.dumps(content))
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
    assert all(float(row["score"]) > 0 for row in rows if row is not broken)
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
    content = json.loads((copy / "calibration.json").read_text())
    content["categories"]["nut"] = content["thresholds"] | {"fail_above": -1, "review_above": -2}
    (copy / "calibration.json").write_text(json.dumps(content))
    assert run("predict", copy, data / "nut" / "test", "--category", "nut") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["verdict"] for row in rows] == ["FAIL"] * 5


def test_a_mask_has_its_pictures_size_and_marks_what_the_pixel_threshold_leaves(
    data: Path, model_folder: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    copy, out = Path(shutil.copytree(model_folder, tmp_path / "m")), tmp_path / "out"
    pictures = data / "nut" / "test" / "good"
    Image.open(pictures / "000.png").resize((96, 80)).save(pictures / "000.png")
    content = json.loads((copy / "calibration.json").read_text())

    def shares(above: float) -> list[float]:
        content["masks"]["overall"] = above
        (copy / "calibration.json").write_text(json.dumps(content))
        assert run("predict", copy, pictures, "--out", out, "--masks") == 0
        rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
        masks = [Image.open(row["mask"]) for row in rows]
        assert [mask.size for mask in masks] == [(96, 80), (64, 64)]
        return [float(np.asarray(mask).mean()) for mask in masks]

    assert shares(-1.0) == [1, 1]
    assert shares(1e9) == [0, 0]
    (copy / "calibration.json").unlink()
    assert run("predict", copy, pictures, "--out", out, "--masks") == 2
    assert "--masks marks by thresholds" in the_error()
