"""Several maps in one, each on the scale of good pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.distill.fusion import Fusion
from understudy.distill.maps import MapRecipe
from understudy.types import Pair

SIZE = (16, 16)


def fusion(scaling: str = "quantile") -> Fusion:
    parts = {"a": (slice(0, 1), MapRecipe(sigma=0)), "b": (slice(1, 2), MapRecipe(sigma=0))}
    return Fusion(parts, scaling)


def pairs() -> list[Pair]:
    return [Pair(torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)) for _ in range(2)]


def test_a_fusion_is_the_mean_of_maps_shifted_and_scaled_by_good_ones() -> None:
    fused, given = fusion(), pairs()
    good = {"a": np.linspace(0, 1, 1001), "b": np.linspace(2, 4, 1001)}
    fused.fit(good)
    a, b = fused.maps(given, SIZE).values()
    expected = ((a - 0.9) / 0.095 + (b - 3.8) / 0.19) / 2
    torch.testing.assert_close(fused(given, SIZE), expected, rtol=1e-4, atol=1e-4)
    scored = fusion("zscore")
    scored.fit(good)
    expected = sum((m - g.mean()) / g.std() for m, g in zip((a, b), good.values(), strict=True)) / 2
    torch.testing.assert_close(scored(given, SIZE), expected.float(), rtol=1e-4, atol=1e-4)


def test_a_part_that_is_constant_on_good_pictures_does_not_drown_the_other() -> None:
    fused, given = fusion(), pairs()
    fused.fit({"a": np.zeros(5), "b": np.linspace(0, 1, 1001)})
    a, b = fused.maps(given, SIZE).values()
    torch.testing.assert_close(fused(given, SIZE), (a + (b - 0.9) / 0.095) / 2, rtol=1e-4, atol=1e-4)


def test_shares_weigh_the_maps_and_must_name_them() -> None:
    parts, given = fusion().parts, pairs()
    a, b = fusion().maps(given, SIZE).values()
    torch.testing.assert_close(Fusion(parts, shares={"b": 0.2, "a": 0.8})(given, SIZE), 0.8 * a + 0.2 * b)
    with pytest.raises(ValueError, match="do not fit"):
        Fusion(parts, shares={"a": 1.0})
