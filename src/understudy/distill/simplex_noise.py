"""Pseudo-anomalies of RD++, CVPR 2023: a small rectangle of a picture gets fractal OpenSimplex noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from understudy.errors import InputError

__all__ = ["NoiseTables", "PseudoAnomaly", "rectangle_sides", "simplex_texture"]

NoiseTables = Literal["fixed", "per_sample"]

_STRENGTH = 0.2  # of the noise, for pictures in [0, 1]
_OCTAVES, _SMALLER, _COARSEST = 6, 0.6, 32.0  # pixels of the coarsest octave's grid; each next has half
_LEAST_SIDE, _SHARE = 10, 8  # pixels; the longest side is an eighth of the picture's, less a pixel
_BANK = 32  # tables of a training by ``per_sample``: a texture takes about as long as a training step
_SEEDS = 2**20


@lru_cache(maxsize=2 * _BANK)
def simplex_texture(seed: int, side: int) -> NDArray[np.float32]:
    """Draw (3, side, side) fractal noise: the sum over o = 0..5 of 0.6^o·s(x/f, y/f, c/f), f = 32/2^o.

    s is three-dimensional OpenSimplex noise, mostly within -1 and 1. Rows y, columns x and channels c count
    from zero, so a smaller texture of the same seed is the upper left corner of a larger one.

    Args:
        seed: seed of the table of permutations.
        side: rows and columns in pixels.

    Raises:
        InputError: the package opensimplex is missing.
    """
    try:
        from opensimplex import OpenSimplex
    except ImportError as error:
        raise InputError(
            "rdpp draws its pseudo-anomalies with the package opensimplex; install it: "
            "pip install 'understudy[train]'"
        ) from error
    noise = OpenSimplex(seed)
    total = np.zeros((3, side, side))
    for octave in range(_OCTAVES):
        grid = _COARSEST / 2**octave
        along, channels = np.arange(side) / grid, np.arange(3) / grid
        total += _SMALLER**octave * noise.noise3array(along, along, channels)
    return total.astype(np.float32)


def rectangle_sides(length: int) -> tuple[int, int]:
    """Side of a picture in pixels -> shortest and longest side of its rectangles along it.

    They are 10 and 31 for 256 pixels. The longest is an eighth of the picture's less one; in pictures of less
    than 88 pixels all rectangles have that length.
    """
    longest = max(1, length // _SHARE - 1)
    return min(_LEAST_SIDE, longest), longest


class PseudoAnomaly(nn.Module):
    """(B, 3, H, W) normalised images -> same shape; each with noise in a rectangle at a random place.

    0.2 times :func:`simplex_texture` is added to the picture in [0, 1], and not clipped. Places, sizes and
    tables are drawn from torch's global generator.

    Args:
        std: standard deviation by which each channel is normalised, for pictures in [0, 1].
        tables: ``fixed`` draws one table of permutations for the whole training, as the release does, so that
            every rectangle is a corner of one texture; ``per_sample`` draws one of 32 tables for each
            picture.
    """

    draws = True  # so that a training is seeded at each step

    def __init__(self, std: Sequence[float], tables: NoiseTables) -> None:
        super().__init__()
        self.strength = nn.Buffer(_STRENGTH / torch.tensor(std).view(3, 1, 1), persistent=False)
        self.tables = tables
        self.table = nn.Buffer(torch.randint(_SEEDS, ()))  # a training that is resumed has the same one

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        height, width = images.shape[-2:]
        side = max(rectangle_sides(length)[1] for length in (height, width))
        noisy, first = images.clone(), int(self.table)
        for one in noisy:
            (h, top), (w, left) = _place(height), _place(width)
            table = first + (_draw(0, _BANK - 1) if self.tables == "per_sample" else 0)
            texture = torch.from_numpy(simplex_texture(table, side)[:, :h, :w])
            one[:, top : top + h, left : left + w] += self.strength * texture.to(images.device)
        return noisy


def _place(length: int) -> tuple[int, int]:
    """Draw the side of a rectangle along a picture's side, and where it starts; no border is touched."""
    side = _draw(*rectangle_sides(length))
    return side, _draw(1, max(1, length - 1 - side))


def _draw(least: int, most: int) -> int:
    """Draw a whole number from ``least`` to ``most``, both included."""
    return int(torch.randint(least, most + 1, ()))
