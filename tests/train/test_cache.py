"""A training with kept features ends as one without, and computes each picture's features once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from understudy import InputError, WorkError, fit
from understudy.cli import main
from understudy.data import features as stored
from understudy.data.features import FeatureStore, bytes_of
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.distiller import Distiller
from understudy.distill.teacher import Teacher
from understudy.methods import METHODS, Adam, build, settings_for
from understudy.progress import Reporter
from understudy.runtime.manifest import TeacherCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import NO_ROIS
from understudy.train.cache import FeatureCache, cache_for
from understudy.train.loop import train
from understudy.train.plan import TrainingPlan

SMALL = {"uniad": {"depth": 1}}  # settings that make a method fast
LOOK = Preprocess(image_size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CARD = TeacherCard(name="embedded", strides=(8, 16, 32), origin="test", sha256="0")
REVERSE = ["rd", "snl-rd", "dskd", "dinomaly", "uniad"]
EACH = 4 * (8 * 8 * 40 + 4 * 4 * 112 + 2 * 2 * 320)  # bytes of a picture's features at 64 pixels
QUIET = Reporter()
QUICK = {"image_size": 64, "max_steps": 7, "batch_size": 5, "precision": "32", "device": "cpu"}
QUICK |= {"strides": (8, 16), "holdout": 0.34, "false_alarm_rate": 0.2}


@pytest.fixture
def pictures(factory: Path) -> PictureStore:
    return PictureStore([r.path for r in open_pictures(factory).train()], LOOK)


def plan(**changes: object) -> TrainingPlan:
    values = {
        "steps": 8,
        "batch_size": 7,  # does not divide the 24 pictures
        "optimiser": Adam(),
        "seed": 0,
        "precision": "32",
        "device": torch.device("cpu"),
        "checkpoint_every": 3,
    }
    return TrainingPlan(**values | changes)


def fresh(embedded: Teacher, method: str = "rd", seed: int = 0) -> Distiller:
    torch.manual_seed(seed)
    return build(method, embedded, settings_for(method, SMALL.get(method)))


def decide(
    embedded: Teacher, choice: str = "auto", method: str = "rd", budget: int = 2**30, **changes: object
) -> tuple[FeatureCache | None, list[str]]:
    said: list[str] = []
    how = plan(**changes)
    reporter = Reporter(say=said.append)
    return cache_for(choice, fresh(embedded, method), CARD, LOOK, NO_ROIS, how, 24, budget, reporter), said


def features(
    embedded: Teacher, pictures: PictureStore, choice: str = "auto", **changes: object
) -> FeatureStore:
    cache, _ = decide(embedded, choice, **changes)
    assert cache is not None
    kept = cache.keep(pictures, QUIET)
    assert kept is not None
    return kept


def learned(
    distiller: Distiller,
    pictures: PictureStore,
    folder: Path,
    how: TrainingPlan | None = None,
    **options: object,
) -> dict[str, Tensor]:
    train(distiller, pictures, LOOK, how or plan(), folder, description="test", **options)
    return distiller.learned()


def close(a: dict[str, Tensor], b: dict[str, Tensor], atol: float = 1e-5) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[k], b[k], rtol=1e-4, atol=atol) for k in a)


@pytest.mark.parametrize("method", REVERSE)
def test_a_training_on_kept_features_ends_as_one_on_pictures(
    method: str, teacher_of: Callable[[str], Teacher], pictures: PictureStore, tmp_path: Path
) -> None:
    teacher, optimiser = teacher_of(method), METHODS[method].recipes["paper"].optimiser
    how = plan(optimiser=optimiser, checkpoint_every=100)
    plain = learned(fresh(teacher, method), pictures, tmp_path / "a", how)
    kept = features(teacher, pictures, method=method)
    again = learned(fresh(teacher, method), pictures, tmp_path / "b", how, features=kept)
    near = 1e-4 if method == "dinomaly" else 1e-5  # its optimiser steps even by a gradient of rounding alone
    assert close(again, plain, near)
    how = replace(how, seed=1)
    other = learned(fresh(teacher, method), pictures, tmp_path / "c", how, features=kept)
    assert not close(other, plain, near)


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_features_in_files_give_the_student_of_those_in_memory_bit_by_bit(
    precision: str, embedded: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    how, folder = plan(precision=precision), tmp_path / "kept"
    ways = [
        features(embedded, pictures, "auto", precision=precision),
        features(embedded, pictures, str(folder), precision=precision),  # written
        features(embedded, pictures, str(folder), precision=precision),  # read
    ]
    first, *others = (
        learned(fresh(embedded), pictures, tmp_path / str(i), how, features=kept)
        for i, kept in enumerate(ways)
    )
    assert all(torch.equal(first[k], other[k]) for other in others for k in first)
    half = next(iter(ways[1]))[0].dtype == torch.bfloat16
    assert half == (precision == "bf16")


def test_the_teacher_looks_at_each_picture_once_and_pictures_are_needed_no_more(
    embedded: Teacher, factory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(factory / "nut" / "train" / "good", tmp_path / "good"))
    pictures = PictureStore(sorted(copy.iterdir()), LOOK)
    distiller, how, looks = fresh(embedded), plan(batch_size=6, steps=4), []
    handle = embedded.register_forward_hook(lambda _module, given, _found: looks.append(len(given[0])))
    try:
        cache = cache_for("auto", distiller, CARD, LOOK, NO_ROIS, how, len(pictures), 2**30, QUIET)
        assert cache is not None
        kept = cache.keep(pictures, QUIET)
        pictures.release()
        assert pictures.kept_bytes == 0
        shutil.rmtree(copy)
        train(distiller, pictures, LOOK, how, tmp_path / "m", description="t", features=kept)
    finally:
        handle.remove()
    assert looks == [1, 6]  # a picture of zeros tells shapes and types


@pytest.mark.parametrize(("free", "kept_there"), [(2**34, True), (2**20, False)])
def test_features_are_kept_on_a_gpu_that_has_room(
    free: int, kept_there: bool, embedded: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.train.cache._free_on", lambda device: free)
    cache, said = decide(embedded, "auto")
    assert cache is not None
    assert (cache.memory == 0) == kept_there
    assert ("on the GPU" in said[-1]) == kept_there


def test_a_broken_training_goes_on_wherever_features_are(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    whole, kept = learned(fresh(embedded), pictures, tmp_path / "a"), features(embedded, pictures)

    def pull_the_plug(what: str, done: int, total: int, note: str) -> None:
        if done == 4:
            raise WorkError("power cut")

    for name, before, after in (("b", kept, None), ("c", None, kept)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("understudy.train.callbacks._REPORT_EVERY", 1)
            with pytest.raises(WorkError, match="power cut"):
                learned(fresh(embedded), pictures, tmp_path / name, features=before, advance=pull_the_plug)
        distiller = fresh(embedded, seed=9)
        assert close(learned(distiller, pictures, tmp_path / name, features=after, resume=True), whole)


@pytest.mark.parametrize(
    ("options", "kept", "line"),
    [
        ({}, True, "are computed once and kept in memory in place of the pictures"),
        ({"budget": 24 * EACH}, True, "are computed once and kept in memory in place of the pictures"),
        ({"budget": 24 * EACH - 1}, False, "--cache-features DIR keeps them in files"),
        ({"steps": 12, "batch_size": 4}, True, "are computed once and kept in memory"),
        ({"steps": 11, "batch_size": 4}, False, "no picture is seen twice"),
        ({"precision": "bf16", "budget": 12 * EACH}, True, "24 pictures (270 kB) are computed once"),
    ],
)
def test_auto_keeps_features_that_fit_and_are_used_again_and_says_so_in_one_line(
    options: dict[str, object], kept: bool, line: str, embedded: Teacher
) -> None:
    cache, said = decide(embedded, **options)
    assert (cache is not None) == kept
    assert len(said) == 1
    assert said[0].startswith("the teacher's features of 24 pictures (")
    assert line in said[0]
    if cache:
        assert cache.memory == 24 * bytes_of(cache.reader.layouts)


@pytest.mark.parametrize("method", list(METHODS))
def test_what_the_student_looks_at_decides_and_not_the_method(
    method: str, teacher_of: Callable[[str], Teacher]
) -> None:
    assert decide(teacher_of(method), "off", method) == (None, [])
    cache, said = decide(teacher_of(method), "auto", method)
    assert (cache is not None) == (method in REVERSE) == bool(said)


def test_a_student_that_does_not_say_that_it_needs_no_pictures_gets_them(embedded: Teacher) -> None:
    reverse = fresh(embedded)
    assert not reverse.sees_pictures
    wrapped = torch.nn.Sequential(reverse.student)
    assert Distiller(embedded, wrapped, reverse.terms, reverse.to_map).sees_pictures


def test_a_folder_is_refused_where_it_saves_nothing_or_cannot_be_made(
    embedded: Teacher, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"student looks at the pictures themselves.*leave out"):
        decide(embedded, str(tmp_path / "kept"), "stpm")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file cannot hold features: .*; name a folder"):
        decide(embedded, str(tmp_path / "file"))


def test_a_full_disk_is_named_in_one_line_and_the_training_goes_on_without(
    embedded: Teacher, pictures: PictureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        free = 0

    cache, _ = decide(embedded, str(tmp_path))
    assert cache is not None
    monkeypatch.setattr(stored.shutil, "disk_usage", lambda _: Full)
    said: list[str] = []
    assert cache.keep(pictures, Reporter(say=said.append)) is None
    assert said[-1] == (
        f"{tmp_path} cannot be written: No space left on device; make room there: 0.5 MB are missing; "
        "until then features are computed at each step"
    )


@pytest.mark.parametrize("change", [{"strides": (8, 16)}, {"sha256": "1"}, {"name": "another"}])
def test_another_teacher_has_other_features(change: dict[str, object], embedded: Teacher) -> None:
    def origin(card: TeacherCard, look: Preprocess = LOOK, **changes: object) -> str:
        cache = cache_for("auto", fresh(embedded), card, look, NO_ROIS, plan(**changes), 24, 2**30, QUIET)
        assert cache is not None
        return cache.reader.origin

    own = origin(CARD)
    assert own == origin(CARD, seed=3, batch_size=8)
    others = [
        origin(CARD.model_copy(update=change)),
        origin(CARD, LOOK.model_copy(update={"image_size": 32}), steps=99),
        origin(CARD, LOOK.model_copy(update={"mean": (0.4, 0.5, 0.5)})),
        origin(CARD, precision="bf16"),
    ]
    assert own not in others


def test_one_folder_serves_several_fits(factory: Path, tmp_path: Path) -> None:
    lines: dict[str, list[str]] = {}
    students = {}
    for name, options in {
        "off": {"cache_features": "off"},
        "memory": {},
        "written": {"cache_features": str(tmp_path / "kept")},
        "read": {"cache_features": str(tmp_path / "kept")},
        "read by another": {"cache_features": str(tmp_path / "kept"), "method": "rd"},
        "stale": {"cache_features": str(tmp_path / "kept"), "strides": (16, 32)},
    }.items():
        said: list[str] = []
        asked = {"method": "snl-rd"} | QUICK | options
        model = fit(factory, tmp_path / name, progress=Reporter(say=said.append), **asked)
        students[name] = model.distiller.learned()
        lines[name] = [s for s in said if "features" in s or "pictures of 64x64" in s]
    assert close(students["off"], students["memory"])
    assert close(students["memory"], students["written"])
    assert close(students["written"], students["read"])
    assert lines["off"] == ["16 pictures of 64x64 kept in memory (197 kB)"]
    what = "the teacher's features of 16 pictures (279 kB) are"
    assert lines["memory"] == [f"{what} computed once and kept in memory in place of the pictures"]
    assert lines["written"] == [f"{what} computed once and kept in {tmp_path / 'kept'}"]
    assert lines["read"] == lines["read by another"] == [f"{what} read from {tmp_path / 'kept'}"]
    assert [("another teacher" in s, "computed once" in s) for s in lines["stale"]] == [
        (True, False),
        (False, True),
    ]


def test_features_and_pictures_stay_within_one_budget_together(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, picture, n = 4 * (8 * 8 * 40 + 4 * 4 * 112), 64 * 64 * 3, 12
    budget = n * each + 3 * picture
    seen: list[PictureStore] = []
    kept_while_computing: list[int] = []
    keep = FeatureCache.keep

    def spy(cache: FeatureCache, pictures: PictureStore, reporter: Reporter) -> FeatureStore | None:
        seen.append(pictures)
        kept_while_computing.append(cache.memory + pictures.kept_bytes)
        return keep(cache, pictures, reporter)

    monkeypatch.setattr(FeatureCache, "keep", spy)
    options = QUICK | {"method": "dskd", "validation": 0.3, "cache": f"{budget / 1000}KB", "workers": 0}
    said: list[str] = []
    fit(factory, tmp_path / "m", progress=Reporter(say=said.append), **options)
    assert kept_while_computing == [budget]
    assert seen[0].kept_bytes == 0
    expected = "3 kept in memory, the others decoded anew each time"
    assert any(s.startswith("4 pictures of 64x64") and expected in s for s in said)


def test_an_empty_value_of_the_option_is_refused_before_any_work(
    factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(factory), "--out", str(tmp_path / "m"), "--cache-features="]) == 2
    assert "cache_features: " in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
