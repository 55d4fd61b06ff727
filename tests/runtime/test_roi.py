"""Regions of interest: what counts still does after a resize, what does not never does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from understudy.errors import BundleError, InputError, PictureError
from understudy.runtime.bundle import load_rois, save_rois
from understudy.runtime.roi import NO_ROIS, Rois, read_roi_masks, resize_roi

PICTURE = Path("picture.png")


def mask(height: int = 40, width: int = 60) -> np.ndarray:
    drawn = np.zeros((height, width), bool)
    drawn[10:30, 20:50] = True
    return drawn


def draw(path: Path, drawn: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(drawn).save(path)
    return path


@given(st.integers(4, 200), st.integers(4, 200), st.integers(1, 4))
def test_nothing_shown_where_nothing_counts_reaches_a_pixel_that_counts(
    height: int, width: int, finer: int
) -> None:
    size = (40 * finer, 60 * finer)
    try:
        valid = resize_roi(mask(), size, (height, width), PICTURE)
    except PictureError:
        return  # nothing is left of it
    drawn = np.kron(mask(), np.ones((finer, finer), bool))
    shown = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    other = np.where(drawn, shown, 255 - shown)
    first, second = (np.asarray(Image.fromarray(p).resize((width, height), 2)) for p in (shown, other))
    np.testing.assert_array_equal(first[valid], second[valid])


def test_a_region_keeps_its_middle_at_any_size() -> None:
    for side in (20, 40, 100, 160):
        valid = resize_roi(mask(), (40, 60), (side, side), PICTURE)
        inner = np.asarray(Image.fromarray(mask()).resize((side, side), 0))
        border = -(-3 * max(side, 60) // 40)
        rows, columns = (
            np.flatnonzero(inner.any(1))[border:-border],
            np.flatnonzero(inner.any(0))[border:-border],
        )
        assert valid[np.ix_(rows, columns)].all()


def test_a_region_of_interest_fits_pictures_of_its_aspect_at_any_scale() -> None:
    assert 0 < resize_roi(mask(), (80, 120), (40, 60), PICTURE).sum() < mask().sum()
    assert resize_roi(mask(), (401, 600), (40, 60), PICTURE).any()  # 600x400 rounded up


@pytest.mark.parametrize("size", [(60, 40), (80, 124), (40, 63)])
def test_a_picture_of_another_aspect_is_told_so(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match=r"picture\.png.*another aspect"):
        resize_roi(mask(), size, (32, 32), PICTURE)


def test_a_region_that_vanishes_at_the_models_size_is_an_error() -> None:
    thin = np.zeros((400, 400), bool)
    thin[7] = True
    with pytest.raises(PictureError, match="no pixel left"):
        resize_roi(thin, (400, 400), (32, 32), PICTURE)


def test_without_regions_everything_counts_and_nothing_is_made() -> None:
    assert NO_ROIS.valid("nut", (40, 60), (32, 32), PICTURE) is None
    assert not NO_ROIS


def test_a_category_has_its_own_region_and_others_count_wholly() -> None:
    rois = Rois(categories={"nut": mask()})
    of_nut, of_other, unknown = (rois.valid(c, (40, 60), (40, 60), PICTURE) for c in ("nut", "bolt", None))
    np.testing.assert_array_equal(of_nut, mask())
    assert of_other is not None
    assert of_other.all()
    assert unknown is not None
    assert unknown.all()


def test_a_drawn_mask_is_for_all_and_a_folder_names_its_categories(tmp_path: Path) -> None:
    one = read_roi_masks(draw(tmp_path / "all.png", mask()), ["nut", "bolt"])
    assert one.overall is not None
    assert not one.depend_on_category
    draw(tmp_path / "each" / "nut.png", mask())
    each = read_roi_masks(tmp_path / "each", ["nut", "bolt"])
    assert each.overall is None
    assert list(each.categories) == ["nut"]
    assert each.depend_on_category


@pytest.mark.parametrize(
    ("files", "asked", "message"),
    [
        ({}, "nowhere.png", "does not exist"),
        ({"all.png": np.zeros((4, 4), bool)}, "all.png", "all black"),
        ({"each/nut.png": mask(), "each/screw.png": mask()}, "each", "named like no category"),
        ({"each/nut.png": mask(), "each/nut.bmp": mask()}, "each", "two masks of one category"),
        ({"each/.keep.png": None}, "each", "holds no masks"),
        ({"all.png": None}, "all.png", "no picture"),
    ],
)
def test_masks_that_are_of_no_use_are_refused(
    files: dict[str, np.ndarray | None], asked: str, message: str, tmp_path: Path
) -> None:
    for name, drawn in files.items():
        if drawn is None:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("no picture")
        else:
            draw(tmp_path / name, drawn)
    with pytest.raises(InputError, match=message):
        read_roi_masks(tmp_path / asked, ["nut", "bolt"])


@pytest.mark.parametrize(
    "rois", [NO_ROIS, Rois(mask()), Rois(None, {"a/b": mask(), "nut": ~mask()}), Rois(mask(), {"": ~mask()})]
)
def test_regions_written_beside_a_model_are_read_as_they_were(rois: Rois, tmp_path: Path) -> None:
    names = save_rois(tmp_path, rois)
    assert all((tmp_path / name).is_file() for name in names)
    listed: Any = SimpleNamespace(files=dict.fromkeys(names, "0"))
    assert load_rois(tmp_path, listed).digest == rois.digest
    unlisted: Any = SimpleNamespace(files={"roi.json": "0"})
    if rois:
        with pytest.raises(BundleError, match=r"roi.*\.png is not on the list"):
            load_rois(tmp_path, unlisted)


def test_the_digest_tells_regions_apart() -> None:
    kinds = [NO_ROIS, Rois(mask()), Rois(~mask()), Rois(None, {"nut": mask()}), Rois(None, {"bolt": mask()})]
    assert len({rois.digest for rois in kinds}) == len(kinds)


def test_a_mask_counts_where_it_looks_white_whatever_its_mode(tmp_path: Path) -> None:
    drawn = mask()
    gray = Image.fromarray(np.where(drawn, 255, 0).astype(np.uint8))
    inverted = Image.fromarray(np.where(drawn, 0, 1).astype(np.uint8), "P")
    inverted.putpalette([255, 255, 255, 0, 0, 0])
    painted = Image.fromarray(np.full((*drawn.shape, 4), 255, np.uint8))
    painted.putalpha(gray)
    gray.save(tmp_path / "gray.png")
    inverted.save(tmp_path / "palette.png")
    painted.save(tmp_path / "transparent.png")
    gray.save(tmp_path / "compressed.jpg", quality=60)
    for name in ("gray.png", "palette.png", "transparent.png", "compressed.jpg"):
        found = read_roi_masks(tmp_path / name, []).overall
        np.testing.assert_array_equal(found, drawn, err_msg=name)
