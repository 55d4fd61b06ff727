"""Where a picture makes teacher and student differ: maps of gradients, as in MKD, arXiv:2011.11108."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.distill.losses import picture_cosine_distance
from understudy.distill.maps import MapRecipe, fill_ignored, smooth
from understudy.distill.valid import cell_mean, flatten_valid
from understudy.types import Pair

__all__ = ["CoarseMap", "GradientMap", "clip_slopes", "discrepancy", "grey_opening"]

_HIGH = 0.99  # quantile of a picture's slopes that becomes 1
_NOISE = 0.05
_SEED = 0  # of the noise, so that a picture has the same map every time


def discrepancy(pairs: Sequence[Pair], value: float) -> Tensor:
    """(B, D, H, W) pairs -> (B,): how much teacher and student differ on each picture; 0 where both agree.

    Each level adds one minus the cosine of both whole tensors, and ``value`` times the mean squared
    difference. The finest level is left out, unless it is the only one.
    """
    return torch.stack([_of_level(pair, value) for pair in _coarse(pairs)]).sum(0)


def _of_level(pair: Pair, value: float) -> Tensor:
    one, other = (flatten_valid(f, pair.valid) for f in pair[:2])
    return picture_cosine_distance(pair) + value * cell_mean((one - other).square(), pair.valid).mean(1)


def _coarse(pairs: Sequence[Pair]) -> Sequence[Pair]:
    return pairs[1:] if len(pairs) > 1 else pairs


@dataclass(frozen=True, kw_only=True)
class CoarseMap:
    """Pairs -> (B, 1, H, W) map of all levels but the finest; the image score is their :func:`discrepancy`.

    It is called like :class:`understudy.distill.maps.MapRecipe`.

    Attributes:
        value: weight of the squared difference in the image score.
        recipe: how the map is made of these levels.
    """

    value: float
    recipe: MapRecipe = field(default_factory=MapRecipe)

    def __call__(  # noqa: D102
        self, pairs: Sequence[Pair], size: tuple[int, int], valid: Tensor | None = None
    ) -> Tensor:
        return self.recipe(_coarse(pairs), size, valid)

    def score_of_pairs(self, pairs: Sequence[Pair]) -> Tensor:
        """Pairs -> (B,) image score."""
        return discrepancy(pairs, self.value)


@dataclass(frozen=True, kw_only=True)
class GradientMap(CoarseMap):
    """Images -> (B, 1, H, W) map in [0, 1]: where a change of the picture would change the discrepancy most.

    The gradient passes through teacher and student. It needs both networks and a backward pass, so no graph
    of an exported model has it. Called with pairs alone, it gives the map of the features.

    Attributes:
        sigma: sigma of the Gaussian that smooths the map, in pixels of the map; 0 for none.
        copies: number of noisy copies of a picture whose maps are averaged; 0 for the picture itself.
        scaled: whether the map runs from 0 to 1 on each picture before it is smoothed.
    """

    sigma: float = 4.0
    copies: int = 0
    scaled: bool = False

    def of_images(
        self,
        images: Tensor,
        pairs_of: Callable[[Tensor, Tensor | None], list[Pair]],
        valid: Tensor | None = None,
    ) -> Tensor:
        """(B, 3, H, W) images -> (B, 1, H, W) map.

        Args:
            images: normalised images.
            pairs_of: images and valid pixels -> pairs, through which a gradient reaches the images.
            valid: mask of the valid pixels.
        """
        # What inference mode has made cannot be differentiated; a clone of it can.
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(images.device.type, enabled=False),
        ):
            images, valid = images.detach().clone(), None if valid is None else valid.clone()
            total = torch.zeros_like(images[:, :1])
            for copy in self._copies(images):
                total += clip_slopes(self._slopes(copy, pairs_of, valid), valid)
        slopes = total / max(1, self.copies)
        if self.scaled:
            slopes = clip_slopes(slopes, valid, high=1.0)
        blurred = smooth(slopes, self.sigma, valid)
        return fill_ignored(grey_opening(blurred, valid), valid)

    def _slopes(
        self,
        images: Tensor,
        pairs_of: Callable[[Tensor, Tensor | None], list[Pair]],
        valid: Tensor | None,
    ) -> Tensor:
        """(B, 3, H, W) -> (B, 1, H, W): how steeply the discrepancy changes with each pixel."""
        given = images.requires_grad_()
        apart = discrepancy(pairs_of(given, valid), self.value)
        (gradient,) = torch.autograd.grad(apart.sum(), given)
        return gradient.abs().sum(1, keepdim=True)

    def _copies(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the images, or noisy copies of them; each picture has the same noise in any batch."""
        if not self.copies:
            yield images
            return
        # The paper's code squares it. A picture of less contrast than 1 would have ever more noise.
        contrast = (images.amax((1, 2, 3)) - images.amin((1, 2, 3))).clamp_min(1)
        deviation = (_NOISE / contrast).square().view(-1, 1, 1, 1)
        chance = torch.Generator().manual_seed(_SEED)
        for _ in range(self.copies):
            noise = torch.randn(images.shape[1:], generator=chance).to(images.device)
            yield images.detach() + deviation * noise


def clip_slopes(slopes: Tensor, valid: Tensor | None = None, high: float = _HIGH) -> Tensor:
    """(B, 1, H, W) -> same shape: each picture's lowest valid pixel at 0, a high quantile at 1, clipped."""
    clipped = []
    for i, one in enumerate(slopes):
        counting = one.flatten() if valid is None else one[valid[i] > 0]
        if not counting.numel():
            clipped.append(torch.zeros_like(one))
            continue
        low, top = counting.min(), counting.quantile(high)
        clipped.append(((one - low) / (top - low).clamp_min(torch.finfo(one.dtype).tiny)).clamp(0, 1))
    return torch.stack(clipped)


def grey_opening(anomaly_map: Tensor, valid: Tensor | None = None) -> Tensor:
    """(B, 1, H, W) -> same shape: opened by a cross of 3x3 pixels, so what is thinner vanishes.

    It equals ``scipy.ndimage.grey_opening``. Ignored pixels have no part in it; they become 0.
    """
    counts = torch.ones_like(anomaly_map) if valid is None else valid
    eroded = _over_cross(anomaly_map.masked_fill(counts == 0, torch.inf), torch.inf).amin(0)
    opened = _over_cross(eroded.masked_fill(counts == 0, -torch.inf), -torch.inf).amax(0)
    return opened.masked_fill(counts == 0, 0.0)


def _over_cross(values: Tensor, outside: float) -> Tensor:
    """(B, 1, H, W) -> (5, B, 1, H, W): each pixel, and its neighbours above, below, left and right."""
    h, w = values.shape[-2:]
    padded = F.pad(values, (1, 1, 1, 1), value=outside)
    places = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    return torch.stack([padded[..., row : row + h, column : column + w] for row, column in places])
