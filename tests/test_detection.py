"""The whole point: a model that saw only good pictures finds defects, and finds them where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from understudy import evaluate, fit
from understudy.data.factory import FactoryPlan, LogicalPlan, write_factory, write_logical
from understudy.distill.fusion import Fusion
from understudy.runtime.images import resize_mask

LOCAL = {"smoothing": 2.0, "cosine": "local"}


# So short a training of some differs from machine to machine in rounding alone, hence their lower floors.
@pytest.mark.parametrize(
    ("method", "settings", "steps", "auroc", "pixel_auroc", "on_target"),
    [
        ("snl-rd", LOCAL, 60, 0.9, 0.9, 0.6),
        ("rd", LOCAL, 150, 0.8, 0.9, 0.4),
        ("snl-fd", LOCAL, 60, 0.9, 0.9, 0.4),
        ("stpm", {"smoothing": 2.0}, 60, 0.9, 0.9, 0.6),
        ("dskd", {"smoothing": 2.0}, 60, 0.9, 0.7, 0.1),
    ],
)
def test_one_model_finds_the_defects_of_two_products_where_they_are(
    method: str,
    settings: dict[str, object],
    steps: int,
    auroc: float,
    pixel_auroc: float,
    on_target: float,
    tmp_path: Path,
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
        settings=settings,
    )
    result = evaluate(model, tmp_path / "data")
    assert result.metrics["mean"]["image_auroc"] > auroc
    assert result.metrics["mean"]["pixel_auroc"] > pixel_auroc
    hits = []
    for tested in result.tested:
        if tested.mask is not None and tested.mask.any():
            peak = np.unravel_index(tested.anomaly_map.argmax(), tested.anomaly_map.shape)
            near = resize_mask(resize_mask(tested.mask, (16, 16)), (128, 128))  # to one feature's precision
            hits.append(bool(near[peak] or tested.mask[peak]))
    assert np.mean(hits) > on_target  # a blind guess hits a few in a hundred


def test_the_global_student_sees_logical_anomalies_that_the_local_one_does_not(tmp_path: Path) -> None:
    write_logical(tmp_path / "data", LogicalPlan(train=32, validation=8, good=12, each_defect=3, size=128))
    model = fit(
        tmp_path / "data",
        tmp_path / "model",
        method="dskd",
        image_size=128,
        strides=(4, 8, 16),
        max_steps=150,
        precision="32",
        device="cpu",
        batch_size=8,
        settings={"smoothing": 2.0},
    )
    fusion = model.distiller.to_map
    assert isinstance(fusion, Fusion)
    found: dict[str, dict[str, float]] = {}
    for name in ("local", "global"):
        model.distiller.to_map = Fusion({name: fusion.parts[name]})
        (category,) = evaluate(model, tmp_path / "data").metrics["categories"].values()
        found[name] = {kind: value["image_auroc"] for kind, value in category["defects"].items()}
    assert found["global"]["logical_anomalies"] > 0.7
    assert found["global"]["logical_anomalies"] > found["local"]["logical_anomalies"]
