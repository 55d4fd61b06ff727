"""Good pictures of two categories -> mixes and pastes, which show neither of them. Pure numpy, seeded.

They follow figure 2 of SNL (arXiv:2402.17091), which gives no weights, sizes or counts. The sizes of pastes
are those of CutPaste (arXiv:2104.04015).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from understudy.runtime.images import Mask, Picture, unit

__all__ = ["AREA", "ASPECT", "LAMS", "Paste", "Place", "Trials", "draw_place", "mix", "paste"]


LAMS = (0.3, 0.5, 0.7)  # weights of the first picture of a mix
AREA = (0.02, 0.15)  # a patch's share of the picture
ASPECT = (0.3, 3.3)  # a patch's width over its height


@dataclass(frozen=True)
class Place:
    """Where a patch comes from and where it goes, in pixels.

    Attributes:
        height: height of the patch.
        width: width of the patch.
        top: first row in the picture that it is pasted on.
        left: first column in that picture.
        from_top: first row in the picture that it is cropped from.
        from_left: first column in that picture.
    """

    height: int
    width: int
    top: int
    left: int
    from_top: int
    from_left: int

    def mask(self, side: int) -> Mask:
        """(side, side) bool, true where the patch is pasted."""
        mask = np.zeros((side, side), dtype=bool)
        mask[self.top : self.top + self.height, self.left : self.left + self.width] = True
        return mask


@dataclass(frozen=True)
class Paste:
    """A patch of one picture pasted on another.

    Attributes:
        background: index of the picture that the patch is pasted on.
        source: index of the picture that it is cropped from.
        place: where in both pictures.
    """

    background: int
    source: int
    place: Place


def mix(a: Picture, b: Picture, lam: float) -> NDArray[np.float32]:
    """Two (S, S, 3) uint8 -> (S, S, 3) float32 in [0, 1]: lam · a + (1 - lam) · b.

    Raises:
        ValueError: ``lam`` is not in [0, 1].
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"the weight of a mix lies in [0, 1], got {lam}")
    return np.float32(lam) * unit(a) + np.float32(1 - lam) * unit(b)


def paste(background: Picture, source: Picture, place: Place) -> Picture:
    """Two (S, S, 3) uint8 -> a copy of the first with a patch of the second, not blended."""
    height, width = place.height, place.width
    patch = source[place.from_top : place.from_top + height, place.from_left : place.from_left + width]
    pasted = background.copy()
    pasted[place.top : place.top + height, place.left : place.left + width] = patch
    return pasted


def draw_place(side: int, rng: np.random.Generator) -> Place:
    """Draw a random place: area and logarithm of the aspect ratio are uniform, and so are both corners.

    A size that leaves ``AREA`` or ``ASPECT`` when it is rounded to whole pixels is drawn again.

    Args:
        side: side of both pictures in pixels.
        rng: source of the random numbers.
    """
    while True:
        area = rng.uniform(*AREA) * side**2
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if height * width and _fits(height * width / side**2, AREA) and _fits(width / height, ASPECT):
            top, from_top = (int(i) for i in rng.integers(side - height + 1, size=2))
            left, from_left = (int(i) for i in rng.integers(side - width + 1, size=2))
            return Place(height, width, top, left, from_top, from_left)


def _fits(value: float, span: tuple[float, float]) -> bool:
    return span[0] <= value <= span[1]


@dataclass(frozen=True)
class Trials:
    """Good pictures, and all mixes and pastes made of them.

    A random draw depends only on the seed and on the names of the two categories.

    Attributes:
        good: category -> its good pictures, (N, S, S, 3) uint8.
        seed: seed of all draws.
        n_mixes: pairs of pictures for each pair of categories, at most; each is mixed with all ``LAMS``.
        n_pastes: pastes for each ordered pair of categories.
    """

    good: Mapping[str, Picture]
    seed: int = 0
    n_mixes: int = 100
    n_pastes: int = 100

    @property
    def side(self) -> int:
        """Side of every picture in pixels."""
        return int(next(iter(self.good.values())).shape[1])

    def mixed_pairs(self, a: str, b: str) -> list[tuple[int, int]]:
        """Draw the pairs of pictures to mix: (index in ``a``, index in ``b``), no pair twice.

        If ``a`` equals ``b``, this is the control: two different pictures of one category. A category with
        one picture has none.
        """
        n_a, n_b = len(self.good[a]), len(self.good[b])
        if a == b:
            possible = list(zip(*(i.tolist() for i in np.triu_indices(n_a, 1)), strict=True))
        else:
            possible = [(i, j) for i in range(n_a) for j in range(n_b)]
        count = min(self.n_mixes, len(possible))
        if not count:
            return []
        return [possible[k] for k in self._rng("mix", a, b).choice(len(possible), count, replace=False)]

    def mixes(self, a: str, b: str) -> Iterator[NDArray[np.float32]]:
        """Yield the mixes of two categories, (S, S, 3) float32: for each pair of pictures all ``LAMS``."""
        for i, j in self.mixed_pairs(a, b):
            for lam in LAMS:
                yield mix(self.good[a][i], self.good[b][j], lam)

    def pastes(self, patch: str, background: str) -> list[Paste]:
        """Draw which patches of one category land where on which pictures of another."""
        rng = self._rng("paste", patch, background)
        n_patch, n_background = len(self.good[patch]), len(self.good[background])
        return [
            Paste(int(rng.integers(n_background)), int(rng.integers(n_patch)), draw_place(self.side, rng))
            for _ in range(self.n_pastes)
        ]

    def control_pastes(self, patch: str, background: str) -> list[Paste]:
        """Draw the controls of :meth:`pastes`: same pictures and places, patches of the same category.

        Each patch comes from another picture of ``background``. A category with one picture has no controls.
        """
        others = len(self.good[background]) - 1
        if not others:
            return []
        rng = self._rng("control", patch, background)
        drawn = [(p, int(rng.integers(others))) for p in self.pastes(patch, background)]
        return [Paste(p.background, k + (k >= p.background), p.place) for p, k in drawn]

    def pasted(self, pastes: list[Paste], patch: str, background: str) -> Iterator[Picture]:
        """Yield the pictures of some pastes, (S, S, 3) uint8."""
        for p in pastes:
            yield paste(self.good[background][p.background], self.good[patch][p.source], p.place)

    def _rng(self, kind: str, a: str, b: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(f"{kind}/{a}/{b}".encode())])
