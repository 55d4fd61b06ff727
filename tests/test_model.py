"""A trained model: one object that is fitted, loaded, asked and calibrated, and what ``fit`` takes."""

from __future__ import annotations

import inspect
import io
import math
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pytest
from PIL import Image

import understudy
from understudy import BundleError, InputError, Inspector, Model, Result
from understudy.calibrate import calibrate
from understudy.calibrate.conformal import promise
from understudy.evaluate import evaluate
from understudy.export import export
from understudy.lab.diagnose import diagnose
from understudy.progress import Reporter
from understudy.runtime.decision import decide, thresholds_for
from understudy.runtime.walk import find_pictures
from understudy.train.options import FitOptions

TINY = {"image_size": 64, "max_steps": 2, "batch_size": 4, "strides": (8, 16), "device": "cpu"}


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def told(results: Iterator[Result]) -> list[tuple[float, str | None, str | None]]:
    return [(r.score, r.verdict, r.category) for r in results]


def test_fit_shows_every_option_with_its_type_and_default() -> None:
    for function in (understudy.fit, Model.fit):
        shown = inspect.signature(function).parameters
        assert next(iter(shown)) == "data"
        assert set(shown) == {"data", "out", "progress", *FitOptions.model_fields}
        assert shown["data"].default is shown["out"].default is inspect.Parameter.empty
        assert shown["progress"].default is True
        for name, field in FitOptions.model_fields.items():
            if name != "settings":  # made anew for each call
                assert shown[name].default == field.get_default(), name
            kind = shown[name].annotation  # with its range, where it has one
            assert (get_args(kind)[0] if get_origin(kind) is Annotated else kind) == field.annotation, name
            assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY


def test_an_unknown_option_of_fit_names_the_known_ones_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no option 'epoch'; there are preset, method, recipe, .*, overwrite$"
    ):
        understudy.fit("nowhere", out=tmp_path / "m", epoch=3)
    with pytest.raises(TypeError, match="out"):
        understudy.fit("nowhere")
    assert not (tmp_path / "m").exists()


def test_fit_gives_the_model_that_its_folder_holds(factory: Path, tmp_path: Path) -> None:
    fitted = Model.fit(factory, tmp_path / "m", holdout=0.5, progress=False, **TINY)
    assert isinstance(fitted, Model)
    loaded = Model.load(tmp_path / "m", "cpu")
    assert fitted.calibration is not None
    assert fitted.calibration == loaded.calibration
    assert (fitted.folder, fitted.categories, fitted.manifest) == (
        tmp_path / "m",
        ["capsule", "linen", "nut", "veneer"],
        loaded.manifest,
    )
    assert told(fitted.predict(factory / "nut")) == told(loaded.predict(factory / "nut"))


def test_thresholds_that_are_set_hold_in_the_object_at_once(copy: Path, factory: Path) -> None:
    model = Model.load(copy, "cpu", calibrated=False)
    assert model.calibration is model.thresholds is None
    assert {r.verdict for r in model.predict(factory)} == {None}
    calibration = model.calibrate(factory, false_alarm_rate=0.2, progress=False)
    assert model.calibration == calibration
    assert model.thresholds == calibration.thresholds
    found = list(model.predict(factory))
    for result in found:
        expected = (
            "REVIEW"
            if result.category is None
            else decide(result.score, thresholds_for(calibration, result.category))
        )
        assert result.verdict == expected
    stricter = model.calibrate(factory, false_alarm_rate=0.9, progress=False)
    again = list(model.predict(factory))
    fails, stricter_fails = (sum(r.verdict == "FAIL" for r in results) for results in (found, again))
    assert fails < stricter_fails < len(again)
    assert Model.load(copy, "cpu").calibration == stricter


def test_a_calibration_that_fails_leaves_the_thresholds_as_they_were(copy: Path, factory: Path) -> None:
    model = Model.load(copy, "cpu")
    before = model.calibration
    with pytest.raises(InputError, match="are too few: 20 are the least for an estimate, and 99 promise"):
        model.calibrate(factory, progress=False)
    assert model.calibration == before is not None


def test_a_model_is_asked_with_folders_paths_arrays_images_and_a_camera_alike(
    model: Model, factory: Path
) -> None:
    paths = find_pictures(factory / "nut" / "test")
    images = [Image.open(path).convert("RGB") for path in paths]
    arrays = [np.array(image) for image in images]
    expected = told(model.predict(factory / "nut" / "test"))
    assert len(expected) == 5
    for pictures in (paths, [str(p) for p in paths], images, arrays, np.stack(arrays)):
        assert told(model.predict(pictures)) == expected
    one_by_one = told(model.predict(iter(arrays)))
    np.testing.assert_allclose([r[0] for r in one_by_one], [r[0] for r in expected], rtol=1e-5, atol=1e-5)
    assert told(model.predict(images[0])) == told(model.predict(paths[:1]))


def test_a_cameras_frames_are_judged_one_at_a_time(model: Model, factory: Path) -> None:
    frame = np.array(Image.open(find_pictures(factory / "nut" / "test")[0]).convert("RGB"))
    asked = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal asked
        while True:
            asked += 1
            yield frame

    results = model.predict(camera(), category="nut")
    for n in range(1, 4):
        assert next(results).category == "nut"
        assert asked == n
    assert len(list(islice(results, 3))) == 3
    assert asked == 6


def test_a_broken_file_has_its_error_and_the_others_their_verdicts(
    model: Model, factory: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(factory / "nut" / "test" / "good", tmp_path / "good"))
    (folder / "000-broken.png").write_bytes(b"no picture")
    found = {r.path.name: r for r in model.predict(folder)}
    broken = found.pop("000-broken.png")
    assert (broken.ok, broken.verdict, broken.regions) == (False, None, ())
    assert math.isnan(broken.score)
    assert broken.error is not None
    assert "000-broken.png is no picture" in broken.error
    assert len(found) == 2
    assert all(r.ok and r.error is None and r.verdict for r in found.values())


def test_a_folder_gives_a_model_or_an_inspector_by_what_it_holds(
    model_folder: Path, exported: Path, factory: Path
) -> None:
    trained, light = understudy.load(model_folder, "cpu"), understudy.load(exported)
    assert (type(trained), type(light)) == (Model, Inspector)
    ours, theirs = (list(each.predict(factory / "nut")) for each in (trained, light))
    assert [r.path for r in ours] == [r.path for r in theirs]
    np.testing.assert_allclose([r.score for r in ours], [r.score for r in theirs], atol=1e-4)
    with pytest.raises(BundleError, match="is an exported model"):
        Model.load(exported)


def test_what_a_long_job_says_goes_to_the_reporter_alone(
    copy: Path, factory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    steps: list[tuple[str, int, int]] = []
    reporter = Reporter(said.append, lambda what, done, total, note: steps.append((what, done, total)))
    Model.load(copy, "cpu").calibrate(factory, false_alarm_rate=0.2, progress=reporter)
    assert promise(8, 0.2) in said
    assert steps == [("calibrate", n, 8) for n in range(1, 9)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("progress", [True, False])
def test_from_python_a_fit_says_nothing_where_there_is_no_terminal(
    progress: bool, factory: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    understudy.fit(factory / "nut", out=tmp_path / "m", progress=progress, **TINY)
    assert capfd.readouterr() == ("", "")


def test_from_python_a_long_job_shows_a_bar_in_a_terminal_unless_it_is_told_not_to(
    copy: Path, factory: Path, terminal: io.StringIO
) -> None:
    model = Model.load(copy, "cpu")
    model.calibrate(factory, false_alarm_rate=0.2, progress=False)
    assert terminal.getvalue() == ""
    model.calibrate(factory, false_alarm_rate=0.2)
    assert "at most 20 % of good pictures fail" in terminal.getvalue()
    assert "━━━" in terminal.getvalue()
    assert "8/8" in terminal.getvalue().removesuffix("\x1b[?25h").splitlines()[-1]


@pytest.mark.parametrize(
    ("method", "function", "given"),
    [
        (Model.calibrate, calibrate, {"inspector"}),
        (Model.evaluate, evaluate, {"inspector", "score"}),  # score: for engines alone
        (Model.diagnose, diagnose, {"model", "device"}),
        (Model.export, export, {"model"}),
        (Model.predict, Inspector.predict, {"self"}),
    ],
)
def test_a_verb_of_a_model_takes_what_the_function_behind_it_takes(
    method: Callable[..., Any], function: Callable[..., Any], given: set[str]
) -> None:
    behind = inspect.signature(function).parameters
    shown = {name: p for name, p in inspect.signature(method).parameters.items() if name != "self"}
    wanted = {name: p for name, p in behind.items() if name not in given}
    assert list(shown) == list(wanted)
    for name, parameter in wanted.items():
        assert (shown[name].default, shown[name].kind) == (parameter.default, parameter.kind), name
