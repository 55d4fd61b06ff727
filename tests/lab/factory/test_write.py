"""Pictures are written in MVTec AD layout: from a seed, a mask to every defect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import WorkError
from understudy.lab.factory.defects import DEFECTS
from understudy.lab.factory.write import FactoryPlan, write_factory

SMALL = FactoryPlan(train=1, good=1, each_defect=1, size=64)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.png")}


def test_the_same_seed_makes_the_same_pictures_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_factory(tmp_path / name, FactoryPlan(1, 1, 1, 64, seed))
    a, b, c = (contents(tmp_path / n) for n in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[k] != c[k] for k in a if "ground_truth" not in k)


def test_every_defect_has_a_mask_of_its_pictures_size_and_good_ones_have_none(tmp_path: Path) -> None:
    write_factory(tmp_path, SMALL)
    for category, kinds in DEFECTS.items():
        assert {d.name for d in (tmp_path / category / "test").iterdir()} == {"good", *kinds}
        for kind in kinds:
            mask = np.array(Image.open(tmp_path / category / "ground_truth" / kind / "000_mask.png"))
            assert mask.shape == (64, 64)
            assert set(np.unique(mask)) == {0, 255}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match=r"file.* cannot be written"):
        write_factory(tmp_path / "file", SMALL)
