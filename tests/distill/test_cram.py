from __future__ import annotations

import torch

from understudy.distill.cram import CRAM, assign_softly


def test_assignments_sum_to_one_and_are_soft_at_the_start() -> None:
    cram = CRAM(256, 50)
    shares = assign_softly(torch.randn(32, 256), cram.centers, cram.alpha)
    assert torch.allclose(shares.sum(1), torch.ones(32))
    assert shares.max() < 0.1


def test_the_output_keeps_the_inputs_precision() -> None:
    assert CRAM(8, 5)(torch.randn(1, 8, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
