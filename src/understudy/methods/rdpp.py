"""RD++: reverse distillation behind projectors that learn to undo pseudo-anomalies, CVPR 2023."""

from __future__ import annotations

from typing import Literal

from understudy.distill.distiller import Distiller
from understudy.distill.losses import CosineLoss, Term, cosine_loss
from understudy.distill.maps import MapRecipe
from understudy.distill.projection import ProjectedStudent, contrast, reconstruction
from understudy.distill.reverse import reverse_student
from understudy.distill.simplex_noise import NoiseTables, PseudoAnomaly
from understudy.distill.teacher import Teacher
from understudy.distill.transport import partner_transport
from understudy.distill.weights import normalisation_of
from understudy.errors import InputError
from understudy.methods.recipe import CODEBOOK, CodebookSettings, Recipe, Smoothing, Weight

__all__ = ["PAPER", "TUNED", "RdppSettings", "rdpp"]

PAPER = Recipe(batch_size=32)
TUNED = PAPER.tuned(  # docs/decisions/0058
    batch_size=8,
    averaging=0.98,
    pictures=3200,
    pictures_each=160,
    settings={"cosine": "hard", "noise": "per_sample", "smoothing": 1.0} | CODEBOOK,
)

_TRANSPORT, _RECONSTRUCTION, _CONTRAST = 1.0, 0.01, 0.1  # weights of the release, before they sum to one


class RdppSettings(CodebookSettings):
    """Settings of RD++.

    Attributes:
        cosine: reading of the cosine term; see :func:`understudy.distill.losses.channel_distillation`. The
            tuned recipe has ``hard``. ``easy`` is the loss of ``dinomaly``; see
            :func:`understudy.distill.losses.cosine_loss`.
        projection: weight of the projectors' terms together, from 0 to 1000.
        transport: the optimal transport term: ``off``, which is how the release trains, since its term is
            zero whatever the pictures; or ``pairs``, which brings the points of each picture closer to those
            of another one of the batch.
        noise: ``fixed`` draws one table of noise for the whole training, as the release does, ``per_sample``
            one of 32 for each picture. The tuned recipe has ``per_sample``.
        smoothing: sigma of the Gaussian over the anomaly map, in pixels of the map, at most 64; 0 for none.
            The tuned recipe has 1.
    """

    cosine: CosineLoss = "global"
    projection: Weight = 0.2
    transport: Literal["off", "pairs"] = "off"
    noise: NoiseTables = "fixed"
    smoothing: Smoothing = 4.0


def rdpp(teacher: Teacher, settings: RdppSettings) -> Distiller:
    """Compose RD++: projectors before RD's student, their terms, RD's map of the teacher's own features.

    Raises:
        InputError: a level of the teacher has a single cell, which instance normalisation would make zero.
    """
    s, levels = settings, teacher.levels
    if teacher.image_size <= levels[-1].stride:
        raise InputError(
            f"rdpp normalises each level over its cells, and that of stride {levels[-1].stride} has only one "
            f"for {teacher.image_size} pixels; take a larger --image-size, or finer --strides"
        )
    reverse = reverse_student(teacher.name, levels, signed=teacher.is_signed())
    noise = PseudoAnomaly(normalisation_of(teacher.name).std, s.noise)
    student = ProjectedStudent(teacher, levels, reverse, noise)
    own, undone, noisy = (slice(at * len(levels), (at + 1) * len(levels)) for at in range(3))
    each = s.projection / (_TRANSPORT + _RECONSTRUCTION + _CONTRAST)
    terms = [
        Term("cosine", 1.0, lambda pair, shift, done: cosine_loss(pair, s.cosine, done), levels=own),
        Term(
            "reconstruction",
            _RECONSTRUCTION * each,
            lambda pair, shift, done: reconstruction(pair),
            levels=undone,
        ),
        Term("contrast", _CONTRAST * each, lambda pair, shift, done: contrast(pair), levels=noisy),
        Term(
            "transport",
            _TRANSPORT * each * (s.transport == "pairs"),
            lambda pair, shift, done: partner_transport(pair.student, shift, pair.valid),
            levels=noisy,
            needs_partner=True,
        ),
    ]
    to_map = MapRecipe(levels=own, sigma=s.smoothing)
    return Distiller(teacher, student, [term for term in terms if term.weight], to_map)
