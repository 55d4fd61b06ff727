"""Statistics of batch normalisation, recomputed with the final weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from understudy import fit, load
from understudy.train.finish import recompute_batchnorm

QUICK = {"image_size": 64, "max_steps": 3, "batch_size": 4, "precision": "32", "device": "cpu"}


def test_statistics_become_the_plain_mean_over_the_batches() -> None:
    layer = nn.BatchNorm2d(1)
    layer(torch.randn(4, 1, 8, 8) + 100)  # what an older student has left
    batches = [torch.randn(4, 1, 8, 8) + mean for mean in (1.0, 2.0, 6.0)]
    recompute_batchnorm(layer, batches, layer)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.running_mean.item() == pytest.approx(torch.stack([b.mean() for b in batches]).mean().item())
    assert layer.running_var.item() == pytest.approx(torch.stack([b.var() for b in batches]).mean().item())


def test_nothing_but_statistics_is_changed_and_the_student_is_left_in_eval_mode() -> None:
    student = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, momentum=0.3)
    )
    before = {name: p.detach().clone() for name, p in student.named_parameters()}
    recompute_batchnorm(student, [torch.randn(4, 3, 8, 8)], student)
    assert all(torch.equal(before[name], p) for name, p in student.named_parameters())
    assert [m.momentum for m in student if isinstance(m, nn.BatchNorm2d)] == [0.1, 0.3]
    assert not any(m.training for m in student.modules())


def test_a_layer_that_no_batch_reaches_stays_as_it_is() -> None:
    used, unused = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    unused(torch.randn(4, 2, 8, 8) + 5)
    before = {name: value.clone() for name, value in unused.state_dict().items()}
    recompute_batchnorm(nn.ModuleList([used, unused]), [torch.randn(4, 2, 8, 8)], used)
    assert all(torch.equal(before[name], value) for name, value in unused.state_dict().items())


def test_statistics_of_deeper_layers_are_those_that_the_final_weights_give() -> None:
    """By hand: every layer sees what the layers before it make of the batch by the batch's own statistics."""
    student = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.0))
    student(torch.randn(4, 3, 8, 8) * 9)
    batches = [torch.randn(4, 3, 8, 8) + mean for mean in (0.0, 3.0)]
    means = []
    with torch.no_grad():
        for batch in batches:
            low, high = batch.mean((0, 2, 3), keepdim=True), batch.var((0, 2, 3), keepdim=True, correction=0)
            means.append(student[1]((batch - low) / (high + 1e-5).sqrt()).mean((0, 2, 3)))
    recompute_batchnorm(student, batches, student)
    torch.testing.assert_close(student[2].running_mean, torch.stack(means).mean(0))
    assert student[2].num_batches_tracked == 2


def test_a_student_without_batch_normalisation_stays_as_it_is_and_is_left_in_eval_mode() -> None:
    student = nn.Conv2d(3, 4, 1)
    before = student.weight.clone()
    recompute_batchnorm(student, [torch.randn(4, 3, 8, 8)], student)
    assert torch.equal(student.weight, before)
    assert not student.training


def test_layers_that_keep_no_statistics_still_keep_none() -> None:
    student = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False))
    recompute_batchnorm(student, [torch.randn(4, 3, 8, 8)], student)
    assert student[1].running_mean is None
    assert student[0].num_batches_tracked == 1


def _buffers(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    state = load(folder, "cpu").distiller.student.state_dict()
    running = {k: v for k, v in state.items() if "running" in k}
    return running, {k: v for k, v in state.items() if "running" not in k and "tracked" not in k}


def test_a_fit_recomputes_them_unless_it_is_told_not_to(factory: Path, tmp_path: Path) -> None:
    fit(factory, tmp_path / "a", method="rd", **QUICK)
    fit(factory, tmp_path / "b", method="rd", statistics="running", **QUICK)
    (running, weights), (others, same) = _buffers(tmp_path / "a"), _buffers(tmp_path / "b")
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert any(not torch.allclose(running[name], others[name]) for name in running)
    statistics = [load(tmp_path / name, "cpu").manifest.training.statistics for name in "ab"]
    assert statistics == ["recomputed", "running"]


def test_a_product_that_the_last_batches_did_not_show_is_not_forgotten() -> None:
    """Two products far apart, and last batches of one alone: the running mean forgets the other."""
    layer = nn.BatchNorm1d(1)
    products = [torch.randn(64, 1) - 10, torch.randn(64, 1) + 10]
    for _ in range(60):
        layer(products[0])
    layer.eval()
    forgotten = layer(products[1]).mean()
    recompute_batchnorm(layer, [torch.cat(products)], layer)  # a batch shows several products
    assert layer(products[1]).mean() < forgotten / 5
