"""The whole point: a model that saw only good pictures finds defects, and finds them where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from understudy import evaluate, fit
from understudy.data.factory import FactoryPlan, write_factory
from understudy.runtime.images import resize_mask


@pytest.mark.parametrize(("method", "steps"), [("snl-rd", 60), ("rd", 150)])
def test_one_model_finds_the_defects_of_two_products_where_they_are(
    method: str, steps: int, tmp_path: Path
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
    assert result.metrics["mean"]["image_auroc"] > 0.9
    assert result.metrics["mean"]["pixel_auroc"] > 0.9
    hits = []
    for tested in result.tested:
        if tested.mask is not None and tested.mask.any():
            peak = np.unravel_index(tested.anomaly_map.argmax(), tested.anomaly_map.shape)
            near = resize_mask(resize_mask(tested.mask, (16, 16)), (128, 128))  # to one feature's precision
            hits.append(bool(near[peak] or tested.mask[peak]))
    assert np.mean(hits) > 0.7
