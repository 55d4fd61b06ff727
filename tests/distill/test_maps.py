from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from understudy.distill.maps import gaussian_blur


@pytest.mark.parametrize("size", [(40, 30), (5, 3), (1, 1)])
@pytest.mark.parametrize("sigma", [4.0, 1.3])
def test_smoothing_equals_scipys_gaussian(size: tuple[int, int], sigma: float) -> None:
    anomaly_map = torch.rand(1, 1, *size)
    literal = ndimage.gaussian_filter(anomaly_map[0, 0].numpy(), sigma)
    assert np.allclose(gaussian_blur(anomaly_map, sigma)[0, 0].numpy(), literal, atol=1e-5)
