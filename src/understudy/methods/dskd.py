"""DSKD: contextual affinity distillation with a local and a global student, arXiv:2307.03101.

This is a *reconstruction from the abstract*. The public text names the parts: two reverse students trained
together, a global context condensing block, and a contextual affinity loss that also scores. It gives no
sizes, equations or weights. The defaults follow a rule that was written down before any result was seen
(docs/decisions/0012). Other readings of the text are settings.
"""

from __future__ import annotations

from pydantic import Field

from understudy.distill.affinity import AffinityAgainst, RowMeasure, contextual_distillation
from understudy.distill.distiller import Distiller
from understudy.distill.dual import Condensing, dual_student
from understudy.distill.fusion import ContextualMap, Fusion, Part, Scaling
from understudy.distill.losses import CosineReading, Term, channel_distillation
from understudy.distill.maps import MapRecipe
from understudy.distill.teacher import Teacher
from understudy.methods.recipe import CODEBOOK, CodebookSettings, Recipe, Smoothing, Weight

__all__ = ["PAPER", "TUNED", "DskdSettings", "dskd"]

PAPER = Recipe(batch_size=16, validation=0.1)
TUNED = PAPER.tuned(settings=CODEBOOK)


class DskdSettings(CodebookSettings):
    """Settings of DSKD. A weight lies between 0 and 1000.

    Attributes:
        cosine: reading of both students' cosine terms; see
            :func:`understudy.distill.losses.channel_distillation`.
        width: channels of the global student's code, from 1 to 4096.
        condensing: how the global student condenses; see :class:`understudy.distill.dual.GlobalContextBlock`.
        affinity_levels: number of levels, counted from the coarsest, that have contextual affinity.
        against: what the student's rows are compared with; see
            :func:`understudy.distill.affinity.contextual_distance`.
        measure: how rows are compared; see the same function.
        lambda_cosine: weight of the global student's cosine term.
        lambda_affinity: weight of the contextual affinity term.
        global_cosine: weight of the cosine distance in the global student's map.
        scaling: how both maps are brought to one scale; see :class:`understudy.distill.fusion.Fusion`.
        global_share: share of the global student's map in the fused one, from 0 to 1; the rest is the local
            student's.
        smoothing: sigma of the Gaussian over both maps, in pixels of the map, at most 64; 0 for none.
    """

    cosine: CosineReading = "local"
    width: int = Field(default=64, ge=1, le=4096)
    condensing: Condensing = "code"
    affinity_levels: int = Field(default=2, ge=1, le=16)
    against: AffinityAgainst = "self"
    measure: RowMeasure = "cosine"
    lambda_cosine: Weight = 1.0
    lambda_affinity: Weight = 1.0
    global_cosine: Weight = 0.0
    scaling: Scaling = "quantile"
    global_share: float = Field(default=0.5, ge=0, le=1)
    smoothing: Smoothing = 4.0


def dskd(teacher: Teacher, settings: DskdSettings) -> Distiller:
    """Compose DSKD: local and global reverse student, cosine for both, contextual affinity for the global."""
    s, levels = settings, len(teacher.levels)
    local_pairs, global_pairs = slice(0, levels), slice(levels, 2 * levels)
    coarse_pairs = slice(2 * levels - min(s.affinity_levels, levels), 2 * levels)
    terms = [
        Term(
            "local", 1.0, lambda pair, shift, done: channel_distillation(pair, s.cosine), levels=local_pairs
        ),
        Term(
            "global",
            s.lambda_cosine,
            lambda pair, shift, done: channel_distillation(pair, s.cosine),
            levels=global_pairs,
        ),
        Term(
            "affinity",
            s.lambda_affinity,
            lambda pair, shift, done: contextual_distillation(pair, s.against, s.measure),
            levels=coarse_pairs,
        ),
    ]
    parts: dict[str, Part] = {
        "local": (local_pairs, MapRecipe(sigma=s.smoothing)),
        "global": (coarse_pairs, ContextualMap(s.against, s.measure, s.global_cosine, s.smoothing)),
    }
    student = dual_student(teacher, s.width, s.condensing)
    shares = {"local": 1 - s.global_share, "global": s.global_share}
    return Distiller(teacher, student, [t for t in terms if t.weight], Fusion(parts, s.scaling, shares))
