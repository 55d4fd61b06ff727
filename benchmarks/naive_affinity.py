"""The affinity term as papers print it, with the whole matrices: what ours is compared with."""

from __future__ import annotations

from torch import Tensor

from understudy.distill.affinity import AffinityForm
from understudy.kernels.gram import AffinityNorm, unit_vectors
from understudy.types import Pair

__all__ = ["naive_affinity_distillation", "naive_bytes"]


def naive_affinity_distillation(
    pair: Pair, shift: int, form: AffinityForm = "rms", norm: AffinityNorm = "channel"
) -> Tensor:
    """See :func:`understudy.distill.losses.affinity_distillation`: with two (B, n, n), all cells counting."""
    teacher, student = (unit_vectors(features, norm) for features in pair[:2])
    teacher_other, student_other = (f.roll(-shift, dims=0) for f in (teacher, student))
    difference = student.mT @ student_other - teacher.mT @ teacher_other
    if form == "abs":
        return difference.abs().mean()
    each = difference.square().mean((1, 2))
    return (each.sqrt() if form == "rms" else each).mean()


def naive_bytes(batch_size: int, positions: int, terms: int) -> int:
    """What the (B, n, n) matrices of the finest level take at once, where the forward pass has most.

    Of every earlier term the difference is kept for the gradient; of the last one there are both
    affinities and their difference. The gradients take more.
    """
    return (terms - 1 + 3) * 4 * batch_size * positions**2
