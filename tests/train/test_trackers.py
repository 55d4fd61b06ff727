"""Trackers get what the journal gets, and never stop or change a training."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy import InputError, Model, Reporter, fit
from understudy.errors import WorkError
from understudy.files import sha256_of
from understudy.progress import ignore_progress
from understudy.train import trackers
from understudy.train.loop import journal_file
from understudy.train.options import FitOptions
from understudy.train.trackers import Trackers, require_trackers, tracking

QUICK = {"image_size": 64, "max_steps": 20, "batch_size": 4, "precision": "32", "device": "cpu"}
QUICK |= {"holdout": 0.34, "false_alarm_rate": 0.2, "strides": (8, 16), "method": "stpm"}
EVERY = ("mlflow", "tensorboard", "csv")


@pytest.fixture(scope="module")
def tracked(factory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that all trackers followed, and their records beside it; not to be changed."""
    root = tmp_path_factory.mktemp("tracked")
    fit(factory, root / "nuts", logger=EVERY, logger_to=str(root / "runs"), progress=False, **QUICK)
    return root


def journal_of(model: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (model / "training.jsonl").read_text().splitlines()]


def the_run(place: Path) -> tuple[Any, Any]:
    """The client and the only run of a local store of MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("understudy")
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_settings_curves_figures_the_report_and_the_model(tracked: Path) -> None:
    client, run = the_run(tracked / "runs")
    assert (run.info.run_name, run.info.status) == ("nuts", "FINISHED")
    assert (run.data.params["method"], run.data.params["max_steps"]) == ("stpm", "20")
    assert run.data.params["trained.precision"] == "32"
    for line in journal_of(tracked / "nuts"):
        for name in line.keys() - {"step"}:
            found = {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)}
            assert found[int(line["step"])] == line[name]
    thresholds = Model.load(tracked / "nuts", "cpu").thresholds
    assert thresholds is not None
    assert run.data.metrics["calibration.fail_above"] == pytest.approx(thresholds.fail_above)
    metrics = json.loads((tracked / "nuts" / "evaluation" / "metrics.json").read_text())
    assert run.data.metrics["test.mean.image_auroc"] == pytest.approx(metrics["mean"]["image_auroc"])

    def kept(group: str) -> dict[str, str]:
        folder = Path(client.download_artifacts(run.info.run_id, group))
        return {each.name: sha256_of(each) for each in folder.iterdir()}

    files = [each for each in (tracked / "nuts").iterdir() if each.is_file() and each.name[0] != "."]
    assert kept("model") == {each.name: sha256_of(each) for each in files}
    assert set(kept("evaluation")) == {"metrics.json", "report.html"}


def test_csv_files_have_the_curves_of_the_journal(tracked: Path) -> None:
    with (tracked / "runs" / "csv" / "nuts" / "version_0" / "metrics.csv").open(newline="") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file) if row["loss"]}
    for line in journal_of(tracked / "nuts"):
        row = rows[int(line["step"])]
        assert {n: float(row[n]) for n in line} == line


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_the_curves_of_the_journal(tracked: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((tracked / "runs" / "tensorboard").glob("**/events*")).parent))
    events.Reload()
    found = {event.step: event.value for event in events.Scalars("loss")}
    assert found == pytest.approx({int(line["step"]): line["loss"] for line in journal_of(tracked / "nuts")})


def test_a_tracked_training_gives_the_same_model(tracked: Path, factory: Path, tmp_path: Path) -> None:
    fit(factory, tmp_path / "m", progress=False, **QUICK)
    assert sha256_of(tmp_path / "m" / "student.safetensors") == sha256_of(
        tracked / "nuts" / "student.safetensors"
    )


class Broken:
    """A logger that fails at one of its calls."""

    def __init__(self, call: str) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        def work(*given: object, **keywords: object) -> None:
            if name == self._call:
                raise ConnectionError("the server is gone\nmore")

        return work


@pytest.mark.parametrize("call", ["log_hyperparams", "log_metrics", "finalize"])
def test_a_tracker_that_fails_is_left_out_after_one_line_and_the_training_goes_on(
    call: str, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracked: Path
) -> None:
    said: list[str] = []
    monkeypatch.setattr(trackers, "_logger", lambda *_: Broken(call))
    model = fit(
        factory,
        tmp_path / "m",
        logger=("csv",),
        logger_to=str(tmp_path / "r"),
        progress=Reporter(said.append),
        **QUICK,
    )
    assert sha256_of(model.folder / "student.safetensors") == sha256_of(
        tracked / "nuts" / "student.safetensors"
    )
    told = [line for line in said if "tracker" in line and "failed" in line]
    assert told == ["the tracker csv failed and is left out; the training goes on: the server is gone"]


def test_a_server_that_is_not_there_costs_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in trackers._MLFLOW_DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said: list[str] = []
    asked = FitOptions(logger=("mlflow",), logger_to="http://127.0.0.1:9")
    with tracking(asked, tmp_path / "m", Reporter(said.append)) as opened:
        assert opened.loggers == {}
    (line,) = said
    assert line.startswith("the tracker mlflow failed and is left out; the training goes on: ")


def test_a_resumed_training_has_its_whole_curve_and_a_stopped_one_failed(
    factory: Path, tmp_path: Path, tracked: Path
) -> None:
    def pull_the_plug(what: str, done: int, total: int, note: str) -> None:
        if what == "train":
            raise WorkError("power cut")

    options: dict[str, Any] = {**QUICK, "logger": ("csv",), "logger_to": str(tmp_path / "runs")}
    with pytest.raises(WorkError, match="power cut"):
        fit(factory, tmp_path / "m", progress=Reporter(print, pull_the_plug), checkpoint_every=1, **options)
    fit(factory, tmp_path / "m", resume=True, progress=False, checkpoint_every=1, **options)
    with (tmp_path / "runs" / "csv" / "m" / "version_1" / "metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["loss"]]
    assert steps == [int(line["step"]) for line in journal_of(tmp_path / "m")] == [10, 20]


def test_lines_that_are_half_written_or_damaged_are_no_figures(tmp_path: Path) -> None:
    seen: list[tuple[Mapping[str, float], int]] = []

    class Noting(Broken):
        def log_metrics(self, figures: Mapping[str, float], step: int) -> None:
            seen.append((figures, step))

    journal = tmp_path / "training.jsonl"
    opened = Trackers(journal, Reporter(), {"csv": Noting("")})  # type: ignore[dict-item]
    opened.follow()  # no journal yet
    journal.write_text('{"step": 1, "loss": 2.0}\nnoise\n[]\n{"step": 2, "lo')
    opened.follow()
    with journal.open("a") as file:
        file.write('ss": 1.5}\n')
    opened.following.advance("train", 2, 2, "")
    assert seen == [({"loss": 2.0}, 1), ({"loss": 1.5}, 2)]


def test_a_training_that_had_no_step_left_gives_its_curve_at_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []

    class Noting(Broken):
        def log_hyperparams(self, settings: Mapping[str, object]) -> None: ...

        def log_metrics(self, figures: Mapping[str, float], step: int) -> None:
            if "loss" in figures:
                seen.append((step, figures["loss"]))

    opened = Trackers(journal_file(tmp_path), Reporter(), {"csv": Noting("")})  # type: ignore[dict-item]
    (tmp_path / "training.jsonl").write_text('{"step": 10, "loss": 2.0}\n{"step": 20, "loss": 1.0}\n')
    ended: Any = SimpleNamespace(
        seconds=1.0, steps=20, kept_step=20, categories={}, precision="32", device="cpu"
    )
    for _ in range(2):
        opened.result(SimpleNamespace(training=ended), None)  # type: ignore[arg-type]
    assert seen == [(10, 2.0), (20, 1.0)]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"logger": ("csv",), "logger_to": "http://here"}, "--logger csv writes into a folder, got"),
        ({"logger": ("csv",), "logger_to": "m/runs"}, "m/runs is in the folder of the model"),
    ],
)
def test_a_place_that_does_not_suit_is_refused_before_any_work(
    options: dict[str, Any], rule: str, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rule):
        fit(factory, "m", progress=False, **QUICK, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--logger mlflow needs .*understudy\[mlflow\]"):
        require_trackers(FitOptions(logger=("mlflow",)), tmp_path)


def test_without_a_tracker_nothing_is_followed(tmp_path: Path) -> None:
    reporter = Reporter(advance=ignore_progress)
    with tracking(FitOptions(), tmp_path / "m", reporter) as opened:
        assert opened.following is reporter
