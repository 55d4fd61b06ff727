"""A codebook beside the student: the centres of each product's good cells, and how far a cell is from them.

A student of many products answers for all of them at once, and so it also rebuilds what is good on another
product. The codebook recognises which product a window shows, and compares each cell with that one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.fusion import LEAST_SPREAD
from understudy.distill.maps import enlarge, fill_ignored, smooth
from understudy.distill.teacher import embedding
from understudy.distill.valid import valid_cells
from understudy.types import Features

__all__ = [
    "FACES",
    "Codebook",
    "make_room",
    "nearest_product",
    "on_one_grid",
    "repeat_to",
    "spherical_kmeans",
    "stack_levels",
]

FACES = 8
"""Embeddings by which a product is recognised. One would do for whole pictures; tiles of one differ."""

_CELLS_EACH = 64  # cells of a centre, at least; else pictures that made it were nearer than new ones
_ROUNDS = 8  # of k-means
_AT_ONCE = 8192  # cells that are compared with all centres at once; bounds the memory


class Codebook(nn.Module):
    """Features -> (B, 1, h, w): how far each cell is from the centres of the product, from 0 to 2.

    Levels are brought to one grid, scaled to length one in each cell, and stacked. The product is that of the
    nearest face, which is a mean of embeddings. A codebook is empty until :meth:`fill`.

    Args:
        n_centres: most centres of a product, at least 1.
        level: level whose grid all levels are brought to, counted from the finest.
        smoothing: sigma of the Gaussian over its map, in pixels of the map; 0 for none.
        align_corners: where the map's cells lie; see :class:`understudy.distill.maps.MapRecipe`.

    Attributes:
        centres: (P, K, D) centres of P products, of length one; a product with fewer has some twice.
        faces: (P, M, E) embeddings of each product, of length one.
        shift: (2,) mean of the student's map and of the codebook's over good pictures.
        scale: (2,) their standard deviations.
    """

    def __init__(
        self, n_centres: int, level: int = 0, smoothing: float = 0.0, *, align_corners: bool = True
    ) -> None:
        super().__init__()
        self.n_centres, self.level = n_centres, level
        self.smoothing, self.align_corners = smoothing, align_corners
        self.centres = nn.Buffer(torch.empty(0, 0, 0))
        self.faces = nn.Buffer(torch.empty(0, 0, 0))
        self.shift = nn.Buffer(torch.zeros(2))
        self.scale = nn.Buffer(torch.ones(2))

    @property
    def filled(self) -> bool:
        """Whether it has centres."""
        return self.centres.numel() > 0

    def forward(self, features: Features) -> Tensor:  # noqa: D102
        cells = self.cells(features)
        likeness = self.centres[nearest_product(features, self.faces)] @ cells.flatten(2)
        return 1 - likeness.amax(1).view(-1, 1, *cells.shape[2:])

    def cells(self, features: Features) -> Tensor:
        """Features -> (B, D_1 + .. + D_L, h, w) stacked levels; each cell has length one."""
        return stack_levels(features, self.level)

    def to_map(self, features: Features, size: tuple[int, int], valid: Tensor | None = None) -> Tensor:
        """Features and (H, W) -> the codebook's (B, 1, H, W) map, neither shifted nor scaled."""
        distance = self(features)
        weights = None if valid is None else valid_cells(valid, (distance.shape[-2], distance.shape[-1]))
        enlarged = enlarge(distance, size, weights, align_corners=self.align_corners)
        return smooth(enlarged, self.smoothing, valid)

    def beside(self, students: Tensor, features: Features, valid: Tensor | None = None) -> Tensor:
        """Student's (B, 1, H, W) map and features -> mean of both maps, each shifted and scaled."""
        size = (students.shape[-2], students.shape[-1])
        both = torch.stack([students, self.to_map(features, size, valid)])
        shift, scale = (each.view(2, 1, 1, 1, 1) for each in (self.shift, self.scale))
        return fill_ignored(((both - shift) / scale).mean(0), valid)

    def fill(self, products: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the centres and the faces of each product; the same input gives the same ones.

        Args:
            products: (n, D) cells of good pictures, see :meth:`cells`, and (m, E) embeddings of length one; n
                and m at least 1.
        """
        centres, faces = [], []
        for cells, embeddings in products:
            most = min(self.n_centres, max(1, len(cells) // _CELLS_EACH))
            centres.append(repeat_to(spherical_kmeans(cells, most), self.n_centres))
            faces.append(repeat_to(spherical_kmeans(embeddings, FACES), FACES))
        self.centres, self.faces = nn.Buffer(torch.stack(centres)), nn.Buffer(torch.stack(faces))

    def fit_scales(self, moments: Tensor) -> None:
        """Set shift and scale by both maps over good pictures.

        Args:
            moments: (2, 3) number, sum, and sum of squares of the values of the student's map and its own.
        """
        number, total, squares = moments.unbind(1)
        mean = total / number
        deviation = (squares / number - mean**2).clamp(min=0).sqrt()
        self.shift.copy_(mean)
        self.scale.copy_(torch.where(deviation > LEAST_SPREAD, deviation, 1.0))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        make_room(self, ("centres", "faces"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def nearest_product(features: Features, faces: Tensor) -> Tensor:
    """Features and (P, M, E) faces -> (B,) number of the product with the nearest face."""
    likeness = torch.einsum("be,pme->bpm", embedding(features), faces).amax(2)
    return torch.argmax(likeness, 1)


def make_room(module: nn.Module, names: Iterable[str], state: Mapping[str, Any], prefix: str) -> None:
    """Give buffers the shapes that they have in a saved state; they are known only once they are filled."""
    for name in names:
        if (saved := state.get(prefix + name)) is not None:
            device = getattr(module, name).device
            setattr(module, name, nn.Buffer(torch.empty_like(saved, device=device)))


def stack_levels(features: Features, at: int) -> Tensor:
    """Features -> (B, D_1 + .. + D_L, h, w) on the grid of level ``at``; each cell has length one."""
    levels = [F.normalize(level, dim=1) for level in on_one_grid(features, at)]
    stacked: Tensor = torch.cat(levels, 1) / len(features) ** 0.5
    return stacked


def on_one_grid(features: Features, at: int) -> Features:
    """Features -> the same in float32, each resized to the grid of level ``at``."""
    height, width = features[at].shape[-2:]
    return [
        F.adaptive_avg_pool2d(level.float(), (height, width))
        if level.shape[-1] > width
        else F.interpolate(level.float(), (height, width), mode="bilinear", align_corners=False)
        for level in features
    ]


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


def repeat_to(points: Tensor, n: int) -> Tensor:
    """(m, D) with m at most n -> (n, D), by repeating them."""
    return points.repeat(-(-n // len(points)), 1)[:n]
