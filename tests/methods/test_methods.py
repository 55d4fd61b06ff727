"""What every method must do, whatever it is made of, and how one is known by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import pytest
import torch
from pydantic import BaseModel

from understudy import METHODS, InputError
from understudy.distill.distiller import Distiller
from understudy.distill.maps import image_score
from understudy.distill.teacher import Teacher
from understudy.distill.weights import load_teacher
from understudy.methods import Method, build, method_named, parse_assignments, register_method, settings_for
from understudy.train.options import fit_options
from understudy.train.plan import recipe_of

every_method = pytest.mark.parametrize("method", list(METHODS))


def make(method: str, teacher: Teacher, **values: object) -> Distiller:
    return build(method, teacher, settings_for(method, values))


@pytest.mark.parametrize(
    ("method", "size"),
    [*product(METHODS, [(64, 64), (80, 112)]), *((m, (50, 70)) for m in METHODS if m != "dinomaly")],
)
def test_the_map_has_the_pictures_size_in_train_and_eval_mode(
    method: str, size: tuple[int, int], teacher_of: Callable[[str], Teacher]
) -> None:
    distiller = make(method, teacher_of(method))
    for mode in (True, False):
        anomaly_map, scores = distiller.train(mode).score(torch.randn(2, 3, *size))
        assert anomaly_map.shape == (2, 1, *size)
        assert anomaly_map.dtype == torch.float32
        if not hasattr(distiller.to_map, "score_of_pairs"):
            own = getattr(distiller.to_map, "score", image_score)
            assert torch.equal(scores, own(anomaly_map))


@every_method
def test_gradients_reach_every_student_parameter_and_no_teacher_parameter(
    method: str, teacher_of: Callable[[str], Teacher]
) -> None:
    distiller = make(method, teacher_of(method))
    sum(distiller.training_loss(torch.randn(4, 3, 64, 64)).values()).backward()
    without = [n for n, p in distiller.student.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(p.grad is None for p in distiller.teacher.parameters())


@pytest.mark.parametrize("method", [name for name in METHODS if name != "dinomaly"])
@pytest.mark.parametrize("teacher", [("resnet18", (4, 8, 16)), ("mobilenetv3_small_100", (8, 16))])
def test_any_timm_backbone_can_teach(method: str, teacher: tuple[str, tuple[int, ...]]) -> None:
    loaded, _, _ = load_teacher(*teacher, "random")
    distiller = make(method, loaded)
    losses = distiller.training_loss(torch.randn(2, 3, 64, 64))
    assert all(loss.isfinite() for loss in losses.values())


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_constant_picture_gives_finite_losses_and_scores(
    method: str, dtype: torch.dtype, level: float, teacher_of: Callable[[str], Teacher]
) -> None:
    distiller = make(method, teacher_of(method))
    images = torch.full((2, 3, 64, 64), level)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        losses = distiller.training_loss(images)
        anomaly_map, _ = distiller.eval().score(images)
    assert all(loss.isfinite() for loss in losses.values())
    assert anomaly_map.isfinite().all()


def test_settings_are_checked_and_the_known_ones_listed() -> None:
    with pytest.raises(InputError, match="has no setting 'centres'; it has codebook, logical, cosine"):
        settings_for("snl-rd", {"centres": 3})
    with pytest.raises(InputError, match=r"centers=-1 of snl-rd"):
        settings_for("snl-rd", {"centers": -1})
    with pytest.raises(InputError, match="no method is named 'x'; there are stpm, rd, snl-fd, snl-rd, dskd"):
        settings_for("x")


@every_method
def test_no_number_among_the_settings_is_without_bounds(method: str) -> None:
    defaults = settings_for(method).model_dump()
    settings = METHODS[method].settings.model_fields
    numbers = [n for n, field in settings.items() if field.annotation in (int, float, int | None)]
    assert numbers
    for name in numbers:
        for value in (-1, 1e9, float("nan"), float("inf")):
            with pytest.raises(InputError, match=re.escape(f"setting {name}={value!r} of {method}: ")):
                settings_for(method, defaults | {name: value})


def test_a_setting_nested_too_deeply_is_refused_as_a_text() -> None:
    with pytest.raises(InputError, match="setting centers="):
        settings_for("snl-rd", parse_assignments(["centers=" + "[" * 100_000]))


def test_assignments_are_read_as_numbers_switches_or_words() -> None:
    assert parse_assignments(["centers=25", "per_center_alpha=true", "cosine=global", "temperature=0.5"]) == {
        "centers": 25,
        "per_center_alpha": True,
        "cosine": "global",
        "temperature": 0.5,
    }
    with pytest.raises(InputError, match="key=value, got 'centers'"):
        parse_assignments(["centers"])


def test_a_registered_method_is_found_by_its_name_and_takes_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("understudy.methods.METHODS", dict(METHODS))
    rd = METHODS["rd"]
    own = Method.of(rd.settings, rd.compose, rd.recipes["paper"])
    register_method("own", own)
    register_method("own", own)  # the same once more, as a module that is imported again does
    assert method_named("own") is own
    assert own.recipes["tuned"] == rd.recipes["paper"].tuned()
    for name, other in (("own", rd), ("rd", own)):
        with pytest.raises(InputError, match=f"a method is named '{name}' already; choose another name"):
            register_method(name, other)
    with pytest.raises(InputError, match=r"no method is named 'x'; .*, dinomaly, .*own"):
        method_named("x")


class _OwnSettings(BaseModel):
    codebook: int = 5
    student: str = "transformer"


def test_a_setting_of_a_method_of_your_own_means_what_that_method_says(
    embedded: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    rd = METHODS["rd"]
    own = Method.of(
        _OwnSettings, lambda teacher, _: rd.compose(teacher, settings_for("rd")), rd.recipes["paper"]
    )
    monkeypatch.setitem(METHODS, "own", own)

    distiller = build("own", embedded, settings_for("own"))
    asked = fit_options({"method": "own", "recipe": "paper", "settings": {"student": "transformer"}})

    assert distiller.codebook is None
    assert recipe_of(asked).optimiser == rd.recipes["paper"].optimiser


@every_method
def test_an_empty_composition_stands_beside_the_student_if_it_is_asked_for(
    method: str, teacher_of: Callable[[str], Teacher]
) -> None:
    without, beside = (make(method, teacher_of(method), logical=on) for on in (False, True))
    assert without.composition is None
    assert beside.composition is not None
    assert not beside.composition.filled
    assert teacher_of(method).levels[beside.composition.level].stride == 16
    assert "logical" not in settings_for(method).model_dump()


@every_method
def test_an_empty_codebook_stands_beside_the_student_if_it_is_asked_for(
    method: str, teacher_of: Callable[[str], Teacher]
) -> None:
    without, beside = (make(method, teacher_of(method), codebook=n) for n in (0, 7))
    assert without.codebook is None
    assert beside.codebook is not None
    assert (beside.codebook.n_centres, beside.codebook.filled) == (7, False)
    grid = teacher_of(method).levels[beside.codebook.level].stride
    assert grid == min(level.stride for level in teacher_of(method).levels if level.stride >= 8)
