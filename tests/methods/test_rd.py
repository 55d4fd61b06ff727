"""RD: the release's loss and map."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from understudy.distill.maps import gaussian_blur
from understudy.distill.teacher import Teacher
from understudy.methods import build, settings_for
from understudy.types import Pair


@pytest.mark.parametrize("reading", ["global", "local"])
def test_the_loss_is_one_minus_the_cosine_and_the_map_its_sum_over_the_levels(
    reading: str, embedded: Teacher
) -> None:
    settings = {} if reading == "global" else {"cosine": reading}
    distiller = build("rd", embedded, settings_for("rd", settings))
    pairs = [Pair(torch.randn(2, 6, side, side), torch.randn(2, 6, side, side)) for side in (8, 4)]
    flat = [[f.flatten(1) if reading == "global" else f for f in pair[:2]] for pair in pairs]
    loss = torch.stack([(1 - F.cosine_similarity(t, s, dim=1)).mean() for t, s in flat]).sum()
    torch.testing.assert_close(distiller.loss(pairs), {"cosine": loss})
    maps = [
        F.interpolate(
            1 - F.cosine_similarity(t, s, dim=1)[:, None], (32, 32), mode="bilinear", align_corners=True
        )
        for t, s, _ in pairs
    ]
    expected = gaussian_blur(torch.stack(maps).sum(0), 4.0)
    torch.testing.assert_close(distiller.to_map(pairs, (32, 32)), expected, rtol=1e-4, atol=1e-5)
