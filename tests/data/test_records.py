"""What a data set's records are for: by category, by split, and which of them a model knows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from understudy import InputError
from understudy.data.layouts import open_pictures
from understudy.data.records import Saturation


def test_categories_can_be_chosen_and_unknown_ones_are_named(factory: Path) -> None:
    assert open_pictures(factory).only(["nut", "linen"]).categories == ["linen", "nut"]
    with pytest.raises(InputError, match="no category 'screw'; it has capsule, linen, nut, veneer"):
        open_pictures(factory).only(["nut", "screw"])


def test_a_category_without_good_pictures_is_named(factory: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(factory, tmp_path / "data"))
    shutil.rmtree(data / "nut" / "train" / "good")
    with pytest.raises(InputError, match=r"category 'nut'.*nut/train/good.*--categories"):
        open_pictures(data).train()


def test_categories_that_a_model_does_not_know_are_dropped_unless_it_knows_none(factory: Path) -> None:
    found = open_pictures(factory)
    assert found.keep_known(["nut", "screw"]).categories == ["nut"]
    assert found.keep_known(["screw"]) == found


def test_a_folder_of_good_pictures_alone_has_nothing_to_validate_or_to_test(
    factory: Path, tmp_path: Path
) -> None:
    found = open_pictures(Path(shutil.copytree(factory / "nut" / "train" / "good", tmp_path / "good")))
    assert len(found.train()) == 6
    assert found.validation() == []
    with pytest.raises(InputError, match=r"no test pictures .*<category>/test/<defect>"):
        found.test()


@pytest.mark.parametrize(
    ("threshold", "relative", "area", "pixels"),
    [(40.0, False, 100, 40), (400.0, False, 100, 100), (0.25, True, 100, 25), (0.001, True, 100, 1)],
)
def test_a_defect_counts_as_found_from_one_pixel_to_all_of_it(
    threshold: float, relative: bool, area: int, pixels: int
) -> None:
    saturation = Saturation(
        defect_name="hole", pixel_value=255, saturation_threshold=threshold, relative_saturation=relative
    )
    assert saturation.pixels(area) == pixels
