"""Good pictures are divided by a seed, category by category, and none serves two ends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from understudy.data.layouts import open_pictures
from understudy.data.records import Record
from understudy.lab.factory.write import LogicalPlan, write_logical
from understudy.train.split import Parts, divide, keep_what_is_seen, split_off


def test_the_holdout_is_seeded_per_category_and_independent_of_the_others(factory: Path) -> None:
    records = open_pictures(factory).train()
    learn, held = split_off(records, 1 / 3, seed=0)
    assert len(held) == 8
    assert not set(learn) & set(held)
    assert {r.category for r in held} == {"capsule", "linen", "nut", "veneer"}
    only_nuts = [r for r in records if r.category == "nut"]
    assert split_off(only_nuts, 1 / 3, 0)[1] == [r for r in held if r.category == "nut"]
    assert split_off(records, 1 / 3, 1)[1] != held


def test_the_holdout_leaves_every_category_a_picture_to_learn_from(factory: Path) -> None:
    learn, held = split_off(open_pictures(factory).train(), 0.99, 0)
    assert len(learn) == 4
    assert {r.category for r in learn} == {"capsule", "linen", "nut", "veneer"}
    assert len(held) == 20


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_every_good_picture_serves_one_end_alone(share: float, factory: Path) -> None:
    found = open_pictures(factory)
    parts = divide(found, holdout=0.34, share=share, seed=0)
    together = [*parts.learn, *parts.validation, *parts.held_out]
    assert sorted(together) == sorted(found.train())
    assert [len(parts.learn), len(parts.validation), len(parts.held_out)] == (
        [16, 0, 8] if share == 0 else [12, 4, 8]
    )


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_validation_pictures_of_a_data_set_validate_or_are_held_out(share: float, tmp_path: Path) -> None:
    write_logical(tmp_path, LogicalPlan(train=6, validation=4, good=1, each_defect=1, size=64))
    found = open_pictures(tmp_path)
    parts = divide(found, holdout=0.34, share=share, seed=0)
    assert len(found.validation()) == 4
    assert set(found.validation()) <= set(parts.validation if share else parts.held_out)
    assert len(parts.learn) == 4


def some(nuts: int, screws: int) -> Parts:
    names = [("nut", i) for i in range(nuts)] + [("screw", i) for i in range(screws)]
    return Parts([Record(c, "train", "good", Path(f"{c}-{i:03}.png")) for c, i in names], [], [])


@pytest.mark.parametrize(
    ("balanced", "kept"), [(True, {"nut": 10, "screw": 5}), (False, {"nut": 18, "screw": 2})]
)
def test_a_short_training_keeps_as_many_of_each_product_as_it_sees(
    balanced: bool, kept: dict[str, int]
) -> None:
    parts = some(nuts=45, screws=5)
    seen, left_out = keep_what_is_seen(parts, 20, len, balanced, seed=0)
    assert Counter(r.category for r in seen.learn) == kept
    assert left_out == 50 - sum(kept.values())
    assert set(seen.learn) <= set(parts.learn)
    assert keep_what_is_seen(parts, 20, len, balanced, seed=0)[0] == seen
    assert keep_what_is_seen(parts, 20, len, balanced, seed=1)[0] != seen


def test_a_training_that_sees_all_keeps_all() -> None:
    parts = some(nuts=3, screws=4)
    assert keep_what_is_seen(parts, 7, len, balanced=True, seed=0) == (parts, 0)


def test_of_tiles_so_many_pictures_are_kept_that_their_tiles_are_seen() -> None:
    seen, left_out = keep_what_is_seen(
        some(nuts=10, screws=0), 8, lambda r: 4 * len(r), balanced=False, seed=0
    )
    assert (len(seen.learn), left_out) == (2, 8)
