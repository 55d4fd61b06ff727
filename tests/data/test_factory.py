from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import WorkError
from understudy.lab.factory import FactoryPlan, write_factory
from understudy.lab.factory.scenes import expose
from understudy.lab.factory.defects import DEFECTS, spoil
from understudy.lab.factory.scenes import PRODUCTS

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


@pytest.mark.parametrize(("category", "kind"), [(c, k) for c in DEFECTS for k in DEFECTS[c]])
def test_a_mask_covers_what_changed_and_nothing_else(category: str, kind: str) -> None:
    rng = np.random.default_rng(7)
    scene = PRODUCTS[category](rng, 128)
    picture, mask = spoil(rng, scene, DEFECTS[category][kind])
    change = np.abs(picture - scene.picture).max(axis=2)
    assert mask.any()
    assert (change[mask] > 0.02).mean() > 0.8  # marked pixels look different
    grown = np.array(Image.fromarray(mask).convert("L").resize((32, 32)).resize((128, 128))) > 0
    assert change[~grown & ~mask].mean() < 0.01  # and away from them nothing does


@pytest.mark.parametrize("category", list(PRODUCTS))
def test_good_pieces_differ_a_little_and_products_differ_a_lot(category: str) -> None:
    rng = np.random.default_rng(0)
    image_chunks = [expose(PRODUCTS[category](rng, 64).picture, rng).astype(float) for _ in range(4)]
    mean = np.mean(image_chunks, axis=0)
    own = np.mean([np.abs(p - mean).mean() for p in image_chunks])
    others = [expose(PRODUCTS[c](rng, 64).picture, rng).astype(float) for c in PRODUCTS if c != category]
    assert 0 < own < min(np.abs(o - mean).mean() for o in others)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match=r"file.* cannot be written"):
        write_factory(tmp_path / "file", SMALL)
