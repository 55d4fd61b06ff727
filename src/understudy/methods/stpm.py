"""STPM: student-teacher feature pyramid matching, arXiv:2103.04257."""

from __future__ import annotations

from understudy.distill.distiller import Distiller
from understudy.distill.forward import ForwardStudent
from understudy.distill.losses import Term, channel_distillation
from understudy.distill.maps import Combine, MapRecipe
from understudy.distill.teacher import Teacher
from understudy.methods.recipe import CODEBOOK, CodebookSettings, Recipe, Sgd, Smoothing

__all__ = ["PAPER", "TUNED", "StpmSettings", "stpm"]

PAPER = Recipe(Sgd(), batch_size=32, validation=0.2, choose_epoch=True)
TUNED = PAPER.tuned(settings=CODEBOOK)


class StpmSettings(CodebookSettings):
    """Settings of STPM.

    Attributes:
        half: whether the squared distance is halved, as the paper prints it. The authors' code does not halve
            it, and its learning rate of 0.4 belongs to that.
        combine: how levels are combined: by ``product`` or by ``sum``.
        smoothing: sigma of a Gaussian over the anomaly map, in pixels of the map, at most 64; 0 for none, as
            in the authors' code.
    """

    half: bool = False
    combine: Combine = "product"
    smoothing: Smoothing = 0.0


def stpm(teacher: Teacher, settings: StpmSettings) -> Distiller:
    """Compose STPM: forward student, squared distance of unit vectors, product of the levels."""
    # One minus the cosine is half the squared distance of unit vectors.
    distance = Term(
        "distance", 1.0 if settings.half else 2.0, lambda pair, shift, done: channel_distillation(pair)
    )
    to_map = MapRecipe(
        feature=2.0, combine=settings.combine, sigma=settings.smoothing, shrink=4, align_corners=False
    )
    return Distiller(teacher, ForwardStudent(teacher), [distance], to_map)
