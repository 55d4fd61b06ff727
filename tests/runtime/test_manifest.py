"""A saved model that is incomplete, altered or newer says so in one sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from understudy import METHODS, BundleError, Model, load
from understudy.distill.fusion import Fusion
from understudy.distill.network import TorchNetwork
from understudy.methods import build, settings_for
from understudy.methods.saved import save_trained
from understudy.runtime import manifest as manifests
from understudy.runtime.images import find_pictures
from understudy.runtime.roi import NO_ROIS
from understudy.runtime.scoring import Scored, Scorer


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def scored(results: Iterable[object]) -> list[tuple[float, bytes]]:
    return [(s.score, s.anomaly_map.tobytes()) for s in results if isinstance(s, Scored)]


def test_loading_and_scoring_again_gives_equal_scores_and_maps(model_folder: Path, factory: Path) -> None:
    pictures = find_pictures(factory / "nut" / "test")
    first, second = (
        scored(Model.load(model_folder, "cpu").inspector.scorer.score(pictures)) for _ in range(2)
    )
    assert len(first) == 5
    assert first == second


@pytest.mark.parametrize("method", list(METHODS))
def test_a_model_is_scored_alike_before_and_after_saving(
    method: str, model: Model, factory: Path, tmp_path: Path
) -> None:
    prototypes = model.inspector.scorer.prototypes
    distiller = build(method, model.distiller.teacher, settings_for(method)).eval()
    if isinstance(distiller.to_map, Fusion):
        distiller.to_map.fit({"local": np.arange(9.0), "global": np.arange(3.0)})
    paths = find_pictures(factory / "nut" / "test")
    before = scored(Scorer(TorchNetwork(distiller), model.preprocess, prototypes).score(paths))
    save_trained(
        tmp_path,
        distiller,
        model.inspector.seen,
        prototypes,
        NO_ROIS,
        method=method,
        settings={},
        teacher=model.manifest.teacher,
        preprocess=model.preprocess,
        training=model.manifest.training,
    )
    assert scored(Model.load(tmp_path, "cpu").inspector.scorer.score(paths)) == before


def test_the_folder_holds_tensors_and_json_alone(model_folder: Path) -> None:
    names = {p.name for p in model_folder.iterdir()}
    assert names == {
        "manifest.json",
        "calibration.json",
        "pictures.json",
        "prototypes.json",
        "roi.json",
        "student.safetensors",
        "teacher.safetensors",
        "training.jsonl",
    }
    assert load_file(model_folder / "student.safetensors")
    manifest = json.loads((model_folder / "manifest.json").read_text())
    assert manifest["method"] == "snl-rd"
    assert manifest["teacher"]["strides"] == [8, 16]
    assert manifest["training"]["categories"] == {"capsule": 4, "linen": 4, "nut": 4, "veneer": 4}
    assert set(manifest["versions"]) >= {"understudy", "torch", "timm"}


@pytest.mark.parametrize(
    "name", ["student.safetensors", "teacher.safetensors", "prototypes.json", "pictures.json"]
)
def test_a_file_that_is_cut_short_or_missing_is_named(copy: Path, name: str) -> None:
    path = copy / name
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BundleError, match=f"{name} is damaged or altered"):
        load(copy)
    path.unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load(copy)


def test_an_altered_or_cut_manifest_is_refused(copy: Path) -> None:
    manifest = copy / "manifest.json"
    whole = manifest.read_text()
    edit(manifest, method="rd")
    with pytest.raises(BundleError, match=r"manifest\.json was altered"):
        load(copy)
    manifest.write_text(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=r"manifest\.json is cut short"):
        load(copy)


def test_a_newer_format_asks_for_an_update(copy: Path) -> None:
    edit(copy / "manifest.json", bundle_schema=manifests.BUNDLE_SCHEMA + 1)
    with pytest.raises(BundleError, match=r"model of format 5, this version reads 4; update"):
        load(copy)


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no trained model"):
        load(tmp_path)
    (tmp_path / ".understudy-training").mkdir()
    with pytest.raises(BundleError, match="go on with fit --resume"):
        load(tmp_path)


def test_thresholds_can_be_changed_but_not_swapped(copy: Path, factory: Path) -> None:
    path = copy / "calibration.json"
    content = json.loads(path.read_text())
    content["thresholds"]["fail_above"] = 99.0
    path.write_text(json.dumps(content))
    thresholds = load(copy).thresholds
    assert thresholds is not None
    assert thresholds.fail_above == 99.0
    edit(path, student_sha256="0" * 64)
    with pytest.raises(BundleError, match="made for another model; calibrate again"):
        load(copy)
    edit(path, thresholds={})
    with pytest.raises(BundleError, match="is no calibration"):
        load(copy)
    path.write_text("{")
    with pytest.raises(BundleError, match=r"calibration\.json is cut short or no JSON; calibrate again"):
        load(copy)
    bare = Model.load(copy, "cpu", calibrated=False)
    mended = bare.calibrate(factory, false_alarm_rate=0.2, progress=False)
    assert mended == load(copy).calibration  # which mends it
    path.unlink()
    assert load(copy).thresholds is None


@pytest.mark.parametrize(("step", "way_out"), [(-1, "calibrate again"), (1, "update understudy")])
def test_a_calibration_of_another_format_says_what_to_do(copy: Path, step: int, way_out: str) -> None:
    schema = manifests.BUNDLE_SCHEMA + step
    edit(copy / "calibration.json", bundle_schema=schema)
    with pytest.raises(
        BundleError, match=f"calibration of format {schema}, this version reads .*; {way_out}"
    ):
        load(copy)


def test_an_older_model_asks_to_be_trained_again(copy: Path) -> None:
    edit(copy / "manifest.json", bundle_schema=manifests.BUNDLE_SCHEMA - 1)
    with pytest.raises(BundleError, match=r"model of format 3, this version reads 4; train it again"):
        load(copy)


def test_the_light_runtime_does_not_import_torch() -> None:
    code = (
        "import sys, understudy, understudy.cli, understudy.runtime.manifest, understudy.runtime.images, "
        "understudy.runtime.decision, understudy.runtime.heatmap, understudy.runtime.inspector, "
        "understudy.runtime.regions; assert not {'torch', 'scipy', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
