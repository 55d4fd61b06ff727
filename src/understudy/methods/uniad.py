"""UniAD: tokens that see no neighbour are rebuilt by layer-wise queries, arXiv:2206.03687."""

from __future__ import annotations

from pydantic import Field

from understudy.distill.distiller import Distiller
from understudy.distill.losses import Term, squared_error
from understudy.distill.maps import MapRecipe
from understudy.distill.teacher import Teacher
from understudy.distill.token_student import TokenStudent
from understudy.methods.recipe import CODEBOOK, AdamW, CodebookSettings, Depth, Recipe, Smoothing

__all__ = ["PAPER", "TUNED", "UniadSettings", "uniad"]

PAPER = Recipe(AdamW(), schedule="step", image_score="own")
TUNED = PAPER.tuned(  # docs/decisions/0057
    optimiser=AdamW(1e-3), schedule="cosine", pictures=3200, settings={"smoothing": 1.0} | CODEBOOK
)

_POOL = 16  # pixels a side of the squares whose means are scored


class UniadSettings(CodebookSettings):
    """Settings of UniAD.

    Attributes:
        depth: number of layers of the encoder, and of the decoder, at most 64.
        dropout: rate of the dropout, at most 0.9; 0 for none.
        neighbours: side of the square of cells around a cell that its attention does not see, in cells, at
            most 63; an even one counts as the next odd one. 0 for no square: a cell sees all, itself too.
        jitter: length of the noise that each token has in training, by the length of the token, at most 10;
            0 for none.
        cells: tokens are on the teacher's coarsest level with at least so many cells along a side, from 1 to
            128; where no level has as many, on the finest.
        smoothing: sigma of the Gaussian over the anomaly map, in pixels of the map, at most 64; 0 for none.
            The tuned recipe has 1.
    """

    depth: Depth = 4
    dropout: float = Field(default=0.1, ge=0, le=0.9)
    neighbours: int = Field(default=7, ge=0, le=63)
    jitter: float = Field(default=1.21, ge=0, le=10)
    cells: int = Field(default=14, ge=1, le=128)
    smoothing: Smoothing = 0.0


def uniad(teacher: Teacher, settings: UniadSettings) -> Distiller:
    """Compose UniAD: token student, squared error, map and score by the length of the error.

    Raises:
        InputError: the teacher's grid has too few cells for so many neighbours.
    """
    s = settings
    student = TokenStudent(
        teacher.levels,
        teacher.image_size,
        depth=s.depth,
        dropout=s.dropout,
        neighbours=s.neighbours,
        jitter=s.jitter,
        cells=s.cells,
    )
    squared = Term("squared", 1.0, lambda pair, shift, done: squared_error(pair))
    return Distiller(
        teacher, student, [squared], MapRecipe(distance="euclidean", sigma=s.smoothing, pool=_POOL)
    )
