"""What good pictures are used for: none serves two ends, and test pictures serve none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from understudy import InputError, Model, fit, load
from understudy.cli import main
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.fusion import Fusion
from understudy.errors import WorkError
from understudy.lab.factory.write import LogicalPlan, write_logical
from understudy.progress import Reporter
from understudy.runtime.manifest import TrainingCard
from understudy.runtime.sources import digest_of
from understudy.train.loop import checkpoint_file

QUICK = {"image_size": 64, "max_steps": 3, "batch_size": 4, "precision": "32", "device": "cpu"}
QUICK |= {"holdout": 0.34, "false_alarm_rate": 0.2, "strides": (8, 16)}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kit")
    write_logical(root, LogicalPlan(train=6, validation=4, good=1, each_defect=1, size=64))
    return root


def digests(folder: Path, split: str) -> set[str]:
    return {digest_of(r.path.read_bytes()) for r in open_pictures(folder).records if r.split == split}


def used(model: Model) -> tuple[set[str], set[str], set[str]]:
    pictures = model.inspector.seen
    return set(pictures.trained), set(pictures.validation), set(pictures.held_out)


@pytest.mark.parametrize("method", ["stpm", "dskd"])
def test_learned_validation_and_held_out_pictures_are_apart(
    method: str, factory: Path, tmp_path: Path
) -> None:
    model = fit(factory, tmp_path / "m", method=method, validation=0.3, **QUICK)
    learned, validation, held_out = used(model)
    assert learned | validation | held_out == digests(factory, "train")
    assert (len(learned), len(validation), len(held_out)) == (12, 4, 8)  # one of each category validates
    assert model.thresholds is not None
    assert model.thresholds.n_good == len(learned) + len(held_out)  # validation pictures chose the student
    # A calibration on all of them takes the held-out ones alone.
    assert model.calibrate(factory, false_alarm_rate=0.2, progress=False).thresholds.n_good == len(held_out)


def test_the_scales_of_fused_maps_are_the_quantiles_of_validation_pictures(
    factory: Path, tmp_path: Path
) -> None:
    model = fit(factory, tmp_path / "m", method="dskd", validation=0.3, **QUICK)
    fusion, look = model.distiller.to_map, model.preprocess
    assert isinstance(fusion, Fusion)
    validation = set(model.inspector.seen.validation)
    paths = [r.path for r in open_pictures(factory).train() if digest_of(r.path.read_bytes()) in validation]
    store = PictureStore(paths, look)
    images = torch.from_numpy(look.normalise(np.stack([store[i].numpy() for i in range(len(store))])))
    with torch.inference_mode():
        maps = fusion.maps(model.distiller.pairs(images), (64, 64))
    for i, each in enumerate(maps.values()):
        low, high = np.quantile(each.numpy(), [0.9, 0.995])
        assert float(fusion.zero[i]) == pytest.approx(low, rel=1e-3)
        assert float(fusion.unit[i]) == pytest.approx(high - low, rel=1e-3)


@pytest.mark.parametrize(("method", "validated"), [("dskd", True), ("rd", False)])
def test_a_data_sets_own_validation_pictures_are_validated_with_or_held_out(
    method: str, validated: bool, kit: Path, tmp_path: Path
) -> None:
    model = fit(kit, tmp_path / "m", method=method, **QUICK)
    learned, validation, held_out = used(model)
    own = digests(kit, "validation")
    assert len(own) == 4
    assert validation == (own if validated else set())
    assert (own <= held_out) == (not validated)
    assert learned | validation | held_out == digests(kit, "train") | own
    assert model.calibrate(kit, false_alarm_rate=0.4, progress=False).thresholds.n_good == len(held_out)


def test_in_a_folder_of_both_layouts_every_category_validates(
    kit: Path, factory: Path, tmp_path: Path
) -> None:
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "kit").symlink_to(kit / "kit")
    (tmp_path / "both" / "nut").symlink_to(factory / "nut")
    model = fit(tmp_path / "both", tmp_path / "m", method="stpm", **QUICK | {"holdout": 0.0})
    own = digests(kit, "validation")
    assert own < set(model.inspector.seen.validation)
    assert len(set(model.inspector.seen.validation) - own) == 1  # a fifth of the nut's six


def test_a_share_to_validate_with_is_refused_where_nothing_is_validated(
    factory: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="rd has no validation step; leave out --validation"):
        fit(factory, tmp_path / "m", method="rd", validation=0.2, **QUICK)


def test_without_pictures_to_validate_the_last_epoch_is_kept(factory: Path, tmp_path: Path) -> None:
    said: list[str] = []
    model = fit(
        factory, tmp_path / "m", method="stpm", validation=0.0, progress=Reporter(say=said.append), **QUICK
    )
    assert model.manifest.training.kept_step == 3
    assert any("the last epoch is kept" in line for line in said)
    journal = [json.loads(line) for line in (tmp_path / "m" / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in journal] == [3]


def test_the_student_is_the_same_bit_by_bit_wherever_pictures_are_and_whoever_decodes_them(
    factory: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    students = []
    for name, where in enumerate(
        ({"cache": "auto"}, {"cache": "off", "workers": 0}, {"cache": "off", "workers": 2})
    ):
        model = fit(
            factory,
            tmp_path / str(name),
            method="stpm",  # looks at validation pictures as well
            validation=0.3,
            progress=Reporter(say=said.append),
            **QUICK | {"max_steps": 4},
            **where,
        )
        students.append(model.manifest.files["student.safetensors"])
    assert len(set(students)) == 1
    assert [line for line in said if line.startswith("16 pictures of 64x64")] == [
        "16 pictures of 64x64 kept in memory (197 kB)",
        "16 pictures of 64x64 (197 kB) not kept in memory: decoded anew each time without workers",
        "16 pictures of 64x64 (197 kB) not kept in memory: decoded anew each time by 2 workers",
    ]


def test_nothing_is_left_of_a_model_that_is_overwritten(
    factory: Path, exported: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(exported, tmp_path / "m")
    (out / "notes.txt").write_text("mine")
    fit(factory, out, overwrite=True, **QUICK)
    assert not (out / "model.onnx").exists()
    assert (out / "notes.txt").exists()
    assert load(out, "cpu").manifest.graph is None


def test_pictures_to_learn_from_and_to_validate_with_share_one_cache(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores: list[PictureStore] = []
    said: list[str] = []

    def spy(*args: object, **options: object) -> PictureStore:
        stores.append(PictureStore(*args, **options))
        return stores[-1]

    monkeypatch.setattr("understudy.train.cache.PictureStore", spy)
    options = {"method": "dskd", "validation": 0.3, "cache": "168KiB", "workers": 1}  # room for fourteen
    fit(factory, tmp_path / "m", progress=Reporter(say=said.append), **QUICK, **options)
    assert [len(store) for store in stores] == [12, 4, 8]  # to learn from, to validate with, held out
    assert [store.kept_bytes // (64 * 64 * 3) for store in stores] == [12, 2, 0]
    assert [store.workers for store in stores] == [0, 1, 0]
    assert any("172 kB: 14 kept in memory, the others decoded anew each time by 1 worker" in s for s in said)


def test_the_sampling_of_a_training_is_written_down_and_natural_where_nothing_was(
    factory: Path, tmp_path: Path
) -> None:
    options = QUICK | {"sampling": "balanced", "holdout": 0.0}
    card = fit(factory, tmp_path / "m", method="stpm", **options).manifest.training
    assert card.sampling == "balanced"
    older = card.model_dump()
    del older["sampling"]
    assert TrainingCard.model_validate(older).sampling == "natural"


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("cache", "lots", "cache: takes auto, off or a size such as 512MB, 2GB or 2GiB, got 'lots'"),
        ("workers", "some", "--workers takes auto or a number of processes, got 'some'"),
        ("workers", "-1", "workers: Input should be greater than or equal to 0, got -1"),
    ],
)
def test_a_bad_value_of_an_option_is_refused_in_one_sentence_before_any_work(
    option: str,
    value: str,
    sentence: str,
    factory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit", str(factory), "--out", str(tmp_path / "m"), f"--{option}={value}"]) == 2
    assert capsys.readouterr().err == f"understudy: {sentence}\n"
    assert not (tmp_path / "m").exists()


def test_an_unknown_sampling_is_refused_with_the_known_ones(factory: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sampling: .*'natural' or 'balanced', got 'fair'"):
        fit(factory, tmp_path / "m", sampling="fair")


def test_a_plain_transformer_teaches_without_a_word_about_its_levels(factory: Path, tmp_path: Path) -> None:
    options = QUICK | {"teacher": "vit_tiny_patch16_224", "teacher_weights": "random", "strides": None}
    model = fit(factory, tmp_path / "m", **options)
    assert model.manifest.teacher.strides == (16, 16, 16)
    found = list(model.predict(factory / "nut" / "test"))
    assert found
    assert all(np.isfinite(one.score) for one in found)


def _begin(factory: Path, out: Path, **options: object) -> None:
    """Begin a training that ends after its first report."""

    def pull_the_plug(what: str, done: int, total: int, note: str) -> None:
        if what == "train":
            raise WorkError("power cut")

    with pytest.raises(WorkError, match="power cut"):
        fit(factory, out, progress=Reporter(print, pull_the_plug), checkpoint_every=1, **options)


def test_a_training_is_resumed_in_its_precision_whatever_is_faster_now(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = QUICK | {"precision": "auto"}
    measured = "understudy.distill.precision.measure_precisions"
    monkeypatch.setattr(measured, lambda *_: {"32": 2.0, "bf16": 1.0})
    _begin(factory, tmp_path / "m", **options)
    monkeypatch.setattr(measured, lambda *_: {"32": 1.0, "bf16": 2.0})

    resumed = fit(factory, tmp_path / "m", resume=True, checkpoint_every=1, **options)
    fresh = fit(factory, tmp_path / "other", **options)

    assert resumed.manifest.training.precision == "bf16"
    assert resumed.manifest.training.measured == {"32": 2.0, "bf16": 1.0}
    assert fresh.manifest.training.precision == "32"
    assert fresh.manifest.training.measured == {"32": 1.0, "bf16": 2.0}


def test_the_journal_begins_with_what_chose_the_precision_if_anything_was_measured(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "understudy.distill.precision.measure_precisions", lambda *_: {"32": 2.0, "bf16": 1.5}
    )
    fit(factory, tmp_path / "measured", **QUICK | {"precision": "auto"})
    asked = fit(factory, tmp_path / "asked", **QUICK | {"precision": "32"})

    lines = (tmp_path / "measured" / "training.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {"step": 0, "milliseconds_32": 2.0, "milliseconds_bf16": 1.5}
    assert "milliseconds" not in (tmp_path / "asked" / "training.jsonl").read_text()
    assert asked.manifest.training.measured is None


def test_a_resumed_model_tells_the_seconds_before_the_stop_too(factory: Path, tmp_path: Path) -> None:
    _begin(factory, tmp_path / "m", **QUICK)
    state = torch.load(checkpoint_file(tmp_path / "m"), weights_only=True)
    torch.save(state | {"seconds": 1000.0}, checkpoint_file(tmp_path / "m"))
    model = fit(factory, tmp_path / "m", resume=True, checkpoint_every=1, **QUICK)
    assert 1000 < model.manifest.training.seconds < 2000
