"""A table is run where it lacks something, goes on after a stop, and refuses what cannot be run."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import understudy
from understudy import InputError
from understudy.lab.factory.write import LogicalPlan, write_logical
from understudy.lab.reproduce.tables import FIGURES, MVTEC
from understudy.lab.spread import threads_each
from understudy.progress import Reporter
from understudy.train.plan import TrainingPlan, plan_for

SMALL: dict[str, Any] = {
    "teacher": "tf_efficientnet_lite0",
    "image_size": 64,
    "max_steps": 1,
    "precision": "32",
    "device": "cpu",
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class KilledError(Exception):
    """In place of a kill."""


def stopping(words: str, said: list[str]) -> Reporter:
    """A reporter that ends the work at a line with these words."""

    def say(line: str) -> None:
        said.append(line)
        if words in line:
            raise KilledError

    return Reporter(say=say)


def test_every_run_leaves_a_row_a_category_and_the_page_tells_all_of_them(
    factory: Path, pair: tuple[str, ...], tmp_path: Path
) -> None:
    asked = SMALL | {"categories": pair, "seeds": (0, 1), "rows": ("RD", "SNL(RD)")}
    made = understudy.reproduce("snl-1", factory, tmp_path, **asked)
    rows = rows_of(made.runs)
    assert len(rows) == 2 * 2 * (2 + 1 + 1)  # seeds, rows, unified on both and one-class on each
    assert {row["steps"] for row in rows} == {"1"}
    assert "seeds |" not in made.text
    assert made.text == made.page.read_text(encoding="utf-8")
    assert "± " in made.text
    assert "they are of MVTec AD" in made.text
    assert not list((tmp_path / "unfinished").iterdir())


def test_runs_that_are_spread_over_processes_have_the_figures_of_runs_in_turn(
    factory: Path, pair: tuple[str, ...], tmp_path: Path
) -> None:
    asked = SMALL | {"categories": pair, "seeds": (0, 1), "rows": ("RD",), "models": "unified"}
    threads = torch.get_num_threads()
    torch.set_num_threads(threads_each(2))  # figures depend on the number of threads
    try:
        turn = understudy.reproduce("snl-1", factory, tmp_path / "turn", **asked)
    finally:
        torch.set_num_threads(threads)
    said: list[str] = []
    once = understudy.reproduce(
        "snl-1", factory, tmp_path / "once", **asked, workers=2, progress=Reporter(say=said.append)
    )

    def figures(path: Path) -> list[dict[str, str]]:
        rows = sorted(rows_of(path), key=lambda row: (row["seed"], row["category"]))
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]

    assert figures(once.runs) == figures(turn.runs)
    assert len([line for line in said if " is done: RD, unified, all, seed " in line]) == 2
    assert not list((tmp_path / "once" / "unfinished").iterdir())


def test_what_is_done_is_not_done_again_by_this_table_or_another(
    factory: Path, pair: tuple[str, ...], tmp_path: Path
) -> None:
    asked = SMALL | {"categories": pair, "seeds": (0,), "models": "unified"}
    understudy.reproduce("snl-1", factory, tmp_path, **asked, rows=("SNL(RD)",))
    said: list[str] = []
    rest = SMALL | {"categories": pair, "seeds": (0,)}
    understudy.reproduce(
        "snl-6", factory, tmp_path, **rest, rows=("25", "50"), progress=Reporter(say=said.append)
    )
    assert "snl-6: 2 runs, 1 of them done before" in said  # 50 centres are the default
    before = (tmp_path / "runs.csv").read_bytes()
    understudy.reproduce("snl-6", factory, tmp_path, **rest, rows=("25", "50"))
    assert (tmp_path / "runs.csv").read_bytes() == before


def test_a_stop_loses_no_run_and_no_mean_of_fewer_seeds_is_told(
    factory: Path, pair: tuple[str, ...], tmp_path: Path
) -> None:
    asked = SMALL | {"categories": pair, "seeds": (0, 1), "rows": ("RD",), "models": "unified"}
    with pytest.raises(KilledError):
        understudy.reproduce("snl-1", factory, tmp_path, **asked, progress=stopping("run 2 of 2", []))
    assert "1 of 2 seeds" in (tmp_path / "snl-1.md").read_text(encoding="utf-8")
    said: list[str] = []
    made = understudy.reproduce("snl-1", factory, tmp_path, **asked, progress=Reporter(say=said.append))
    assert "snl-1: 2 runs, 1 of them done before" in said
    assert "of 2 seeds" not in made.text


def test_a_training_that_was_stopped_goes_on_and_a_trained_model_is_only_evaluated(
    factory: Path, pair: tuple[str, ...], tmp_path: Path
) -> None:
    asked = SMALL | {"categories": pair, "seeds": (0,), "rows": ("RD",), "models": "unified"}
    with pytest.raises(KilledError):
        understudy.reproduce("snl-1", factory, tmp_path, **asked, progress=stopping("to test", []))
    said: list[str] = []
    understudy.reproduce("snl-1", factory, tmp_path, **asked, progress=Reporter(say=said.append))
    assert any("is trained already" in line for line in said)


def test_a_training_that_was_killed_goes_on_from_its_checkpoint_to_the_same_figures(
    factory: Path, pair: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = SMALL | {"categories": pair[:1], "seeds": (0,), "rows": ("RD",), "models": "unified"}
    asked["max_steps"] = 5

    def often(*given: Any) -> TrainingPlan:
        return replace(plan_for(*given), checkpoint_every=4)

    monkeypatch.setattr("understudy.train.job.plan_for", often)
    monkeypatch.setattr("understudy.train.callbacks._REPORT_EVERY", 1)

    def kill(what: str, done: int, total: int, note: str) -> None:
        if done == total and what == "train":
            raise KilledError

    with pytest.raises(KilledError):
        understudy.reproduce("snl-1", factory, tmp_path / "killed", **asked, progress=Reporter(advance=kill))
    steps: list[int] = []
    watching = Reporter(advance=lambda what, done, *_: steps.append(done) if what == "train" else None)
    resumed = understudy.reproduce("snl-1", factory, tmp_path / "killed", **asked, progress=watching)
    assert steps == [5]
    whole = understudy.reproduce("snl-1", factory, tmp_path / "whole", **asked)
    assert _figures(resumed.runs) == _figures(whole.runs)


def _figures(runs: Path) -> list[list[str]]:
    return [[row[name] for name in ("category", *FIGURES)] for row in rows_of(runs)]


def test_stpm_counts_its_last_epoch_and_learns_from_every_picture(
    factory: Path, pair: tuple[str, ...], tmp_path: Path
) -> None:
    said: list[str] = []
    asked = SMALL | {"categories": pair[:1], "seeds": (0,)}
    understudy.reproduce("stpm", factory, tmp_path, **asked, progress=Reporter(say=said.append))
    assert "no picture is left to validate with: the last epoch is kept" in said
    assert "6 good pictures to learn from, 0 held out" in said


def test_the_papers_figures_stand_beside_ours_on_a_data_set_of_its_categories(
    factory: Path, pair: tuple[str, ...], tmp_path: Path
) -> None:
    for category in MVTEC:
        shutil.copytree(factory / pair[0], tmp_path / "mvtec" / category)
    asked = SMALL | {"seeds": (0,), "rows": ("RD",), "models": "unified"}
    made = understudy.reproduce("snl-1", tmp_path / "mvtec", tmp_path / "out", **asked)
    assert "| paper | difference |" in made.text
    assert "| 94.4 |" in made.text
    assert "without bottle and cable" in made.text


def test_logical_and_structural_anomalies_are_told_apart(tmp_path: Path) -> None:
    write_logical(tmp_path / "kits", LogicalPlan(train=4, validation=2, good=1, each_defect=1, size=64))
    made = understudy.reproduce("loco", tmp_path / "kits", tmp_path / "out", **SMALL, seeds=(0,))
    (row,) = rows_of(made.runs)
    logical, structural, both = (float(row[f"{name}_auroc"]) for name in ("logical", "structural", "mean"))
    assert both == pytest.approx((logical + structural) / 2, abs=1e-5)
    assert 0 <= float(row["au_spro"]) <= 1


@pytest.mark.parametrize(
    ("name", "wrong", "named"),
    [
        ("snl-9", {}, "there are snl-1"),
        ("snl-1", {"rows": ("PaDiM",)}, "it has RD, SNL"),
        ("snl-5", {"models": "one-class"}, "unified models alone"),
        ("snl-1", {"seeds": ()}, "got none"),
        ("snl-1", {"seeds": (0, 0)}, "each once"),
        ("snl-1", {"epochs": 1}, "choose one"),
        ("snl-1", {"max_steps": 0}, "at least"),
        ("snl-1", {"seeds": (-1,)}, "seed"),
        ("snl-1", {"rows": ()}, "no row is named"),
        ("snl-1", {"categories": ("nothing",)}, "has no category"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(
    factory: Path, tmp_path: Path, name: str, wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        understudy.reproduce(name, factory, tmp_path / "out", **SMALL | wrong)
    assert not (tmp_path / "out").exists()
