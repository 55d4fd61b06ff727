"""``understudy evaluate`` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from understudy import Model
from understudy.cli import main
from understudy.cli.evaluate import metrics_table, print_table, rates_table
from understudy.evaluate.report.tables import found_table


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_evaluating_with_a_broken_picture_reports_it_and_exits_with_1(
    data: Path, model_folder: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"no picture")
    assert run("evaluate", model_folder, data, "--out", tmp_path / "e") == 1
    assert "left out" in the_error()
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["categories"]["nut"]["n_good"] == 1


def test_an_exported_model_has_the_figures_of_the_model_that_it_was_made_of(
    exported_copy: Path, model: Model, factory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", exported_copy, factory) == 0
    ours = json.loads((exported_copy / "evaluation" / "metrics.json").read_text())
    theirs = model.evaluate(factory).metrics
    assert list(ours["categories"]) == list(theirs["categories"])
    for category, row in theirs["categories"].items():
        own = ours["categories"][category]
        assert own["false_alarm_rate"] == row["false_alarm_rate"]
        assert own["recognition"] == row["recognition"]
        for name in theirs["mean"]:  # one rank may change by rounding
            assert own[name] == pytest.approx(row[name], abs=0.01)
    page = (exported_copy / "evaluation" / "report.html").read_text()
    assert "<figure" in page
    assert model.manifest.files["student.safetensors"] in page
    assert "wrote " in capsys.readouterr().out
    assert run("predict", exported_copy, factory / "nut" / "test") == 0  # the folder is still a model


def test_the_defects_found_at_each_rate_are_printed_before_all_other_figures(
    model: Model, factory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = model.evaluate(factory, categories=["nut", "linen"]).metrics
    print_table(metrics)
    lines = capsys.readouterr().out.splitlines()
    entry = metrics["found_at"]["0.01"]
    worst, least = entry["worst"]["found"]
    assert lines[0] == (
        f"at 1 % of false alarms {100 * entry['mean']['found']:.1f} % of defects are found, as a mean over "
        f"categories; {worst} is the worst, {100 * least:.1f} %"
    )
    assert lines[1].split() == ["found"] * 4 + ["alarms"] * 4 + ["oracle"]
    assert lines[2].split("  ")[1].strip() == "at 0.5 %"
    assert next(i for i, line in enumerate(lines) if "image auroc" in line) > 6
    table = found_table(metrics)
    assert table is not None
    columns = [[str(cell) for cell in column.cells] for column in rates_table(table).columns]
    assert columns[0][0] == worst
    assert columns[0][2:] == ["mean", "all"]
    for i, rate in enumerate(("0.005", "0.01", "0.02", "0.05"), start=1):
        whole = metrics["found_at"][rate]["all"]
        assert columns[i][3] == f"{100 * whole['found']:.1f}"
        assert columns[i + 4][3] == f"{100 * whole['false_alarms']:.1f}"


def test_without_thresholds_the_table_says_that_defects_found_are_not_known(
    model: Model, factory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = model.evaluate(factory, categories=["nut"]).metrics
    why = {"found_at": None, "found_at_missing": {"0.01": "the model is not calibrated"}}
    print_table(metrics | why)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("at a rate of false alarms is not known: the model is not calibrated")


def test_the_table_has_every_category_in_percent_the_mean_and_the_worst(model: Model, factory: Path) -> None:
    metrics = model.evaluate(factory, categories=["nut", "linen"]).metrics
    metrics["categories"]["nut"]["aupro"] = metrics["worst"]["aupro"] = None
    table = metrics_table(metrics)
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    assert columns[0] == ["linen", "nut", "mean", "pooled", "worst"]
    assert [str(column.header) for column in table.columns][1:3] == ["image auroc", "image ap"]
    assert columns[1][:2] == [
        f"{100 * metrics['categories'][c]['image_auroc']:.1f}" for c in ("linen", "nut")
    ]
    assert columns[1][4] == metrics["worst"]["image_auroc"][0]
    aupro = columns[list(metrics["mean"]).index("aupro") + 1]
    assert (aupro[1], aupro[4]) == ("–", "–")


def test_metrics_and_report_go_where_they_are_asked_for_by_the_thresholds_that_are_asked_for(
    model_folder: Path, factory: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    options = ("--map-resolution", "mask", "--aupro-limit", 0.05, "--thresholds", "global")
    asked = ("evaluate", model_folder, factory, "--categories", "nut", *options)
    assert run(*asked, "--out", tmp_path / "e") == 0
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert (metrics["map_resolution"], metrics["aupro_limit"], metrics["thresholds"]) == (
        "mask",
        0.05,
        "global",
    )
    assert (tmp_path / "e" / "report.html").is_file()
    assert not (model_folder / "evaluation").exists()
    assert run("evaluate", model_folder, factory, "--aupro-limit", 2, "--out", tmp_path / "f") == 2
    assert "at most 1, got 2" in the_error()


def test_figures_of_several_processes_are_those_of_one_to_the_last_digit(
    exported: Path, data: Path, tmp_path: Path
) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"none")
    assert run("evaluate", exported, data, "--out", tmp_path / "one") == 1
    assert run("evaluate", exported, data, "--out", tmp_path / "two", "--workers", 2) == 1
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert one["pooled"]["n_good"] == 7
    assert two == one


def test_a_trained_model_is_not_shared_among_processes(
    model_folder: Path, factory: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    assert run("evaluate", model_folder, factory, "--out", tmp_path / "out", "--workers", 2) == 2
    assert "is a trained model" in the_error()
    assert not (tmp_path / "out").exists()
