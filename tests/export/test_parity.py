"""Errors are measured as shares of the maps' range, and each rule can be broken."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.export.parity import (
    RANK_FLOOR,
    TOLERANCE,
    answers_of,
    fault_of,
    measure_parity,
    parity_statement,
)
from understudy.progress import Lap
from understudy.runtime.decision import Calibration, Limits, Thresholds
from understudy.runtime.graph import Answers
from understudy.runtime.manifest import ParityCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.scoring import Scorer
from understudy.runtime.usual import ProductUsual, Usual

NUT = np.array([1.0, 0.0], np.float32)
LIMITS = Limits(rate=0.1, overall=0.5, categories={})
CALIBRATION = Calibration(
    thresholds=Thresholds(fail_above=0.6, review_above=0.3, false_alarm_rate=0.1, review_rate=0.2, n_good=20),
    categories={},
    masks=LIMITS,
    min_area=1,
    distances=LIMITS,
    promise="",
)


def answers(*scores: float) -> Answers:
    """Maps of 2 x 2 whose highest value is the score, and whose lowest is 0."""
    maps = np.zeros((len(scores), 2, 2), np.float32)
    maps[:, 0, 0] = scores
    return Answers(maps, maps.max((1, 2)), np.tile(NUT, (len(scores), 1)))


LOOK = Preprocess(image_size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def never(images: np.ndarray, valid: np.ndarray | None, lap: Lap) -> Answers:
    raise AssertionError("the answers are there")


def compare(
    ours: Answers,
    theirs: Answers,
    calibration: Calibration | None = None,
    usual: Usual | None = None,
    valid: np.ndarray | None = None,
) -> ParityCard:
    scorer = Scorer(never, LOOK, {"nut": NUT}, calibration, usual=usual)
    return measure_parity(ours, theirs, scorer, runtime="some 1.0", source="two pictures", valid=valid)


def test_equal_answers_have_no_error_and_no_fault() -> None:
    found = compare(answers(0.1, 0.5, 2.0), answers(0.1, 0.5, 2.0), CALIBRATION)
    assert (found.map_error, found.score_error, found.rank_correlation) == (0, 0, pytest.approx(1))
    assert (found.windows, found.verdicts, found.at_threshold) == (3, (3, 0), 0)
    assert fault_of(found, "float32") is None
    assert fault_of(found, "int8") is None


def test_errors_are_shares_of_the_range_of_all_maps() -> None:
    theirs = answers(0.1, 0.5, 2.0)
    theirs.maps[1, 1, 1] = 0.4
    found = compare(answers(0.1, 0.5, 2.0), theirs)
    assert (found.map_error, found.map_error_relative) == (pytest.approx(0.4), pytest.approx(0.2))
    assert (found.score_error, found.verdicts) == (0, None)
    assert "map is off by 0.2" in (fault_of(found, "float32") or "")


@pytest.mark.parametrize(("share", "is_fault"), [(0.5, False), (2.0, True)])
def test_a_score_may_be_off_by_the_tolerance_and_no_more(share: float, is_fault: bool) -> None:
    ours, theirs = answers(0.1, 1.0), answers(0.1, 1.0)
    theirs.scores[1] += share * TOLERANCE
    assert bool(fault_of(compare(ours, theirs), "float32")) == is_fault


def test_what_is_no_number_is_a_fault_in_either_precision() -> None:
    theirs = answers(0.1, 1.0)
    theirs.maps[:], theirs.scores[:] = np.nan, np.nan
    found = compare(answers(0.1, 1.0), theirs)
    assert fault_of(found, "float32")
    assert fault_of(found, "int8")


def test_int8_is_judged_by_its_ranks() -> None:
    scores = np.linspace(0, 1, 10)
    found = compare(answers(*scores), answers(*(3 * scores + 1)))
    assert fault_of(found, "int8") is None
    assert fault_of(found, "float32")
    found = compare(answers(*scores), answers(*scores[::-1]))
    assert found.rank_correlation == pytest.approx(-1)
    assert f"{RANK_FLOOR} is the least allowed" in (fault_of(found, "int8") or "")


def test_windows_too_near_a_threshold_are_told_apart_from_other_verdicts() -> None:
    near, far = 0.6 + 1e-6, 0.2
    found = compare(answers(near, far, 0.9), answers(0.6 - 1e-6, far, 0.9), CALIBRATION)
    assert (found.verdicts, found.at_threshold) == ((2, 0), 1)
    found = compare(answers(0.9, far, 0.9), answers(0.9, 0.5, 0.9), CALIBRATION)
    assert (found.verdicts, found.at_threshold) == ((2, 1), 0)


def test_a_window_too_near_to_being_an_unknown_product_is_told_apart() -> None:
    ours, theirs = answers(0.1, 0.9), answers(0.1, 0.9)
    at_limit = NUT + np.array([0, LIMITS.overall], np.float32)
    ours.embeddings[0], theirs.embeddings[0] = at_limit, at_limit + np.array([0, 1e-6], np.float32)
    found = compare(ours, theirs, CALIBRATION)
    assert (found.verdicts, found.at_threshold) == ((1, 0), 1)


def test_a_product_that_the_graph_does_not_recognise_is_another_verdict() -> None:
    ours, theirs = answers(0.1, 0.9), answers(0.1, 0.9)
    theirs.embeddings[0] = -NUT
    found = compare(ours, theirs, CALIBRATION)
    assert found.verdicts == (1, 1)
    assert fault_of(found, "float32") == "1 of its verdicts are others"


def usual(spread: float = 0.01, level: float = 0.0) -> Usual:
    """A score is the maximum of the map of 2 x 2, which is one cell, in spreads above the level."""
    return {"nut": ProductUsual(level, np.full((1, 1), spread, np.float32), 0.0, 1.0, 20)}


def test_verdicts_rest_on_the_score_that_is_comparable_with_other_products() -> None:
    """The maxima of the maps, 0.004 and 0.04, both lie below the thresholds of 0.3 and 0.6."""
    ours, theirs = answers(0.004, 0.04), answers(0.004, 0.008)
    assert compare(ours, theirs, CALIBRATION).verdicts == (2, 0)
    assert compare(ours, theirs, CALIBRATION, usual()).verdicts == (1, 1)  # a quarter of 4 and of 0.8
    found = compare(ours, answers(0.004, 0.036), CALIBRATION, usual())
    assert (found.verdicts, found.at_threshold) == ((2, 0), 0)


def test_errors_are_those_of_the_maps_whatever_is_usual() -> None:
    ours, theirs = answers(0.1, 0.5), answers(0.1, 0.6)
    plain, relative = compare(ours, theirs, CALIBRATION), compare(ours, theirs, CALIBRATION, usual())
    assert relative.model_copy(update={"verdicts": None, "at_threshold": 0}) == plain.model_copy(
        update={"verdicts": None, "at_threshold": 0}
    )


def test_a_quiet_product_turns_a_small_error_into_a_large_one_so_more_is_too_near_a_threshold() -> None:
    span = 1.0
    near = 0.6 * 4 * 0.01 + 0.5 * TOLERANCE * span  # a quarter of it, in hundredths, is just above 0.6
    ours, theirs = answers(near, span), answers(near - TOLERANCE * span, span)
    assert compare(ours, theirs, CALIBRATION, usual()).at_threshold == 1
    assert compare(ours, theirs, CALIBRATION, usual()).verdicts == (1, 0)
    assert compare(ours, theirs, CALIBRATION).at_threshold == 0  # as maxima they are far from any


def test_pixels_that_do_not_count_decide_no_verdict() -> None:
    ours, theirs = answers(0.001, 0.001), answers(0.001, 0.001)
    theirs.maps[1, 0, 1] = 0.09
    valid = np.ones((2, 2, 2), bool)
    assert compare(ours, theirs, CALIBRATION, usual(), valid).verdicts == (1, 1)
    valid[:, 0, 1] = False
    assert compare(ours, theirs, CALIBRATION, usual(), valid).verdicts == (2, 0)


def test_a_window_of_no_known_product_is_a_review_whatever_its_score() -> None:
    ours, theirs = answers(0.001, 0.5), answers(0.5, 0.5)
    for each in (ours, theirs):
        each.embeddings[:] = -NUT
    assert compare(ours, theirs, CALIBRATION, usual()).verdicts == (2, 0)


def test_two_lines_say_what_was_measured() -> None:
    first, second = parity_statement(compare(answers(0.1, 0.9), answers(0.1, 0.9), CALIBRATION))
    assert first.startswith("some 1.0 against torch on 2 windows, two pictures: map off by 0")
    assert (
        second
        == "rank correlation of scores 1.0000; verdicts alike 2 of 2, 0 too near a threshold to compare"
    )
    assert "no verdicts" in parity_statement(compare(answers(0.5, 0.5), answers(0.5, 0.5)))[1]


def test_a_network_is_asked_a_batch_at_a_time() -> None:
    sizes = []

    def network(images: np.ndarray, valid: np.ndarray | None, lap: Lap) -> Answers:
        sizes.append(len(images))
        return Answers(images[:, 0], images[:, 0].max((1, 2)), images.mean((2, 3)))

    windows = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    found = answers_of(network, LOOK, windows, 2)
    assert sizes == [2, 2, 1]
    assert np.allclose(found.maps, windows[..., 0] / 255)
