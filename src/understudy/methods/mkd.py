"""MKD: multiresolution knowledge distillation with a narrow cloner, arXiv:2011.11108."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from understudy.distill.cloner import Cloner
from understudy.distill.distiller import Distiller
from understudy.distill.losses import Term, global_cosine_distance, squared_error
from understudy.distill.maps import MapRecipe
from understudy.distill.saliency import CoarseMap, GradientMap
from understudy.distill.teacher import Teacher
from understudy.errors import InputError
from understudy.methods.recipe import CODEBOOK, Adam, CodebookSettings, Recipe, Smoothing, Weight

__all__ = ["PAPER", "TUNED", "MkdSettings", "mkd"]

PAPER = Recipe(Adam(0.001, (0.9, 0.999)), batch_size=64, image_score="own")
TUNED = PAPER.tuned(  # docs/decisions/0059
    optimiser=Adam(0.005, (0.9, 0.999)),
    batch_size=8,
    pictures=3200,
    pictures_each=160,
    settings={"value": 0.01, "map": "feature", "smoothing": 1.0} | CODEBOOK,
)


class MkdSettings(CodebookSettings):
    """Settings of MKD.

    Attributes:
        value: weight of the mean squared difference, beside one minus the cosine, in the loss and in the
            image score, from 0 to 1000. The authors have 0.5 for MVTec AD and 0.01 for other data; the tuned
            recipe has 0.01.
        map: how the map is made: ``gradient``, as in the paper, by the gradient of the image score with
            respect to the picture; ``smooth``, the mean of such maps over noisy copies; ``guided``, with
            guided backpropagation through the student; or ``feature``, one minus the cosine at each cell,
            which needs no backward pass and so can be exported. The tuned recipe has ``feature``.
        copies: number of noisy copies for ``smooth``, from 1 to 1000.
        smoothing: sigma of the Gaussian over the anomaly map, in pixels of the map, at most 64; 0 for none.
            The tuned recipe has 1.
    """

    value: Weight = 0.5
    map: Literal["gradient", "smooth", "guided", "feature"] = "gradient"
    copies: int = Field(default=50, ge=1, le=1000)
    smoothing: Smoothing = 4.0


def mkd(teacher: Teacher, settings: MkdSettings) -> Distiller:
    """Compose MKD: cloner, direction and value of whole levels, map of gradients or of features.

    A VGG's levels are taken after the pooling that follows them, as in the paper.

    Raises:
        InputError: a level of a VGG has the stride 32.
    """
    s, pooled = settings, teacher.name.startswith("vgg")
    if pooled and max(level.stride for level in teacher.levels) > _LAST_CONVOLUTION:
        raise InputError(
            f"mkd pools the levels of {teacher.name} itself, and that of stride 32 is pooled already; take "
            "--strides 2,4,8,16, which are the paper's levels"
        )
    student = Cloner(teacher.levels, signed=teacher.is_signed(), pooled=pooled, guided=s.map == "guided")
    terms = [
        Term("direction", 1.0, lambda pair, shift, done: global_cosine_distance(pair)),
        Term("value", s.value, lambda pair, shift, done: squared_error(pair)),
    ]
    recipe = MapRecipe(sigma=s.smoothing)
    to_map = (
        CoarseMap(value=s.value, recipe=recipe)
        if s.map == "feature"
        else GradientMap(
            value=s.value,
            recipe=recipe,
            sigma=s.smoothing,
            copies=s.copies if s.map == "smooth" else 0,
            scaled=s.map != "gradient",
        )
    )
    return Distiller(teacher, student, [term for term in terms if term.weight], to_map)


_LAST_CONVOLUTION = 16  # stride of a VGG's last level before its last pooling
