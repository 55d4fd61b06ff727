"""A training records the depth of its pictures, and every runtime reads pictures by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import Inspector, Model, fit
from understudy.progress import Reporter
from understudy.runtime.depth import Depth
from understudy.runtime.images import read_picture
from understudy.runtime.manifest import read_manifest

TINY = {
    "image_size": 64,
    "max_steps": 1,
    "batch_size": 4,
    "precision": "32",
    "device": "cpu",
    "strides": (8, 16),
}


def twelve(eight: np.ndarray) -> np.ndarray:
    """8-bit values -> the smallest 12-bit values that become them."""
    return -(-eight.astype(np.int64) * 4095 // 255).astype(np.uint16)


@pytest.fixture(scope="module")
def deep(factory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good pictures of one product in 12 bits, gray."""
    root = tmp_path_factory.mktemp("deep")
    (root / "part" / "train" / "good").mkdir(parents=True)
    for i, path in enumerate(sorted((factory / "nut" / "train" / "good").iterdir()) * 2):
        gray = read_picture(path)[..., 0] | 0x80
        Image.fromarray(twelve(gray)).save(root / "part" / "train" / "good" / f"{i}.png")
    return root


def test_the_depth_is_found_said_and_recorded(deep: Path, tmp_path: Path) -> None:
    said: list[str] = []
    fit(deep, out=tmp_path / "m", progress=Reporter(say=said.append), **TINY)
    assert read_manifest(tmp_path / "m").preprocess.depth == Depth(bits=12)
    assert [line for line in said if "12 bits a channel (the largest value is " in line]
    model = Model.load(tmp_path / "m", "cpu")
    (result,) = model.predict(np.full((64, 64), 5000, np.uint16))
    assert result.error == (
        "picture-0 has the value 5000, beyond the 12 bits (0 to 4095) of the pictures learned from; save it "
        "in that range, or train with --bit-depth 14"
    )


def test_a_defect_far_brighter_than_all_good_pictures_is_judged(factory: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    for folder in ("train/good", "test/good", "test/bright"):
        (part / folder).mkdir(parents=True)
    for i, path in enumerate(sorted((factory / "nut" / "train" / "good").iterdir()) * 2):
        values = (read_picture(path)[..., 0].astype(np.int64) * 899 // 255).astype(np.uint16)
        Image.fromarray(values).save(part / "train" / "good" / f"{i}.png")
    Image.fromarray(values).save(part / "test" / "good" / "0.png")
    values[:9, :9] = 3500
    Image.fromarray(values).save(part / "test" / "bright" / "0.png")
    fit(part, out=tmp_path / "m", progress=False, **TINY)
    model = Model.load(tmp_path / "m", "cpu")
    assert model.evaluate(part).metrics["unreadable"] == []
    (result,) = model.predict(np.full((64, 64), 4095, np.uint16))  # brighter than any picture of the set
    assert result.error is None


def test_a_depth_that_is_given_is_recorded(deep: Path, tmp_path: Path) -> None:
    fit(deep, out=tmp_path / "m", bit_depth=14, progress=False, **TINY)
    assert read_manifest(tmp_path / "m").preprocess.depth == Depth(bits=14)


def test_pictures_of_8_bits_record_8_and_say_nothing(model_folder: Path) -> None:
    assert read_manifest(model_folder).preprocess.depth == Depth(bits=8)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_a_12_bit_picture_scores_like_its_8_bits_in_every_runtime(
    model: Model, exported: Path, factory: Path, tmp_path: Path, runtime: str
) -> None:
    inspector = model.inspector if runtime == "torch" else Inspector.load(exported)
    look = inspector.scorer.preprocess.model_copy(update={"depth": Depth(bits=12)})
    inspector = replace(inspector, scorer=replace(inspector.scorer, preprocess=look))
    source = next((factory / "nut" / "test").rglob("*.png"))
    gray = np.asarray(Image.open(source).convert("L"))
    Image.fromarray(gray).save(tmp_path / "a.png")
    Image.fromarray(twelve(gray)).save(tmp_path / "b.png")
    eight, deep, array = inspector.predict([tmp_path / "a.png", tmp_path / "b.png", twelve(gray)])
    assert eight.error is deep.error is array.error is None
    assert eight.score == pytest.approx(deep.score, abs=1e-6) == pytest.approx(array.score, abs=1e-6)
    assert np.allclose(eight.anomaly_map, deep.anomaly_map, atol=1e-6)
