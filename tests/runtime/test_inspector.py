"""Inspecting pictures: verdicts, defect regions, and what may be given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, repeat
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
from understudy.runtime.roi import NO_ROIS, Rois
from understudy.runtime.scoring import Scorer
from understudy.runtime.usual import ProductUsual
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


TILES = LOOK.model_copy(update={"tile": 32, "overlap": 8})
UPPER = np.repeat([[True], [False]], 16, 0) & np.ones((1, 32), bool)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize(
    ("look", "rois", "size"),
    [
        (LOOK, NO_ROIS, (32, 32)),
        (TILES, NO_ROIS, (70, 100)),
        (TILES, Rois(None, {"nut": UPPER}), (64, 64)),
    ],
    ids=["whole", "tiles", "tiles of a region"],
)
def test_the_next_frame_is_asked_for_only_after_the_result_of_the_one_before_was_taken(
    look: Preprocess,
    rois: Rois,
    size: tuple[int, int],
    batch_size: int,
    inspector_of: Callable[..., Inspector],
) -> None:
    scorer = Scorer(brightness, look, {"nut": np.array([1, 0], np.float32)}, CALIBRATION, rois)
    asked = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal asked
        while True:  # as a camera on a running line
            asked += 1
            yield spot(10 * asked, slice(4, 9), slice(4, 9), size)

    results = inspector_of(scorer).predict(camera(), batch_size=batch_size)
    assert asked == 0
    for n in range(1, 6):
        found = next(results)
        assert asked == n
        assert round(255 * found.score) == 10 * n
        assert (found.path, found.size) == (Path(f"picture-{n - 1}"), size)


def test_a_camera_may_be_any_iterator_and_may_end_or_break(inspector: Inspector) -> None:
    frame = spot(30, slice(0, 9), slice(0, 9))
    assert [r.score for r in islice(inspector.predict(repeat(frame)), 3)] == [pytest.approx(30 / 255)] * 3
    assert len(list(inspector.predict(iter([frame, frame])))) == 2
    assert list(inspector.predict(iter([]))) == []

    def torn() -> Iterator[np.ndarray]:
        yield frame
        raise OSError("cable torn")

    results = inspector.predict(torn())
    assert next(results).ok
    with pytest.raises(OSError, match="cable torn"):
        next(results)


def test_a_broken_frame_gives_its_result_and_the_camera_goes_on(inspector: Inspector) -> None:
    good, strange = spot(30, slice(0, 9), slice(0, 9)), np.zeros((4, 4, 7), np.uint8)
    found = list(inspector.predict(iter([good, strange, good])))
    assert [r.ok for r in found] == [True, False, True]
    assert [str(r.path) for r in found] == ["picture-0", "picture-1", "picture-2"]


def test_a_stream_of_paths_and_images_is_judged_as_a_list_of_them(
    inspector: Inspector, tmp_path: Path
) -> None:
    image = Image.fromarray(spot(200, slice(4, 8), slice(4, 8)))
    image.save(tmp_path / "a.png")
    given = [tmp_path / "a.png", image, str(tmp_path / "a.png"), np.array(image)]
    listed, streamed = list(inspector.predict(given)), list(inspector.predict(iter(given)))
    assert [(r.path, r.score, r.verdict, r.regions) for r in listed] == [
        (r.path, r.score, r.verdict, r.regions) for r in streamed
    ]
    assert {r.verdict for r in listed} == {"FAIL"}
    assert len({r.score for r in listed}) == 1


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_an_image_of_pillow_is_judged_as_its_file(mode: str, inspector: Inspector, tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).convert(mode)
    image.save(tmp_path / "a.png")
    (from_file,), (alone,) = inspector.predict(tmp_path / "a.png"), inspector.predict(image)
    assert alone.path == Path("picture-0")
    assert (alone.score, alone.size, alone.regions) == (from_file.score, (40, 50), from_file.regions)
    np.testing.assert_array_equal(alone.anomaly_map, from_file.anomaly_map)


def test_a_loop_over_a_folder_goes_on_past_a_broken_file_whatever_it_asks_of_a_result(
    inspector: Inspector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "c.png"):
        Image.fromarray(spot(200, slice(4, 8), slice(4, 8))).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no picture")
    broken = None
    for result in inspector.predict(tmp_path):
        print(result.path, result.score, result.verdict)
        broken = broken or (None if result.ok else result)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(tmp_path / f"{n}.png") for n in "abc"]
    assert lines[1].endswith("b.png nan None")
    assert broken is not None
    assert broken.error == f"{tmp_path / 'b.png'} is no picture that can be decoded; replace or remove it"
    assert math.isnan(broken.score)
    assert (broken.verdict, broken.category, broken.reason, broken.regions) == (None, None, None, ())
    assert (broken.anomaly_map.shape, broken.anomaly_map.dtype) == ((0, 0), np.float32)
    assert broken.size == (0, 0)
    assert not inspector.defect_mask(broken).any()


def test_thresholds_that_are_set_hold_for_the_next_picture(inspector: Inspector) -> None:
    picture = spot(120, slice(4, 8), slice(4, 8))
    strict = CALIBRATION.thresholds.model_copy(update={"fail_above": 0.1, "review_above": 0.1})
    results = inspector.predict(repeat(picture))
    assert next(results).verdict == "REVIEW"
    inspector.calibration = CALIBRATION.model_copy(update={"thresholds": strict})
    assert inspector.thresholds == strict
    assert one(inspector, picture).verdict == "FAIL"
    inspector.calibration = None
    assert (one(inspector, picture).verdict, inspector.thresholds) == (None, None)


def test_another_products_name_is_no_category_unless_the_model_knows_one_product_alone(
    inspector_of: Callable[..., Inspector],
) -> None:
    scorer = Scorer(brightness, LOOK, {"nut": np.array([1, 0], np.float32)})
    one_product, two = inspector_of(scorer), inspector_of(scorer, ["nut", "bolt"])
    assert two.categories == ["bolt", "nut"]
    assert [two.match_category(name) for name in ("nut", "screw")] == ["nut", None]
    assert [one_product.match_category(name) for name in ("nut", "screw")] == ["nut", "nut"]


def test_the_colours_of_a_heat_map_span_the_limit_of_its_product(inspector: Inspector) -> None:
    limits = Limits(rate=0.1, overall=0.3, categories={"nut": 4.0})
    inspector.calibration = CALIBRATION.model_copy(update={"masks": limits})
    for category, limit in (("nut", 4.0), ("bolt", 0.3), (None, 0.3)):
        low, high = inspector.colour_span(category, [77.0])
        assert low < limit < high
        assert inspector.colour_span(category, [1.0]) == (low, high)
    inspector.calibration = None
    assert inspector.colour_span("nut", [1.0, 2.0])[1] == 2.0


def test_regions_and_masks_are_those_of_the_map_that_is_relative_to_what_is_usual(
    inspector: Inspector,
) -> None:
    spread = np.full((8, 8), 0.1, np.float32)
    spread[:, :4] = 10.0
    usual = {"nut": ProductUsual(0.0, spread, 0.0, 1.0, 9)}
    picture = spot(200, slice(8, 16), slice(2, 8)) | spot(200, slice(8, 16), slice(22, 28))
    plain = one(inspector, picture)
    assert {r.left for r in plain.regions} == {2, 22}
    inspector.scorer = replace(inspector.scorer, usual=usual)
    found = one(inspector, picture)
    (region,) = found.regions
    assert 20 <= region.left < region.right <= 30
    assert region.peak == found.anomaly_map.max() > plain.anomaly_map.max()
    assert not inspector.defect_mask(found)[:, :16].any()
    assert found.verdict == "FAIL"
