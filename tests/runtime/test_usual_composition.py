"""How unusual a composition is: the standardised distances of its parts, added."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from understudy.runtime.usual import ProductUsual
from understudy.runtime.usual_composition import (
    CODES,
    PartUsual,
    Shape,
    UsualComposition,
    composition_parts,
)

CHANNELS = 7
LENGTHS = (CODES, 4 * CODES, CHANNELS)


def _vectors(n: int, d: int, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)))


def _part(d: int, seed: int) -> PartUsual:
    rng = np.random.default_rng(seed)
    axes = np.eye(d, dtype=np.float32)[rng.permutation(d)[: d // 2]]
    shape = Shape(rng.random(d, np.float32), axes, rng.random(d // 2, np.float32), rng.uniform(1, 2))
    return PartUsual(shape, rng.normal(), rng.uniform(0.5, 2))


def _usual() -> UsualComposition:
    return UsualComposition(tuple(_part(d, i) for i, d in enumerate(LENGTHS)))


def _composition() -> NDArray[np.float32]:
    return np.random.default_rng(5).random(sum(LENGTHS), np.float32)


def test_the_mean_has_no_distance() -> None:
    shape = _part(6, 0).shape

    assert shape.distances(shape.mean[None]) == 0


def test_the_distance_is_that_of_the_whole_matrix() -> None:
    shape, vectors = _part(6, 0).shape, _vectors(9, 6)
    inverse = shape.rest * np.eye(6) + shape.axes.T @ np.diag(shape.more) @ shape.axes

    expected = [np.sqrt((v - shape.mean) @ inverse @ (v - shape.mean)) for v in vectors]

    np.testing.assert_allclose(shape.distances(vectors), expected, rtol=1e-5)


def test_the_distance_does_not_depend_on_the_axes_that_vectors_are_described_by() -> None:
    vectors, new, turned = _vectors(50, 4), _vectors(7, 4, 1), _vectors(4, 4, 2)

    def distances(known: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
        variances, axes = np.linalg.eigh(np.cov(known.T, bias=True))
        return Shape(known.mean(0), axes.T, 1 / variances, 0.0).distances(of)  # type: ignore[arg-type]

    np.testing.assert_allclose(distances(vectors, new), distances(vectors @ turned, new @ turned), rtol=1e-6)


def test_a_composition_has_shares_of_the_picture_and_of_its_quarters_and_means() -> None:
    parts = composition_parts(np.arange(2 * sum(LENGTHS), dtype=np.float32).reshape(2, -1))

    assert tuple(part.shape[1] for part in parts) == LENGTHS
    assert np.concatenate(parts, 1).ravel().tolist() == list(range(2 * sum(LENGTHS)))


def test_the_score_is_the_sum_of_the_standardised_distances() -> None:
    usual, composition = _usual(), _composition()

    parts = composition_parts(composition[None])
    expected = sum(
        (part.shape.distances(own)[0] - part.centre) / part.scale
        for part, own in zip(usual.parts, parts, strict=True)
    )
    assert usual.score(composition) == pytest.approx(expected)
    assert usual.over(2.0).score(composition) == pytest.approx(expected / 2)


def test_a_picture_scores_by_its_map_and_by_its_composition() -> None:
    anomaly_map = np.random.default_rng(6).random((16, 16), np.float32)
    alone = ProductUsual(0.5, np.ones((4, 4), np.float32), 1.0, 0.5, 9)
    both = ProductUsual(0.5, np.ones((4, 4), np.float32), 1.0, 0.5, 9, _usual())

    by_map = alone.score(anomaly_map, None, 16)

    assert alone.score(anomaly_map, None, 16, _composition()) == by_map
    assert both.score(anomaly_map, None, 16) == by_map
    assert both.score(anomaly_map, None, 16, _composition()) == by_map + _usual().score(_composition())
    np.testing.assert_array_equal(both.relative(anomaly_map), alone.relative(anomaly_map))
