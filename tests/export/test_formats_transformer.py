"""A model whose teacher is a DINOv2 is the same graph in torch, onnxruntime and OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from understudy import InputError, Model
from understudy.distill.network import TorchNetwork
from understudy.distill.teacher import Teacher
from understudy.export.formats import quantise, write_onnx, write_openvino
from understudy.export.parity import TOLERANCE
from understudy.methods import build, settings_for
from understudy.progress import untimed
from understudy.runtime.graph import open_graph
from understudy.runtime.manifest import GraphCard

SIDE = 70  # five cells, so that the doubled grid of a reverse student is cropped


@pytest.mark.parametrize("method", ["rd", "stpm"])
def test_means_of_blocks_are_the_same_in_both_runtimes(method: str, model: Model, tmp_path: Path) -> None:
    teacher = Teacher("tiny_dinov2", (14, 14), SIDE, ((2, 3, 4, 5), (6, 7, 8, 9)))
    distiller = build(method, teacher, settings_for(method)).eval()
    write_onnx(distiller, tmp_path / "model.onnx", SIDE)
    write_openvino(tmp_path / "model.onnx", tmp_path / "model.xml")
    in_torch = TorchNetwork(distiller)
    for form, name in (("onnx", "model.onnx"), ("openvino", "model.xml")):
        card = GraphCard(
            format=form,  # type: ignore[arg-type]
            file=name,
            precision="float32",
            opset=18,
            care=False,
            student_sha256="0" * 64,
            parity=None,
        )
        network = open_graph(tmp_path, model.manifest.model_copy(update={"graph": card}), threads=1)
        for n in (1, 3):
            images = np.random.default_rng(n).normal(size=(n, 3, SIDE, SIDE)).astype(np.float32)
            expected, found = in_torch(images, None), network(images, None, untimed)
            assert np.abs(found.maps - expected.maps).max() < TOLERANCE * np.ptp(expected.maps)
            assert np.allclose(found.embeddings, expected.embeddings, atol=1e-5)


def test_int8_is_refused_for_a_student_without_convolutions(tmp_path: Path) -> None:
    teacher = Teacher("tiny_dinov2", (14, 14), SIDE, ((2, 3, 4, 5), (6, 7, 8, 9)))
    distiller = build("dinomaly", teacher, settings_for("dinomaly", {"depth": 2})).eval()
    write_onnx(distiller, tmp_path / "model.onnx", SIDE)

    with pytest.raises(InputError, match="no convolution to compute in int8"):
        quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx", [])

    assert not (tmp_path / "int8.onnx").exists()
