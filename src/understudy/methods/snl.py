"""SNL: structural teacher-student normality learning, arXiv:2402.17091."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import Field, model_validator
from torch import nn

from understudy.distill.affinity import (
    AffinityForm,
    inter_affinity_distillation,
    intra_affinity_distillation,
)
from understudy.distill.cram import CRAM, CenterInit, CramMode
from understudy.distill.distiller import Distiller
from understudy.distill.forward import ForwardStudent
from understudy.distill.losses import (
    CosineLoss,
    SpatialReduction,
    SpatialScale,
    Term,
    cosine_loss,
    spatial_distillation,
)
from understudy.distill.maps import Combine, MapRecipe
from understudy.distill.reverse import reverse_student
from understudy.distill.reverse_transformer import TransformerStudent
from understudy.distill.teacher import Teacher
from understudy.distill.valid import AffinityNorm
from understudy.errors import InputError
from understudy.methods import rd
from understudy.methods.recipe import (
    CODEBOOK,
    CodebookSettings,
    Depth,
    Recipe,
    Smoothing,
    StudentKind,
    Weight,
)

__all__ = ["PAPER", "TUNED_FD", "TUNED_RD", "SnlSettings", "snl_fd", "snl_rd"]

PAPER = Recipe(batch_size=8)
TUNED_FD = PAPER.tuned(settings=CODEBOOK)
TUNED_RD = replace(  # docs/decisions/0043
    rd.TUNED, settings={**rd.TUNED.settings, "anneal_structural_terms": True, "affinity_map": 0.5}
)


class SnlSettings(CodebookSettings):
    """Settings of SNL. A weight of 0, or 0 centres, switches a part off, as in the paper's tables 5 and 6.

    A weight lies between 0 and 1000.

    Attributes:
        cosine: reading of the channel term; see :func:`understudy.distill.losses.channel_distillation`. The
            tuned recipe of ``snl-rd`` has ``hard``. ``easy`` is the loss of ``dinomaly``; see
            :func:`understudy.distill.losses.cosine_loss`.
        lambda_spatial: weight of the spatial term, lambda 1 of eq. (7).
        lambda_intra: weight of the intra-affinity term, lambda 2.
        lambda_inter: weight of the inter-affinity term, lambda 3.
        anneal_structural_terms: whether the weights of the spatial, intra- and inter-affinity terms fall
            linearly to zero over the training, as in the tuned recipe of ``snl-rd``. The paper keeps them.
        spatial_scale: what features are divided by in the spatial term; see
            :func:`understudy.distill.losses.spatial_distillation`.
        temperature: temperature of the softmax in the spatial term, from 0.001 to 1000; see the same
            function.
        spatial_reduction: how channels are averaged in the spatial term; see the same function.
        affinity_levels: number of levels, counted from the coarsest, that have affinity terms and an affinity
            map; all by default.
        affinity_form: form of the affinity terms in the loss; see
            :func:`understudy.distill.affinity.intra_affinity_distillation`.
        affinity_norm: what has length one in an affinity; see :func:`understudy.distill.valid.unit_vectors`.
        centers: number of CRAM centres a level, at most 1024; 0 for no CRAM.
        cram_mode: ``residual``, as the paper prints it, or ``codebook``; see
            :class:`understudy.distill.cram.CRAM`.
        per_center_alpha: whether every centre has a sharpness of its own, or all share one.
        center_init: how centres start; see :class:`understudy.distill.cram.CRAM`.
        cram_in_line: whether the next stage reads the output of CRAM; see
            :class:`understudy.distill.reverse.Decoder`. In a transformer no block does.
        affinity_map: weight of the affinity map in the anomaly map. It is 1 in eq. (10). The tuned recipe of
            ``snl-rd`` has 0.5, because at the end of its training the student no longer learns affinities.
        affinity_map_form: form of the affinity map; see :func:`understudy.distill.affinity.affinity_map`.
        combine: how levels are combined: by ``sum``, as in eq. (11) and (13), or by ``product``, as in STPM.
        smoothing: sigma of the Gaussian over the anomaly map, in pixels of the map, at most 64; 0 for none.
            The tuned recipe of ``snl-rd`` has 1.
        student: student of ``snl-rd``: ``convolutional``, as in the paper, or ``transformer``, the student of
            ``dinomaly``, which is trained by that method's recipe.
        depth: number of blocks of a transformer, at most 64, a multiple of the number of levels.
    """

    cosine: CosineLoss = "local"
    lambda_spatial: Weight = 1.0
    lambda_intra: Weight = 1.0
    lambda_inter: Weight = 1.0
    anneal_structural_terms: bool = False
    spatial_scale: SpatialScale = "teacher"
    temperature: float = Field(default=1.0, ge=0.001, le=1000)
    spatial_reduction: SpatialReduction = "mean_d"
    affinity_levels: int | None = Field(default=None, ge=1, le=16)
    affinity_form: AffinityForm = "rms"
    affinity_norm: AffinityNorm = "channel"
    centers: int = Field(default=50, ge=0, le=1024)
    cram_mode: CramMode = "residual"
    per_center_alpha: bool = False
    center_init: CenterInit = "uniform"
    cram_in_line: bool = True
    affinity_map: Weight = 1.0
    affinity_map_form: AffinityForm = "rms"
    combine: Combine = "sum"
    smoothing: Smoothing = 4.0
    student: StudentKind = "convolutional"
    depth: Depth = 4

    @model_validator(mode="before")
    @classmethod
    def _first_edition(cls, values: Any) -> Any:
        """Read the settings of older models, which say ``structure``: ``falling`` or ``kept``."""
        if isinstance(values, dict) and values.get("structure") in ("falling", "kept"):
            values = dict(values)
            values.setdefault("anneal_structural_terms", values.pop("structure") == "falling")
        return values


def snl_rd(teacher: Teacher, settings: SnlSettings) -> Distiller:
    """Compose SNL(RD): reverse student with CRAM behind every level, terms of eq. (7).

    Raises:
        InputError: a transformer as student does not go with the teacher or the depth.
    """
    if settings.student == "transformer":
        cram = _cram(teacher, settings)
        return _around(teacher, TransformerStudent(teacher.levels, settings.depth, plug_ins=cram), settings)
    student = reverse_student(
        teacher.name,
        teacher.levels,
        signed=teacher.is_signed(),
        plug_ins=_cram(teacher, settings),
        in_line=settings.cram_in_line,
    )
    return _around(teacher, student, settings)


def snl_fd(teacher: Teacher, settings: SnlSettings) -> Distiller:
    """Compose SNL(FD): forward student with CRAM behind every level, terms of eq. (7).

    Raises:
        InputError: another student than the teacher's copy was asked for.
    """
    if settings.student != "convolutional":
        raise InputError(
            "the student of snl-fd is built as its teacher is; use --method snl-rd for a transformer"
        )
    student = ForwardStudent(teacher, _cram(teacher, settings), in_line=settings.cram_in_line)
    return _around(teacher, student, settings)


def _cram(teacher: Teacher, s: SnlSettings) -> list[CRAM]:
    """One CRAM a level, finest first; none if there are no centres."""
    return [
        CRAM(
            level.channels,
            s.centers,
            s.cram_mode,
            per_center_alpha=s.per_center_alpha,
            init=s.center_init,
        )
        for level in teacher.levels
        if s.centers
    ]


def _around(teacher: Teacher, student: nn.Module, s: SnlSettings) -> Distiller:
    """Add the terms and the map of SNL to teacher and student."""
    to_map = MapRecipe(
        affinity=s.affinity_map,
        affinity_levels=_affinity_levels(s),
        form=s.affinity_map_form,
        norm=s.affinity_norm,
        sigma=s.smoothing,
        combine=s.combine,
    )
    return Distiller(teacher, student, [t for t in _terms(s) if t.weight], to_map)


def _affinity_levels(s: SnlSettings) -> slice:
    """Slice of the levels that have affinities; levels are sorted from fine to coarse."""
    return slice(None) if s.affinity_levels is None else slice(-s.affinity_levels, None)


def _terms(s: SnlSettings) -> Iterator[Term]:
    """Yield the summands of eq. (7), those of weight zero too.

    L = L_cd + lambda_spatial·L_sd + lambda_intra·L_intra + lambda_inter·L_inter. The last three are the
    structural terms: they learn where and how things lie, and can be annealed.
    """
    anneals, levels = s.anneal_structural_terms, _affinity_levels(s)
    yield Term("cosine", 1.0, lambda pair, shift, done: cosine_loss(pair, s.cosine, done))
    yield Term(
        "spatial",
        s.lambda_spatial,
        lambda pair, shift, done: spatial_distillation(
            pair, s.spatial_scale, s.temperature, s.spatial_reduction
        ),
        anneals=anneals,
    )
    yield Term(
        "intra",
        s.lambda_intra,
        lambda pair, shift, done: intra_affinity_distillation(pair, s.affinity_form, s.affinity_norm),
        levels=levels,
        anneals=anneals,
    )
    yield Term(
        "inter",
        s.lambda_inter,
        lambda pair, shift, done: inter_affinity_distillation(pair, shift, s.affinity_form, s.affinity_norm),
        levels=levels,
        anneals=anneals,
        needs_partner=True,
    )
