"""Which runs there are, when two are the same, and what is kept of them."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import understudy
from understudy.data.layouts import open_pictures
from understudy.lab.reproduce import runs as runs_module
from understudy.lab.reproduce.runs import Protocol, Results, Run, figures_of, kept_precision, runs_of
from understudy.lab.reproduce.tables import FIGURES, TABLES, Variant

SMALL: dict[str, Any] = {
    "teacher": "tf_efficientnet_lite0",
    "image_size": 64,
    "max_steps": 1,
    "precision": "32",
    "device": "cpu",
}


@pytest.fixture(scope="module")
def protocol(factory: Path) -> Protocol:
    """What all runs on the factory have in common."""
    return Protocol(
        data=factory,
        found=open_pictures(factory),
        teacher="tf_efficientnet_lite0",
        paper_teacher="wide_resnet50_2",
        teacher_weights=None,
        image_size=64,
        epochs={"unified": 3, "one-class": 5},
        max_steps=None,
        device="cpu",
        precision="32",
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class KilledError(Exception):
    """In place of a kill."""


def test_a_kill_while_rows_are_written_leaves_those_that_were_there(
    factory: Path, pair: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = SMALL | {"categories": pair, "rows": ("RD",), "models": "unified"}
    made = understudy.reproduce("snl-1", factory, tmp_path, **asked, seeds=(0,))
    before, replace = made.runs.read_bytes(), Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target == made.runs:
            raise KilledError
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KilledError):
        understudy.reproduce("snl-1", factory, tmp_path, **asked, seeds=(0, 1))
    monkeypatch.undo()
    assert made.runs.read_bytes() == before
    understudy.reproduce("snl-1", factory, tmp_path, **asked, seeds=(0, 1))
    assert [row["seed"] for row in rows_of(made.runs)] == ["0", "0", "1", "1"]


def test_pictures_that_have_changed_are_another_run_and_a_folder_that_was_moved_is_none(
    factory: Path, pair: tuple[str, ...], tmp_path: Path
) -> None:
    asked = SMALL | {"seeds": (0,), "rows": ("RD",), "models": "unified"}
    shutil.copytree(factory / pair[0], tmp_path / "here" / pair[0])
    made = understudy.reproduce("snl-1", tmp_path / "here", tmp_path / "out", **asked)
    (tmp_path / "here").rename(tmp_path / "there")
    understudy.reproduce("snl-1", tmp_path / "there", tmp_path / "out", **asked)
    assert len(rows_of(made.runs)) == 1
    next((tmp_path / "there" / pair[0] / "train" / "good").iterdir()).unlink()
    understudy.reproduce("snl-1", tmp_path / "there", tmp_path / "out", **asked)
    assert len(rows_of(made.runs)) == 2


def test_another_measurement_of_the_precision_does_no_finished_run_again(
    factory: Path, pair: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = SMALL | {"categories": pair, "rows": ("RD",), "models": "unified", "precision": "auto"}
    measured = iter(["32"])

    def measure(choice: str, device: object) -> str:
        return next(measured) if choice == "auto" else choice

    monkeypatch.setattr(runs_module, "resolve_precision", measure)
    made = understudy.reproduce("snl-1", factory, tmp_path, **asked, seeds=(0,))
    understudy.reproduce("snl-1", factory, tmp_path, **asked, seeds=(0,))  # measures nothing
    assert [row["computed_in"] for row in rows_of(made.runs)] == ["cpu 32"] * 2


def test_the_precision_is_that_of_most_runs_of_the_device_or_of_one_that_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept_precision(tmp_path / "nowhere", "cpu") == "auto"
    begun = tmp_path / "unfinished" / "rd-seed0-a"
    begun.mkdir(parents=True)
    monkeypatch.setattr(runs_module, "begun_precision", lambda place: "bf16" if place == begun else "auto")
    assert kept_precision(tmp_path, "cpu") == "bf16"
    (tmp_path / "runs.csv").write_text("computed_in\ncuda bf16\ncuda bf16\ncuda bf16\ncpu 32\ncpu 32\n")
    assert kept_precision(tmp_path, "cpu") == "32"
    (begun / "manifest.json").write_text("damaged")
    assert kept_precision(tmp_path, "cpu") == "32"


def test_a_whole_table_is_run_for_one_seed_before_the_next(protocol: Protocol) -> None:
    table = replace(TABLES["snl-1"], variants=TABLES["snl-1"].variants[:2])
    runs = list(runs_of(table, protocol.found, (3, 1)))
    every = ("capsule", "linen", "nut", "veneer")
    assert len(runs) == 2 * 2 * (1 + 4)
    assert [run.seed for run in runs] == [3] * 10 + [1] * 10
    assert [run.categories for run in runs[:5]] == [every, *((c,) for c in every)]
    assert runs[0].describe() == "RD, unified, all, seed 3"
    assert runs[2].describe() == "RD, one-class, linen, seed 3"


def test_runs_are_the_same_exactly_when_nothing_that_decides_their_figures_differs(
    protocol: Protocol,
) -> None:
    run = Run(Variant("RD", "rd", {}, 8), "one-class", ("nut",), 0)
    key = run.key(protocol)
    assert replace(run, variant=Variant("another label", "rd", {}, 8)).key(protocol) == key
    spelled_out = {"smoothing": 4.0, "cosine": "global"}  # as RD has them anyway
    assert replace(run, variant=Variant("RD", "rd", spelled_out, 8)).key(protocol) == key
    for other in (
        replace(run, seed=1),
        replace(run, categories=("linen",)),
        replace(run, models="unified"),
        replace(run, variant=Variant("RD", "rd", {}, 16)),
        replace(run, variant=Variant("RD", "rd", {"cosine": "local"}, 8)),
        replace(run, variant=Variant("RD", "snl-rd", {}, 8)),
    ):
        assert other.key(protocol) != key
    for changed in (
        {"image_size": 96},
        {"max_steps": 7},
        {"teacher": "resnet18"},
        {"teacher_weights": "random"},
    ):
        assert run.key(replace(protocol, **changed)) != key  # type: ignore[arg-type]


def test_a_row_has_its_papers_teacher_unless_a_teacher_or_a_file_of_weights_is_named(
    protocol: Protocol, tmp_path: Path
) -> None:
    own, plain = Variant("UniAD", "uniad", {}, 8, "b4", (2, 4, 8, 16)), Variant("RD", "rd", {}, 8)

    def teachers(**changes: object) -> list[str]:
        changed = replace(protocol, **changes)  # type: ignore[arg-type]
        levels = [changed.strides_of(variant) for variant in (own, plain)]
        assert levels == [own.strides if changed.teacher_of(own) == "b4" else None, None]
        run = Run(own, "unified", ("nut",), 0)
        assert run.key(changed).get("strides") == ("2,4,8,16" if levels[0] else None)
        return [changed.teacher_of(variant) for variant in (own, plain)]

    assert teachers() == ["tf_efficientnet_lite0"] * 2
    assert teachers(teacher=None) == ["b4", "wide_resnet50_2"]
    assert teachers(teacher=None, teacher_weights="random") == ["b4", "wide_resnet50_2"]
    file = tmp_path / "weights.pth"
    file.write_bytes(b"")
    assert teachers(teacher=None, teacher_weights=str(file)) == ["wide_resnet50_2"] * 2


def test_other_weights_are_another_run_wherever_their_file_is(protocol: Protocol, tmp_path: Path) -> None:
    keys = []
    run = Run(Variant("RD", "rd"), "one-class", ("nut",), 0)
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"other")):
        (tmp_path / name).write_bytes(content)
        keys.append(run.key(replace(protocol, teacher_weights=str(tmp_path / name))))
    assert keys[0] == keys[1] != keys[2]


def test_a_run_that_lacks_a_category_counts_as_not_done(protocol: Protocol, tmp_path: Path) -> None:
    run = Run(Variant("RD", "rd"), "unified", ("linen", "nut"), 0)
    key = run.key(protocol)
    assert Results(tmp_path, protocol).of(run) == {}
    lines = [",".join(f'"{v}"' for v in ("nut", *(text.replace('"', '""') for text in key.values())))]
    head = ",".join(("category", *key))
    (tmp_path / "runs.csv").write_text("\n".join((head, *lines)) + "\n")
    assert Results(tmp_path, protocol).of(run) == {}
    lines.append(lines[0].replace('"nut"', '"linen"', 1))
    (tmp_path / "runs.csv").write_text("\n".join((head, *lines)) + "\n")
    assert sorted(Results(tmp_path, protocol).of(run)) == ["linen", "nut"]


def test_as_the_papers_train_nothing_is_held_out_and_the_length_is_that_of_the_kind_of_model(
    protocol: Protocol,
) -> None:
    run = Run(Variant("STPM", "stpm"), "one-class", ("nut",), 7)
    asked = protocol.options(run)
    assert (asked.method, asked.recipe, asked.seed, asked.categories) == ("stpm", "paper", 7, ("nut",))
    assert (asked.holdout, asked.validation) == (0, 0)  # STPM would choose its epoch otherwise
    assert (asked.epochs, asked.max_steps) == (5, None)
    assert protocol.options(replace(run, models="unified")).epochs == 3
    steps = replace(protocol, max_steps=9).options(run)
    assert (steps.epochs, steps.max_steps) == (None, 9)
    assert protocol.options(replace(run, variant=Variant("RD", "rd"))).validation is None


def test_what_cannot_be_told_is_empty_and_the_mean_of_both_anomalies_needs_both() -> None:
    own = {"image_auroc": 0.9, "pixel_auroc": None, "aupro": 1 / 3, "defects": {}, "au_spro": None}
    found = figures_of(own)
    assert tuple(found) == tuple(FIGURES)
    assert (found["image_auroc"], found["pixel_auroc"], found["aupro"]) == ("0.900000", "", "0.333333")
    assert found["logical_auroc"] == found["mean_auroc"] == found["au_spro"] == ""
    kinds = {"logical_anomalies": {"image_auroc": 0.5}, "structural_anomalies": {"image_auroc": 0.75}}
    spro = {"0.05": {"logical": 0.1, "structural": 0.3, "mean": 0.2}}
    both = figures_of(own | {"defects": kinds, "au_spro": spro})
    assert (both["mean_auroc"], both["au_spro"]) == ("0.625000", "0.200000")
    one = figures_of(own | {"defects": {"logical_anomalies": {"image_auroc": 0.5}}})
    assert (one["logical_auroc"], one["mean_auroc"]) == ("0.500000", "")
