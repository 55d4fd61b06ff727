"""The composition of a picture is one more output of the graph, the same in every runtime and precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from understudy import Model
from understudy.distill.distiller import Distiller
from understudy.distill.network import TorchNetwork
from understudy.distill.teacher import Teacher, embedding
from understudy.export.formats import quantise, write_onnx, write_openvino
from understudy.methods import build, settings_for
from understudy.progress import untimed
from understudy.runtime.graph import COMPOSITION, GRAPH_OUTPUTS, Network, open_graph
from understudy.runtime.manifest import GraphCard
from understudy.runtime.usual_composition import CODES
from understudy.types import GraphFormat

SIDE = 64


@pytest.fixture(scope="module")
def distiller() -> Distiller:
    """Two products, each with codes of its own."""
    made = build("rd", Teacher("test_resnet", (8, 16), SIDE), settings_for("rd", {"logical": True})).eval()
    assert made.composition is not None
    images = torch.randn(8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    features = made.teacher(images)
    cells, embeddings = made.composition.cells(features).flatten(2).transpose(1, 2), embedding(features)
    made.composition.fill([(cells[i::2].flatten(0, 1), embeddings[i::2]) for i in range(2)])
    return made


def opened(path: Path, form: GraphFormat, valid: bool, model: Model) -> Network:
    card = GraphCard(
        format=form,
        file=path.name,
        precision="float32",
        opset=18,
        care=valid,
        student_sha256="0" * 64,
        parity=None,
    )
    return open_graph(path.parent, model.manifest.model_copy(update={"graph": card}), threads=1)


def windows(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 3, SIDE, SIDE)).astype(np.float32)


def test_both_runtimes_give_the_same_composition(distiller: Distiller, model: Model, tmp_path: Path) -> None:
    write_onnx(distiller, tmp_path / "model.onnx", SIDE, valid=True)
    write_openvino(tmp_path / "model.onnx", tmp_path / "model.xml")
    part = np.ones((3, 1, SIDE, SIDE), np.float32)
    part[..., 40:] = 0

    for form, name in (("onnx", "model.onnx"), ("openvino", "model.xml")):
        network = opened(tmp_path / name, form, True, model)  # type: ignore[arg-type]
        for images, valid in ((windows(1), None), (windows(3), None), (windows(3), part)):
            expected = TorchNetwork(distiller)(images, valid)
            found = network(images, valid, untimed)
            channels = sum(level.channels for level in distiller.teacher.levels)
            assert expected.compositions.shape == (len(images), 5 * CODES + channels)
            assert np.allclose(found.compositions, expected.compositions, atol=1e-4)
            assert np.allclose(found.embeddings, expected.embeddings, atol=1e-5)


def test_int8_rounds_no_composition(distiller: Distiller, model: Model, tmp_path: Path) -> None:
    write_onnx(distiller, tmp_path / "float32.onnx", SIDE)
    quantise(tmp_path / "float32.onnx", tmp_path / "int8.onnx", ((w[None], None) for w in windows(4)))

    expected = TorchNetwork(distiller)(windows(3), None)
    found = opened(tmp_path / "int8.onnx", "onnx", False, model)(windows(3), None, untimed)

    assert np.abs(found.maps - expected.maps).max() > 0
    assert np.allclose(found.compositions, expected.compositions, atol=1e-4)


def test_a_model_without_it_has_the_three_outputs_that_it_had(model: Model, tmp_path: Path) -> None:
    plain = build("rd", Teacher("test_resnet", (8, 16), SIDE), settings_for("rd")).eval()
    write_onnx(plain, tmp_path / "model.onnx", SIDE)

    names = [each.name for each in onnx.load(tmp_path / "model.onnx").graph.output]

    assert names == list(GRAPH_OUTPUTS)
    assert COMPOSITION not in names
    answers = opened(tmp_path / "model.onnx", "onnx", False, model)(windows(2), None, untimed)
    assert answers.compositions.shape == (0, 0)
