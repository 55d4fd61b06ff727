"""RD: reverse distillation from one-class embedding, arXiv:2201.10703."""

from __future__ import annotations

from understudy.distill.distiller import Distiller
from understudy.distill.losses import CosineLoss, Term, cosine_loss
from understudy.distill.maps import MapRecipe
from understudy.distill.reverse import reverse_student
from understudy.distill.reverse_transformer import TransformerStudent
from understudy.distill.teacher import Teacher
from understudy.methods.recipe import CODEBOOK, CodebookSettings, Depth, Recipe, Smoothing, StudentKind

__all__ = ["PAPER", "TUNED", "RdSettings", "rd"]

PAPER = Recipe(batch_size=16)
TUNED = PAPER.tuned(  # docs/decisions/0031, 0035, 0037
    batch_size=8,
    averaging=0.98,
    pictures=3200,
    pictures_each=160,
    settings={"cosine": "hard", "smoothing": 1.0} | CODEBOOK,
)


class RdSettings(CodebookSettings):
    """Settings of RD.

    Attributes:
        cosine: reading of the cosine term: one cosine for the whole tensor of a picture (``global``, as in
            the release), or one for each position (``local``, as in the paper; ``hard``, as in the tuned
            recipe); see :func:`understudy.distill.losses.channel_distillation`. ``easy`` is the loss of
            ``dinomaly``; see :func:`understudy.distill.losses.cosine_loss`.
        smoothing: sigma of the Gaussian over the anomaly map, in pixels of the map, at most 64; 0 for none.
            The tuned recipe has 1.
        student: ``convolutional``, as in the paper, or ``transformer``, the student of ``dinomaly``, which is
            trained by that method's recipe.
        depth: number of blocks of a transformer, at most 64, a multiple of the number of levels.
    """

    cosine: CosineLoss = "global"
    smoothing: Smoothing = 4.0
    student: StudentKind = "convolutional"
    depth: Depth = 4


def rd(teacher: Teacher, settings: RdSettings) -> Distiller:
    """Compose RD: reverse student, cosine loss, cosine map.

    Raises:
        InputError: a transformer as student does not go with the teacher or the depth.
    """
    s = settings
    student = (
        TransformerStudent(teacher.levels, s.depth)
        if s.student == "transformer"
        else reverse_student(teacher.name, teacher.levels, signed=teacher.is_signed())
    )
    cosine = Term("cosine", 1.0, lambda pair, shift, done: cosine_loss(pair, s.cosine, done))
    return Distiller(teacher, student, [cosine], MapRecipe(sigma=s.smoothing))
