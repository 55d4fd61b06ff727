"""A kit keeps its rule, and a fault changes its marked places and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from understudy.lab.factory.kit import LOGICAL, RULE, STRUCTURAL, KitLayout, Lying, arrange, assemble
from understudy.lab.factory.scenes import PARTS
from understudy.lab.factory.write import defects_config

SIZE = 128


def away_from(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where not even a soft shadow of what is marked falls."""
    return np.asarray(ndimage.distance_transform_edt(~mask) > 12)


def content_of(layout: KitLayout) -> list[Counter[str]]:
    return [Counter(p.kind for p in layout.parts if p.compartment == c) for c in range(len(RULE))]


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


def test_neighbours_never_overlap_whatever_lies_there() -> None:
    for seed in range(12):
        layout = arrange(np.random.default_rng(seed))
        for compartment, place in layout.free():  # every place is taken
            kind = sorted(PARTS)[seed % len(PARTS)]
            layout = layout.with_part(Lying.at(np.random.default_rng(seed), kind, compartment, place))
        assert np.sum(list(assemble(layout, SIZE).parts.values()), axis=0).max() <= 1
