"""Scores of windows become results of pictures, in order, whatever the batches are."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from understudy.errors import PictureError
from understudy.progress import Lap
from understudy.runtime.decision import Calibration, Limits, Thresholds
from understudy.runtime.graph import Answers
from understudy.runtime.light import brightness, sharpness
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import Rois
from understudy.runtime.scoring import Scored, Scorer
from understudy.runtime.usual import ProductUsual, Usual

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
WHOLE = Preprocess(image_size=32, **PLAIN)
TILED = Preprocess(image_size=32, tile=32, overlap=8, **PLAIN)


class RedIsWrong:
    """The map is the red channel, the embedding tells how green a window is."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap) -> Answers:
        self.batches.append(len(images))
        maps = images[:, 0]
        green = images[:, 1].mean(axis=(1, 2))
        embeddings = np.stack([green, np.sqrt(1 - green**2)], axis=1).astype(np.float32)
        return Answers(maps, maps.max(axis=(1, 2)), embeddings)


PROTOTYPES = {"green": np.array([1, 0], np.float32), "dark": np.array([0, 1], np.float32)}


def scorer(preprocess: Preprocess = WHOLE, rois: Rois | None = None) -> Scorer:
    return Scorer(RedIsWrong(), preprocess, PROTOTYPES, rois=rois or Rois())


def painted(red_at: tuple[int, int], size: tuple[int, int] = (32, 32), green: int = 0) -> np.ndarray:
    picture = np.zeros((*size, 3), np.uint8)
    picture[..., 1] = green
    picture[red_at] = (255, green, 0)
    return picture


def ok(results: list[Scored | PictureError]) -> list[Scored]:
    assert all(isinstance(r, Scored) for r in results)
    return [r for r in results if isinstance(r, Scored)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_results_keep_their_order_and_a_broken_picture_its_place(batch_size: int, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    sources: list[Path | np.ndarray] = [painted((i, i)) for i in range(5)]
    sources.insert(2, tmp_path / "broken.png")
    results = list(scorer().score(sources, batch_size))
    assert isinstance(results[2], PictureError)
    del results[2]
    for i, found in enumerate(ok(results)):
        assert np.argmax(found.anomaly_map) == i * 33
    assert [str(r.path) for r in ok(results)] == [
        "picture-0",
        "picture-1",
        "picture-3",
        "picture-4",
        "picture-5",
    ]


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_a_large_picture_is_scored_tile_by_tile_in_batches_of_the_asked_size(batch_size: int) -> None:
    model = scorer(TILED)
    pictures = [painted((70, 90), (80, 200)), painted((0, 0), (20, 100)), painted((31, 5))]
    found = ok(list(model.score(pictures, batch_size)))
    assert [f.anomaly_map.shape for f in found] == [(80, 200), (20, 100), (32, 32)]
    for one, picture in zip(found, pictures, strict=True):
        np.testing.assert_allclose(one.anomaly_map, picture[..., 0] / 255, atol=1e-6)
        assert one.score == pytest.approx(1)
    assert isinstance(model.network, RedIsWrong)
    assert max(model.network.batches) <= batch_size
    assert sum(model.network.batches) == 3 * 8 + 1 * 4 + 1


def test_a_picture_of_twelve_million_pixels_is_scored_in_bounded_memory() -> None:
    look = Preprocess(image_size=256, tile=256, overlap=32, **PLAIN)
    picture = painted((2999, 3999), (3000, 4000))
    tracemalloc.start()
    (found,) = ok(list(scorer(look).score([picture])))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.unravel_index(np.argmax(found.anomaly_map), (3000, 4000)) == (2999, 3999)
    assert peak < 400e6  # the map takes 48 million bytes, and the maps of all tiles 66


def test_what_does_not_count_has_no_influence_and_takes_the_lowest_value() -> None:
    roi = np.ones((32, 32), bool)
    roi[:16] = False
    model = scorer(rois=Rois(roi))
    inside, outside, both = painted((20, 3)), painted((3, 3)), painted((20, 3))
    both[3, 3] = 255
    first, second, third = ok(list(model.score([inside, outside, both])))
    assert (first.score, second.score) == (1, 0)
    np.testing.assert_array_equal(first.anomaly_map, third.anomaly_map)
    assert (third.anomaly_map[:16] == 0).all()
    assert third.valid is not None
    np.testing.assert_array_equal(third.valid, roi)


def test_where_regions_differ_a_picture_is_recognised_first_unless_its_category_is_said() -> None:
    upper = np.zeros((32, 32), bool)
    upper[:16] = True
    model = scorer(rois=Rois(None, {"green": upper}))
    pictures = [painted((20, 3), green=250), painted((20, 3))]
    assert [f.score for f in ok(list(model.score(pictures)))] == [0, 1]
    assert [f.score for f in ok(list(model.score(pictures, categories=["dark", "green"])))] == [1, 0]


def test_the_category_of_the_region_is_the_one_that_is_judged() -> None:
    lower = np.zeros((32, 32), bool)
    lower[16:] = True
    picture = painted((20, 3))
    picture[:16, :, 1] = 255  # green where the region of green pictures does not count
    picture[16:, :, 1] = 170
    (found,) = ok(list(scorer(rois=Rois(None, {"green": lower})).score([picture])))
    assert found.category == "green"
    (whole,) = ok(list(scorer().score([picture])))
    np.testing.assert_array_equal(found.embedding, whole.embedding)
    assert found.valid is not None
    np.testing.assert_array_equal(found.valid, lower)


def test_a_picture_that_does_not_fit_its_region_is_told_so_and_the_rest_is_scored() -> None:
    model = scorer(rois=Rois(np.ones((32, 64), bool)))
    wide, square = painted((0, 0), (32, 64)), painted((0, 0))
    results = list(model.score([wide, square, wide]))
    assert [type(r) for r in results] == [Scored, PictureError, Scored]


def test_arrays_of_other_kinds_are_converted_or_refused() -> None:
    gray, deep = np.full((32, 32), 128, np.uint8), np.full((32, 32), 128 * 257, np.uint16)
    first, second = ok(list(scorer().score([gray, deep])))
    np.testing.assert_array_equal(first.anomaly_map, second.anomaly_map)
    assert first.score == pytest.approx(128 / 255)
    for strange in (gray.astype(np.float64), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)):
        (result,) = scorer().score([strange])
        assert isinstance(result, PictureError)
        assert "picture-0" in str(result)


def usual(size: tuple[int, int] = (32, 32)) -> Usual:
    """Red is common on the left of green pictures and rare of dark ones."""
    grid = (-(-size[0] // 4), -(-size[1] // 4))
    spread = np.full(grid, 0.1, np.float32)
    spread[:, : grid[1] // 2] = 1.0
    return {
        "green": ProductUsual(0.0, spread, 0.5, 0.5, 9),
        "dark": ProductUsual(0.0, np.full(grid, 0.01, np.float32), 2.0, 4.0, 9),
    }


LIMITS = Limits(rate=0.1, overall=0.3, categories={})
STRICT = Calibration(
    thresholds=Thresholds(fail_above=2, review_above=1, false_alarm_rate=0.1, review_rate=0.2, n_good=20),
    categories={},
    masks=LIMITS,
    min_area=1,
    distances=LIMITS,
    promise="",
)


def relative(preprocess: Preprocess = WHOLE, calibration: Calibration | None = None) -> Scorer:
    return replace(scorer(preprocess), usual=usual(), calibration=calibration)


def raw(model: Scorer, picture: np.ndarray) -> Scored:
    (found,) = ok(list(replace(model, usual=None).score([picture])))
    return found


@pytest.mark.parametrize("said", ["green", "dark"])
def test_a_picture_is_compared_with_the_product_that_is_said(said: str) -> None:
    picture = painted((5, 20), green=250)
    (found,) = ok(list(relative().score([picture], categories=[said])))
    one = usual()[said]
    assert found.score == one.score(raw(scorer(), picture).anomaly_map, None, 32)
    np.testing.assert_array_equal(found.anomaly_map, one.relative(raw(scorer(), picture).anomaly_map))
    assert found.category == said


@pytest.mark.parametrize(("green", "product"), [(250, "green"), (10, "dark")])
def test_a_picture_is_compared_with_the_product_that_it_is_recognised_as(green: int, product: str) -> None:
    picture = painted((5, 20), green=green)
    for calibration in (None, STRICT):
        (found,) = ok(list(relative(calibration=calibration).score([picture])))
        (said,) = ok(list(relative().score([picture], categories=[product])))
        assert (found.score, found.category) == (said.score, None)
        np.testing.assert_array_equal(found.anomaly_map, said.anomaly_map)


def test_a_picture_of_an_unknown_product_is_compared_with_the_nearest_one() -> None:
    picture = painted((5, 20), green=160)  # too far from either
    model = relative(calibration=STRICT)
    (found,) = ok(list(model.score([picture])))
    assert model.recognise(found.embedding) is None
    (said,) = ok(list(model.score([picture], categories=[model.nearest(found.embedding)])))
    assert found.score == said.score


def test_an_embedding_of_no_numbers_is_compared_with_some_product() -> None:
    nothing = np.full(2, np.nan, np.float32)
    assert relative(calibration=STRICT).nearest(nothing) == relative().nearest(nothing) == "dark"


def test_a_picture_of_other_pixels_that_do_not_count_has_the_same_score_and_map() -> None:
    valid = np.ones((32, 32), bool)
    valid[:16] = False
    model = replace(relative(), rois=Rois(valid))
    inside, both = painted((20, 20), green=250), painted((20, 20), green=250)
    both[3, 3] = (255, 250, 0)
    first, second = ok(list(model.score([inside, both], categories=["green", "green"])))
    assert (
        first.score == second.score > ok(list(model.score([painted((3, 3))], categories=["green"])))[0].score
    )
    np.testing.assert_array_equal(first.anomaly_map, second.anomaly_map)
    assert (first.anomaly_map[:16] == first.anomaly_map[16:].min()).all()


@pytest.mark.parametrize(
    ("preprocess", "size"),
    [
        (WHOLE.model_copy(update={"keep_aspect": True}), (20, 32)),
        (WHOLE.model_copy(update={"keep_aspect": True}), (30, 32)),  # a row of cells that are cut
        (TILED, (80, 60)),
    ],
)
def test_a_canvas_that_is_not_square_has_the_spread_of_its_places(
    preprocess: Preprocess, size: tuple[int, int]
) -> None:
    columns = size[1]
    left, right = (np.zeros((*size, 3), np.uint8) for _ in range(2))
    left[8:16, 4:12, 0] = right[8:16, columns - 12 : columns - 4, 0] = 255
    model = replace(relative(preprocess), usual=usual(size))
    rim, middle = ok(list(model.score([left, right], categories=["green"] * 2)))
    assert rim.anomaly_map.shape == middle.anomaly_map.shape == size
    assert rim.score < middle.score
    assert rim.anomaly_map.max() < middle.anomaly_map.max()


def test_a_canvas_of_another_shape_than_those_learned_from_has_one_spread() -> None:
    left, right = (np.zeros((40, 64, 3), np.uint8) for _ in range(2))
    left[8:16, 4:12, 0] = right[8:16, 52:60, 0] = 255
    model = relative(TILED)  # which has learned from squares
    rim, middle = ok(list(model.score([left, right], categories=["green"] * 2)))
    assert rim.score == pytest.approx(middle.score, rel=1e-5)
    assert rim.anomaly_map.max() == pytest.approx(middle.anomaly_map.max(), rel=1e-5)


def test_windows_that_stand_alone_keep_the_maximum_of_their_map() -> None:
    window = painted((5, 20), green=250)
    ((score, anomaly_map),) = relative().score_windows([window])
    assert score == anomaly_map.max() == 1


def test_a_files_digest_names_its_content(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(painted((1, 1))).save(tmp_path / name)
    Image.fromarray(painted((2, 1))).save(tmp_path / "c.png")
    a, b, c = ok(list(scorer().score([tmp_path / n for n in ("a.png", "b.png", "c.png")])))
    assert a.digest == b.digest != c.digest


def test_the_light_of_a_picture_is_that_of_the_pixels_of_its_canvas_that_count() -> None:
    pictures = [np.random.default_rng(i).integers(0, 256, (32, 64, 3), dtype=np.uint8) for i in range(3)]
    valid = np.zeros((32, 64), bool)
    valid[:, 16:48] = True
    for kept in (None, valid):
        results = ok(list(scorer(TILED, Rois(kept)).score(pictures)))
        for picture, found in zip(pictures, results, strict=True):
            assert (found.brightness, found.sharpness) == (
                brightness(picture, kept),
                sharpness(picture, kept),
            )


@pytest.mark.parametrize(("pictures", "batches"), [(1, [2]), (9, [8, 2]), (10, [8, 2]), (8, [8])])
def test_a_steady_score_has_no_batch_of_one(pictures: int, batches: list[int]) -> None:
    model = scorer()
    assert isinstance(model.network, RedIsWrong)
    asked = [painted((i, i)) for i in range(pictures)]
    steady = ok(list(model.score(asked, 8, steady=True)))
    assert model.network.batches == batches
    for one, other in zip(steady, ok(list(scorer().score(asked, 8))), strict=True):
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
        np.testing.assert_array_equal(one.embedding, other.embedding)


def test_a_batch_that_was_asked_to_be_one_stays_one() -> None:
    model = scorer()
    assert isinstance(model.network, RedIsWrong)
    list(model.score([painted((0, 0))] * 2, 1, steady=True))
    assert model.network.batches == [1, 1]


def test_one_thread_decodes_in_the_thread_that_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("a thread was started")

    monkeypatch.setattr("understudy.runtime.scoring.decode_ahead", refuse)
    assert len(ok(list(scorer().score([painted((0, 0))] * 9, 8, threads=1)))) == 9


def test_an_own_score_is_the_highest_that_the_network_gives_a_window_of_the_picture() -> None:
    """Without what is usual; with it scores are comparable."""

    def network(images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap) -> Answers:
        answers = RedIsWrong()(images, valid, lap)
        return answers._replace(scores=10 * answers.scores)

    pictures = [painted((2, 3)), painted((30, 60), (32, 64)), np.zeros((40, 32, 3), np.uint8)]
    own, plain = (replace(scorer(TILED), network=network, own_score=o) for o in (True, False))
    assert [found.score for found in ok(list(own.score(pictures)))] == [10, 10, 0]
    assert [found.score for found in ok(list(plain.score(pictures)))] == [1, 1, 0]
    usual = replace(relative(), network=network)
    (comparable,), (same,) = (
        ok(list(replace(usual, own_score=o).score(pictures[:1]))) for o in (True, False)
    )
    assert comparable.score == same.score
