"""Fuse the maps of several students into one, after good pictures have brought them to one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from understudy.distill.affinity import AffinityAgainst, RowMeasure, contextual_distance
from understudy.distill.losses import cosine_distance
from understudy.distill.maps import ToMap, enlarge, fill_ignored, smooth
from understudy.types import Pair

__all__ = ["LEAST_SPREAD", "ContextualMap", "Fusion", "Scaling"]

Scaling = Literal["quantile", "zscore"]
LEAST_SPREAD = 1e-9
"""A map that varies less on good pictures is constant, and is not scaled."""
_LOW, _HIGH = 0.9, 0.995  # quantiles of good pixels that become 0 and 1


class ContextualMap:
    """Pairs -> (B, 1, H, W) map of contextual affinity; 0 where both agree.

    It is called like :class:`understudy.distill.maps.MapRecipe`.

    Args:
        against: see :func:`understudy.distill.affinity.contextual_distance`.
        measure: how rows are compared; see the same function.
        cosine: weight of the cosine distance that is added to the map; 0 for none.
        sigma: sigma of the Gaussian that smooths the map, in pixels of the map; 0 for none.
    """

    def __init__(
        self, against: AffinityAgainst, measure: RowMeasure, cosine: float = 0.0, sigma: float = 4.0
    ) -> None:
        self.against, self.measure, self.cosine, self.sigma = against, measure, cosine, sigma

    def __call__(  # noqa: D102
        self, pairs: Sequence[Pair], size: tuple[int, int], valid: Tensor | None = None
    ) -> Tensor:
        levels = [enlarge(self._level_map(pair), size, pair.valid, align_corners=True) for pair in pairs]
        return smooth(torch.stack(levels).sum(0), self.sigma, valid)

    def _level_map(self, pair: Pair) -> Tensor:
        level = contextual_distance(pair, self.against, self.measure)
        return level + self.cosine * cosine_distance(pair) if self.cosine else level


Part: TypeAlias = tuple[slice, ToMap]
"""The pairs that a map is made of, and how it is made."""


class Fusion(nn.Module):
    """Pairs -> (B, 1, H, W): mean of several maps, each shifted and scaled so that good pictures look alike.

    It is called like :class:`understudy.distill.maps.MapRecipe`. Until :meth:`fit` is called, maps are
    averaged without scaling. The fused map can be negative.

    Args:
        parts: name of a map -> the pairs that it is made of, and how.
        scaling: ``quantile`` puts the 90th and the 99.5th percentile of good pixels at 0 and 1; ``zscore``
            puts their mean at 0, and one standard deviation above it at 1.
        shares: name of a map -> its share of the mean; equal shares by default.

    Raises:
        ValueError: the shares name other maps than the parts.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        scaling: Scaling = "quantile",
        shares: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.parts = dict(parts)
        self.scaling = scaling
        shares = shares or dict.fromkeys(parts, 1 / len(parts))
        if shares.keys() != self.parts.keys():
            raise ValueError(f"shares of {sorted(shares)} do not fit maps {sorted(parts)}")
        self.shares = [shares[name] for name in self.parts]
        self.zero = nn.Buffer(torch.zeros(len(parts)))
        self.unit = nn.Buffer(torch.ones(len(parts)))

    def maps(
        self, pairs: Sequence[Pair], size: tuple[int, int], valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Pairs -> the unscaled map of each part, (B, 1, H, W), by name."""
        return {name: to_map(pairs[which], size, valid) for name, (which, to_map) in self.parts.items()}

    def values(
        self, pairs: Sequence[Pair], size: tuple[int, int], valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Pairs -> (n,) unscaled values of each part at the valid pixels, by name; :meth:`fit` takes them."""
        maps = self.maps(pairs, size, valid)
        return {name: one.flatten() if valid is None else one[valid > 0] for name, one in maps.items()}

    def forward(  # noqa: D102
        self, pairs: Sequence[Pair], size: tuple[int, int], valid: Tensor | None = None
    ) -> Tensor:
        maps = torch.stack(list(self.maps(pairs, size, valid).values()))
        zero, unit = (b.view(-1, 1, 1, 1, 1) for b in (self.zero, self.unit))
        shares = maps.new_tensor(self.shares).view(-1, 1, 1, 1, 1)
        return fill_ignored((shares * (maps - zero) / unit).sum(0), valid)

    def fit(self, good: Mapping[str, NDArray[np.float32]]) -> None:
        """Set the shift and the scale of each part.

        Args:
            good: name of the part -> values of good pictures that were not trained on, of any shape; see
                :meth:`values`.
        """
        for i, name in enumerate(self.parts):
            values = good[name]
            if self.scaling == "quantile":
                zero, one = np.quantile(values, [_LOW, _HIGH])
            else:
                zero, one = values.mean(), values.mean() + values.std()
            spread = float(one - zero)
            self.zero[i], self.unit[i] = float(zero), spread if spread > LEAST_SPREAD else 1.0
