"""An export proves that it says the same, keeps to its folder, and leaves nothing behind when it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from understudy import BundleError, InputError, Model, WorkError
from understudy.calibrate import calibrate
from understudy.calibrate import job as calibration_job
from understudy.data.layouts import open_pictures
from understudy.export import export, job, parity
from understudy.progress import Lap, Reporter
from understudy.runtime import manifest as manifests
from understudy.runtime.bundle import read_calibration, save_calibration
from understudy.runtime.graph import Answers, Network, open_graph
from understudy.runtime.inspector import Inspector
from understudy.runtime.sources import digest_of


def off_by(error: float) -> Callable[[Path, manifests.Manifest], Network]:
    """Opens a graph whose maps and scores are wrong."""

    def opened(folder: Path, manifest: manifests.Manifest) -> Network:
        network = open_graph(folder, manifest)

        def wrong(images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap) -> Answers:
            found = network(images, valid, lap)
            return found._replace(maps=found.maps + np.float32(error))

        return wrong

    return opened


def test_an_export_holds_a_graph_and_what_a_verdict_needs_and_no_more(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "calibration.json",
        "manifest.json",
        "model.onnx",
        "pictures.json",
        "prototypes.json",
        "roi.json",
        "usual.npz",
    ]


def test_an_export_gives_the_models_own_verdicts(exported: Path, model: Model, factory: Path) -> None:
    """On test pictures: a limit is the figure of a held-out one, which is exactly there."""
    pictures = sorted(factory.glob("*/test"))
    ours = list(model.predict(pictures))
    theirs = list(Inspector.load(exported, threads=1).predict(pictures))
    assert len(ours) == len(theirs) == 20
    for a, b in zip(ours, theirs, strict=True):
        assert a.ok
        assert b.ok
        assert (a.path, a.verdict, a.category, a.size) == (b.path, b.verdict, b.category, b.size)
        assert b.score == pytest.approx(a.score, rel=1e-3, abs=1e-3)
        np.testing.assert_allclose(b.anomaly_map, a.anomaly_map, atol=1e-2)


def test_what_is_usual_is_that_of_the_model(exported: Path, model_folder: Path) -> None:
    assert (exported / "usual.npz").read_bytes() == (model_folder / "usual.npz").read_bytes()
    assert manifests.read_manifest(exported).image_score == "comparable"


def test_the_same_maps_give_the_same_scores_maps_verdicts_and_regions_bit_for_bit(
    exported: Path, model: Model, factory: Path
) -> None:
    theirs = Inspector.load(exported, threads=1)
    theirs.scorer = replace(theirs.scorer, network=model.inspector.scorer.network)
    pictures = sorted(factory.glob("*/t*"))
    ours, found = (list(m.predict(pictures)) for m in (model, theirs))
    assert len(ours) == len(found) == 44
    assert any(r.regions for r in ours)
    for a, b in zip(ours, found, strict=True):
        assert a.anomaly_map.tobytes() == b.anomaly_map.tobytes()
        assert replace(a, anomaly_map=b.anomaly_map) == b


@pytest.mark.usefixtures("written")
def test_an_export_of_a_model_whose_score_is_a_maximum_has_no_such_file(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    (folder / "usual.npz").unlink()
    manifest = manifests.Manifest.model_validate(
        {k: v for k, v in json.loads((folder / "manifest.json").read_text()).items() if k != "seal"}
    )
    kept = {name: digest for name, digest in manifest.files.items() if name != "usual.npz"}
    manifests.write_manifest(folder, manifest.model_copy(update={"image_score": "maximum", "files": kept}))
    export(folder, tmp_path / "out", data=factory)
    assert not (tmp_path / "out" / "usual.npz").exists()
    for result in Inspector.load(tmp_path / "out", threads=1).predict(factory / "nut" / "test"):
        assert result.score == float(result.anomaly_map.max())


def test_what_was_compared_is_said_in_two_lines_and_kept(exported: Path, said: list[str]) -> None:
    card = manifests.read_manifest(exported).graph
    assert card is not None
    assert card.parity is not None
    assert (card.parity.windows, card.parity.source) == (32, f"pictures of {_name(said)}")
    assert card.parity.map_error_relative < 1e-4
    assert card.parity.verdicts is not None
    assert card.parity.verdicts[1] == 0
    first, *lines = said
    assert first == "writing snl-rd on tf_efficientnet_lite0 as onnx"
    assert len(lines) == 2
    assert lines[0].startswith("onnxruntime ")
    assert "verdicts alike" in lines[1]


def _name(said: list[str]) -> str:
    return said[1].partition("pictures of ")[2].partition(":")[0]


@pytest.mark.usefixtures("written")
def test_openvino_is_proved_too_and_a_model_that_is_not_calibrated_has_no_verdicts(
    model_folder: Path, factory: Path, tmp_path: Path, uncalibrate: Callable[[Path], Path]
) -> None:
    model = uncalibrate(Path(shutil.copytree(model_folder, tmp_path / "model")))
    said: list[str] = []
    manifest = export(
        model, tmp_path / "out", format="openvino", data=factory, progress=Reporter(say=said.append)
    )
    assert manifest.graph is not None
    assert manifest.graph.parity is not None
    assert manifest.graph.parity.runtime.startswith("openvino ")
    assert manifest.graph.parity.verdicts is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "model.bin",
        "model.xml",
        "pictures.json",
        "prototypes.json",
        "roi.json",
        "usual.npz",
    ]
    assert Inspector.load(tmp_path / "out", threads=1).calibration is None


@pytest.mark.usefixtures("written")
def test_without_data_noise_is_compared_and_it_says_so(model_folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    manifest = export(model_folder, tmp_path / "out", progress=Reporter(say=said.append))
    assert "no --data is named: compared on noise" in said
    assert manifest.graph is not None
    assert manifest.graph.parity is not None
    assert manifest.graph.parity.source == "noise"
    assert manifest.graph.parity.windows > 20


@pytest.mark.usefixtures("written")
def test_int8_is_proved_by_ranks_and_smaller(
    exported: Path,
    model: Model,
    model_folder: Path,
    factory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parity, "RANK_FLOOR", 1.1)
    with pytest.raises(
        WorkError, match=r"the rank correlation .*; nothing was exported, .* in another --precision"
    ):
        export(model_folder, tmp_path / "out", precision="int8", data=factory)
    monkeypatch.setattr(parity, "RANK_FLOOR", 0.9)  # scores after six steps of training are all much alike
    manifest = export(model_folder, tmp_path / "out", precision="int8", data=factory)
    assert manifest.graph is not None
    assert manifest.graph.precision == "int8"
    assert (tmp_path / "out" / "model.onnx").stat().st_size < 0.7 * (exported / "model.onnx").stat().st_size

    held_out = {digest_of(r.path.read_bytes()): r.path for r in open_pictures(factory).train()}
    unseen = [held_out[digest] for digest in model.inspector.seen.held_out]
    judged = list(Inspector.load(tmp_path / "out").predict(unseen))
    assert all(r.ok for r in judged)
    failed = [r.verdict for r in judged].count("FAIL")
    assert failed <= 0.15 * len(unseen)  # the model's own promise, by thresholds of the graph's own scores
    ours = read_calibration(tmp_path / "out", manifest)
    theirs = model.calibration
    assert ours is not None
    assert theirs is not None
    assert ours.thresholds.fail_above != theirs.thresholds.fail_above
    assert ours.thresholds.n_good == len(unseen)
    assert ours.thresholds.false_alarm_rate == theirs.thresholds.false_alarm_rate


@pytest.mark.usefixtures("written")
def test_an_export_in_int8_without_unseen_pictures_has_no_thresholds_and_says_so(
    model: Model, model_folder: Path, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "RANK_FLOOR", 0.0)
    seen = set(model.inspector.seen.trained)
    known = shutil.copytree(factory, tmp_path / "known")
    for record in open_pictures(known).train():
        if digest_of(record.path.read_bytes()) not in seen:
            record.path.unlink()
    lines: list[str] = []
    export(model_folder, tmp_path / "out", precision="int8", data=known, progress=Reporter(say=lines.append))
    assert "scores in int8 are others, and 0 good pictures" in lines[-1]
    assert Inspector.load(tmp_path / "out").calibration is None


@pytest.mark.usefixtures("written")
def test_an_export_in_int8_estimates_what_its_pictures_are_too_few_to_promise(
    model_folder: Path, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "quantise", lambda graph, path, inputs: shutil.copyfile(graph, path))
    for module in (job, calibration_job):
        monkeypatch.setattr(module, "FEWEST", 16)
    strict = Model.load(shutil.copytree(model_folder, tmp_path / "strict"), "cpu")
    assert strict.calibration is not None
    rates = {"false_alarm_rate": 0.01, "review_rate": 0.05}
    thresholds = strict.calibration.thresholds.model_copy(update=rates)
    asked = strict.calibration.model_copy(update={"thresholds": thresholds})
    save_calibration(strict.folder, strict.manifest, asked)
    for path in factory.glob("*/*/good/*.png"):
        product = tmp_path / "data" / path.parts[-4]
        product.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, product / f"{path.parts[-3]}-{path.name}")
    export(strict.folder, tmp_path / "out", precision="int8", data=tmp_path / "data")
    found = Inspector.load(tmp_path / "out", threads=1).calibration
    assert found is not None
    assert (found.thresholds.basis, found.thresholds.n_good) == ("estimated", 16)
    assert found.thresholds.false_alarm_rate == 0.01


@pytest.mark.usefixtures("written")
def test_what_an_export_that_was_killed_has_left_is_in_nobodys_way(
    model_folder: Path, tmp_path: Path
) -> None:
    left = tmp_path / "out" / ".understudy-draft-x1y2"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half of it")
    export(model_folder, tmp_path / "out")
    assert not left.exists()


def test_an_export_is_calibrated_like_its_model(
    exported: Path, model_folder: Path, factory: Path, tmp_path: Path, uncalibrate: Callable[[Path], Path]
) -> None:
    copy = uncalibrate(Path(shutil.copytree(exported, tmp_path / "copy")))
    ours = calibrate(Inspector.load(copy), factory, false_alarm_rate=0.15)
    trained = Model.load(shutil.copytree(model_folder, tmp_path / "trained"), "cpu")
    theirs = trained.calibrate(factory, false_alarm_rate=0.15)
    assert ours.thresholds.n_good == theirs.thresholds.n_good
    assert ours.thresholds.fail_above == pytest.approx(theirs.thresholds.fail_above, rel=1e-3)
    assert Inspector.load(copy).calibration == ours


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("error", [0.1, np.nan])
def test_a_graph_that_says_something_else_is_loud_and_leaves_nothing(
    error: float, model_folder: Path, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "open_graph", off_by(error))
    with pytest.raises(WorkError, match=r"does not follow .* its map is off by .*; nothing was exported"):
        export(model_folder, tmp_path / "out", data=factory)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("written")
def test_an_earlier_export_is_replaced_only_when_asked_and_only_by_a_proved_one(
    exported: Path, model_folder: Path, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(exported, tmp_path / "out"))
    with pytest.raises(InputError, match=r"already holds an exported model; .* --overwrite it"):
        export(model_folder, out, data=factory)
    with monkeypatch.context() as patch:
        patch.setattr(job, "open_graph", off_by(0.1))
        with pytest.raises(WorkError):
            export(model_folder, out, data=factory, overwrite=True)
    assert Inspector.load(out, threads=1).categories == Inspector.load(exported, threads=1).categories
    export(model_folder, out, format="openvino", data=factory, overwrite=True)
    assert not (out / "model.onnx").exists()
    others = {"pictures.json", "prototypes.json", "roi.json", "calibration.json", "usual.npz"}
    assert manifests.read_manifest(out).files.keys() == {"model.xml", "model.bin", *others}


def test_a_folder_of_something_else_is_left_alone(model_folder: Path, tmp_path: Path) -> None:
    for out in (tmp_path, model_folder):
        (tmp_path / "mine.txt").touch()
        with pytest.raises(InputError, match="something that no export made; choose an empty folder"):
            export(model_folder, out, overwrite=True)
    assert (model_folder / "student.safetensors").is_file()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"precision": "int8"}, "int8 changes scores, so it takes good pictures; name them with --data"),
        ({"precision": "bf16"}, "bf16 is computed by OpenVINO alone; add --format openvino"),
        ({"precision": "half"}, "a graph computes in float32, bf16, int8, got 'half'"),
        ({"format": "tflite"}, "exported as onnx or openvino, got 'tflite'"),
        ({"data": "nowhere"}, "nowhere does not exist"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_makes_no_folder(
    asked: dict[str, object], sentence: str, model_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        export(model_folder, tmp_path / "out", **asked)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_an_exported_model_cannot_be_exported_again(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is an exported model"):
        export(exported, tmp_path / "out")


@pytest.mark.parametrize(("package", "extra"), [("onnxscript", "train"), ("openvino", "openvino")])
def test_a_tool_that_is_not_installed_is_named_with_its_extra(
    package: str, extra: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = job.importlib.util.find_spec
    monkeypatch.setattr(job.importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(InputError, match=rf"understudy\[{extra}\]"):
        export(model_folder, tmp_path / "out", format="openvino")


def test_the_originals_calibration_fits_its_export(exported: Path, model_folder: Path) -> None:
    ours, theirs = (json.loads((f / "calibration.json").read_text()) for f in (model_folder, exported))
    assert ours == theirs
