"""What is usual in compositions comes from good pictures, each of which is judged by others."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf as reference

from understudy.calibrate.learn_composition import FEWEST, MOST_AXES, learn_compositions, shape_of
from understudy.runtime.usual_composition import CODES, UsualComposition

K, CELLS = CODES, 256
Numbers = NDArray[np.float64]


def _good(n: int, seed: int = 0) -> Numbers:
    """Compositions of pictures whose cells show each kind by chance, the later kinds less often."""
    rng, chance = np.random.default_rng(seed), np.geomspace(1, 0.05, K)
    quarters = rng.multinomial(CELLS // 4, chance / chance.sum(), (n, 4)) / (CELLS // 4)
    kinds = np.random.default_rng(77).normal(size=(K, 12))
    return np.concatenate([quarters.mean(1), quarters.reshape(n, -1), quarters.mean(1) @ kinds], 1)


def _usual(compositions: Numbers) -> UsualComposition:
    usual = learn_compositions({"nut": compositions})["nut"].usual
    assert usual is not None
    return usual


def _scores(usual: UsualComposition, compositions: Numbers) -> Numbers:
    return np.array([usual.score(each) for each in compositions])


@pytest.mark.parametrize(("n", "d"), [(5, 30), (40, 8), (400, 3)])
def test_the_covariance_is_that_of_ledoit_and_wolf(n: int, d: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(n, d)) * np.arange(1, d + 1)

    shape = shape_of(vectors)

    inverse = shape.rest * np.eye(d) + shape.axes.T @ np.diag(shape.more) @ shape.axes
    expected = reference(vectors - vectors.mean(0), assume_centered=True)[0]
    np.testing.assert_allclose(np.linalg.inv(inverse), expected, rtol=1e-4, atol=1e-4)


def test_of_very_many_directions_the_least_share_one_variance() -> None:
    vectors = np.random.default_rng(0).normal(size=(900, MOST_AXES + 50))
    vectors[:, MOST_AXES:] *= 0.1

    shape = shape_of(vectors)

    assert shape.axes.shape == (MOST_AXES, MOST_AXES + 50)
    covariance = reference(vectors - vectors.mean(0), assume_centered=True)[0]
    lone = np.zeros(MOST_AXES + 50)
    lone[-1] = 1
    expected = np.sqrt(lone @ np.linalg.inv(covariance) @ lone)
    assert shape.distances((vectors.mean(0) + lone)[None])[0] == pytest.approx(expected, rel=0.2)


def test_good_pictures_that_were_learned_from_score_as_new_ones_do() -> None:
    composed = learn_compositions({"nut": _good(60)})["nut"]
    assert composed.usual is not None

    new = _scores(composed.usual, _good(400, 1))

    assert composed.scores.mean() == pytest.approx(0, abs=1e-9)
    assert composed.scores.std(ddof=1) == pytest.approx(1, rel=1e-6)
    assert abs(new.mean()) < 0.3
    assert 0.7 < new.std() < 1.3
    assert _scores(composed.usual, _good(60)).mean() < new.mean() - 0.2  # judged with themselves


def test_a_kind_that_is_too_frequent_or_missing_scores_above_every_good_picture() -> None:
    usual, good = _usual(_good(300)), _good(300, 1)
    more, less = good[:20].copy(), good[:20].copy()
    for quarter in range(5):
        at = quarter * K
        more[:, at + K - 1] += 0.3
        more[:, at] -= 0.3
        less[:, at + 4] += less[:, at : at + 4].sum(1)
        less[:, at : at + 4] = 0

    assert _scores(usual, more).min() > _scores(usual, good).max()
    assert _scores(usual, less).min() > _scores(usual, good).max()


def test_names_of_codes_mean_nothing() -> None:
    order = np.random.default_rng(3).permutation(K)
    renamed = np.concatenate([*(i * K + order for i in range(5)), np.arange(5 * K, 5 * K + 12)])
    good, new = _good(30), _good(10, 1)

    np.testing.assert_allclose(
        _scores(_usual(good), new), _scores(_usual(good[:, renamed]), new[:, renamed]), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("n", [FEWEST, 6])
def test_fewer_pictures_than_codes_and_a_code_that_never_occurs_still_give_scores(n: int) -> None:
    good = _good(n)
    good[:, K - 1 : 5 * K : K] = 0

    composed = learn_compositions({"nut": good})["nut"]

    assert composed.usual is not None
    assert np.isfinite(composed.scores).all()
    assert np.isfinite(_scores(composed.usual, _good(5, 1))).all()


def test_copies_of_one_composition_give_scores() -> None:
    composed = learn_compositions({"nut": np.repeat(_good(1), 9, 0)})["nut"]

    assert composed.usual is not None
    assert not composed.scores.any()
    assert np.isfinite(_scores(composed.usual, _good(5, 1))).all()


def test_a_product_with_too_few_pictures_is_scored_by_its_maps_alone() -> None:
    found = learn_compositions({"nut": _good(20), "screw": _good(FEWEST - 1)})

    assert found["screw"].usual is None
    assert found["screw"].scores.tolist() == [0] * (FEWEST - 1)
    assert found["nut"].usual is not None
    assert learn_compositions({"screw": _good(1)})["screw"].usual is None


def test_what_is_usual_of_a_product_does_not_depend_on_other_products() -> None:
    """But for its scale, which takes some of theirs where there are few pictures."""
    alone = learn_compositions({"nut": _good(200)})["nut"].usual
    among = learn_compositions({"nut": _good(200), "screw": _good(20, 9)})["nut"].usual

    assert alone is not None
    assert among is not None
    for one, other in zip(alone.parts, among.parts, strict=True):
        np.testing.assert_array_equal(one.shape.mean, other.shape.mean)
        np.testing.assert_array_equal(one.shape.more, other.shape.more)
        assert one.scale == pytest.approx(other.scale, rel=0.05)
