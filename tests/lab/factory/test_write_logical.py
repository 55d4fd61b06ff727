"""A kit is written in LOCO layout: from a seed, with the meaning of every mask."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import WorkError
from understudy.data.layouts import open_pictures
from understudy.lab.factory.kit import LOGICAL, STRUCTURAL
from understudy.lab.factory.write import LogicalPlan, write_logical

SMALL = LogicalPlan(train=2, validation=1, good=1, each_defect=2, size=64)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("logical")
    write_logical(root, SMALL)
    return root / "kit"


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_same_seed_makes_the_same_files_and_another_seed_other_pictures(
    kit: Path, tmp_path: Path
) -> None:
    write_logical(tmp_path / "b", SMALL)
    write_logical(tmp_path / "c", LogicalPlan(2, 1, 1, 2, 64, seed=1))
    a, b, c = contents(kit), contents(tmp_path / "b" / "kit"), contents(tmp_path / "c" / "kit")
    assert a == b
    pictures = {k for k in a if "ground_truth" not in k and k.endswith(".png")}
    assert all(a[k] != c[k] for k in pictures)


def test_a_picture_does_not_depend_on_how_many_are_made(kit: Path, tmp_path: Path) -> None:
    write_logical(tmp_path, LogicalPlan(train=1, validation=0, good=0, each_defect=1, size=64))
    few, many = contents(tmp_path / "kit"), contents(kit)
    assert few["train/good/000.png"] == many["train/good/000.png"]
    for kind, count in (("logical", len(LOGICAL)), ("structural", len(STRUCTURAL))):
        for i in range(count):
            address = f"test/{kind}_anomalies"
            assert few[f"{address}/{i:03d}.png"] == many[f"{address}/{2 * i:03d}.png"]


def test_the_kit_is_read_as_it_was_written(kit: Path) -> None:
    found = open_pictures(kit)
    assert found.layout == "one category in MVTec LOCO layout"
    assert (len(found.train()), len(found.validation())) == (2, 1)
    kinds = Counter(r.defect for r in found.test())
    assert kinds == {"good": 1, "logical_anomalies": 8, "structural_anomalies": 8}
    assert all(bool(r.masks) != r.is_good for r in found.test())


def test_a_mask_has_one_value_and_the_config_explains_it(kit: Path) -> None:
    config = json.loads((kit / "defects_config.json").read_text())
    by_value = {entry["pixel_value"]: entry for entry in config}
    assert len(by_value) == len(config)
    assert all(0 < value < 256 for value in by_value)
    for path in kit.glob("ground_truth/*/*/*.png"):
        nothing, value = np.unique(np.array(Image.open(path)))
        assert nothing == 0
        name = by_value[value]["defect_name"]
        group = STRUCTURAL if path.parts[-3] == "structural_anomalies" else LOGICAL
        assert any(name.startswith(kind) for kind in group)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match=r"file.* cannot be written"):
        write_logical(tmp_path / "file", SMALL)
