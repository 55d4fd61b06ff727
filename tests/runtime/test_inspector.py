"""Inspecting pictures: verdicts, defect regions, and what may be given."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from understudy.errors import InputError
from understudy.progress import Lap
from understudy.runtime.decision import Calibration, Limits, Thresholds
from understudy.runtime.graph import Answers
from understudy.runtime.inspector import Inspector
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.scoring import Scorer
from understudy.types import Region, Result

LOOK = Preprocess(image_size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
LIMITS = Limits(rate=0.1, overall=0.3, categories={})
CALIBRATION = Calibration(
    thresholds=Thresholds(fail_above=0.6, review_above=0.4, false_alarm_rate=0.1, review_rate=0.2, n_good=20),
    categories={},
    masks=LIMITS,
    min_area=4,
    distances=LIMITS,
    promise="",
)


def brightness(images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap) -> Answers:
    """The map is the first channel; embeddings all point one way."""
    maps = images[:, 0]
    return Answers(maps, maps.max(axis=(1, 2)), np.tile(np.array([1, 0], np.float32), (len(maps), 1)))


@pytest.fixture
def inspector(inspector_of: Callable[..., Inspector]) -> Inspector:
    return inspector_of(Scorer(brightness, LOOK, {"nut": np.array([1, 0], np.float32)}, CALIBRATION))


def spot(value: int, rows: slice, columns: slice, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    picture = np.zeros((*size, 3), np.uint8)
    picture[rows, columns] = value
    return picture


def one(inspector: Inspector, picture: np.ndarray) -> Result:
    (found,) = inspector.predict(picture)
    assert found.ok
    return found


@pytest.mark.parametrize(("value", "verdict"), [(60, "PASS"), (120, "REVIEW"), (200, "FAIL")])
def test_the_verdict_follows_the_score(value: int, verdict: str, inspector: Inspector) -> None:
    found = one(inspector, spot(value, slice(4, 8), slice(4, 8)))
    assert (found.verdict, found.category, found.reason) == (verdict, "nut", None)


def test_regions_are_told_in_the_pictures_pixels_with_area_and_peak(inspector: Inspector) -> None:
    picture = spot(200, slice(8, 12), slice(4, 8), size=(32, 32))
    picture[20:26, 10:20] = 100
    picture[30, 30] = 255  # of one pixel, too small
    found = one(inspector, np.kron(picture, np.ones((2, 3, 1), np.uint8)))  # 64 x 96
    assert found.size == (64, 96)
    assert found.regions == (
        Region(12, 16, 24, 24, area=96, peak=pytest.approx(200 / 255)),
        Region(30, 40, 60, 52, area=360, peak=pytest.approx(100 / 255)),
    )


def test_without_calibration_there_are_neither_verdicts_nor_regions(inspector: Inspector) -> None:
    bare = replace(inspector, scorer=replace(inspector.scorer, calibration=None))
    found = one(bare, spot(255, slice(0, 9), slice(0, 9)))
    assert (found.verdict, found.regions, found.category) == (None, (), "nut")
    with pytest.raises(InputError, match="calibrate it first"):
        bare.defect_mask(found)


def test_a_folder_paths_and_arrays_may_be_given_together(inspector: Inspector, tmp_path: Path) -> None:
    for name, value in (("a.png", 10), ("b.png", 20)):
        Image.fromarray(spot(value, slice(0, 9), slice(0, 9))).save(tmp_path / name)
    array = spot(30, slice(0, 9), slice(0, 9))
    found = list(inspector.predict([tmp_path, str(tmp_path / "a.png"), array]))
    assert [r.path.name for r in found] == ["a.png", "b.png", "a.png", "picture-3"]
    assert [round(255 * r.score) for r in found] == [10, 20, 10, 30]
    stacked = list(inspector.predict(np.stack([array, array])))
    grays = list(inspector.predict([array[..., 0]] * 5))
    assert (len(stacked), len(grays), len(list(inspector.predict(array[..., 0])))) == (2, 5, 1)
    (strange,) = inspector.predict(array[..., :1])
    assert not strange.ok


def test_one_broken_picture_never_stops_a_batch(inspector: Inspector, tmp_path: Path) -> None:
    Image.fromarray(spot(10, slice(0, 9), slice(0, 9))).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    Image.fromarray(spot(10, slice(0, 9), slice(0, 9))).save(tmp_path / "c.png")
    assert [r.ok for r in inspector.predict(tmp_path)] == [True, False, True]


@pytest.mark.parametrize(
    ("pictures", "category", "message"),
    [([], None, "an empty list"), ("nowhere", None, "does not exist"), ([], "bolt", "not trained on")],
)
def test_what_cannot_be_inspected_is_told_at_once(
    pictures: object, category: str | None, message: str, inspector: Inspector
) -> None:
    with pytest.raises(InputError, match=message):
        inspector.predict(pictures, category=category)  # type: ignore[arg-type]


def test_several_threads_get_what_one_gets(inspector: Inspector) -> None:
    rng = np.random.default_rng(0)
    lots = [list(rng.integers(0, 256, (5, 40, 50, 3), np.uint8)) for _ in range(8)]

    def scores(pictures: list[np.ndarray]) -> list[float]:
        return [r.score for r in inspector.predict(pictures, batch_size=2)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(scores, lots)) == [scores(pictures) for pictures in lots]
