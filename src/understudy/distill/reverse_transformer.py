"""The reverse student of Dinomaly, arXiv:2405.14325: noisy bottleneck -> linear-attention blocks -> features.

It is for teachers whose levels have one grid and one width, as those of a plain transformer have. It has to
rebuild from what dropout leaves, and linear attention can hardly look at one place alone: both keep it from
copying a defect.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers.mlp import Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.errors import InputError
from understudy.types import Features, Level, Pair

__all__ = ["LinearAttention", "TransformerBlock", "TransformerStudent"]

_HEAD = 64  # channels of a head
_LEAST_WEIGHT = 1e-6  # keeps the division of an attention finite
_LEAST_VARIANCE = 1e-8  # of a layer normalisation
_WIDER = 4  # hidden channels of an MLP, per channel


class LinearAttention(nn.Module):
    """Linear attention: (B, n, D) tokens -> same shape. Its cost grows with n, not with n².

    With f(u) = elu(u) + 1, a head's token i becomes the mean of all values v_j by the weights f(q_i)·f(k_j).

    Args:
        width: D.
        heads: number of heads, a divisor of D.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Sums over the tokens are in float32 whatever the input."""
        b, n, width = tokens.shape
        parts = self.qkv(tokens).view(b, n, 3, self.heads, width // self.heads)
        with torch.autocast(tokens.device.type, enabled=False):
            q, k, v = parts.float().permute(2, 0, 3, 1, 4).unbind()  # each (B, heads, n, D / heads)
            q, k = F.elu(q) + 1, F.elu(k) + 1
            weight = q @ k.sum(2).unsqueeze(3)  # (B, heads, n, 1)
            mean = q @ (k.mT @ v) / (weight + _LEAST_WEIGHT)
        mixed: Tensor = self.out(mean.transpose(1, 2).reshape(b, n, width))
        return mixed


class TransformerBlock(nn.Module):
    """Pre-norm block: (B, n, D) tokens -> same shape; attention, then an MLP, each added to its input.

    Args:
        width: D.
        heads: number of heads of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_LEAST_VARIANCE)
        self.attention = LinearAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_LEAST_VARIANCE)
        self.mlp = Mlp(width, _WIDER * width)

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        tokens = tokens + self.attention(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class TransformerStudent(nn.Module):
    """Reverse transformer student: Features -> one Pair a level.

    The mean of the levels passes through the bottleneck, an MLP with dropout, and then through the blocks.
    These are shared out to the levels in reverse: the mean of the first blocks' outputs is the last level's
    feature, the mean of the last blocks' outputs the first level's.

    Args:
        levels: the teacher's levels, two or more of one stride and one width.
        depth: number of blocks, a multiple of the number of levels.
        dropout: rate of the dropout before, between and behind the layers of the bottleneck, in [0, 1).
        plug_ins: one module (B, D, H, W) -> (B, D, H, W) behind each level's feature, the first level first;
            none by default. No block reads what they give.

    Raises:
        InputError: the levels differ in stride or width, there is only one, or the depth does not fit.
    """

    sees_images = False

    def __init__(
        self,
        levels: Sequence[Level],
        depth: int,
        dropout: float = 0.2,
        *,
        plug_ins: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        _require_alike(levels)
        if depth % len(levels):
            raise InputError(
                f"{depth} blocks cannot be shared out to {len(levels)} levels; choose a multiple of that, "
                f"such as --set depth={2 * len(levels)}"
            )
        width = levels[0].channels
        heads = next(h for h in range(max(1, width // _HEAD), 0, -1) if width % h == 0)
        self.bottleneck = nn.Sequential(nn.Dropout(dropout), Mlp(width, _WIDER * width, drop=dropout))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        _initialise(self)
        self.plug_ins = nn.ModuleList(plug_ins or [nn.Identity() for _ in levels])

    def forward(self, images: Tensor | None, features: Features) -> list[Pair]:  # noqa: D102
        mean = torch.stack([f.float() for f in features]).mean(0)
        tokens = mean.flatten(2).mT.contiguous()  # (B, n, D); dropout draws in the order of the memory
        tokens = self.bottleneck(tokens).float()  # what the blocks add is summed in float32
        outputs: list[Tensor] = []
        for block in self.blocks:
            tokens = block(tokens)
            outputs.append(tokens)
        share = len(outputs) // len(features)
        groups = [torch.stack(outputs[at : at + share]).mean(0) for at in range(0, len(outputs), share)]
        grids = [group.mT.view(*features[0].shape) for group in reversed(groups)]
        return [
            Pair(feature, plug_in(grid))
            for feature, plug_in, grid in zip(features, self.plug_ins, grids, strict=True)
        ]


def _require_alike(levels: Sequence[Level]) -> None:
    """Raise an InputError unless there are two or more levels of one stride and one width."""
    if len(levels) > 1 and len(set(levels)) == 1:
        return
    have = ", ".join(f"{level.channels} channels at stride {level.stride}" for level in levels)
    raise InputError(
        "a transformer as student needs a teacher with two or more levels of one grid and one width, "
        f"not {have}; add --teacher vit_small_patch14_dinov2.lvd142m, or name another plain transformer and "
        "its stride twice, such as --strides 16,16"
    )


def _initialise(student: nn.Module) -> None:
    """Initialise linear layers as Dinomaly does: by a narrow truncated normal distribution, without bias."""
    for part in student.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.01, a=-0.03, b=0.03)
            nn.init.zeros_(part.bias)
