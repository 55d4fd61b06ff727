"""What a defect changes is marked, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from understudy.lab.factory.defects import DEFECTS, MARKED, chip, spoil
from understudy.lab.factory.scenes import PRODUCTS, Array, Scene, nut


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


@pytest.mark.parametrize("seed", range(10))
def test_a_chip_is_one_piece(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = nut(rng, 256)
    for _ in range(4):
        _, mask = spoil(rng, scene, chip)
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1


def test_a_defect_is_on_the_product_alone_and_drawn_again_while_it_is_too_small() -> None:
    half = np.zeros((128, 128))
    half[:, :64] = 1
    scene = Scene(np.full((128, 128, 3), 0.5), half, np.zeros((128, 128, 3)))
    drawn = []

    def growing(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
        """A black square around the middle of the picture, a pixel larger every time."""
        drawn.append(len(drawn) + 1)
        coverage = np.zeros((128, 128))
        coverage[64 - drawn[-1] : 64 + drawn[-1], 64 - drawn[-1] : 64 + drawn[-1]] = 1
        return np.zeros((128, 128, 3)), coverage

    picture, mask = spoil(np.random.default_rng(0), scene, growing)
    assert drawn == [1, 2]  # 2 of 16384 pixels are too few, 8 are enough
    assert mask.sum() == 2 * 4
    assert not mask[:, 64:].any()
    np.testing.assert_array_equal(picture[mask], 0)
    np.testing.assert_array_equal(picture[~mask], 0.5)


@pytest.mark.parametrize(("coverage", "is_marked"), [(MARKED - 0.01, False), (MARKED, True)])
def test_a_pixel_is_marked_from_a_quarter_of_coverage_on(coverage: float, is_marked: bool) -> None:
    everywhere = np.ones((64, 64))
    scene = Scene(np.full((64, 64, 3), 0.5), everywhere, np.zeros((64, 64, 3)))

    def faint(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
        covered = everywhere.copy()
        covered[:, 1:] = coverage
        return np.zeros((64, 64, 3)), covered

    _, mask = spoil(np.random.default_rng(0), scene, faint)
    assert mask[:, 0].all()
    assert (mask[:, 1:] == is_marked).all()
