"""An exported folder in every place where a model is asked for: scored, or one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from understudy import BundleError, InputError, Inspector, load
from understudy.cli import main
from understudy.cli.opening import open_inspector
from understudy.export import export
from understudy.progress import Stopwatch
from understudy.runtime import manifest as manifests


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.mark.parametrize(
    "verb",
    [
        ["fit", "DATA", "--resume", "--out", "EXPORTED"],
        ["diagnose", "EXPORTED", "DATA"],
        ["export", "EXPORTED", "--out", "OUT"],
    ],
    ids=lambda verb: verb[0],
)
def test_what_an_exported_model_cannot_do_names_the_folder_to_give_instead(
    verb: list[str], exported_copy: Path, factory: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    before = sorted(p.name for p in exported_copy.iterdir())
    places = {"EXPORTED": exported_copy, "DATA": factory, "OUT": tmp_path / "out"}
    assert run(*(places.get(word, word) for word in verb)) == 2
    error = the_error()
    assert f"{exported_copy} is an exported model" in error
    assert error.endswith("it was made of")
    assert sorted(p.name for p in exported_copy.iterdir()) == before


def test_a_training_never_goes_over_an_export_unasked(
    exported_copy: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    assert run("fit", factory, "--out", exported_copy) == 2
    assert "already holds a trained model; choose another --out" in the_error()
    assert Inspector.load(exported_copy).categories


def test_an_exported_model_is_not_asked_to_run_on_a_gpu(
    exported: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    assert run("predict", exported, factory, "--device", "cuda") == 2
    assert f"{exported} is exported and has no torch device; leave out --device" in the_error()


@pytest.mark.usefixtures("written")
def test_a_trained_model_and_a_graph_for_openvino_take_no_provider_of_onnxruntime(
    model_folder: Path, factory: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    assert run("calibrate", model_folder, factory, "--provider", "cuda") == 2
    assert f"{model_folder} is a trained model, which torch runs; leave out --provider" in the_error()
    with pytest.raises(InputError, match=r"model\.xml is a graph for OpenVINO.*--format onnx"):
        open_inspector(_for_openvino(model_folder, tmp_path / "line"), provider="openvino")


def test_a_provider_reaches_the_graph_from_every_verb_that_scores(
    exported: Path, factory: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    for verb in ("predict", "evaluate", "calibrate"):
        assert run(verb, exported, factory, "--provider", "tensorrt") == 2
        assert "--provider tensorrt needs an ONNX Runtime with TensorRT, and this one has cpu" in the_error()


def test_workers_that_score_take_no_provider(
    exported: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    assert run("evaluate", exported, factory, "--provider", "cuda", "--workers", 2) == 2
    assert "--workers score on the processor; leave them out, or --provider cuda" in the_error()


def _for_openvino(model: Path, out: Path) -> Path:
    export(model, out, format="openvino", progress=False)
    return out


def test_a_model_that_is_not_exported_is_no_inspectors(model_folder: Path) -> None:
    with pytest.raises(BundleError, match=f"no graph; make one with understudy export {model_folder} --out"):
        Inspector.load(model_folder)


@pytest.mark.parametrize("fault", ["damaged or altered", "missing"])
def test_a_graph_that_is_cut_short_swapped_or_missing_is_named(
    fault: str, exported_copy: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    graph = exported_copy / "model.onnx"
    whole = graph.read_bytes()
    for content in (whole[:-10], whole[::-1]) if fault == "damaged or altered" else (None,):
        graph.unlink()
        if content is not None:
            graph.write_bytes(content)
        assert run("predict", exported_copy, factory) == 2
        assert f"{graph} is {fault}; take the model from its source" in the_error()


@pytest.mark.parametrize(
    ("schema", "way_out"),
    [(3, "train it again"), (manifests.BUNDLE_SCHEMA + 1, "update understudy")],
)
def test_a_folder_of_another_format_says_what_to_do(
    schema: int, way_out: str, exported_copy: Path, model_folder: Path, tmp_path: Path, factory: Path
) -> None:
    trained = Path(shutil.copytree(model_folder, tmp_path / "trained"))
    for folder, open_folder in ((exported_copy, Inspector.load), (trained, load)):
        manifest = folder / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"bundle_schema": schema}))
        sentence = (
            f"{folder} is a model of format {schema}, this version reads {manifests.BUNDLE_SCHEMA}; {way_out}"
        )
        with pytest.raises(BundleError, match=sentence):
            open_folder(folder)


def test_a_manifest_that_is_cut_short_is_named(
    exported_copy: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    manifest = exported_copy / "manifest.json"
    manifest.write_text(manifest.read_text()[:-20])
    assert run("predict", exported_copy, factory) == 2
    assert f"{manifest} is cut short or no JSON; take the model from its source" in the_error()


def test_a_calibration_of_another_model_is_refused(
    exported_copy: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    calibration = exported_copy / "calibration.json"
    calibration.write_text(json.dumps(json.loads(calibration.read_text()) | {"student_sha256": "0" * 64}))
    assert run("predict", exported_copy, factory) == 2
    assert f"{calibration} is damaged or altered; calibrate again" in the_error()


def test_a_trained_and_an_exported_model_open_as_the_same_thing(model_folder: Path, exported: Path) -> None:
    ours, theirs = open_inspector(model_folder, "cpu"), open_inspector(exported)
    assert type(ours) is type(theirs) is Inspector
    assert ours.categories == theirs.categories
    assert ours.calibration == theirs.calibration is not None
    assert ours.folder == model_folder
    assert theirs.folder == exported


def test_thresholds_are_left_alone_where_they_are_not_wanted(exported_copy: Path, model_folder: Path) -> None:
    (exported_copy / "calibration.json").write_text("{")
    assert open_inspector(exported_copy, calibrated=False).calibration is None
    with pytest.raises(BundleError, match=r"calibration\.json"):
        open_inspector(exported_copy)
    assert open_inspector(model_folder, "cpu", calibrated=False).calibration is None


def test_a_stopwatch_waits_for_the_device_of_a_trained_model(model_folder: Path, exported: Path) -> None:
    def nothing() -> None: ...

    watch = Stopwatch()
    watch.synchronize = nothing
    open_inspector(exported, watch=watch)
    assert watch.synchronize is nothing
    open_inspector(model_folder, "cpu", watch)
    assert watch.synchronize is not nothing
    watch.synchronize()


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"{tmp_path} holds no trained model"):
        open_inspector(tmp_path)
