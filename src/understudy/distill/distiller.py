"""The algorithm: a student learns a teacher's features of good pictures; where they differ is a defect."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from understudy.distill.losses import Term
from understudy.distill.maps import MapRecipe, image_score
from understudy.distill.teacher import Teacher
from understudy.types import Pair

__all__ = ["Distiller"]


class Distiller(nn.Module):
    """(B, 3, H, W) normalised images -> (B, 1, H, W) anomaly map, in train and eval mode alike.

    Args:
        teacher: images -> Features; frozen.
        student: (images, Features) -> list of Pair.
        terms: the summands of the training loss.
        to_map: pairs and picture size -> anomaly map.
    """

    def __init__(
        self, teacher: Teacher, student: nn.Module, terms: Sequence[Term], to_map: MapRecipe
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.student = student
        self.terms = tuple(terms)
        self.to_map = to_map

    def pairs(self, images: Tensor) -> list[Pair]:
        """(B, 3, H, W) -> teacher's and student's features of every level."""
        pairs: list[Pair] = self.student(images, self.teacher(images))
        return pairs

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        return self.to_map(self.pairs(images), (images.shape[-2], images.shape[-1]))

    def score(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 1, H, W) map and (B,) image-level score; larger is more abnormal."""
        anomaly_map = self(images)
        return anomaly_map, image_score(anomaly_map)

    def training_loss(self, images: Tensor, shift: int = 1) -> dict[str, Tensor]:
        """(B, 3, H, W) good images -> each term, weighted and summed over levels; add them up.

        Args:
            images: normalised.
            shift: which picture of the batch is whose partner, in 1..B-1; see
                :func:`understudy.distill.losses.affinity_distillation`.
        """
        terms = self.terms
        if len(images) == 1 and any(term.needs_partner for term in terms):
            warnings.warn("a batch of one has no partner: inter-affinity is left out", stacklevel=2)
            terms = tuple(term for term in terms if not term.needs_partner)
        pairs = self.pairs(images)
        with torch.autocast(images.device.type, enabled=False):
            return {
                term.name: term.weight * sum((term.error(p, shift) for p in pairs), torch.zeros(()))
                for term in terms
            }
