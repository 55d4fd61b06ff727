"""A heat map is clear where a picture is good and bright where it is not."""

from __future__ import annotations

import numpy as np

from understudy.runtime.heatmap import heatmap


def test_heat_maps_are_clear_where_low_and_bright_where_high() -> None:
    picture = np.full((8, 8, 3), 100, np.uint8)
    field = np.zeros((8, 8), np.float32)
    field[4:, :] = 1
    shown = heatmap(picture, field, 0.2, 0.9)
    assert np.array_equal(shown[:3], picture[:3])
    assert shown[-1, 0].astype(int).sum() > 450
