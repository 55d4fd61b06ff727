"""Uninformed Students: an ensemble that regresses the teacher's features of patches, arXiv:1911.02357."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from understudy.distill.distiller import Distiller
from understudy.distill.ensemble import (
    EnsembleMap,
    EnsembleStudent,
    FinestLevels,
    StridedStudent,
    summed_squares,
)
from understudy.distill.fusion import Fusion, Part
from understudy.distill.losses import Term
from understudy.distill.patch_net import DESCRIPTOR, PatchNets, PatchSide, PatchStride, PatchTeacher
from understudy.distill.teacher import Teacher
from understudy.errors import InputError
from understudy.methods.recipe import CODEBOOK, Adam, CodebookSettings, Recipe, Smoothing

__all__ = ["PAPER", "TUNED", "UninformedStudentsSettings", "uninformed_students"]

PAPER = Recipe(Adam(1e-4, (0.9, 0.999), 1e-5), batch_size=1, validation=0.1)
TUNED = PAPER.tuned(  # docs/decisions/0060
    optimiser=Adam(3e-3, (0.9, 0.999), 1e-5),
    schedule="cosine",
    batch_size=8,
    pictures=3200,
    pictures_each=160,
    settings={"normalised": True, "smoothing": 1.0} | CODEBOOK,
)


def _several(value: object) -> object:
    """One patch size is a list of one."""
    return (value,) if isinstance(value, int) else value


class UninformedStudentsSettings(CodebookSettings):
    """Settings of Uninformed Students.

    Attributes:
        students: number of students, from 2 to 16.
        scales: number of the teacher's levels that students regress, counted from the finest, at most 16.
        width: channels of a student at stride 2, from 2 to 256; they double at each halving of the grid.
        normalised: whether batch normalisation follows each convolution of a student. The paper has none, the
            tuned recipe has it: in a short training students without it disagree most where a picture has
            most texture, on a defect or not.
        patch: sides of patches in pixels, 17, 33 or 65, such as ``33`` or ``[17, 33, 65]``. Students then
            regress patch nets, as in the paper, which are first distilled from the teacher, and ``scales``,
            ``width`` and ``normalised`` have no part. Empty for the teacher's own levels. See
            :class:`understudy.distill.patch_net.PatchNet`.
        stride: with ``patch``: ``pool`` describes every fourth pixel by patches of 33 pixels and every eighth
            one by patches of 65; ``dense`` describes every pixel, as patches of 17 always do.
        patch_steps: with ``patch``: steps, of 64 patches, in which a patch net is distilled, from 1 to
            1,000,000.
        smoothing: sigma of the Gaussian over all maps, in pixels of the map, at most 64; 0 for none. The
            tuned recipe has 1.
    """

    students: int = Field(default=3, ge=2, le=16)
    scales: int = Field(default=3, ge=1, le=16)
    width: int = Field(default=16, ge=2, le=256)
    normalised: bool = False
    patch: Annotated[tuple[PatchSide, ...], BeforeValidator(_several)] = Field(default=(), max_length=3)
    stride: PatchStride = "pool"
    patch_steps: int = Field(default=1000, ge=1, le=1_000_000)
    smoothing: Smoothing = 0.0


def uninformed_students(teacher: Teacher, settings: UninformedStudentsSettings) -> Distiller:
    """Compose Uninformed Students: an ensemble, a regression of each student, and maps by their z-scores.

    Raises:
        InputError: a patch is larger than what a picture and its mirror images can fill.
    """
    student = _of_patches(teacher, settings) if settings.patch else _of_levels(teacher, settings)
    levels, number = len(student.standardisers), len(student.students)
    terms = [
        Term(
            f"student{m + 1}",
            1.0,
            lambda pair, shift, done: summed_squares(pair),
            levels=slice(m * levels, (m + 1) * levels),
        )
        for m in range(number)
    ]
    parts: dict[str, Part] = {}
    for k in range(levels):
        of_level = slice(k, None, levels)
        parts[f"error{k + 1}"] = (of_level, EnsembleMap("error", settings.smoothing))
        parts[f"variance{k + 1}"] = (of_level, EnsembleMap("variance", settings.smoothing))
    return Distiller(teacher, student, terms, Fusion(parts, "zscore"))


def _of_levels(teacher: Teacher, settings: UninformedStudentsSettings) -> EnsembleStudent:
    levels = teacher.levels[: settings.scales]
    students = [
        StridedStudent(levels, settings.width, normalised=settings.normalised)
        for _ in range(settings.students)
    ]
    return EnsembleStudent(FinestLevels(len(levels)), students, [level.channels for level in levels])


def _of_patches(teacher: Teacher, settings: UninformedStudentsSettings) -> EnsembleStudent:
    sides = settings.patch
    if max(sides) // 2 >= teacher.image_size:
        raise InputError(
            f"patches of {max(sides)} pixels need pictures of at least {max(sides) // 2 + 1}; set patch=33 "
            "or a larger --image-size"
        )
    students = [PatchNets(sides, settings.stride) for _ in range(settings.students)]
    own = PatchTeacher(sides, settings.stride, settings.patch_steps)
    return EnsembleStudent(own, students, [DESCRIPTOR] * len(sides))
