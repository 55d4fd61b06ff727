"""Which precision a training computes in, and the measurement behind it."""

from __future__ import annotations

import time

import pytest
import torch

from understudy.distill import precision
from understudy.distill.precision import (
    choose_precision,
    describe_precision,
    measure_precisions,
    resolve_precision,
)
from understudy.types import Level

CPU = torch.device("cpu")
TINY = ((1, 8, 4),)


@pytest.mark.parametrize(("bf16", "chosen"), [(0.5, "bf16"), (0.95, "32"), (1.0, "32"), (2.0, "32")])
def test_precision_is_bf16_only_where_it_is_faster(
    bf16: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"32": 1.0, "bf16": bf16}
    monkeypatch.setattr(precision, "measure_precisions", lambda *_: figures)
    found = choose_precision("auto", CPU)
    assert (found.precision, found.milliseconds) == (chosen, figures)
    assert resolve_precision("auto", CPU) == chosen


@pytest.mark.parametrize("asked", ["32", "bf16"])
def test_a_precision_that_is_asked_for_is_not_measured(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "measure_precisions", lambda *_: pytest.fail("measured"))
    found = choose_precision(asked, CPU)  # type: ignore[arg-type]
    assert (found.precision, found.milliseconds) == (asked, None)


def test_the_layers_that_are_measured_have_the_channels_of_the_teachers_levels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(
        precision, "measure_precisions", lambda shapes, _: asked.append(shapes) or {"32": 1.0, "bf16": 1.0}
    )
    choose_precision("auto", CPU, [Level(24, 4), Level(40, 8)], image_size=64, batch_size=4)
    choose_precision("auto", CPU, [Level(2048, 8)], image_size=512, batch_size=32)
    assert asked[0] == ((4, 24, 16), (4, 40, 8))
    ((pictures, channels, side),) = asked[1]
    assert (pictures, channels) == (1, 2048)  # as wide, on fewer cells: the measurement takes half a second
    assert 1 <= side < 64


def test_a_measurement_has_both_figures_is_made_once_and_leaves_the_random_numbers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "_SECONDS", 0.01)
    measure_precisions.cache_clear()
    before = torch.get_rng_state()
    found = measure_precisions(TINY, 1)
    assert torch.equal(before, torch.get_rng_state())
    assert set(found) == {"32", "bf16"}
    assert min(found.values()) > 0
    monkeypatch.setattr(time, "perf_counter", lambda: pytest.fail("measured again"))
    assert measure_precisions(TINY, 1) == found


def test_both_figures_are_said() -> None:
    assert describe_precision("32", None) == "32"
    said = describe_precision("bf16", {"32": 28.113, "bf16": 15.726})
    assert said == "bf16 (layers like these take 28.1 ms in float32, 15.7 ms in bf16)"
