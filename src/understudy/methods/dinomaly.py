"""Dinomaly: a reverse transformer student behind a noisy bottleneck, arXiv:2405.14325."""

from __future__ import annotations

from pydantic import Field

from understudy.distill.distiller import Distiller
from understudy.distill.losses import Term, easing_cosine_distance, easy_share
from understudy.distill.maps import MapRecipe
from understudy.distill.reverse_transformer import TransformerStudent
from understudy.distill.teacher import Teacher
from understudy.methods.recipe import CODEBOOK, CodebookSettings, Depth, Recipe, Smoothing, StableAdamW

__all__ = ["PAPER", "TUNED", "DinomalySettings", "dinomaly"]

PAPER = Recipe(StableAdamW(), schedule="cosine", batch_size=16, pictures=160_000)
TUNED = PAPER.tuned(  # docs/decisions/0049
    pictures=19_200,
    settings={"depth": 4, "easy_until": 0.3, "smoothing": 1.0} | CODEBOOK,
)


class DinomalySettings(CodebookSettings):
    """Settings of Dinomaly.

    Attributes:
        depth: number of blocks of the student, at most 64, a multiple of the number of the teacher's levels.
            The tuned recipe has 4.
        dropout: rate of the dropout in the bottleneck, at most 0.9; 0 for none.
        easy_share: share of the cells, at most 0.99, that differ least and so have a tenth of the gradient at
            the end; see :func:`understudy.distill.losses.easing_cosine_distance`. 0 for none.
        easy_until: share of the training, from 0.001 to 1, in which that share rises from zero. The tuned
            recipe has 0.3.
        smoothing: sigma of the Gaussian over the anomaly map, in pixels of the map, at most 64; 0 for none.
            The tuned recipe has 1.
    """

    depth: Depth = 8
    dropout: float = Field(default=0.2, ge=0, le=0.9)
    easy_share: float = Field(default=0.9, ge=0, le=0.99)
    easy_until: float = Field(default=0.1, ge=0.001, le=1)
    smoothing: Smoothing = 4.0


def dinomaly(teacher: Teacher, settings: DinomalySettings) -> Distiller:
    """Compose Dinomaly: reverse transformer student, loss and map that are means over the levels.

    Raises:
        InputError: the teacher's levels differ in grid or width, or the depth does not fit their number.
    """
    s = settings
    student = TransformerStudent(teacher.levels, s.depth, s.dropout)
    each = 1 / len(teacher.levels)
    cosine = Term(
        "cosine",
        each,
        lambda pair, shift, done: easing_cosine_distance(pair, easy_share(done, s.easy_share, s.easy_until)),
    )
    return Distiller(teacher, student, [cosine], MapRecipe(feature=each, sigma=s.smoothing))
