"""A method of your own: features of good pictures lie near a small subspace, and a defect leaves it.

    python examples/your_own_method.py PICTURES MODEL

The student squeezes every teacher feature through a few channels and rebuilds it. A method has three parts:
settings, a function that composes a Distiller, and a recipe for its training. Once it is registered under a
name, it is trained, calibrated, evaluated, saved and loaded like any other. All names used here are public.
"""

from __future__ import annotations

import sys

from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn

import understudy
from understudy.distill import (
    Distiller,
    Features,
    Level,
    MapRecipe,
    Pair,
    Teacher,
    Term,
    channel_distillation,
)
from understudy.methods import Adam, Method, Recipe


class SubspaceSettings(BaseModel):
    """Settings that ``--set key=value`` can change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: PositiveInt = 16  # channels that every level is squeezed through


class SubspaceStudent(nn.Module):
    """(images, Features) -> one Pair per level: each teacher feature and the student's copy of it."""

    sees_images = False  # so the teacher's features can be computed once and kept

    def __init__(self, levels: list[Level], rank: int) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(nn.Conv2d(level.channels, rank, 1) for level in levels)
        self.rebuild = nn.ModuleList(nn.Conv2d(rank, level.channels, 1) for level in levels)

    def forward(self, images: Tensor | None, features: Features) -> list[Pair]:
        """Squeeze and rebuild every level; the images are not used."""
        parts = zip(features, self.squeeze, self.rebuild, strict=True)
        return [Pair(f, rebuild(squeeze(f))) for f, squeeze, rebuild in parts]


def subspace(teacher: Teacher, settings: SubspaceSettings) -> Distiller:
    """Compose teacher, student, loss and map."""
    student = SubspaceStudent(teacher.levels, settings.rank)
    cosine = Term("cosine", 1.0, lambda pair, shift, done: channel_distillation(pair))
    return Distiller(teacher, student, [cosine], MapRecipe(sigma=4.0))


RECIPE = Recipe(Adam(lr=0.003), batch_size=8, pictures=1600)
understudy.register_method("subspace", Method.of(SubspaceSettings, subspace, RECIPE))


def main(pictures: str, folder: str) -> None:
    """Train on the good pictures, then print how well the defects among the test pictures are found."""
    model = understudy.fit(pictures, out=folder, method="subspace", seed=0)
    for category, found in model.evaluate(pictures).metrics["categories"].items():
        print(f"{category}: image AUROC {found['image_auroc']:.3f}, pixel AUROC {found['pixel_auroc']:.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/your_own_method.py PICTURES MODEL")
    main(*sys.argv[1:])
