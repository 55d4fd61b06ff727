"""What is counted on mixed and pasted pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from understudy.lab.diagnose.measure import (
    Interference,
    auroc,
    compare,
    mean_nested,
    measure,
    standardised_gap,
)
from understudy.lab.diagnose.synthesis import Trials
from understudy.runtime.images import unit

SIDE = 40
BLACK, GRAY, WHITE = 0, 102, 255  # 102 / 255 is 0.4


def noise(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def flat(n: int, value: int) -> NDArray[np.uint8]:
    return np.full((n, SIDE, SIDE, 3), value, np.uint8)


def whiteness(pictures: Iterable[NDArray[np.generic]]) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """A model to which white is abnormal: score is the mean, the map the picture."""
    for picture in pictures:
        gray = unit(picture).mean(axis=-1)  # type: ignore[arg-type]
        yield float(gray.mean()), gray


def nothing(pictures: Iterable[NDArray[np.generic]]) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """A model to which everything is alike."""
    for _ in pictures:
        yield 0.5, np.full((SIDE, SIDE), 0.5, np.float32)


def test_mixes_are_counted_against_the_good_pictures_of_both() -> None:
    """Black scores 0, white 1, mixes 0.3, 0.5 and 0.7: each above one half of the good pictures."""
    trials = Trials({"black": flat(2, BLACK), "white": flat(2, WHITE)})
    (found,) = measure(whiteness, trials, [("black", "white")], []).mixes
    figures = found.to_dict()
    assert (figures["n_normal"], figures["n_mixed"], figures["n_same_class"]) == (4, 12, 6)
    assert {name: f["auroc"] for name, f in figures["mixed"].items()} == dict.fromkeys(
        ["together", "0.3", "0.5", "0.7"], 0.5
    )
    spread = np.sqrt(1 / (4 + 4 - 2))  # of 0, 0, 1, 1 about 0.5 and of four equal scores
    assert figures["mixed"]["0.3"]["gap"] == pytest.approx((0.7 - 0.5) / spread, rel=1e-5)
    assert figures["same_class"]["together"]["auroc"] == pytest.approx(0.5)
    np.testing.assert_allclose(found.mixed, np.tile([0.7, 0.5, 0.3], (4, 1)), rtol=1e-6)


def test_a_pasted_patch_is_counted_pixel_by_pixel_and_picture_by_picture() -> None:
    trials = Trials({"black": flat(2, BLACK), "white": flat(2, WHITE)}, n_pastes=5)
    found = measure(whiteness, trials, [], [("white", "black"), ("black", "white")]).pastes
    assert found[0].pasted == pytest.approx({"pixel_auroc": 1, "aupro": 1, "image_auroc": 1})
    assert found[1].pasted == {"pixel_auroc": 0, "aupro": 0, "image_auroc": 0}
    for result in found:
        assert (result.n_pasted, result.n_normal) == (5, 2)
        assert result.same_class is not None
        assert result.same_class["pixel_auroc"] == result.same_class["image_auroc"] == 0.5


def test_a_category_of_one_good_picture_has_no_controls() -> None:
    trials = Trials({"black": flat(1, BLACK), "white": flat(3, WHITE)}, n_pastes=3)
    found = measure(whiteness, trials, [("black", "white")], [("white", "black"), ("black", "white")])
    assert found.mixes[0].same_class is None
    assert found.mixes[0].to_dict()["n_same_class"] == 0
    assert found.pastes[0].same_class is None
    assert found.pastes[1].same_class is not None


def test_the_index_is_zero_when_the_one_class_model_is_the_same_model() -> None:
    trials = Trials({"a": noise(4), "b": noise(3, 1), "c": noise(3, 2)}, n_mixes=5, n_pastes=4)
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    found = compare(measure(whiteness, trials, pairs, pairs), lambda _: whiteness, trials)
    for result in (*found.mixes, *found.pastes):
        assert result.interference is not None
        assert set(result.interference.to_dict()["index"].values()) == {0.0}


def test_the_index_is_what_one_class_models_tell_better() -> None:
    """To a blind model every AUROC is a half; to whiteness mixes are above black and below gray."""
    trials = Trials({"black": flat(2, BLACK), "gray": flat(2, GRAY)}, n_pastes=3)
    opened = []

    def one_class(name: str) -> object:
        opened.append(name)
        return whiteness

    blind = measure(nothing, trials, [("black", "gray")], [("gray", "black")])
    found = compare(blind, one_class, trials)  # type: ignore[arg-type]
    assert opened == ["black", "gray"]
    mixed = found.mixes[0].interference
    assert mixed is not None
    assert mixed.to_dict() == {  # 1 against black, 0 against gray: a half
        "one_class": {"auroc": 0.5},
        "multi_class": {"auroc": 0.5},
        "index": {"auroc": 0.0},
    }
    pasted = found.pastes[0].interference
    assert pasted is not None
    assert pasted.to_dict()["index"] == {
        "pixel_auroc": 0.5,
        "aupro": pytest.approx(0.85),
        "image_auroc": 0.5,
    }


def test_one_class_models_that_tell_every_mix_raise_the_index_over_a_blind_one() -> None:
    trials = Trials({"black": flat(2, BLACK), "gray": flat(2, GRAY)}, n_pastes=3)

    def far_from(name: str) -> object:
        own = {"black": BLACK, "gray": GRAY}[name] / 255

        def score(
            pictures: Iterable[NDArray[np.generic]],
        ) -> Iterator[tuple[float, NDArray[np.float32]]]:
            return ((abs(value - own), abs(gray - np.float32(own))) for value, gray in whiteness(pictures))

        return score

    blind = measure(nothing, trials, [("black", "gray")], [("gray", "black")])
    mixed = compare(blind, far_from, trials).mixes[0].interference  # type: ignore[arg-type]
    assert mixed is not None
    assert mixed.to_dict() == {
        "one_class": {"auroc": 1.0},
        "multi_class": {"auroc": 0.5},
        "index": {"auroc": 0.5},
    }


def test_figures_that_cannot_be_told_are_none_and_in_no_mean() -> None:
    none, some = np.zeros(0), np.array([1.0, 2.0])
    assert auroc(none, some) is None
    assert standardised_gap(none, some) is None
    assert standardised_gap(np.ones(2), np.ones(3)) is None
    assert standardised_gap(np.array([3.0, 5.0]), np.array([0.0, 2.0])) == pytest.approx(3 / np.sqrt(2))
    assert Interference({"x": None}, {"x": 1.0}).to_dict()["index"] == {"x": None}
    assert mean_nested([{"x": {"y": 1.0}}, None, {"x": {"y": 0.0}}, {"x": {"y": None}}]) == {"x": {"y": 0.5}}
    assert mean_nested([None]) is None
