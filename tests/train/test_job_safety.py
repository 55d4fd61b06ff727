"""A fit removes its own files and no others, whatever its folder holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import understudy
from understudy.cli import main
from understudy.errors import InputError
from understudy.runtime.manifest import TRAINING, clear, is_ours
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
    clear(tmp_path)
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
    stale = {"evaluation/metrics.json": "{}", "evaluation/report.html": "", "diagnosis/diagnosis.json": "{}"}
    for name, text in (kept | stale).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)
    understudy.fit(factory, out=out, overwrite=True, **QUICK)
    after = contents(out)
    assert all(after[name] == text.encode() for name, text in kept.items())
    assert not after.keys() & stale.keys()
    assert not (out / TRAINING).exists()


def test_a_file_that_was_changed_since_is_not_removed(model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    shutil.copytree(model_folder, out)
    (out / "prototypes.json").write_text("the user's own")
    clear(out)
    assert contents(out).keys() - {"training.jsonl"} == {"prototypes.json"}


def test_a_training_killed_before_its_first_checkpoint_may_begin_again(factory: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    checkpoint_file(out).parent.mkdir(parents=True)
    (out / "training.jsonl").write_text("")
    assert understudy.fit(factory, out=out, **QUICK).categories


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
