"""Every method is the same graph in torch, onnxruntime and OpenVINO; int8 is smaller and close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from understudy import METHODS, Model, WorkError
from understudy.distill.distiller import Distiller
from understudy.distill.fusion import Fusion
from understudy.distill.network import TorchNetwork
from understudy.distill.teacher import Teacher
from understudy.export.formats import quantise, write_onnx, write_openvino
from understudy.export.parity import TOLERANCE
from understudy.kernels.rows import has_small_matrix
from understudy.methods import build, settings_for
from understudy.progress import untimed
from understudy.runtime import manifest as manifests
from understudy.runtime.graph import Network, open_graph
from understudy.runtime.manifest import GraphCard
from understudy.types import GraphFormat

SIDE = 64
SETTINGS: dict[str, dict[str, object]] = {
    "mkd": {"map": "feature"},  # its other maps need a backward pass
    "uniad": {"depth": 1},  # exporting takes long for many layers
}

pytestmark = pytest.mark.usefixtures("shallow")


def distiller_of(method: str) -> Distiller:
    """Small, of random weights, with scales of its maps that are not the ones it starts with."""
    name, strides = ("test_vit", (16, 16)) if method == "dinomaly" else ("test_resnet", (8, 16))
    built = build(method, Teacher(name, strides, SIDE), settings_for(method, SETTINGS.get(method))).eval()
    if isinstance(built.to_map, Fusion):
        built.to_map.fit({name: np.arange(9.0) for name in built.to_map.parts})
    return built


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
    """Noise, of another strength in every window."""
    noise = np.random.default_rng(n).normal(size=(n, 3, SIDE, SIDE))
    return (noise * np.linspace(0.2, 2, n)[:, None, None, None]).astype(np.float32)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_is_the_same_in_both_runtimes(method: str, model: Model, tmp_path: Path) -> None:
    """For any batch, and whether all of a window counts or not."""
    distiller = distiller_of(method)
    write_onnx(distiller, tmp_path / "model.onnx", SIDE, valid=True)
    write_openvino(tmp_path / "model.onnx", tmp_path / "model.xml")
    in_torch = TorchNetwork(distiller)
    part = np.ones((3, 1, SIDE, SIDE), np.float32)
    part[:, :, :, 40:] = 0
    for form, name in (("onnx", "model.onnx"), ("openvino", "model.xml")):
        network = opened(tmp_path / name, form, True, model)  # type: ignore[arg-type]
        for images, valid in ((windows(1), None), (windows(3), None), (windows(3), part)):
            expected, found = in_torch(images, valid), network(images, valid, untimed)
            span = np.ptp(expected.maps)
            assert [a.shape for a in found] == [a.shape for a in expected]
            assert np.abs(found.maps - expected.maps).max() < TOLERANCE * span
            assert np.abs(found.scores - expected.scores).max() < TOLERANCE * span
            assert np.allclose(found.embeddings, expected.embeddings, atol=1e-5)


@pytest.mark.parametrize("valid", [True, False])
def test_a_graph_through_gram_matrices_takes_any_batch(valid: bool, model: Model, tmp_path: Path) -> None:
    teacher = Teacher("test_resnet", (4, 8), SIDE)
    distiller = build("snl-rd", teacher, settings_for("snl-rd"))
    assert not has_small_matrix(teacher(torch.zeros(1, 3, SIDE, SIDE))[0])
    write_onnx(distiller, tmp_path / "model.onnx", SIDE, valid=valid)
    network = opened(tmp_path / "model.onnx", "onnx", valid, model)
    in_torch = TorchNetwork(distiller)
    for n in (1, 3):
        expected, found = in_torch(windows(n), None), network(windows(n), None, untimed)
        assert np.abs(found.maps - expected.maps).max() < TOLERANCE * np.ptp(expected.maps)


def test_int8_is_smaller_and_close_in_both_runtimes(model: Model, tmp_path: Path) -> None:
    distiller = distiller_of("rd")
    write_onnx(distiller, tmp_path / "float32.onnx", SIDE)
    quantise(tmp_path / "float32.onnx", tmp_path / "int8.onnx", ((w[None], None) for w in windows(8)))
    write_openvino(tmp_path / "int8.onnx", tmp_path / "int8.xml")
    whole = (tmp_path / "float32.onnx").stat().st_size
    given = windows(12)
    expected = TorchNetwork(distiller)(given, None)
    for form, name in (("onnx", "int8.onnx"), ("openvino", "int8.xml")):
        found = opened(tmp_path / name, form, False, model)(given, None, untimed)  # type: ignore[arg-type]
        error = np.abs(expected.maps - found.maps).max() / expected.maps.max()
        assert TOLERANCE < error < 0.1  # closer would be float32
        # The teacher is float32 in both.
        assert np.allclose(expected.embeddings, found.embeddings, atol=1e-5)
    assert (tmp_path / "int8.onnx").stat().st_size < 0.5 * whole
    assert (tmp_path / "int8.bin").stat().st_size < 0.5 * whole


def test_a_graph_tells_nothing_of_the_machine_that_wrote_it(exported: Path) -> None:
    graph = onnx.load(exported / "model.onnx")
    for weights in graph.graph.initializer:  # any three bytes are somewhere among millions
        weights.ClearField("raw_data")
    content = graph.SerializeToString()
    for word in (b"site-packages", b".py", str(Path(__file__).parents[2]).encode()):
        assert word not in content


def test_what_has_no_counterpart_is_one_sentence(tmp_path: Path) -> None:
    distiller = distiller_of("stpm")
    distiller.to_map = lambda pairs, size, valid: torch.linalg.eigvals(pairs[0].student)  # type: ignore[assignment, return-value]
    with pytest.raises(WorkError, match=r"test_resnet and its student cannot be written as ONNX .*another"):
        write_onnx(distiller, tmp_path / "model.onnx", SIDE)


def test_an_exported_folder_is_read_as_a_model(exported: Path) -> None:
    manifest = manifests.read_manifest(exported)
    assert manifest.graph is not None
    beside = {path.name for path in exported.iterdir()} - {"manifest.json"}
    assert set(manifest.files) == beside
    others = {"calibration.json", "pictures.json", "prototypes.json", "roi.json", "usual.npz"}
    assert beside == {"model.onnx", *others}
