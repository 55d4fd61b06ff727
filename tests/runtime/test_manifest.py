"""A saved model that is incomplete, altered or newer says so in one sentence."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from understudy import METHODS, BundleError, Model, load
from understudy.distill.fusion import Fusion
from understudy.distill.network import TorchNetwork
from understudy.distill.teacher import Teacher
from understudy.files import sha256_of
from understudy.folders import read_sealed, write_sealed
from understudy.methods import build, settings_for
from understudy.methods.saved import save_trained
from understudy.runtime import manifest as manifests
from understudy.runtime.roi import NO_ROIS
from understudy.runtime.scoring import Scored, Scorer
from understudy.runtime.walk import find_pictures


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
    teacher, card = model.distiller.teacher, model.manifest.teacher
    if method == "dinomaly":
        teacher = Teacher("test_vit", (16, 16), 64)
        card = card.model_copy(update={"name": "test_vit", "strides": (16, 16)})
        prototypes = {name: vector[:64] for name, vector in prototypes.items()}
    distiller = build(method, teacher, settings_for(method)).eval()
    if isinstance(distiller.to_map, Fusion):
        distiller.to_map.fit({name: np.arange(9.0) for name in distiller.to_map.parts})
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
        teacher=card,
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
        "usual.npz",
    }
    assert load_file(model_folder / "student.safetensors")
    manifest = json.loads((model_folder / "manifest.json").read_text())
    assert manifest["method"] == "snl-rd"
    assert manifest["teacher"]["strides"] == [8, 16]
    assert manifest["training"]["categories"] == {"capsule": 4, "linen": 4, "nut": 4, "veneer": 4}
    assert set(manifest["versions"]) >= {"understudy", "torch", "timm"}


@pytest.mark.parametrize(
    "name", ["student.safetensors", "teacher.safetensors", "prototypes.json", "pictures.json", "usual.npz"]
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
    with pytest.raises(BundleError, match=r"model of format 10, this version reads 9; update"):
        load(copy)


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no trained model"):
        load(tmp_path)
    (tmp_path / ".understudy-training").mkdir()
    with pytest.raises(BundleError, match="go on with fit --resume"):
        load(tmp_path)


def reseal(folder: Path, **changes: object) -> None:
    """Write other content into a manifest, sealed, as a program that knows the format could."""
    path = folder / "manifest.json"
    content = {k: v for k, v in json.loads(path.read_text()).items() if k != "seal"}
    write_sealed(path, content | changes)


def without(copy: Path, name: str) -> dict[str, str]:
    """The list of files without one of them."""
    return {k: v for k, v in json.loads((copy / "manifest.json").read_text())["files"].items() if k != name}


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_bit_in_the_calibration_is_refused_and_calibrating_again_mends_it(
    copy: Path, factory: Path, place: float, calibrated: bool
) -> None:
    path = copy / "calibration.json"
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"calibration\.json is damaged or altered; calibrate again"):
        load(copy)
    if calibrated:
        bare = Model.load(copy, "cpu", calibrated=False)
        assert bare.calibration is None
        mended = bare.calibrate(factory, false_alarm_rate=0.2, progress=False)
        assert mended == load(copy).calibration == bare.calibration


def test_a_calibration_that_is_gone_is_said_and_not_taken_for_none(copy: Path) -> None:
    (copy / "calibration.json").unlink()
    with pytest.raises(BundleError, match=r"calibration\.json is missing; calibrate again"):
        load(copy)


def test_a_calibration_of_another_model_does_not_fit(copy: Path) -> None:
    edit(copy / "calibration.json", student_sha256="0" * 64)
    listed = without(copy, "") | {"calibration.json": sha256_of(copy / "calibration.json")}
    reseal(copy, files=listed)
    with pytest.raises(BundleError, match="made for another model; calibrate again"):
        load(copy)


def test_thresholds_that_are_not_on_the_list_are_refused(copy: Path) -> None:
    reseal(copy, files=without(copy, "calibration.json"))
    with pytest.raises(BundleError, match=r"calibration\.json does not belong to this model; move it away"):
        load(copy)
    (copy / "calibration.json").unlink()
    assert load(copy).thresholds is None


@pytest.mark.parametrize(
    "name", ["student.safetensors", "prototypes.json", "roi.json", "pictures.json", "usual.npz"]
)
def test_a_manifest_that_leaves_a_file_out_that_decides_is_refused(copy: Path, name: str) -> None:
    reseal(copy, files=without(copy, name))
    with pytest.raises(BundleError, match=f"does not cover {name}"):
        load(copy)


def test_a_manifest_that_names_a_file_outside_is_refused(copy: Path) -> None:
    reseal(copy, files=without(copy, "") | {"../x": "0"})
    with pytest.raises(BundleError, match=r"names '\.\./x', which is no file of this folder"):
        load(copy)


def first_edition(folder: Path) -> Path:
    """Turn a model into what the first edition wrote: the list of files leaves the calibration out."""
    listed = without(folder, "calibration.json")
    del listed["usual.npz"]
    (folder / "usual.npz").unlink()
    drop(folder, "image_score")
    reseal(folder, bundle_schema=4, files=listed)
    edit(folder / "calibration.json", bundle_schema=4)
    return folder


def drop(folder: Path, name: str) -> None:
    """Leave an entry out of a manifest, sealed."""
    path = folder / "manifest.json"
    write_sealed(path, {k: v for k, v in json.loads(path.read_text()).items() if k not in (name, "seal")})


def test_a_model_of_the_first_edition_loads_with_its_thresholds(copy: Path, model: Model) -> None:
    assert load(first_edition(copy)).thresholds == model.thresholds


def test_a_model_of_format_6_which_names_no_blocks_of_its_teacher_scores_as_before(
    copy: Path, model: Model, factory: Path
) -> None:
    teacher = json.loads((copy / "manifest.json").read_text())["teacher"]
    edit(copy / "calibration.json", bundle_schema=6)
    listed = without(copy, "") | {"calibration.json": sha256_of(copy / "calibration.json")}
    reseal(copy, bundle_schema=6, teacher={k: teacher[k] for k in teacher if k != "blocks"}, files=listed)
    old, pictures = Model.load(copy, "cpu"), find_pictures(factory / "nut" / "test")
    assert old.manifest.teacher.blocks is None
    for ours, theirs in zip(old.predict(pictures), model.predict(pictures), strict=True):
        assert (ours.score, ours.verdict) == (theirs.score, theirs.verdict)


def test_a_model_of_format_7_which_keeps_no_measurement_of_the_precision_scores_as_before(
    copy: Path, model: Model, factory: Path
) -> None:
    training = json.loads((copy / "manifest.json").read_text())["training"]
    edit(copy / "calibration.json", bundle_schema=7)
    listed = without(copy, "") | {"calibration.json": sha256_of(copy / "calibration.json")}
    reseal(
        copy, bundle_schema=7, training={k: training[k] for k in training if k != "measured"}, files=listed
    )
    old, pictures = Model.load(copy, "cpu"), find_pictures(factory / "nut" / "test")
    assert old.manifest.training.measured is None
    for ours, theirs in zip(old.predict(pictures), model.predict(pictures), strict=True):
        assert (ours.score, ours.verdict) == (theirs.score, theirs.verdict)


def test_a_model_of_format_8_which_knows_no_compositions_scores_as_before(
    copy: Path, model: Model, factory: Path
) -> None:
    edit(copy / "calibration.json", bundle_schema=8)
    listed = without(copy, "") | {"calibration.json": sha256_of(copy / "calibration.json")}
    reseal(copy, bundle_schema=8, files=listed)
    old, pictures = Model.load(copy, "cpu"), find_pictures(factory / "nut" / "test")
    assert "logical" not in old.manifest.settings
    for ours, theirs in zip(old.predict(pictures), model.predict(pictures), strict=True):
        assert (ours.score, ours.verdict) == (theirs.score, theirs.verdict)


@pytest.mark.parametrize("schema", [4, 5])
def test_the_score_of_a_model_of_an_older_format_is_still_the_maximum_of_its_map(
    copy: Path, model: Model, factory: Path, schema: int
) -> None:
    first_edition(copy)
    if schema == 5:
        edit(copy / "calibration.json", bundle_schema=5)
        listed = without(copy, "") | {"calibration.json": sha256_of(copy / "calibration.json")}
        reseal(copy, bundle_schema=5, files=listed)
    old, pictures = Model.load(copy, "cpu"), find_pictures(factory / "nut" / "test")
    assert (old.manifest.image_score, old.inspector.scorer.usual) == ("maximum", None)
    raw = replace(model.inspector.scorer, usual=None)
    for ours, theirs in zip(old.predict(pictures), raw.score(pictures), strict=True):
        assert isinstance(theirs, Scored)
        assert ours.score == theirs.score == float(ours.anomaly_map.max())
        np.testing.assert_array_equal(ours.anomaly_map, theirs.anomaly_map)


def test_a_model_without_what_is_usual_may_not_say_that_its_scores_are_comparable(copy: Path) -> None:
    first_edition(copy)
    reseal(copy, bundle_schema=6, image_score="comparable", files=without(copy, ""))
    with pytest.raises(BundleError, match=r"does not cover usual\.npz; export or train it again"):
        load(copy)


def test_calibrating_a_model_of_the_first_edition_puts_its_thresholds_on_the_list(
    copy: Path, factory: Path
) -> None:
    old = Model.load(first_edition(copy), "cpu")
    new = old.calibrate(factory, false_alarm_rate=0.2, progress=False)
    assert load(copy).calibration == new
    edit(copy / "calibration.json", min_area=1)
    with pytest.raises(BundleError, match="damaged or altered"):
        load(copy)


@pytest.mark.parametrize(("schema", "way_out"), [(3, "calibrate again"), (10, "update understudy")])
def test_a_calibration_of_another_format_says_what_to_do(copy: Path, schema: int, way_out: str) -> None:
    edit(first_edition(copy) / "calibration.json", bundle_schema=schema)
    with pytest.raises(
        BundleError, match=f"calibration of format {schema}, this version reads .*; {way_out}"
    ):
        load(copy)


def test_json_that_is_nested_too_deep_is_no_json(copy: Path) -> None:
    (copy / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(BundleError, match=r"manifest\.json is cut short or no JSON"):
        load(copy)


def test_files_can_be_read_by_whom_the_umask_lets(model_folder: Path, exported: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    for path in (*model_folder.iterdir(), *exported.iterdir()):
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask, path.name


def test_an_older_model_asks_to_be_trained_again(copy: Path) -> None:
    edit(copy / "manifest.json", bundle_schema=3)
    with pytest.raises(BundleError, match=r"model of format 3, this version reads 9; train it again"):
        load(copy)


def test_the_light_runtime_does_not_import_torch() -> None:
    code = (
        "import sys, understudy, understudy.cli, understudy.runtime.manifest, understudy.runtime.images, "
        "understudy.runtime.decision, understudy.runtime.heatmap, understudy.runtime.inspector, "
        "understudy.runtime.regions; assert not {'torch', 'scipy', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        *(("manifest.json", depth) for depth in (300, 900, 980, 100_000)),
        *(("calibration.json", depth) for depth in (300, 900, 980, 100_000)),
        *((name, 100_000) for name in ("prototypes.json", "roi.json", "pictures.json")),
    ],
)
def test_a_file_that_is_nested_too_deeply_is_one_sentence(copy: Path, name: str, depth: int) -> None:
    deep = '{"a": ' * depth + "1" + "}" * depth
    (copy / name).write_text(deep)
    if name != "manifest.json":  # listed, as by somebody who knows the format
        content = read_sealed(copy / "manifest.json")
        assert content is not None
        listed = content["files"] | {name: sha256_of(copy / name)}
        write_sealed(copy / "manifest.json", content | {"files": listed})
    with pytest.raises(BundleError, match=re.escape(name)):
        load(copy, "cpu")
