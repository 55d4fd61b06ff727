"""A fit removes its own files and no others, whatever its folder holds."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import understudy
from understudy.cli import main
from understudy.errors import InputError, WorkError
from understudy.folders import TRAINING, clear_own, locked, read_sealed, write_sealed
from understudy.progress import Reporter
from understudy.results import results_in
from understudy.runtime.manifest import MANIFEST, is_ours
from understudy.train import job
from understudy.train.loop import checkpoint_file

QUICK: dict[str, Any] = {
    "image_size": 64,
    "max_steps": 2,
    "batch_size": 4,
    "precision": "32",
    "device": "cpu",
    "strides": (8, 16),
    "progress": False,
}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def own_files(folder: Path) -> None:
    """What a user may keep under the names that a model's folder had in the first edition."""
    for name in ("training/001.png", "evaluation/thesis.txt", "diagnosis/x.txt", "calibration.json"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the user's {name}")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_files_of_the_user_is_refused_and_keeps_every_one(
    factory: Path, tmp_path: Path, overwrite: bool
) -> None:
    own_files(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="holds files that understudy did not write"):
        understudy.fit(factory, out=tmp_path, overwrite=overwrite, **QUICK)
    assert contents(tmp_path) == before


def test_pictures_below_the_folder_for_the_model_are_not_lost(factory: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "parts" / "training"
    shutil.copytree(factory / "nut" / "train" / "good", pictures)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="did not write"):
        understudy.fit(pictures, out=tmp_path / "parts", **QUICK)
    assert contents(tmp_path) == before


def test_a_foreign_manifest_names_nothing_to_remove(factory: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    named = {"files": {"thesis.txt": "0" * 64}, "bundle_schema": 4}
    (tmp_path / "manifest.json").write_text(json.dumps(named))
    before = contents(tmp_path)
    assert not is_ours(tmp_path)
    clear_own(tmp_path, MANIFEST)
    with pytest.raises(InputError, match="did not write"):
        understudy.fit(factory, out=tmp_path, overwrite=True, **QUICK)
    assert contents(tmp_path) == before


def test_overwriting_a_model_leaves_what_the_user_put_beside_it(
    factory: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    shutil.copytree(model_folder, out)
    kept = {
        "notes.txt": "mine",
        "evaluation/thesis.txt": "mine",
        "diagnosis/x.txt": "mine",
        "training/a.png": "mine",
    }
    stale = {"evaluation/metrics.json", "diagnosis/diagnosis.json"}
    for name in stale:
        with results_in((out / name).parent, [Path(name).name]) as draft:
            (draft / Path(name).name).write_text("{}")
    for name, text in kept.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)
    understudy.fit(factory, out=out, overwrite=True, **QUICK)
    after = contents(out)
    assert all(after[name] == text.encode() for name, text in kept.items())
    assert not after.keys() & stale
    assert not (out / TRAINING).exists()


def test_a_file_that_was_changed_since_is_not_removed(model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    shutil.copytree(model_folder, out)
    (out / "prototypes.json").write_text("the user's own")
    clear_own(out, MANIFEST)
    assert contents(out).keys() == {"prototypes.json"}


def test_a_training_killed_before_its_first_checkpoint_may_begin_again(factory: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    checkpoint_file(out).parent.mkdir(parents=True)
    assert understudy.fit(factory, out=out, **QUICK).categories


def test_a_file_of_the_user_among_the_private_ones_is_not_lost(
    factory: Path, model_folder: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "new" / TRAINING / "x"
    mine.parent.mkdir(parents=True)
    mine.write_text("the user's")
    with pytest.raises(InputError, match=rf"such as {TRAINING}/x, and they must not be lost"):
        understudy.fit(factory, out=tmp_path / "new", **QUICK)
    assert mine.read_text() == "the user's"
    model = copy_of(model_folder, tmp_path)
    (model / TRAINING).mkdir()
    (model / TRAINING / "x").write_text("the user's")
    understudy.fit(factory, out=model, overwrite=True, **QUICK)
    assert (model / TRAINING / "x").read_text() == "the user's"
    assert {p.name for p in (model / TRAINING).iterdir()} == {"x"}


def copy_of(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.mark.parametrize("stopped", ["train", "learn_prototypes", "save_trained"])
def test_an_old_model_stays_until_the_new_one_is_whole(
    factory: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    out = copy_of(model_folder, tmp_path)
    before = contents(out)

    def stop(*args: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(job, stopped, stop)
        with pytest.raises(KeyboardInterrupt):
            understudy.fit(factory, out=out, overwrite=True, **QUICK)
    assert {n: data for n, data in contents(out).items() if not n.startswith(TRAINING)} == before
    assert understudy.load(out).thresholds is not None
    if stopped != "train":  # its work is not lost, and goes on where it stopped
        model = understudy.fit(factory, out=out, resume=True, **QUICK)
        assert model.manifest.training.steps == QUICK["max_steps"]
        assert not (out / TRAINING).exists()


def test_a_full_disk_leaves_the_old_model_and_no_half_of_the_new_one(
    factory: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy_of(model_folder, tmp_path)
    before, whole = contents(out), Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if "student.safetensors" in self.name:
            whole(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        patched.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
        with pytest.raises(
            WorkError, match=r"student\.safetensors .*make room there: [0-9.]+ MB are missing"
        ):
            understudy.fit(factory, out=out, overwrite=True, **QUICK)
    assert {n: data for n, data in contents(out).items() if not n.startswith(TRAINING)} == before
    assert {Path(n).name for n in contents(out / TRAINING)} == {"last.ckpt", "training.jsonl"}
    assert understudy.fit(factory, out=out, resume=True, **QUICK).categories


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("student.safetensors", "was changed since understudy wrote it"),
        ("training.jsonl", "was changed since understudy wrote it"),
        ("roi.png", "has the name of a model's file"),
        ("model.onnx", "has the name of a model's file"),
    ],
)
def test_a_file_of_the_user_in_the_way_is_said_before_the_training(
    factory: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    reason: str,
) -> None:
    out = copy_of(model_folder, tmp_path)
    (out / name).write_bytes(b"the user's")
    before = contents(out)
    monkeypatch.setattr(job, "train", lambda *args, **keywords: pytest.fail("work was spent"))
    with pytest.raises(InputError, match=reason):
        understudy.fit(factory, out=out, overwrite=True, **QUICK)
    assert contents(out) == before


def test_a_model_of_the_first_edition_is_replaced_with_all_its_files(
    factory: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = copy_of(model_folder, tmp_path)
    content = read_sealed(out / MANIFEST)
    assert content is not None
    for name in ("calibration.json", "training.jsonl"):
        del content["files"][name]
    write_sealed(out / MANIFEST, content | {"bundle_schema": 4})
    model = understudy.fit(factory, out=out, overwrite=True, **QUICK | {"holdout": 0.0})
    assert model.calibration is None
    assert not (out / "calibration.json").exists()
    assert understudy.load(out).manifest.training.steps == QUICK["max_steps"]


def test_a_model_that_cannot_be_calibrated_is_kept(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise InputError("these pictures set no thresholds")

    out = tmp_path / "model"
    monkeypatch.setattr("understudy.model.calibrate_fresh", refuse)
    with pytest.raises(InputError, match="set no thresholds"):
        understudy.fit(factory, out=out, **QUICK)
    assert understudy.load(out).thresholds is None
    assert not (out / TRAINING).exists()


def test_nothing_is_left_of_a_training_that_could_not_begin(factory: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"weights\.pth"):
        understudy.fit(
            factory, out=tmp_path / "a" / "b", teacher_weights=str(tmp_path / "weights.pth"), **QUICK
        )
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pth"]


def test_a_second_training_into_one_folder_is_refused_and_the_first_ones_files_stay(
    factory: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = copy_of(model_folder, tmp_path)
    before = contents(out)
    with locked(out):
        with pytest.raises(InputError, match=r"is being written by process [0-9]+ \("):
            understudy.fit(factory, out=out, overwrite=True, **QUICK)
        with pytest.raises(InputError, match=r"is being written by process [0-9]+ \("):
            understudy.load(out).calibrate(factory, false_alarm_rate=0.2, progress=False)
    assert contents(out) == before


def test_thresholds_of_an_older_training_do_not_come_beside_a_new_student(
    factory: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = copy_of(model_folder, tmp_path)
    old = understudy.load(out)
    understudy.fit(factory, out=out, overwrite=True, **QUICK)
    with pytest.raises(InputError, match="was trained anew meanwhile; calibrate again"):
        old.calibrate(factory, false_alarm_rate=0.2, progress=False)
    assert understudy.load(out).manifest.training.steps == QUICK["max_steps"]


def test_pictures_that_a_short_training_does_not_see_are_said_and_may_set_thresholds(
    factory: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    asked = QUICK | {"progress": Reporter(say=said.append), "max_steps": 2, "holdout": 0.0}
    model = understudy.fit(factory, out=tmp_path / "model", **asked)  # 2 steps of 4: two of each product
    assert any("2 steps of 4 see 8 of these pictures; 16 are not learned from" in line for line in said)
    assert model.manifest.training.categories == dict.fromkeys(model.categories, 2)
    assert len(model.inspector.seen.trained) == 8
    assert model.calibrate(factory, false_alarm_rate=0.1, progress=False).thresholds.n_good == 16
    said.clear()
    asked |= {"max_steps": None, "epochs": 1, "batch_size": 5}  # 4 steps of 5, and a rest of 4
    assert len(understudy.fit(factory, out=tmp_path / "all", **asked).inspector.seen.trained) == 24
    assert not any("are not learned from" in line for line in said)


def test_a_folder_without_a_name_is_refused(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is a shell variable unset"):
        understudy.fit(factory, out="", **QUICK)
    for verb in (["fit", str(factory)], ["export", "model"], ["data", "synthesize"], ["demo"]):
        option = [] if verb[0] == "data" else ["--out"]
        assert main([*verb, *option, ""]) == 2
        assert "is a shell variable unset" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
