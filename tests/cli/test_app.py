"""The command line as a whole: its verbs, its help, its exit codes, and one sentence for every fault."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from understudy.cli import main
from understudy.progress import reporting

SMALL = [
    *("--image-size", "64", "--max-steps", "3", "--batch-size", "4", "--strides", "8,16"),
    *("--precision", "32", "--device", "cpu"),
]


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


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
            ["MODEL", "DATA", "--false-alarm-rate", "--review-budget", "--min-area", "--basis", "--defects"],
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


@pytest.mark.parametrize("asked", ["--help", "--version", "fit --help"])
def test_a_reader_that_stops_early_ends_the_program_without_a_word(asked: str) -> None:
    command = [sys.executable, "-m", "understudy", *asked.split()]
    stopped = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert stopped.stdout is not None
    assert stopped.stderr is not None
    with stopped.stderr:
        stopped.stdout.close()
        assert stopped.stderr.read() == b""
    assert stopped.wait() == 141


HEAVY = ("torch", "numpy", "scipy", "PIL", "pyarrow", "lightning", "timm")


@pytest.mark.parametrize(
    "verb",
    [
        *("", "fit", "predict", "evaluate", "calibrate", "diagnose", "export", "demo", "data inspect"),
        *("reproduce", "data synthesize"),
    ],
)
def test_help_waits_for_nothing_heavy(verb: str) -> None:
    code = (
        "import sys, understudy.cli as cli; assert cli.main(sys.argv[2:]) == 0; "
        "found = sorted(set(sys.argv[1].split(',')) & sys.modules.keys()); sys.exit(' '.join(found) or 0)"
    )
    command = [sys.executable, "-c", code, ",".join(HEAVY), *verb.split(), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_fit_calibrate_evaluate_predict_in_a_row(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    assert run("fit", data, "--out", model, "--holdout", 0.5, "--set", "centers=5", *SMALL) == 0
    assert json.loads((model / "manifest.json").read_text())["settings"]["centers"] == 5
    assert run("calibrate", model, data, "--false-alarm-rate", 0.1, "--review-budget", 0.5) == 0
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
        (["calibrate", "MODEL", "DATA"], "20 are the least for an estimate, and 99 promise a rate of 0.01"),
    ],
)
def test_bad_input_gives_one_sentence_and_exit_code_2(
    arguments: list[str],
    message: str,
    factory: Path,
    model_folder: Path,
    tmp_path: Path,
    the_error: Callable[[], str],
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
    assert message in the_error()


def test_wrong_usage_exits_with_2_and_a_traceback_comes_only_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit") == 2
    assert run("predict", tmp_path, tmp_path, "--format", "xml") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert run("--debug", "fit", tmp_path / "none", "--out", tmp_path / "o") == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("total", [3, 9, 14, 570, 1499])
def test_plain_progress_is_five_lines_at_most_and_ends_with_the_last_step(
    total: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with reporting(plain_lines=True) as reporter:
        for done in range(1, total + 1):
            if total < 100 or done % 10 == 0 or done == total:
                reporter.advance("train", done, total, "")
    lines = capsys.readouterr().err.splitlines()
    assert min(total, 5) == len(lines)
    assert lines[-1] == f"train {total}/{total}"


def test_an_unforeseen_fault_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    def fault(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("understudy.runtime.manifest.holds_graph", fault)
    assert run("predict", tmp_path, tmp_path) == 1
    assert the_error() == "understudy: unexpected ZeroDivisionError: division by zero (--debug shows where)"
