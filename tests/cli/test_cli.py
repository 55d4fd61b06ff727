"""The command line as a user meets it: verbs, files, exit codes, and one sentence for every fault."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from understudy import Result, load
from understudy.cli import main
from understudy.progress import reporting

SMALL = [
    *("--image-size", "64", "--max-steps", "3", "--batch-size", "4", "--strides", "8,16"),
    *("--precision", "32", "--device", "cpu"),
]


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture
def data(factory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(factory, tmp_path / "data"))


def the_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr that is the error; what came before is progress."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("understudy: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("verb", "named"),
    [
        ("", ["demo", "fit", "calibrate", "evaluate", "predict", "DATA", "MODEL"]),
        ("demo", ["--out", "--seed", "--pictures", "--max-steps"]),
        (
            "fit",
            [
                *("DATA", "--out", "--method", "--teacher", "--teacher-weights", "--image-size", "--epochs"),
                *("--max-steps", "--batch-size", "--lr", "--seed", "--categories", "--device", "--precision"),
                *("--resume", "--overwrite", "--set", "--holdout"),
            ],
        ),
        (
            "calibrate",
            ["MODEL", "DATA", "--false-alarm-rate", "--review-rate", "--unknown-rate", "--min-area"],
        ),
        ("evaluate", ["MODEL", "DATA", "--out", "--categories", "--map-resolution", "--thresholds"]),
        (
            "predict",
            ["MODEL", "PATH", "--out", "--format", "--heatmaps", "--masks", "--category", "--profile"],
        ),
        ("export", ["MODEL", "--out", "--format", "--precision", "--data", "--batch-size", "--overwrite"]),
    ],
)
def test_every_help_names_what_can_be_asked(
    verb: str, named: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(*verb.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert "Usage: understudy" in shown
    assert [word for word in named if word not in shown] == []


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "understudy", "--help"], capture_output=True, text=True, check=True
    )
    assert all(verb in done.stdout for verb in ("demo", "fit", "calibrate", "evaluate", "predict"))


HEAVY = ("torch", "numpy", "scipy", "PIL", "pyarrow", "lightning", "timm")


@pytest.mark.parametrize(
    "verb", ["", "fit", "predict", "evaluate", "calibrate", "diagnose", "export", "demo", "data inspect"]
)
def test_help_waits_for_nothing_heavy(verb: str) -> None:
    code = (
        "import sys, understudy.cli as cli; assert cli.main(sys.argv[2:]) == 0; "
        "found = sorted(set(sys.argv[1].split(',')) & sys.modules.keys()); sys.exit(' '.join(found) or 0)"
    )
    command = [sys.executable, "-c", code, ",".join(HEAVY), *verb.split(), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_demo_leaves_figures_a_report_and_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("demo", "--out", tmp_path / "d", "--pictures", 10, "--max-steps", 2) == 0
    metrics = json.loads((tmp_path / "d" / "metrics.json").read_text())
    assert list(metrics["categories"]) == ["capsule", "linen", "nut", "veneer"]
    assert "<figure" in (tmp_path / "d" / "report.html").read_text()
    assert (tmp_path / "d" / "model" / "manifest.json").is_file()
    out, err = capsys.readouterr()
    assert "linen" in out
    assert "40 good pictures" not in err  # a share was held out
    assert "32 good pictures to learn from, 8 held out" in err


def test_fit_calibrate_evaluate_predict_in_a_row(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    assert run("fit", data, "--out", model, "--holdout", 0.5, "--set", "centers=5", *SMALL) == 0
    assert json.loads((model / "manifest.json").read_text())["settings"]["centers"] == 5
    assert run("calibrate", model, data, "--false-alarm-rate", 0.1, "--review-rate", 0.5) == 0
    thresholds = json.loads((model / "calibration.json").read_text())["thresholds"]
    assert (thresholds["false_alarm_rate"], thresholds["n_good"]) == (0.1, 12)
    assert run("evaluate", model, data, "--categories", "nut,linen", "--device", "cpu") == 0
    metrics = json.loads((model / "evaluation" / "metrics.json").read_text())
    assert list(metrics["categories"]) == ["linen", "nut"]
    assert (model / "evaluation" / "report.html").is_file()
    capsys.readouterr()
    assert run("predict", model, data / "nut" / "test") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 5
    assert all(row["verdict"] in ("PASS", "REVIEW", "FAIL") for row in rows)


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


def test_a_bare_folder_of_good_pictures_trains_a_model(data: Path, tmp_path: Path) -> None:
    good = data / "nut" / "train" / "good"
    assert run("fit", good, "--out", tmp_path / "m", "--method", "rd", "--holdout", 0, *SMALL) == 0
    assert not (tmp_path / "m" / "calibration.json").exists()
    assert run("predict", tmp_path / "m", good / "000.png") == 0


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_one_broken_picture_is_reported_and_the_rest_scored(
    form: str,
    data: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tests = data / "nut" / "test"
    model = Path(shutil.copytree(model_folder, tmp_path / "model"))
    one, *_ = (p for p in load(model, "cpu").predict(tests) if isinstance(p, Result))
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
    found = [p for p in load(model, "cpu").predict(tests) if isinstance(p, Result)]
    assert told == [[region._asdict() for region in p.regions] for p in found]
    assert any(told)
    heatmaps = sorted((out / "heatmaps").iterdir())
    assert {row["heatmap"] for row in rows if row is not broken} == {str(p) for p in heatmaps}
    assert len(heatmaps) == 5
    with Image.open(heatmaps[0]) as heatmap:
        assert heatmap.size == (64, 64)
    assert "broken.png is no picture" in the_error(capsys)


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


def test_evaluating_with_a_broken_picture_reports_it_and_exits_with_1(
    data: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"no picture")
    assert run("evaluate", model_folder, data, "--out", tmp_path / "e") == 1
    assert "left out" in the_error(capsys)
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["categories"]["nut"]["n_good"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "NONE", "--out", "OUT"], "none does not exist"),
        (["fit", "EMPTY", "--out", "OUT"], "holds no pictures"),
        (["fit", "DATA", "--out", "OUT", "--categories", "screw"], "no category 'screw'"),
        (["fit", "DATA", "--out", "FILE/m"], "cannot be written"),
        (["fit", "DATA", "--out", "MODEL"], "already holds a trained model"),
        (["fit", "DATA", "--out", "OUT", "--method", "snl"], "there are stpm, rd, snl-fd, snl-rd, dskd"),
        (["fit", "DATA", "--out", "OUT", "--set", "centres=3"], "has no setting 'centres'"),
        (["fit", "DATA", "--out", "OUT", "--resume"], "no unfinished training"),
        (["fit", "DATA", "--out", "OUT", "--teacher", "resnet17"], "timm knows no model"),
        (["fit", "DATA", "--out", "OUT", "--teacher-weights", "NONE"], "do not exist"),
        (["fit", "DATA", "--out", "OUT", "--image-size", "8"], "image_size"),
        (["fit", "DATA", "--out", "OUT", "--epochs", "1", "--max-steps", "1"], "exclude each other"),
        (["evaluate", "NONE", "DATA"], "holds no trained model"),
        (["evaluate", "MODEL", "NONE"], "does not exist"),
        (["evaluate", "MODEL", "DATA", "--out", "FILE/x"], "cannot be written"),
        (["predict", "MODEL", "NONE"], "does not exist"),
        (["predict", "MODEL", "EMPTY"], "no pictures in"),
        (["predict", "MODEL", "DATA", "--heatmaps"], "add --out DIR"),
        (["predict", "MODEL", "DATA", "--masks"], "--masks needs a folder: add --out DIR"),
        (["predict", "MODEL", "EMPTY", "--out", "EMPTY/found"], "lies among the pictures"),
        (["fit", "DATA", "--out", "OUT", "--resume", "--overwrite"], "choose one"),
        (["demo", "--out", "MODEL"], "holds something that no demo made"),
        (["calibrate", "MODEL", "DATA"], "needs at least 99 good pictures"),
    ],
)
def test_bad_input_gives_one_sentence_and_exit_code_2(
    arguments: list[str],
    message: str,
    factory: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    places = {
        "DATA": factory,
        "MODEL": Path(shutil.copytree(model_folder, tmp_path / "model")),
        "NONE": tmp_path / "none",
        "EMPTY": tmp_path / "empty",
        "OUT": tmp_path / "out",
        "FILE": tmp_path / "file",
    }
    given = [str(places[a]) if a in places else a for a in arguments]
    given = [a.replace(k, str(places[k])) for a in given for k in ["FILE" if "FILE" in a else "EMPTY"]]
    assert run(*given) == 2
    assert message in the_error(capsys)


def test_no_network_and_no_file_ends_within_one_look(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert run("fit", factory, "--out", tmp_path / "m", "--teacher", "resnet18") == 2
    assert "give a file with --teacher-weights FILE" in the_error(capsys)


def test_a_broken_training_picture_is_named_before_training(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "nut" / "train" / "good" / "001.png").write_bytes(b"no picture")
    assert run("fit", data, "--out", tmp_path / "m", *SMALL) == 2
    error = the_error(capsys)
    assert "nut/train/good/001.png" in error
    assert "replace or remove it" in error


def test_an_unfinished_training_is_neither_overwritten_nor_forgotten(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "m" / "training" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"precious")
    assert run("fit", data, "--out", tmp_path / "m", *SMALL) == 2
    assert "go on with --resume, or --overwrite it" in the_error(capsys)
    assert checkpoint.read_bytes() == b"precious"
    assert run("fit", data, "--out", tmp_path / "m", "--overwrite", *SMALL) == 0
    assert run("fit", data, "--out", tmp_path / "m", "--resume", *SMALL) == 0
    assert "nothing to resume" in capsys.readouterr().err


def test_wrong_usage_exits_with_2_and_a_traceback_comes_only_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit") == 2
    assert run("predict", tmp_path, tmp_path, "--format", "xml") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert run("--debug", "fit", tmp_path / "none", "--out", tmp_path / "o") == 2
    assert "Traceback" in capsys.readouterr().err


def test_progress_is_plain_lines_where_there_is_no_terminal(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", data, "--out", tmp_path / "m", *SMALL) == 0
    err = capsys.readouterr().err
    assert "train 3/3  loss" in err
    assert "\x1b[" not in err


@pytest.mark.parametrize("total", [3, 9, 14, 570, 1499])
def test_plain_progress_is_five_lines_at_most_and_ends_with_the_last_step(
    total: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with reporting() as reporter:
        for done in range(1, total + 1):
            if total < 100 or done % 10 == 0 or done == total:
                reporter.advance("train", done, total, "")
    lines = capsys.readouterr().err.splitlines()
    assert min(total, 5) == len(lines)
    assert lines[-1] == f"train {total}/{total}"


def test_a_failed_overwrite_leaves_the_old_model_as_it_was(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    before = {p.name: p.read_bytes() for p in copy.iterdir()}
    assert run("fit", data, "--out", copy, "--overwrite", "--teacher-weights", tmp_path / "none", *SMALL) == 2
    (data / "nut" / "train" / "good" / "001.png").write_bytes(b"no picture")
    assert run("fit", data, "--out", copy, "--overwrite", *SMALL) == 2
    assert {p.name: p.read_bytes() for p in copy.iterdir()} == before


def test_a_fit_killed_before_its_calibration_is_calibrated_on_resume(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    before = (copy / "calibration.json").read_bytes()
    (copy / "calibration.json").unlink()
    assert run("fit", data, "--out", copy, "--resume", "--holdout", 0.34, "--false-alarm-rate", 0.15) == 0
    assert (copy / "calibration.json").read_bytes() == before


def test_a_rate_that_the_held_out_pictures_cannot_promise_is_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", data, "--out", tmp_path / "m", "--holdout", 0.34, *SMALL) == 0
    assert "a false-alarm rate of 0.01 was asked for; 8 held-out pictures can promise 0.111 at best" in (
        capsys.readouterr().err
    )


def test_an_unforeseen_fault_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("understudy.runtime.manifest.holds_graph", fault)
    assert run("predict", tmp_path, tmp_path) == 1
    assert (
        the_error(capsys)
        == "understudy: unexpected ZeroDivisionError: division by zero (--debug shows where)"
    )


def test_ctrl_c_says_whether_there_is_something_to_go_on_from(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("understudy.train.job.train", stop)
    assert run("fit", data, "--out", tmp_path / "m", *SMALL) == 130
    assert "stopped; there was no checkpoint yet" in the_error(capsys)
    checkpoint = tmp_path / "m" / "training" / "last.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    assert run("fit", data, "--out", tmp_path / "m", "--resume", *SMALL) == 130
    assert "stopped; go on with --resume" in the_error(capsys)


def test_a_category_named_for_all_pictures_is_one_that_the_model_knows(
    data: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    assert run("predict", copy, data / "nut" / "test", "--category", "bolt") == 2
    assert "category 'bolt'; it knows capsule, linen, nut, veneer" in the_error(capsys)
    content = json.loads((copy / "calibration.json").read_text())
    content["categories"]["nut"] = content["thresholds"] | {"fail_above": -1, "review_above": -2}
    (copy / "calibration.json").write_text(json.dumps(content))
    assert run("predict", copy, data / "nut" / "test", "--category", "nut") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["verdict"] for row in rows] == ["FAIL"] * 5


def test_a_mask_has_its_pictures_size_and_marks_what_the_pixel_threshold_leaves(
    data: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    assert "--masks marks by thresholds" in the_error(capsys)
