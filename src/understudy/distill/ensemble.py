"""An ensemble of students: how far their mean is from the teacher, and how far they are from each other.

Uninformed Students, arXiv:1911.02357. Its own teacher and students are in
:mod:`understudy.distill.patch_net`; here any teacher has an ensemble of narrow students.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from understudy.distill.maps import enlarge, smooth
from understudy.distill.valid import batch_mean, flatten_valid
from understudy.types import Features, Level, Pair

__all__ = [
    "EnsembleMap",
    "EnsembleStudent",
    "FinestLevels",
    "Standardiser",
    "StridedStudent",
    "mean_error",
    "predictive_variance",
    "summed_squares",
]

SLOPE = 0.005
"""Slope of every leaky ReLU below zero."""
_LEAST_DEVIATION = 1e-3  # of the level's mean deviation: a channel below it is constant on good pictures
_SECOND_FROM = 3  # halvings: from stride 8 on a grid has a second convolution, which is cheap there


class Standardiser(nn.Module):
    """(B, D, H, W) -> same shape: each channel minus its mean over good pictures, over its deviation there.

    It changes nothing until :meth:`fit` is called.

    Args:
        channels: D.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.zeros(channels))
        self.deviation = nn.Buffer(torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:  # noqa: D102
        mean, deviation = (each.view(-1, 1, 1) for each in (self.mean, self.deviation))
        return (features - mean) / deviation

    def fit(self, moments: Tensor) -> None:
        """Set mean and deviation.

        Args:
            moments: (3, D) float64 number, sum and sum of squares of each channel over cells of good
                pictures.
        """
        number, total, squares = moments
        mean = total / number.clamp_min(1)
        deviation = (squares / number.clamp_min(1) - mean**2).clamp_min(0).sqrt()
        deviation = deviation.clamp_min(_LEAST_DEVIATION * deviation.mean())
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))


class FinestLevels(nn.Module):
    """Images and the teacher's features -> the finest levels of these; what an ensemble regresses.

    Args:
        levels: number of levels.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, images: Tensor, features: Features) -> Features:  # noqa: D102
        return features[: self.levels]


class EnsembleStudent(nn.Module):
    """(images, Features) -> Pairs of the first student, one a level, then those of the second, and so on.

    The teacher's side of each pair is standardised. Students see the images.

    Args:
        targets: (images, Features) -> what students regress, one (B, D, h, w) a level.
        students: each (images, grids) -> one (B, D, h, w) a level; they differ by their random weights.
        channels: D of each level.
    """

    sees_images = True

    def __init__(self, targets: nn.Module, students: Sequence[nn.Module], channels: Sequence[int]) -> None:
        super().__init__()
        self.targets = targets
        self.students = nn.ModuleList(students)
        self.standardisers = nn.ModuleList(Standardiser(each) for each in channels)

    def raw_targets(self, images: Tensor, features: Features) -> Features:
        """Images and the teacher's features -> what students regress, before it is standardised."""
        found: Features = self.targets(images, features)
        return found

    def fit(self, moments: Sequence[Tensor]) -> None:
        """Set what the targets are standardised by; see :meth:`Standardiser.fit`."""
        for standardiser, each in zip(self.standardisers, moments, strict=True):
            assert isinstance(standardiser, Standardiser)
            standardiser.fit(each)

    def forward(self, images: Tensor, features: Features) -> list[Pair]:  # noqa: D102
        raw = self.raw_targets(images, features)
        targets = [standardise(each) for standardise, each in zip(self.standardisers, raw, strict=True)]
        grids = [(each.shape[-2], each.shape[-1]) for each in targets]
        return [
            Pair(target, own)
            for student in self.students
            for target, own in zip(targets, student(images, grids), strict=True)
        ]


class StridedStudent(nn.Module):
    """(B, 3, S, S) images and the grid of each level -> one (B, D, h, w) a level.

    A narrow network of 3x3 convolutions, each of which halves the grid; a second one follows from stride 8
    on. So a cell of the strides 8, 16 and 32 sees a patch of 31, 79 and 175 pixels a side.

    Args:
        levels: levels to give, with their strides.
        width: channels at stride 2; they double at each halving.
        normalised: whether batch normalisation follows each of these convolutions; the paper has none.
    """

    def __init__(self, levels: Sequence[Level], width: int, *, normalised: bool = False) -> None:
        super().__init__()
        self.halvings = [max(1, level.stride.bit_length() - 1) for level in levels]
        self.stages = nn.ModuleList()
        channels = 3
        for halving in range(1, max(self.halvings) + 1):
            wider = width * 2 ** (halving - 1)
            layers = _layer(channels, wider, 2, normalised)
            if halving >= _SECOND_FROM:
                layers += _layer(wider, wider, 1, normalised)
            self.stages.append(nn.Sequential(*layers))
            channels = wider
        self.heads = nn.ModuleList(
            nn.Conv2d(width * 2 ** (halving - 1), level.channels, 1)
            for halving, level in zip(self.halvings, levels, strict=True)
        )
        for module in self.stages.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, SLOPE)

    def forward(self, images: Tensor, grids: Sequence[tuple[int, int]]) -> Features:  # noqa: D102
        reached, at = [], images
        for stage in self.stages:
            at = stage(at)
            reached.append(at)
        given = zip(self.halvings, self.heads, grids, strict=True)
        return [
            # Another grid occurs where a stride is no power of two.
            head(enlarge(reached[halving - 1], grid, align_corners=False))
            for halving, head, grid in given
        ]


def _layer(c_in: int, c_out: int, stride: int, normalised: bool) -> list[nn.Module]:
    """Return a convolution, its normalisation if it has one, and a leaky ReLU."""
    convolution = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=not normalised)
    return [convolution, *([nn.BatchNorm2d(c_out)] if normalised else []), nn.LeakyReLU(SLOPE)]


def summed_squares(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> scalar: squared length of the difference, mean over the cells that count."""
    teacher, student = (flatten_valid(f, pair.valid) for f in pair[:2])
    return batch_mean((teacher - student).square().sum(1, keepdim=True), pair.valid)


def mean_error(pairs: Sequence[Pair]) -> Tensor:
    """Pairs of one level, one a student -> (B, 1, H, W): squared distance of the students' mean from T."""
    target = flatten_valid(pairs[0].teacher, pairs[0].valid)
    return _on_cells((_students(pairs).mean(0) - target).square().sum(1), pairs[0])


def predictive_variance(pairs: Sequence[Pair]) -> Tensor:
    """Pairs of one level, one a student -> (B, 1, H, W): how far students are from their mean.

    It is the mean of |S_m|^2 minus |mean of S_m|^2, written as the mean of |S_m - mean of S_m|^2, which is
    the same number and never below zero.
    """
    students = _students(pairs)
    return _on_cells((students - students.mean(0)).square().mean(0).sum(1), pairs[0])


def _students(pairs: Sequence[Pair]) -> Tensor:
    """Pairs of one level, one a student -> (M, B, D, n) float32; zero at cells that do not count."""
    return torch.stack([flatten_valid(pair.student, pair.valid) for pair in pairs])


def _on_cells(values: Tensor, pair: Pair) -> Tensor:
    """(B, n) -> (B, 1, H, W), the grid of the pair."""
    return values.view(-1, 1, *pair.teacher.shape[2:])


class EnsembleMap:
    """Pairs of one level, one a student -> (B, 1, H, W) map.

    It is called like :class:`understudy.distill.maps.MapRecipe`.

    Args:
        of: the ``error`` of the students' mean, or the ``variance`` among them.
        sigma: sigma of the Gaussian that smooths the map, in pixels of the map; 0 for none.
    """

    def __init__(self, of: Literal["error", "variance"], sigma: float = 0.0) -> None:
        self.of, self.sigma = of, sigma

    def __call__(  # noqa: D102
        self, pairs: Sequence[Pair], size: tuple[int, int], valid: Tensor | None = None
    ) -> Tensor:
        level = mean_error(pairs) if self.of == "error" else predictive_variance(pairs)
        return smooth(enlarge(level, size, pairs[0].valid, align_corners=True), self.sigma, valid)
