"""Windows that a graph is compared on: spread over the data, never more than needed, noise without data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import InputError, Inspector, Model
from understudy.data.layouts import open_pictures
from understudy.data.records import PictureSet, Record
from understudy.export.windows import good_windows, known_windows, made_windows
from understudy.runtime.images import Picture, read_picture

SIDE = 64


@pytest.fixture
def inspector(model: Model) -> Inspector:
    return model.inspector


def contents(windows: Picture) -> set[bytes]:
    """The factory's pictures have the model's size, so a window is a picture as it is."""
    return {window.tobytes() for window in windows}


def pictures(known: PictureSet, *splits: str) -> set[bytes]:
    return {read_picture(r.path).tobytes() for r in known.records if r.split in splits}


def good(category: str, folder: Path, n: int, split: str = "train") -> list[Record]:
    """Records of pictures of one colour each, a colour of their own."""
    records = []
    for i in range(n):
        path = folder / f"{category}-{split}-{i}.png"
        Image.new("RGB", (SIDE, SIDE), (i, len(category), len(split))).save(path)
        records.append(Record(category, split, "good", path))  # type: ignore[arg-type]
    return records


def test_half_of_the_compared_windows_are_test_pictures_and_no_two_are_the_same(
    inspector: Inspector, factory: Path
) -> None:
    known = open_pictures(factory)
    windows = known_windows(known, inspector)
    assert windows.shape == (32, SIDE, SIDE, 3)
    assert len(contents(windows)) == 32
    assert len(contents(windows) & pictures(known, "test")) == 16
    assert len(contents(windows) & pictures(known, "train")) == 16


def test_good_pictures_fill_up_what_test_pictures_leave_and_the_other_way_round(
    inspector: Inspector, factory: Path
) -> None:
    everything = open_pictures(factory)
    few_tests = replace(everything, records=[r for r in everything.records if r.defect in ("good", "rust")])
    tests = pictures(few_tests, "test")
    assert len(tests) == 9
    windows = contents(known_windows(few_tests, inspector))
    assert (len(windows & tests), len(windows)) == (9, 32)
    few_good = everything.only(["nut"])
    assert len(known_windows(few_good, inspector)) == len(few_good.records) == 11


def test_scales_come_from_good_training_pictures_alone_sixty_four_at_most(
    inspector: Inspector, factory: Path, tmp_path: Path
) -> None:
    known = open_pictures(factory)
    assert contents(good_windows(known, inspector)) == pictures(known, "train")
    records = [
        *good("nut", tmp_path, 100),
        *good("linen", tmp_path, 100),
        *good("nut", tmp_path, 3, "validation"),
    ]
    windows = good_windows(replace(known, records=sorted(records)), inspector)
    assert len(contents(windows)) == len(windows) == 64
    assert np.unique(windows[:, 0, 0, 1], return_counts=True)[1].tolist() == [32, 32]  # of either product
    assert set(windows[:, 0, 0, 2]) == {len("train")}


def test_a_picture_that_cannot_be_read_is_named(inspector: Inspector, factory: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    known = replace(open_pictures(factory), records=[Record("nut", "train", "good", tmp_path / "broken.png")])
    for windows in (known_windows, good_windows):
        with pytest.raises(InputError, match=r"broken\.png is no picture"):
            windows(known, inspector)


def test_noise_is_the_same_every_time_and_has_grains_of_every_size(inspector: Inspector) -> None:
    windows = made_windows(inspector)
    assert windows.shape == (32, SIDE, SIDE, 3)
    assert windows.dtype == np.uint8
    np.testing.assert_array_equal(windows, made_windows(inspector))
    assert len(contents(windows)) == 32
    roughness = np.abs(np.diff(windows.astype(float), axis=1)).mean((1, 2, 3))
    assert roughness[0] == 0  # one grain is one colour
    assert (np.diff(roughness[:7]) > 0).all()  # up to grains of one pixel


def test_half_of_every_second_window_does_not_count_where_pixels_may_not(inspector: Inspector) -> None:
    padded = inspector.scorer.preprocess.model_copy(update={"keep_aspect": True})
    windows = made_windows(replace(inspector, scorer=replace(inspector.scorer, preprocess=padded)))
    assert windows.shape == (32, SIDE, SIDE, 4)
    np.testing.assert_array_equal(windows[..., :3], made_windows(inspector))
    valid = windows[..., 3]
    assert set(np.unique(valid)) == {0, 255}
    assert (valid[1::2] == 255).all()
    assert (valid[::2, :, : SIDE // 2] == 255).all()
    assert (valid[::2, :, SIDE // 2 :] == 0).all()
