"""The whole point: a model that saw only good pictures finds defects, and finds them where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from understudy import evaluate, fit
from understudy.data.factory import FactoryPlan, write_factory
from understudy.runtime.images import resize_mask


# So short a training of RD differs from machine to machine in rounding alone, hence its lower floors.
@pytest.mark.parametrize(
    ("method", "steps", "auroc", "on_target"), [("snl-rd", 60, 0.9, 0.6), ("rd", 150, 0.8, 0.4)]
)
def test_one_model_finds_the_defects_of_two_products_where_they_are(
    method: str, steps: int, auroc: float, on_target: float, tmp_path: Path
) -> None:
    write_factory(tmp_path / "data", FactoryPlan(train=16, good=6, each_defect=4, size=128))
    model = fit(
        tmp_path / "data",
        tmp_path / "model",
        method=method,
        categories=("linen", "veneer"),
        image_size=128,
        max_steps=steps,
        precision="32",
        device="cpu",
        batch_size=8,
        settings={"smoothing": 2.0, "cosine": "local"},
    )
    result = evaluate(model, tmp_path / "data")
    assert result.metrics["mean"]["image_auroc"] > auroc
    assert result.metrics["mean"]["pixel_auroc"] > 0.9
    hits = []
    for tested in result.tested:
        if tested.mask is not None and tested.mask.any():
            peak = np.unravel_index(tested.anomaly_map.argmax(), tested.anomaly_map.shape)
            near = resize_mask(resize_mask(tested.mask, (16, 16)), (128, 128))  # to one feature's precision
            hits.append(bool(near[peak] or tested.mask[peak]))
    assert np.mean(hits) > on_target  # a blind guess hits a few in a hundred
