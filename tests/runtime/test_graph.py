"""An exported graph scores as its operators say, and one that cannot be run says why."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from understudy import Model
from understudy.errors import BundleError, InputError
from understudy.files import sha256_of
from understudy.progress import Stopwatch, untimed
from understudy.runtime.graph import Network, open_graph
from understudy.runtime.manifest import GraphCard, Manifest
from understudy.types import GraphFormat

SIDE = 8


def write_graph(path: Path, valid: bool = False, opset: int = 18) -> None:
    """The map is the first channel, where it counts; the embedding is the mean of the channels."""
    nodes = [
        helper.make_node("Gather", ["images", "first"], ["channel"], axis=1),
        helper.make_node("Mul", ["channel", "care"], ["map"])
        if valid
        else helper.make_node("Identity", ["channel"], ["map"]),
        helper.make_node("ReduceMax", ["map", "but_batch"], ["score"], keepdims=0),
        helper.make_node("ReduceMean", ["images", "over_pixels"], ["embedding"], keepdims=0),
    ]
    channels = {"images": 3, "care": 1} if valid else {"images": 3}
    shapes: dict[str, list[int | str]] = {
        "map": ["n", 1, SIDE, SIDE],
        "score": ["n"],
        "embedding": ["n", 3],
    }
    constants = {"first": [0], "but_batch": [1, 2, 3], "over_pixels": [2, 3]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", c, SIDE, SIDE])
            for name, c in channels.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor(name, TensorProto.INT64, [len(v)], v) for name, v in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)


def manifest_for(model: Model, folder: Path, form: GraphFormat, valid: bool = False) -> Manifest:
    names = ["model.onnx"] if form == "onnx" else ["model.xml", "model.bin"]
    card = GraphCard(
        format=form,
        file=names[0],
        precision="float32",
        opset=18,
        care=valid,
        student_sha256="0" * 64,
        parity=None,
    )
    hashes = {name: sha256_of(folder / name) for name in names}
    return model.manifest.model_copy(update={"files": hashes, "graph": card})


def tiny(model: Model, folder: Path, form: GraphFormat, valid: bool = False) -> Network:
    write_graph(folder / "model.onnx", valid)
    if form == "openvino":
        openvino.save_model(openvino.Core().read_model(folder / "model.onnx"), folder / "model.xml")
    return open_graph(folder, manifest_for(model, folder, form, valid), threads=1)


def pictures(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 3, SIDE, SIDE), np.float32)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
@pytest.mark.parametrize("n", [1, 3])
def test_maps_scores_and_embeddings_come_in_their_places(
    form: GraphFormat, n: int, model: Model, tmp_path: Path
) -> None:
    given = pictures(n)
    found = tiny(model, tmp_path, form)(given, None, untimed)
    assert np.array_equal(found.maps, given[:, 0])
    assert np.array_equal(found.scores, given[:, 0].max((1, 2)))
    assert np.allclose(found.embeddings, given.mean((2, 3)), atol=1e-6)
    assert {part.dtype for part in found} == {np.dtype(np.float32)}


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_what_does_not_count_is_told_the_graph_and_by_default_all_counts(
    form: GraphFormat, model: Model, tmp_path: Path
) -> None:
    network, given = tiny(model, tmp_path, form, valid=True), pictures(2)
    valid = np.zeros((2, 1, SIDE, SIDE), np.float32)
    valid[:, :, :2] = 1
    assert np.array_equal(network(given, valid, untimed).maps, given[:, 0] * valid[:, 0])
    assert np.array_equal(network(given, None, untimed).maps, given[:, 0])


def test_a_graph_that_knows_no_ignored_pixels_refuses_them(model: Model, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"takes no mask of valid pixels, .*; export it again"):
        tiny(model, tmp_path, "onnx")(pictures(1), np.ones((1, 1, SIDE, SIDE), np.float32), untimed)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_threads_that_share_a_network_get_their_own_answers(
    form: GraphFormat, model: Model, tmp_path: Path
) -> None:
    network = tiny(model, tmp_path, form)
    given = [pictures(1 + seed % 3, seed) for seed in range(64)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda images: network(images, None, untimed), given))
    assert all(np.array_equal(a.maps, images[:, 0]) for a, images in zip(found, given, strict=True))


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_answers_stay_as_they_are_when_the_network_goes_on(
    form: GraphFormat, model: Model, tmp_path: Path
) -> None:
    network = tiny(model, tmp_path, form)
    first = network(pictures(2), None, untimed)
    network(pictures(2, seed=1), None, untimed)
    assert np.array_equal(first.maps, pictures(2)[:, 0])


def test_the_time_of_a_batch_is_that_of_the_network(model: Model, tmp_path: Path) -> None:
    watch = Stopwatch()
    tiny(model, tmp_path, "onnx")(pictures(2), None, watch.lap)
    assert any(line.startswith("network") for line in watch.report())


def test_a_model_without_a_graph_says_how_to_make_one(model: Model, model_folder: Path) -> None:
    with pytest.raises(BundleError, match=f"no graph; make one with understudy export {model_folder} --out"):
        open_graph(model_folder, model.manifest)


@pytest.mark.parametrize(("form", "name"), [("onnx", "model.onnx"), ("openvino", "model.xml")])
def test_a_sound_hash_over_a_broken_graph_is_one_sentence(
    form: GraphFormat, name: str, model: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny(model, tmp_path, form)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        BundleError, match=rf"{name} is unaltered, but .* cannot load it \(opset 18\); update"
    ):
        open_graph(tmp_path, manifest_for(model, tmp_path, form))


@pytest.mark.parametrize("form", ["onnx", "openvino"])
@pytest.mark.parametrize("valid", [False, True])
def test_a_graph_with_other_inputs_than_its_manifest_says_is_refused(
    form: GraphFormat, valid: bool, model: Model, tmp_path: Path
) -> None:
    tiny(model, tmp_path, form, valid)
    with pytest.raises(BundleError, match=r"takes .*, not what its manifest says; export it again"):
        open_graph(tmp_path, manifest_for(model, tmp_path, form, not valid))


def test_operators_newer_than_the_runtime_ask_for_its_update(
    model: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_graph(tmp_path / "model.onnx", opset=99)
    with pytest.raises(
        BundleError, match=r"cannot load it .* update that runtime, or export the model again"
    ):
        open_graph(tmp_path, manifest_for(model, tmp_path, "onnx"))
    assert capfd.readouterr() == ("", "")


def test_openvino_that_is_not_installed_is_named_with_its_extra(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(model, tmp_path, "openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"model\.xml needs .*pip install 'understudy\[openvino\]'"):
        open_graph(tmp_path, manifest_for(model, tmp_path, "openvino"))


def test_each_runtime_waits_until_a_graph_needs_it() -> None:
    code = (
        "import sys, understudy.runtime.graph; "
        "sys.exit(' '.join({'torch', 'onnx', 'onnxruntime', 'openvino'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
