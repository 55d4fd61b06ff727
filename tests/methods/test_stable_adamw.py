"""The optimiser of Dinomaly, against its formula written out in double precision."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from understudy.methods.stable_adamw import StableAdamWOptimiser

LR, BETAS, EPS, DECAY = 0.02, (0.9, 0.99), 1e-3, 0.3
SHAPES = [(5, 7), (4,), (3, 2, 1, 1)]
LOUD = (4, 9)  # steps at which the first tensor's gradient is thirty times as long


def gradient(step: int, k: int) -> Tensor:
    drawn = torch.randn(SHAPES[k], generator=torch.Generator().manual_seed(10 * step + k))
    return 30 * drawn if step in LOUD and k == 0 else drawn


def parameters() -> list[nn.Parameter]:
    return [
        nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(k)))
        for k, shape in enumerate(SHAPES)
    ]


def trained(given: list[nn.Parameter], optimiser: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        for k, parameter in enumerate(given):
            parameter.grad = gradient(step, k)
        optimiser.step()


def literal(parameter: Tensor, k: int, steps: range) -> tuple[Tensor, list[float]]:
    """One tensor after some steps, and how much each was clipped."""
    p = parameter.detach().double()
    m = v = largest = torch.zeros_like(p)
    clipped = []
    for t in steps:
        g = gradient(t, k).double()
        p = p * (1 - LR * DECAY)
        m = BETAS[0] * m + (1 - BETAS[0]) * g
        v = BETAS[1] * v + (1 - BETAS[1]) * g**2
        largest = torch.maximum(largest, v)
        d = largest.sqrt() / math.sqrt(1 - BETAS[1] ** t) + EPS
        clipped.append(max(1.0, float((g / d).square().mean().sqrt())))
        p = p - LR / (1 - BETAS[0] ** t) / clipped[-1] * m / d
    return p, clipped


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_the_formula(dtype: torch.dtype) -> None:
    start, steps = parameters(), range(1, 13)
    ours = [nn.Parameter(p.detach().clone().to(dtype)) for p in start]
    optimiser = StableAdamWOptimiser(ours, LR, BETAS, EPS, DECAY)
    for step in steps:
        for k, parameter in enumerate(ours):
            parameter.grad = gradient(step, k).to(dtype)
        optimiser.step()
    exact = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    for k, parameter in enumerate(ours):
        expected, clipped = literal(start[k], k, steps)
        assert torch.allclose(parameter.detach().double(), expected, rtol=exact, atol=exact)
        if k == 0:
            assert all(clipped[step - 1] > 1.2 for step in LOUD)
    assert min(clipped) == 1


def test_training_goes_on_from_a_saved_state_bit_by_bit() -> None:
    whole, broken = parameters(), parameters()
    trained(whole, StableAdamWOptimiser(whole, LR, BETAS, EPS, DECAY), range(1, 13))
    first = StableAdamWOptimiser(broken, LR, BETAS, EPS, DECAY)
    trained(broken, first, range(1, 6))
    second = StableAdamWOptimiser(broken, 1.0, BETAS, EPS, 0.0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    trained(broken, second, range(6, 13))
    assert all(torch.equal(a, b) for a, b in zip(whole, broken, strict=True))


def test_a_tensor_without_a_gradient_stays() -> None:
    moving, still = parameters()[:2]
    optimiser = StableAdamWOptimiser([moving, still], LR, BETAS, EPS, DECAY)
    optimiser.step()
    moving.grad = torch.ones_like(moving)
    optimiser.step()
    assert torch.equal(still, parameters()[1])
    assert not torch.equal(moving, parameters()[0])
