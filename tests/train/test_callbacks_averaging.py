"""The mean of a student's weights: what it is, and that a fit keeps it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from understudy import InputError, fit, load
from understudy.train.callbacks import AveragedWeights

QUICK = {"image_size": 64, "max_steps": 12, "batch_size": 4, "holdout": 0.0, "method": "rd"}


def walk(mean: AveragedWeights, layer: nn.Linear, values: list[float]) -> None:
    for value in values:
        with torch.no_grad():
            layer.weight.fill_(value)
        mean.on_train_batch_end(None, None, None, None, 0)  # type: ignore[arg-type]


def test_a_long_walk_is_an_exponential_mean_and_a_short_one_follows_faster() -> None:
    layer = nn.Linear(1, 1, bias=False)
    mean, values = (
        AveragedWeights(layer, 0.5),
        [3.0, 7.0, -2.0, 5.0, 1.0, 0.0, 4.0, 8.0, 6.0, 2.0, 9.0, -5.0, 11.0],
    )
    walk(mean, layer, values)
    expected = 0.0
    for step, value in enumerate(values):
        share = min(0.5, step / (step + 10))
        expected = share * expected + (1 - share) * value
    assert layer.weight.item() == values[-1]  # the training itself goes on from the last
    mean.restore()
    assert layer.weight.item() == pytest.approx(expected, rel=1e-6)


def student() -> nn.Module:
    """Has parameters, statistics that are averaged with them, and a count of batches, which is not."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def train_a_step(net: nn.Module, mean: AveragedWeights, seed: int) -> None:
    """Move every number of a student, and tell the mean."""
    generator = torch.Generator().manual_seed(seed)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value += torch.randn(value.shape, generator=generator)
        else:
            value += 1
    mean.on_train_batch_end(None, None, None, None, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("decay", [0.02, 0.5, 0.98])
def test_the_mean_is_the_plain_formula_bit_by_bit(decay: float) -> None:
    net = student()
    mean = AveragedWeights(net, decay)
    expected = {k: torch.zeros_like(v) for k, v in net.state_dict().items() if v.is_floating_point()}
    for step in range(25):
        train_a_step(net, mean, step)
        share = min(decay, step / (step + 10))
        for name, value in expected.items():
            value.lerp_(net.state_dict()[name], 1 - share)
    mean.restore()
    assert net[1].num_batches_tracked == 25
    assert all(torch.equal(net.state_dict()[name], value) for name, value in expected.items())


@pytest.mark.parametrize("stop", [1, 4, 12])
def test_the_mean_goes_on_from_a_checkpoint(stop: int, tmp_path: Path) -> None:
    whole = student()
    parts = copy.deepcopy(whole)
    unbroken, first = AveragedWeights(whole, 0.9), AveragedWeights(parts, 0.9)
    for step in range(12):
        train_a_step(whole, unbroken, step)
    for step in range(stop):
        train_a_step(parts, first, step)
    torch.save(first.state_dict(), tmp_path / "state")
    second = AveragedWeights(parts, 0.9)
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for step in range(stop, 12):
        train_a_step(parts, second, step)
    unbroken.restore()
    second.restore()
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), parts.buffers(), strict=True))


def test_nothing_is_changed_where_no_step_was_seen() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.clone()
    AveragedWeights(layer, 0.9).restore()
    assert torch.equal(layer.weight, before)


def _learned(folder: Path) -> dict[str, Tensor]:
    state = load(folder, "cpu").distiller.student.state_dict()
    return {name: value for name, value in state.items() if value.is_floating_point()}


@pytest.mark.parametrize("statistics", ["running", "recomputed"])
def test_a_fit_keeps_the_mean_of_every_steps_student(
    statistics: str, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []
    step = AveragedWeights.on_train_batch_end

    def watched(self: AveragedWeights, *arguments: object) -> None:
        state = self._student.state_dict()
        seen.append({k: v.clone() for k, v in state.items() if v.is_floating_point()})
        step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(AveragedWeights, "on_train_batch_end", watched)
    options = QUICK | {"averaging": 0.3, "statistics": statistics}
    card = fit(factory, tmp_path / "m", **options).manifest.training
    kept = _learned(tmp_path / "m")
    assert (card.averaging, len(seen)) == (0.3, 12)
    for name, value in kept.items():
        if "running" in name and statistics == "recomputed":
            continue
        expected = torch.zeros_like(value)
        for number, state in enumerate(seen):
            share = min(0.3, number / (number + 10))
            expected = share * expected + (1 - share) * state[name]
        assert torch.allclose(value, expected, rtol=1e-4, atol=1e-6), name


def test_a_method_that_keeps_its_best_epoch_keeps_no_mean(factory: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stpm keeps its best epoch's student; leave out"):
        fit(factory, tmp_path / "m", **QUICK | {"method": "stpm"}, averaging=0.9)
