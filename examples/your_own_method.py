"""A method of your own: good features of each level lie near a small subspace; what leaves it is a defect.

    python examples/your_own_method.py PICTURES MODEL

The student squeezes every teacher feature through a few channels and rebuilds it. A method is three
things: settings, a function that composes a Distiller, and a recipe. Registered under a name it is trained,
calibrated, evaluated, saved and loaded like any other. Only public names of Understudy are used.
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
from understudy.methods import METHODS, Adam, Method, Recipe


class SubspaceSettings(BaseModel):
    """What ``--set key=value`` can change: the channels that every level is squeezed through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: PositiveInt = 16


class SubspaceStudent(nn.Module):
    """(images, Features) -> one Pair a level: each feature beside what is left of it after the squeeze."""

    sees_images = False

    def __init__(self, levels: list[Level], rank: int) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(nn.Conv2d(level.channels, rank, 1) for level in levels)
        self.rebuild = nn.ModuleList(nn.Conv2d(rank, level.channels, 1) for level in levels)

    def forward(self, images: Tensor | None, features: Features) -> list[Pair]:
        """Pictures are not looked at: so the teacher needs to look at each but once."""
        parts = zip(features, self.squeeze, self.rebuild, strict=True)
        return [Pair(f, rebuild(squeeze(f))) for f, squeeze, rebuild in parts]


def subspace(teacher: Teacher, settings: SubspaceSettings) -> Distiller:
    """Compose teacher, student, loss and map."""
    student = SubspaceStudent(teacher.levels, settings.rank)
    cosine = Term("cosine", 1.0, lambda pair, shift: channel_distillation(pair))
    return Distiller(teacher, student, [cosine], MapRecipe(sigma=4.0))


RECIPE = Recipe(Adam(lr=0.003), batch_size=8, pictures=1600)
METHODS["subspace"] = Method.of(SubspaceSettings, subspace, RECIPE)


def main(pictures: str, folder: str) -> None:
    """Train on the good pictures, then say how well the defects among the test pictures are found."""
    model = understudy.fit(pictures, folder, method="subspace", seed=0)
    for category, found in understudy.evaluate(model, pictures).metrics["categories"].items():
        print(f"{category}: image AUROC {found['image_auroc']:.3f}, pixel AUROC {found['pixel_auroc']:.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/your_own_method.py PICTURES MODEL")
    main(*sys.argv[1:])
