"""The affinity error as papers print it, with the whole matrices: what ours is compared with."""

from __future__ import annotations

from torch import Tensor

from understudy.distill.affinity import AffinityForm

__all__ = ["naive_affinity_error", "naive_bytes"]


def naive_affinity_error(
    teacher: Tensor,
    student: Tensor,
    teacher_other: Tensor,
    student_other: Tensor,
    form: AffinityForm,
    care: None = None,
    care_other: None = None,
) -> Tensor:
    """Four (B, D, n) -> scalar, through two (B, n, n); see ``understudy.distill.affinity.affinity_error``.

    All cells count here, so that there is no care.
    """
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
