"""A model that the first edition saved loads, and scores as it did."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from understudy import Model
from understudy.runtime.manifest import read_manifest, write_manifest


@pytest.mark.parametrize(("structure", "anneals"), [("falling", True), ("kept", False)])
def test_settings_that_name_the_structural_terms_otherwise_are_read(
    structure: str, anneals: bool, model: Model, factory: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model.folder, tmp_path / "model"))
    manifest = read_manifest(folder)
    settings = {k: v for k, v in manifest.settings.items() if k != "anneal_structural_terms"}
    settings["structure"] = structure
    write_manifest(folder, manifest.model_copy(update={"settings": settings}))
    first = Model.load(folder, "cpu")
    assert {t.name: t.anneals for t in first.distiller.terms} == {
        "cosine": False,
        "spatial": anneals,
        "intra": anneals,
        "inter": anneals,
    }
    pictures = factory / "nut" / "test"
    assert [r.score for r in first.predict(pictures)] == [r.score for r in model.predict(pictures)]
