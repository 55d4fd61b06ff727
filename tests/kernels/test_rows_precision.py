"""The squared forms of an affinity without its matrix, in float32, against the matrix in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from understudy.distill.valid import unit_vectors
from understudy.kernels.gram import intra_affinity_distillation
from understudy.kernels.rows import affinity_map
from understudy.types import Pair

SIDE, D = 64, 256
N = SIDE**2
FLOOR = {"squared": 2e-6, "rms": 1.5e-3}  # as the docstring of the module has it
KINDS = ("signed", "positive", "alike")


def drawn(kind: str) -> Tensor:
    """(1, D, SIDE, SIDE) features: of either sign, behind a ReLU, or nearly the same everywhere."""
    features = torch.randn(1, D, SIDE, SIDE)
    if kind == "alike":
        return torch.randn(1, D, 1, 1) + 0.1 * features
    return features.relu() if kind == "positive" else features


def literal(pair: Pair) -> Tensor:
    """(N,) mean over j of (A_s - A_t)², in double precision."""
    t, s = (unit_vectors(f, "channel")[0].double() for f in pair[:2])
    rows = [s[:, i : i + 512].T @ s - t[:, i : i + 512].T @ t for i in range(0, N, 512)]
    return torch.cat([part.square().mean(1) for part in rows])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", [None, 1e-3, 1e-5, 0.0])  # of the student, relative; None: unlike
def test_the_forms_without_the_matrix_are_exact_to_the_floor(kind: str, noise: float | None) -> None:
    features = drawn(kind)
    student = drawn(kind) if noise is None else features * (1 + noise * torch.randn_like(features))
    pair = Pair(features, student)
    squared = literal(pair)
    for form, exact in {"squared": squared, "rms": squared.sqrt()}.items():
        assert (affinity_map(pair, form).flatten().double() - exact).abs().max() < FLOOR[form]
    for form, mean in {"squared": squared.mean(), "rms": squared.mean().sqrt()}.items():
        found = intra_affinity_distillation(pair, form).item()
        assert found == pytest.approx(mean.item(), abs=FLOOR[form])


@pytest.mark.parametrize("kind", KINDS)
def test_one_odd_position_stands_far_above_the_floor(kind: str) -> None:
    features = drawn(kind)
    student = features.clone()
    student[..., 10, 20] = drawn(kind)[..., 0, 0]
    for form, times in {"squared": 1000, "rms": 40}.items():
        rows = affinity_map(Pair(features, student), form).flatten()
        odd = rows[10 * SIDE + 20].item()
        assert odd > times * FLOOR[form]
        rows[10 * SIDE + 20] = 0
        assert odd > 10 * rows.max().item()
