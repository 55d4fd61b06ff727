"""A codebook beside the student: the centres of each product's good cells, and how far a cell is from them.

A student of many products answers for all of them at once, and so it also rebuilds what is good on another
product. The codebook knows which product a picture shows, and compares each cell with that product alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.maps import MapRecipe, fill_ignored
from understudy.distill.teacher import embedding
from understudy.distill.valid import valid_cells
from understudy.types import Features, Pair

__all__ = ["FACES", "Codebook", "spherical_kmeans", "stack_levels"]

FACES = 8
"""Embeddings by which a product is recognised. One would do for whole pictures; tiles of one differ."""

_ROUNDS = 8  # of k-means
_LEAST_SPREAD = 1e-9  # a map that varies less on good pictures is constant, and is not scaled
_AT_ONCE = 8192  # cells that are compared with all centres at once; bounds the memory


class Codebook(nn.Module):
    """Features -> one Pair: each cell, and the nearest centre of the product that the picture shows.

    Levels are brought to one grid, scaled to length one in each cell, and stacked. The product is that of the
    nearest face, which is a mean of embeddings. A codebook is empty until :meth:`fill`.

    Args:
        n_centres: number of centres of each product, at least 1. A product with fewer cells has some twice.
        level: level whose grid all levels are brought to, counted from the finest.
        smoothing: sigma of the Gaussian over its map, in pixels of the map; 0 for none.

    Attributes:
        centres: (P, K, D) centres of P products, each of length one.
        faces: (P, M, E) embeddings of each product, of length one.
        shift: (2,) mean of the student's map and of the codebook's over good pictures.
        scale: (2,) their standard deviations.
    """

    def __init__(self, n_centres: int, level: int = 0, smoothing: float = 0.0) -> None:
        super().__init__()
        self.n_centres, self.level = n_centres, level
        self.to_map = MapRecipe(sigma=smoothing)
        self.centres = nn.Buffer(torch.empty(0, 0, 0))
        self.faces = nn.Buffer(torch.empty(0, 0, 0))
        self.shift = nn.Buffer(torch.zeros(2))
        self.scale = nn.Buffer(torch.ones(2))

    @property
    def filled(self) -> bool:
        """Whether it has centres."""
        return self.centres.numel() > 0

    def forward(self, features: Features, valid: Tensor | None = None) -> Pair:  # noqa: D102
        cells = self.cells(features)
        batch, width, height, columns = cells.shape
        centres = self.centres[self._product(features)]
        likeness = cells.flatten(2).transpose(1, 2) @ centres.transpose(1, 2)
        nearest = likeness.argmax(2, keepdim=True).expand(-1, -1, width)
        found = centres.gather(1, nearest).transpose(1, 2).reshape(batch, width, height, columns)
        return Pair(cells, found, None if valid is None else valid_cells(valid, (height, columns)))

    def cells(self, features: Features) -> Tensor:
        """Features -> (B, D_1 + .. + D_L, h, w) stacked levels; each cell has length one."""
        return stack_levels(features, self.level)

    def maps(
        self, students: Tensor, features: Features, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Student's (B, 1, H, W) map and features -> that map and the codebook's, neither scaled."""
        size = (students.shape[-2], students.shape[-1])
        return students, self.to_map([self(features, valid)], size, valid)

    def beside(self, students: Tensor, features: Features, valid: Tensor | None = None) -> Tensor:
        """Student's (B, 1, H, W) map and features -> mean of both maps, each shifted and scaled."""
        both = torch.stack(self.maps(students, features, valid))
        shift, scale = (each.view(2, 1, 1, 1, 1) for each in (self.shift, self.scale))
        return fill_ignored(((both - shift) / scale).mean(0), valid)

    def fill(self, cells: Sequence[Tensor], embeddings: Sequence[Tensor]) -> None:
        """Learn the centres and the faces of each product; the same input gives the same ones.

        Args:
            cells: (n, D) of good pictures of each product, n at least 1; see :meth:`cells`.
            embeddings: (m, E) embeddings of each product, of length one, m at least 1.
        """
        self.centres = nn.Buffer(torch.stack([_centres_of(each, self.n_centres) for each in cells]))
        self.faces = nn.Buffer(torch.stack([_centres_of(each, FACES) for each in embeddings]))

    def fit_scales(self, moments: Tensor) -> None:
        """Set shift and scale by both maps over good pictures.

        Args:
            moments: (2, 3) number, sum, and sum of squares of the values of the student's map and its own.
        """
        number, total, squares = moments.unbind(1)
        mean = total / number
        deviation = (squares / number - mean**2).clamp(min=0).sqrt()
        self.shift.copy_(mean)
        self.scale.copy_(torch.where(deviation > _LEAST_SPREAD, deviation, 1.0))

    def _product(self, features: Features) -> Tensor:
        """Features -> (B,) number of the product with the nearest face."""
        likeness = torch.einsum("be,pme->bpm", embedding(features), self.faces).amax(2)
        return torch.argmax(likeness, 1)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("centres", "faces"):  # their shapes are known only once they are filled
            if (saved := state_dict.get(prefix + name)) is not None:
                setattr(self, name, nn.Buffer(torch.empty_like(saved, device=self.shift.device)))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def stack_levels(features: Features, at: int) -> Tensor:
    """Features -> (B, D_1 + .. + D_L, h, w) on the grid of level ``at``; each cell has length one."""
    height, width = features[at].shape[-2:]
    levels = []
    for level in features:
        finer = level.shape[-1] > width
        resized = (
            F.adaptive_avg_pool2d(level.float(), (height, width))
            if finer
            else F.interpolate(level.float(), (height, width), mode="bilinear", align_corners=False)
        )
        levels.append(F.normalize(resized, dim=1))
    stacked: Tensor = torch.cat(levels, 1) / len(features) ** 0.5
    return stacked


def spherical_kmeans(points: Tensor, k: int) -> Tensor:
    """(n, D) points of length one -> (min(n, k), D) centres of length one; the same input gives the same.

    Dhillon and Modha, *Concept decompositions for large sparse text data using clustering*, 2001.
    """
    if len(points) <= k:
        return points
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:k]
    centres = points[order.to(points.device)]
    for _ in range(_ROUNDS):
        nearest = torch.cat([(some @ centres.T).argmax(1) for some in torch.split(points, _AT_ONCE)])
        total = torch.zeros_like(centres).index_add_(0, nearest, points)
        lonely = torch.bincount(nearest, minlength=k) == 0
        centres = torch.where(lonely[:, None], centres, F.normalize(total, dim=1))
    return centres


def _centres_of(points: Tensor, n: int) -> Tensor:
    """(m, D) points -> (n, D) centres; if there are fewer points, they are repeated."""
    centres = spherical_kmeans(points, n)
    return centres.repeat(-(-n // len(centres)), 1)[:n]
