"""Pairs -> anomaly map -> score. No other module interpolates maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.distill.affinity import AffinityForm, affinity_map
from understudy.distill.losses import cosine_distance
from understudy.distill.valid import AffinityNorm, flatten_valid, valid_cells
from understudy.types import Pair

__all__ = [
    "Combine",
    "Distance",
    "MapRecipe",
    "ToMap",
    "enlarge",
    "euclidean_distance",
    "fill_ignored",
    "gaussian_blur",
    "image_score",
    "smooth",
]

Combine = Literal["sum", "product"]
Distance = Literal["cosine", "euclidean"]


class ToMap(Protocol):
    """Pairs, the size (H, W), and a mask of the valid pixels (B, 1, H, W) -> (B, 1, H, W) anomaly map."""

    def __call__(self, pairs: Sequence[Pair], size: tuple[int, int], valid: Tensor | None = None) -> Tensor:
        """Make the map; ``None`` means that all pixels are valid."""
        ...


@dataclass(frozen=True, kw_only=True)
class MapRecipe:
    """Pairs -> (B, 1, H, W) float32 map; 0 where both agree. Eq. (10)-(13) of SNL, arXiv:2402.17091.

    It is called with pairs, the size (H, W), and a mask of the valid pixels (B, 1, H, W). An ignored pixel
    changes no other pixel of the map, and gets the lowest value of the map (docs/decisions/0022).

    Attributes:
        levels: pairs that the map is made of; all by default.
        feature: weight of the feature map, one minus the cosine. With 2 it is the squared distance of unit
            vectors, as in STPM.
        distance: what the feature map is: ``cosine``, or ``euclidean``, the length of the difference, as in
            UniAD.
        affinity: weight of the affinity map, which is added to the feature map; 0 leaves it out.
        affinity_levels: levels that have an affinity map; all by default.
        form: form of the affinity error; see :func:`understudy.distill.affinity.affinity_map`.
        norm: what has length one in an affinity; see :func:`understudy.distill.valid.unit_vectors`.
        sigma: sigma of the Gaussian that smooths the map, in pixels of the map; 0 for none. RD's release has
            4 for pictures of 256 pixels.
        combine: how levels are combined: by ``sum`` (RD, SNL), or by ``product`` (STPM), which is large only
            where every level is abnormal.
        shrink: levels are combined at the picture's size divided by this, and the map is then enlarged.
            STPM's release has 4: it works on 64 x 64.
        align_corners: whether the outermost feature pixels lie on the outermost pixels of the picture (RD),
            or in the middle of the area that they cover (STPM).
        pool: the image score is the maximum of the map's means over squares of so many pixels a side, as in
            UniAD; with 1 it is the maximum of the map.
    """

    levels: slice = field(default_factory=lambda: slice(None))
    feature: float = 1.0
    distance: Distance = "cosine"
    affinity: float = 0.0
    affinity_levels: slice = field(default_factory=lambda: slice(None))
    form: AffinityForm = "rms"
    norm: AffinityNorm = "channel"
    sigma: float = 4.0
    combine: Combine = "sum"
    shrink: int = 1
    align_corners: bool = True
    pool: int = 1

    def __call__(  # noqa: D102
        self, pairs: Sequence[Pair], size: tuple[int, int], valid: Tensor | None = None
    ) -> Tensor:
        pairs = pairs[self.levels]
        work = (max(1, size[0] // self.shrink), max(1, size[1] // self.shrink))
        with_affinity = range(len(pairs))[self.affinity_levels] if self.affinity else range(0)
        levels = torch.stack(
            [
                self._enlarge(self._level_map(pair, at in with_affinity), work, pair.valid)
                for at, pair in enumerate(pairs)
            ]
        )
        together = levels.sum(0) if self.combine == "sum" else levels.prod(0)
        weights = None if valid is None else valid_cells(valid, work)
        return smooth(self._enlarge(together, size, weights), self.sigma, valid)

    def _level_map(self, pair: Pair, with_affinity: bool) -> Tensor:
        """(B, D, H, W) pair -> (B, 1, H, W): M = M_feature + M_affinity of one level. Eq. (10)."""
        between = cosine_distance if self.distance == "cosine" else euclidean_distance
        level = self.feature * between(pair)  # eq. (11)
        return level + self.affinity * affinity_map(pair, self.form, self.norm) if with_affinity else level

    def _enlarge(self, anomaly_map: Tensor, size: tuple[int, int], weights: Tensor | None) -> Tensor:
        return enlarge(anomaly_map, size, weights, align_corners=self.align_corners)

    def score(self, anomaly_map: Tensor) -> Tensor:
        """(B, 1, H, W) map -> (B,) score: the maximum over all squares of ``pool`` pixels a side."""
        square = [min(self.pool, side) for side in anomaly_map.shape[-2:]]
        return image_score(F.avg_pool2d(anomaly_map, square, 1) if self.pool > 1 else anomaly_map)


def euclidean_distance(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> (B, 1, H, W): length of the difference of the features, 0 where none counts."""
    teacher, student = (flatten_valid(f, pair.valid) for f in pair[:2])
    length: Tensor = torch.linalg.vector_norm(teacher - student, dim=1, keepdim=True)
    return length.view(*length.shape[:2], *pair.teacher.shape[2:])


def image_score(anomaly_map: Tensor) -> Tensor:
    """(B, 1, H, W) map -> (B,) score: the maximum of the map. Eq. (14) of SNL, arXiv:2402.17091."""
    return anomaly_map.amax(dim=(1, 2, 3))


def smooth(anomaly_map: Tensor, sigma: float, valid: Tensor | None) -> Tensor:
    """(B, 1, H, W) -> same shape: :func:`gaussian_blur` of the valid pixels; others get the lowest value."""
    blurred = _weighted(lambda values: gaussian_blur(values, sigma), anomaly_map, valid)
    return fill_ignored(blurred, valid)


def fill_ignored(anomaly_map: Tensor, valid: Tensor | None) -> Tensor:
    """(B, 1, H, W) -> same shape: ignored pixels get the lowest value of the picture's valid pixels."""
    if valid is None:
        return anomaly_map
    counts = valid > 0
    highest = anomaly_map.amax(dim=(2, 3), keepdim=True)
    lowest = torch.where(counts, anomaly_map, highest).amin(dim=(2, 3), keepdim=True)
    return torch.where(counts, anomaly_map, lowest)


def _weighted(spread: Callable[[Tensor], Tensor], values: Tensor, weights: Tensor | None) -> Tensor:
    """Apply a linear operation to (B, 1, h, w) values as a weighted mean; 0 where all weights are 0.

    Args:
        spread: the operation, such as blurring or interpolating.
        values: the values.
        weights: (B, 1, h, w), 0 where a value must not count; ``None`` if all count.
    """
    if weights is None:
        return spread(values)
    total = spread(weights)
    return spread(weights * values) / (total + (total == 0))


def gaussian_blur(anomaly_map: Tensor, sigma: float) -> Tensor:
    """(B, 1, H, W) -> same shape, smoothed by a Gaussian of ``sigma`` pixels; mirrored at the border.

    It equals ``scipy.ndimage.gaussian_filter``, which RD's release uses: the kernel ends after four sigmas.
    """
    if sigma <= 0:
        return anomaly_map
    radius = int(4 * sigma + 0.5)
    at = torch.arange(-radius, radius + 1, dtype=torch.float32, device=anomaly_map.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    rows, columns = (_mirrored(n, radius).to(anomaly_map.device) for n in anomaly_map.shape[-2:])
    padded = anomaly_map[..., rows, :][..., columns]
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def _mirrored(n: int, radius: int) -> Tensor:
    """Indices -radius..n+radius-1, mirrored into 0..n-1; the border pixel occurs twice."""
    at = torch.arange(-radius, n + radius) % (2 * n)
    return torch.where(at < n, at, 2 * n - 1 - at)


def enlarge(
    anomaly_map: Tensor, size: tuple[int, int], weights: Tensor | None = None, *, align_corners: bool
) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W), by bilinear interpolation; unchanged if it has that size.

    Args:
        anomaly_map: the map, or features.
        size: (H, W).
        weights: (B, 1, h, w), 0 where a value must not count; ``None`` if all count. Where no value nearby
            counts, the result is 0.
        align_corners: see :class:`MapRecipe`.
    """
    if anomaly_map.shape[-2:] == size:
        return anomaly_map

    def bilinear(values: Tensor) -> Tensor:
        return F.interpolate(values, size=size, mode="bilinear", align_corners=align_corners)

    return _weighted(bilinear, anomaly_map, weights)
