"""The composition of a picture: which kinds of cells it shows, how many of each, and in which quarter.

A part that is missing, surplus or misplaced can be flawless, and so can its surroundings. Then no cell of the
map shows it, but the picture has other numbers of cells of some kinds than good pictures have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from understudy.distill.codebook import (
    FACES,
    make_room,
    nearest_product,
    on_one_grid,
    repeat_to,
    spherical_kmeans,
)
from understudy.distill.valid import valid_cells
from understudy.runtime.usual_composition import CODES
from understudy.types import Features

__all__ = ["Composition", "kmeans"]

_QUARTERS = 2  # along each side
_LEAST = 1e-6  # standard deviation of a channel that never varies
_RESTARTS, _ROUNDS = 5, 10  # of k-means


class Composition(nn.Module):
    """Features -> (B, 5 K + D) float32 composition of each picture, in three parts.

    - The share of each of K codes in the picture; they sum to one.
    - The same in each of its quarters: the upper left one, the upper right, the lower left, the lower right.
    - The mean of its cells, of D channels.

    Levels are brought to one grid and stacked, and each channel is standardised. The codes, and the mean and
    the deviation of the channels, are those of the product with the nearest face, as in
    :class:`understudy.distill.codebook.Codebook`. Where no cell counts, all is zero. It is empty until
    :meth:`fill`.

    Args:
        level: level whose grid all levels are brought to, counted from the finest.

    Attributes:
        codes: (P, K, D) codes of P products; a product with fewer has some twice, and no cell takes the copy.
        mean: (P, D) mean of each channel.
        deviation: (P, D) its standard deviation, above 0.
        faces: (P, M, E) embeddings of each product, of length one.
    """

    def __init__(self, level: int = 0) -> None:
        super().__init__()
        self.level = level
        self.codes = nn.Buffer(torch.empty(0, 0, 0))
        self.mean, self.deviation = nn.Buffer(torch.empty(0, 0)), nn.Buffer(torch.empty(0, 0))
        self.faces = nn.Buffer(torch.empty(0, 0, 0))

    @property
    def filled(self) -> bool:
        """Whether it has codes."""
        return self.codes.numel() > 0

    def forward(self, features: Features, valid: Tensor | None = None) -> Tensor:
        """Describe pictures; ``valid`` is (B, 1, H, W), 1 where a pixel counts, ``None`` if all count."""
        product = nearest_product(features, self.faces)
        mean, deviation = (each[product][:, :, None, None] for each in (self.mean, self.deviation))
        cells, codes = (self.cells(features) - mean) / deviation, self.codes[product]
        likeness = codes @ cells.flatten(2) - codes.square().sum(2, keepdim=True) / 2
        kinds = torch.arange(CODES, device=codes.device).view(1, -1, 1)
        shown = (likeness.argmax(1)[:, None] == kinds).float().view(-1, CODES, *cells.shape[2:])
        counts = torch.ones_like(shown[:, :1])
        if valid is not None:
            counts = valid_cells(valid, (cells.shape[2], cells.shape[3]))
        parts = _means(shown, counts, 1), _means(shown, counts, _QUARTERS), _means(cells, counts, 1)
        return torch.cat(parts, 1)

    def cells(self, features: Features) -> Tensor:
        """Features -> (B, D_1 + .. + D_L, h, w) stacked levels, not yet standardised."""
        return torch.cat(on_one_grid(features, self.level), 1)

    def fill(self, products: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the codes and the faces of each product; the same input gives the same ones.

        Args:
            products: (n, D) cells of good pictures, see :meth:`cells`, and (m, E) embeddings of length one; n
                and m at least 1.
        """
        codes, means, deviations, faces = [], [], [], []
        for cells, embeddings in products:
            mean, deviation = cells.mean(0), cells.std(0, correction=0).clamp_min(_LEAST)
            codes.append(repeat_to(kmeans((cells - mean) / deviation, CODES), CODES))
            means.append(mean)
            deviations.append(deviation)
            faces.append(repeat_to(spherical_kmeans(embeddings, FACES), FACES))
        self.codes, self.faces = nn.Buffer(torch.stack(codes)), nn.Buffer(torch.stack(faces))
        self.mean, self.deviation = nn.Buffer(torch.stack(means)), nn.Buffer(torch.stack(deviations))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        make_room(self, ("codes", "mean", "deviation", "faces"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _means(values: Tensor, counts: Tensor, parts: int) -> Tensor:
    """(B, C, h, w) and (B, 1, h, w) whether a cell counts -> (B, parts^2 C) means in each part.

    A part is one of ``parts`` equal pieces along each side; a cell on a border belongs to both by halves.
    """
    rows, columns = (_pieces(n, parts).to(values) for n in values.shape[2:])
    total = rows @ (values * counts) @ columns.T  # (B, C, parts, parts)
    number = rows @ counts @ columns.T
    return (total / (number + (number == 0))).permute(0, 2, 3, 1).flatten(1)


def _pieces(n: int, parts: int) -> Tensor:
    """(parts, n): how much of each of n cells lies in each of ``parts`` equal pieces of a line."""
    edges = torch.arange(parts + 1) * n / parts
    cells = torch.arange(n)
    over = torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)
    return over.clamp(min=0)


def kmeans(points: Tensor, k: int) -> Tensor:
    """(n, D) points -> (min(n, k), D) means of k groups, the best of five tries, which draw the same anew."""
    if len(points) <= k:
        return points
    tries = [_one_kmeans(points, k, seed) for seed in range(_RESTARTS)]
    return min(tries, key=lambda found: found[0])[1]


def _one_kmeans(points: Tensor, k: int, seed: int) -> tuple[float, Tensor]:
    """Return the sum of all squared distances to the nearest mean, but for a constant, and the means."""
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:k]
    means, error = points[order.to(points.device)], 0.0
    for _ in range(_ROUNDS):
        least, nearest = (means.square().sum(1) - 2 * points @ means.T).min(1)
        error = float(least.sum())
        total = torch.zeros_like(means).index_add_(0, nearest, points)
        number = torch.bincount(nearest, minlength=k)[:, None]
        means = torch.where(number > 0, total / number.clamp_min(1), means)
    return error, means
