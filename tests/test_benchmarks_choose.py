"""The benchmark that chooses defaults: its rows, its two-way choice, its tables and its drawing."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from understudy.distill.distiller import Distiller
from understudy.export import job

FOLDER = Path(__file__).parent.parent / "benchmarks"
TINY = {"image_size": 64, "batch_size": 4, "max_steps": 2, "precision": "32", "device": "cpu", "method": "rd"}
TINY |= {"strides": (8, 16)}
Rows = list[dict[str, str]]
load = importlib.import_module


@pytest.fixture(autouse=True)
def _candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three candidates that answer two questions."""
    monkeypatch.syspath_prepend(FOLDER)
    candidates = load("candidates")
    for name, values in {
        "CANDIDATES": {n: TINY | {"seed": i} for i, n in enumerate(("today", "b", "c"))},
        "QUESTIONS": {"length": ("today", "b", "c"), "preset": ("today", "b", "c")},
    }.items():
        known = getattr(candidates, name)
        for old in list(known):
            monkeypatch.delitem(known, old)
        for new, value in values.items():
            monkeypatch.setitem(known, new, value)


def rows_of(candidate: str, a: float, b: float, *, seeds: str = "012", **values: str) -> Rows:
    """One product of either half, ``lens`` and ``nut``, whose figures are all the same."""
    row = {"machine": "a machine", "date": "2026-01-01", "commit": "abc", "candidate": candidate}
    row |= {"trained_on": "lens nut", "options": load("candidates").written(candidate), "device": "cpu"}
    row |= {"n_good": "100", "n_defect": "100", "false_alarms_1": "1", "false_alarms_5": "4"}
    row |= {"train_seconds": "120", "milliseconds": "20"} | values
    found = {"lens": a, "nut": b}
    rows = []
    for seed in seeds:
        for category in row["trained_on"].split():
            own = dict.fromkeys(("image_auroc", "pixel_auroc", "aupro"), str(found[category]))
            own |= dict.fromkeys(("found_1", "found_5"), str(round(100 * found[category])))
            rows.append(row | own | {"category": category, "seed": seed})
    return rows


def test_a_choice_that_only_wins_on_the_half_that_chose_it_is_dropped() -> None:
    rows = rows_of("today", 0.8, 0.8) + rows_of("b", 0.9, 0.7) + rows_of("c", 0.7, 0.9)
    found = load("tables.choose").question(rows, "length")
    assert "chosen by A: b, on B 70.0 (-10.0), dropped; chosen by B: c, on A 70.0 (-10.0), dropped" in found
    assert "Two-way 70.0 (-10.0). Kept: **today**." in found
    assert "| b | 90.0 ± 0.0 / 70.0 ± 0.0 |" in found


def test_of_two_choices_that_hold_the_one_that_gains_more_on_the_other_half_is_kept() -> None:
    rows = rows_of("today", 0.8, 0.8) + rows_of("b", 0.9, 0.81) + rows_of("c", 0.85, 0.9)
    found = load("tables.choose").question(rows, "length")
    assert "chosen by A: b, on B 81.0 (+1.0); chosen by B: c, on A 85.0 (+5.0). Two-way 83.0 (+3.0)" in found
    assert "| **c** |" in found
    assert "| 85.0 / 90.0 | 1.0 / 4.0 | lens 85.0 | 2.0 | 20 |" in found


def test_a_candidate_that_lacks_a_seed_is_shown_and_not_chosen() -> None:
    rows = rows_of("today", 0.8, 0.8) + rows_of("b", 0.9, 0.9, seeds="0")
    found = load("tables.choose").question(rows, "length")
    assert "| b, seed 0 alone | 90.0 / 90.0 |" in found
    assert "Kept: **today**" in found


def test_a_missing_figure_has_no_part_in_the_mean() -> None:
    rows = [row | {"aupro": "", "pixel_auroc": ""} for row in rows_of("today", 0.8, 0.6)]
    figure_of = load("tables.choose").figure_of
    assert figure_of(rows) == pytest.approx(0.7)
    assert figure_of([*rows, *rows_of("today", 1.0, 1.0)]) > 0.7


def test_rows_of_other_options_than_a_candidate_has_now_are_not_shown() -> None:
    choose = load("tables.choose")
    assert choose.question(rows_of("today", 0.8, 0.8, options="{}"), "length") == ""
    assert choose.one_class([]) == choose.by_product([]) == ""


def test_without_products_in_both_halves_nothing_is_chosen() -> None:
    found = load("tables.choose").question(rows_of("today", 0.8, 0.7, trained_on="nut"), "length")
    assert "There is no choice" in found
    assert "| today | – / 70.0 ± 0.0 |" in found


def test_a_product_more_than_a_point_below_its_own_model_is_named() -> None:
    options = load("candidates").written("today", 2)
    alone = [
        rows_of("today", 0.805, 0.92, trained_on=c, options=options, seeds="0")[0] for c in ("lens", "nut")
    ]
    found = load("tables.choose").one_class(rows_of("today", 0.8, 0.9) + alone)
    assert "| lens | A | 80.0 / 80.5 (-0.5) |" in found
    assert "| nut | B | 90.0 / 92.0 (-2.0) |" in found
    assert "today: nut of 2" in found


def test_methods_stand_side_by_side_with_what_sharing_costs_each(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = load("candidates")
    monkeypatch.setitem(candidates.QUESTIONS, "methods", ("today", "b"))
    options = candidates.written("today", 2)
    alone = rows_of("today", 0.805, 0.805, trained_on="lens", options=options, seeds="0")
    alone += rows_of("today", 0.94, 0.94, trained_on="nut", options=options, seeds="0")
    rows = rows_of("today", 0.8, 0.9) + rows_of("b", 0.6, 0.7, seeds="0") + alone
    sizes = [{"candidate": "today", "runtime": "onnx", "megabytes": "12.5"}]
    files = {"choose": rows, "methods_speed": sizes}
    shown = load("tables.side_by_side").side_by_side(files.__getitem__)
    assert "| 1.0 / 4.0 | 87.2 | +2.2 | nut +4.0 | 2.0 | 20 | 12.5 |" in shown
    assert "| b, seed 0 alone | 65.0 |" in shown
    assert shown.count("| – | – | – | 2.0 | 20 | – |") == 1
    assert load("tables.side_by_side").side_by_side(lambda name: []) == ""


def test_presets_are_shown_product_by_product() -> None:
    found = load("tables.choose").by_product(rows_of("today", 0.8, 0.7) + rows_of("b", 0.9, 0.6))
    assert "| nut | B | 70.0 / 70.0 / 70.0 | 60.0 / 60.0 / 60.0 |" in found
    assert "| mean |  | **75.0 / 75.0 / 75.0** | **75.0 / 75.0 / 75.0** |" in found


def test_a_model_of_one_product_sees_it_as_often_but_is_not_too_short() -> None:
    candidates = load("candidates")
    candidates.CANDIDATES["b"] = TINY | {"max_steps": 3000}
    lengths = [json.loads(candidates.written("b", n))["max_steps"] for n in (1, 3, 100)]
    assert lengths == [3000, 1000, candidates.LEAST_STEPS]


def test_presets_are_drawn_over_time_once_they_are_timed() -> None:
    plot, choose = load("plot"), load("tables.choose")
    times = (("today", "onnx", "10"), ("today", "openvino", ""), ("b", "onnx", "25"), ("b", "openvino", "9"))
    same = {"machine": "m", "date": "d", "commit": "c", "threads": "2"}
    timed = [same | {"candidate": n, "runtime": r, "milliseconds": ms} for n, r, ms in times]
    files = {"presets": timed, "choose": rows_of("today", 0.8, 0.8) + rows_of("b", 0.9, 0.9)}
    drawn = plot.presets(files.__getitem__)
    words = " ".join(ElementTree.fromstring(drawn).itertext())
    assert all(word in words for word in ("today", "b", "onnx", "openvino", "minutes of training"))
    assert plot.presets(files.__getitem__) == drawn
    assert plot.presets(lambda name: []) == ""
    assert "| today | 10.0 (1.00) | refused |\n| b | 25.0 (2.50) | 9.0 |" in choose.speed(timed)


def test_a_run_gives_a_row_of_counts_for_each_product(factory: Path) -> None:
    script, options = load("choose"), json.dumps(TINY | {"holdout": 0.34})
    rows = script.run(factory, candidate="today", seed=0, trained_on="linen nut", options=options)
    assert [row["category"] for row in rows] == ["linen", "nut"]
    row = rows[1]
    assert (row["n_good"], row["n_defect"], row["steps"]) == (2, 3, 2)
    assert all(row[name] in range(4) for name in ("found_1", "found_5", "false_alarms_1", "false_alarms_5"))
    assert 0 <= row["image_auroc_of_maximum"] <= 1
    assert row["milliseconds"] > 0


@pytest.mark.usefixtures("shallow")
def test_every_runtime_of_every_candidate_is_timed(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, graph, write = load("choose"), tmp_path / "model.onnx", job.write_onnx

    def write_once(distiller: Distiller, path: Path, side: int, valid: bool) -> None:
        """OpenVINO takes the graph that ONNX Runtime took."""
        if not graph.exists():
            write(distiller, graph, side, valid)
        shutil.copyfile(graph, path)

    monkeypatch.setattr(job, "write_onnx", write_once)
    for name in ("SPEED_STEPS", "ROUNDS", "THREADS"):
        monkeypatch.setattr(script, name, 1)
    rows = script.speeds(factory, ["today"], ["nut"])
    assert [(row["candidate"], row["runtime"]) for row in rows] == [
        ("today", runtime) for runtime in ("torch", "onnx", "openvino")
    ]
    assert all(row["milliseconds"] > 0 for row in rows)


def test_a_run_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script, ran = load("choose"), []

    def run_missing(_: str, data: Path, out: Path, job: dict[str, str], threads: int | None) -> None:
        ran.append(job["candidate"])
        if job["candidate"] == "today":
            raise subprocess.CalledProcessError(1, "fit")

    monkeypatch.setattr(load("apart"), "run_missing", run_missing)
    asked = Namespace(seeds="0", data=tmp_path, out=tmp_path / "out.csv", one_class=False, workers=1)
    assert script.run_all(asked, ["today", "b"], ["nut"]) == ["today, seed 0, nut"]
    assert ran == ["today", "b"]
