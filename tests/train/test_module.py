"""What Lightning trains: each process its own noise, losses in full float32. More is in ``test_loop``."""

from __future__ import annotations

import torch

from understudy.distill.network import float32_products
from understudy.train.module import _seed_of


def test_each_process_draws_its_own_noise() -> None:
    seeds = {_seed_of(seed, step, rank) for seed in (0, 2**31 - 1) for step in (0, 9) for rank in range(8)}
    assert len(seeds) == 32
    assert max(seeds) < 2**63
    assert _seed_of(3, 7) == _seed_of(3, 7, 0)


def test_a_gpu_multiplies_losses_in_full_within_a_training_in_tf32_and_a_processor_always() -> None:
    told: list[str] = []
    for device in (torch.device("cuda"), torch.device("cpu")):
        with float32_products("high", device):
            told.append(torch.get_float32_matmul_precision())
            with float32_products("highest", device):
                told.append(torch.get_float32_matmul_precision())
            told.append(torch.get_float32_matmul_precision())
    assert told == ["high", "highest", "high", "highest", "highest", "highest"]
    assert torch.get_float32_matmul_precision() == "highest"
