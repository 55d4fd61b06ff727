from __future__ import annotations

import math

import pytest
import torch

from understudy.distill.cram import CRAM


@torch.no_grad()
@pytest.mark.parametrize("per_center_alpha", [False, True])
@pytest.mark.parametrize("mode", ["residual", "codebook"])
def test_equation_8_and_9_equal_the_naive_residuals(mode: str, per_center_alpha: bool) -> None:
    cram = CRAM(6, 4, mode, per_center_alpha=per_center_alpha)
    torch.nn.init.normal_(cram.centers)
    if per_center_alpha:
        torch.nn.init.normal_(cram.raw_alpha)
    features = torch.randn(2, 6, 3, 5)
    out = cram(features)
    alpha = [math.log1p(math.exp(a)) for a in cram.raw_alpha.tolist()] * (1 if per_center_alpha else 4)
    for b in range(2):
        for h in range(3):
            for w in range(5):
                f = features[b, :, h, w]
                residuals = [f - center for center in cram.centers]
                weights = [math.exp(-a * float(r @ r)) for a, r in zip(alpha, residuals, strict=True)]
                shares = [weight / sum(weights) for weight in weights]
                parts = residuals if mode == "residual" else list(cram.centers)
                literal = sum(share * part for share, part in zip(shares, parts, strict=True))
                assert torch.allclose(out[b, :, h, w], literal, atol=1e-5)


def test_centres_at_zero_make_it_the_identity() -> None:
    cram = CRAM(8, 50)
    torch.nn.init.zeros_(cram.centers)
    features = torch.randn(2, 8, 4, 4)
    assert torch.equal(cram(features), features)


def test_gradients_reach_every_centre_and_alpha_at_the_start() -> None:
    cram = CRAM(256, 50)
    cram(6 * torch.randn(2, 256, 8, 8)).square().mean().backward()
    assert cram.centers.grad is not None
    assert (cram.centers.grad.norm(dim=1) > 0).all()
    assert cram.raw_alpha.grad is not None
    assert cram.raw_alpha.grad.abs().item() > 0


def test_assignments_sum_to_one_and_are_soft_at_the_start() -> None:
    shares = CRAM(256, 50).assign(torch.randn(2, 256, 16))
    assert torch.allclose(shares.sum(1), torch.ones(2, 16))
    assert shares.max() < 0.1


def test_the_output_keeps_the_inputs_precision() -> None:
    assert CRAM(8, 5)(torch.randn(1, 8, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
