"""RD: reverse distillation from one-class embedding, arXiv:2201.10703."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from understudy.distill.distiller import Distiller
from understudy.distill.losses import CosineReading, Term, channel_distillation
from understudy.distill.maps import MapRecipe
from understudy.distill.reverse import reverse_student
from understudy.distill.teacher import Teacher
from understudy.methods.recipe import Recipe, Smoothing

__all__ = ["PAPER", "TUNED", "RdSettings", "rd"]

PAPER = Recipe(batch_size=16)
TUNED = PAPER.tuned(  # docs/decisions/0031, 0035, 0037
    batch_size=8,
    averaging=0.98,
    pictures=3200,
    pictures_each=160,
    settings={"cosine": "hard", "smoothing": 1.0},
)


class RdSettings(BaseModel):
    """Settings of RD.

    Attributes:
        cosine: reading of the cosine term: one cosine for the whole tensor of a picture (``global``, as in
            the release), or one for each position (``local``, as in the paper; ``hard``, as in the tuned
            recipe); see :func:`understudy.distill.losses.channel_distillation`.
        smoothing: sigma of the Gaussian over the anomaly map, in pixels of the map, at most 64; 0 for none.
            The tuned recipe has 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cosine: CosineReading = "global"
    smoothing: Smoothing = 4.0


def rd(teacher: Teacher, settings: RdSettings) -> Distiller:
    """Compose RD: reverse student, cosine loss, cosine map."""
    student = reverse_student(teacher.name, teacher.levels, signed=teacher.is_signed())
    cosine = Term("cosine", 1.0, lambda pair, shift: channel_distillation(pair, settings.cosine))
    return Distiller(teacher, student, [cosine], MapRecipe(sigma=settings.smoothing))
