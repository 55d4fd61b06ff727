from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from understudy import WorkError
from understudy.lab.factory import LogicalPlan, write_logical
from understudy.lab.factory.kit import RULE, Layout, Lying, arrange, assemble
from understudy.lab.factory.scenes import coordinates
from understudy.lab.factory.defects import chip, spoil
from understudy.lab.factory.kit import LOGICAL, STRUCTURAL
from understudy.lab.factory.write import defects_config
from understudy.lab.factory.scenes import PARTS, REACH, area_of
from understudy.lab.factory.scenes import nut
from understudy.data.layouts import open_pictures

SMALL = LogicalPlan(train=2, validation=1, good=1, each_defect=2, size=64)
SIZE = 128


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("logical")
    write_logical(root, SMALL)
    return root / "kit"


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def away_from(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where not even a soft shadow of what is marked falls."""
    return np.asarray(ndimage.distance_transform_edt(~mask) > 12)


def content_of(layout: Layout) -> list[Counter[str]]:
    return [Counter(p.kind for p in layout.parts if p.compartment == c) for c in range(len(RULE))]


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


def test_a_good_kit_keeps_the_rule_and_a_part_may_lie_in_either_place() -> None:
    layouts = [arrange(np.random.default_rng(s)) for s in range(20)]
    assert all(content_of(layout) == [Counter({kind: n}) for kind, n in RULE] for layout in layouts)
    assert {p.place for layout in layouts for p in layout.parts if p.kind == "screw"} == {0, 1}


@pytest.mark.parametrize("kind", sorted(LOGICAL))
def test_a_logical_fault_changes_its_marked_places_and_nothing_else(kind: str) -> None:
    thresholds = {str(e["defect_name"]): float(e["saturation_threshold"]) for e in defects_config(SIZE)}
    for seed in range(8):
        layout = arrange(np.random.default_rng(seed))
        right = assemble(layout, SIZE).scene.picture
        spoiled = LOGICAL[kind](np.random.default_rng([seed, 1]), layout, SIZE)
        change = np.abs(spoiled.picture - right).max(axis=2)
        union = np.any([mask for _, mask in spoiled.masks], axis=0)
        assert change[away_from(union)].max() == 0
        for name, mask in spoiled.masks:
            assert name.removeprefix(f"{kind}_") in PARTS
            assert change[mask].max() > 0.05
            assert mask.sum() >= thresholds[name]  # so that it can be found


@pytest.mark.parametrize("kind", sorted(STRUCTURAL))
def test_damage_changes_its_marked_place_and_nothing_else(kind: str) -> None:
    for seed in range(4):
        layout = arrange(np.random.default_rng(seed))
        right = assemble(layout, SIZE).scene.picture
        spoiled = STRUCTURAL[kind](np.random.default_rng([seed, 1]), layout, SIZE)
        ((name, mask),) = spoiled.masks
        change = np.abs(spoiled.picture - right).max(axis=2)
        assert name == kind
        assert (change[mask] > 0.02).mean() > 0.7
        assert change[away_from(mask)].max() < 1e-12  # but for rounding


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_parts_are_large_enough_to_be_seen_and_stay_within_their_reach(kind: str) -> None:
    x, y = coordinates(SIZE)
    _, coverage = PARTS[kind](np.random.default_rng(0), x, y, SIZE)
    assert coverage[np.hypot(x, y) > REACH + 2 / SIZE].max() == 0
    rows, columns = np.nonzero(coverage > 0.5)
    across = max(np.ptp(rows), np.ptp(columns)) + 1
    assert 1 / 6 < across / SIZE < 1 / 4
    assert area_of(kind, SIZE) == (coverage > 0.5).sum()


def test_neighbours_never_overlap_whatever_lies_there() -> None:
    for seed in range(12):
        layout = arrange(np.random.default_rng(seed))
        for compartment, place in layout.free():  # every place is taken
            kind = sorted(PARTS)[seed % len(PARTS)]
            layout = layout.with_part(Lying.at(np.random.default_rng(seed), kind, compartment, place))
        assert np.sum(list(assemble(layout, SIZE).parts.values()), axis=0).max() <= 1


@pytest.mark.parametrize("seed", range(10))
def test_a_chip_is_one_piece(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = nut(rng, 256)
    for _ in range(4):
        _, mask = spoil(rng, scene, chip)
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match=r"file.* cannot be written"):
        write_logical(tmp_path / "file", SMALL)
