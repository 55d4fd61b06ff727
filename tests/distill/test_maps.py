"""Scoring, equations (10) to (14) of SNL, against literal versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from understudy.distill.maps import MapRecipe, gaussian_blur, image_score
from understudy.types import Pair


def pairs() -> list[Pair]:
    shapes = [(2, 5, 6, 4), (2, 7, 3, 2)]
    return [Pair(torch.randn(shape), torch.randn(shape)) for shape in shapes]


@pytest.mark.parametrize("form", ["rms", "abs", "squared"])
def test_equations_10_to_13_add_feature_and_affinity_maps_over_the_levels(form: str) -> None:
    levels = pairs()
    literal = torch.zeros(2, 1, 12, 8)
    for teacher, student in levels:
        b, _, h, w = teacher.shape
        t = torch.nn.functional.normalize(teacher.flatten(2), dim=1)
        s = torch.nn.functional.normalize(student.flatten(2), dim=1)
        feature = 1 - (t * s).sum(1)
        error = s.mT @ s - t.mT @ t
        power = error.abs() if form == "abs" else error.square()
        affinity = torch.zeros(b, h * w)
        for j in range(h * w):  # eq. (13): the mean over the other positions
            affinity[:, j] = sum(power[:, i, j] for i in range(h * w)) / (h * w)
        affinity = affinity.sqrt() if form == "rms" else affinity
        level = (feature + affinity).view(b, 1, h, w)
        literal += torch.nn.functional.interpolate(level, (12, 8), mode="bilinear", align_corners=True)
    found = MapRecipe(affinity=1.0, form=form, sigma=0)(levels, (12, 8))
    assert torch.allclose(found, literal, atol=5e-4)


def test_equation_14_is_the_maximum_of_the_map() -> None:
    anomaly_map = torch.zeros(2, 1, 4, 4)
    anomaly_map[0, 0, 3, 1], anomaly_map[1, 0, 0, 0] = 0.5, 0.25
    assert image_score(anomaly_map).tolist() == [0.5, 0.25]


@pytest.mark.parametrize("affinity", [0.0, 1.0])
@pytest.mark.parametrize("form", ["rms", "abs", "squared"])
def test_the_map_is_zero_where_the_student_equals_the_teacher(affinity: float, form: str) -> None:
    same = [Pair(t, t.clone()) for t, _ in pairs()]
    assert MapRecipe(affinity, form)(same, (16, 16)).abs().max() < 1e-3


@pytest.mark.parametrize("size", [(40, 30), (5, 3), (1, 1)])
@pytest.mark.parametrize("sigma", [4.0, 1.3])
def test_smoothing_equals_scipys_gaussian(size: tuple[int, int], sigma: float) -> None:
    anomaly_map = torch.rand(1, 1, *size)
    literal = ndimage.gaussian_filter(anomaly_map[0, 0].numpy(), sigma)
    assert np.allclose(gaussian_blur(anomaly_map, sigma)[0, 0].numpy(), literal, atol=1e-5)


def test_features_of_zero_give_a_finite_map() -> None:
    nothing = [Pair(torch.zeros(1, 4, 3, 3), torch.zeros(1, 4, 3, 3))]
    assert MapRecipe(1.0)(nothing, (8, 8)).isfinite().all()
