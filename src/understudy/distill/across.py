"""One batch over several processes: each computes its share, and all see the losses of the whole batch.

Every process holds the same number of pictures of a batch, in the order of their ranks. Losses are computed
from the gathered pairs, so a term means the same for any number of processes: partners, the hardest cells and
means are those of the whole batch. Batch normalisation takes its statistics from the whole batch too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from understudy.types import Pair

__all__ = ["BatchNormAcross", "batchnorm_across", "gather", "gather_pairs"]


class _Gather(torch.autograd.Function):
    """(b, ...) -> (B, ...): the shares of all processes, in the order of their ranks.

    All processes compute one loss from it, so each gets the same gradient. DistributedDataParallel takes the
    mean over the processes; the gradient of a share is therefore multiplied by their number.
    """

    @staticmethod
    def forward(ctx: Any, share: Tensor) -> Tensor:
        ctx.rank, ctx.size = distributed.get_rank(), distributed.get_world_size()
        parts = [torch.empty_like(share) for _ in range(ctx.size)]
        distributed.all_gather(parts, share)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        own: Tensor = gradient.chunk(ctx.size)[ctx.rank] * ctx.size
        return own


class _Total(torch.autograd.Function):
    """Sum over the processes; so is the gradient."""

    @staticmethod
    def forward(ctx: Any, share: Tensor) -> Tensor:
        return _summed(share)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(share: Tensor) -> Tensor:
    total = share.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


def gather(share: Tensor) -> Tensor:
    """(b, ...) -> (B, ...): the shares of all processes; the gradient of a share flows back."""
    if share.ndim != 4:
        gathered: Tensor = _Gather.apply(share.contiguous())
        return gathered
    last: Tensor = _Gather.apply(share.permute(0, 2, 3, 1).contiguous())
    return last.permute(0, 3, 1, 2)  # features stay in channels-last memory


def gather_pairs(pairs: list[Pair]) -> list[Pair]:
    """Pairs of a share -> pairs of the whole batch, in every process."""
    known: dict[int, Tensor] = {}  # one level of the teacher can be in two pairs

    def once(share: Tensor) -> Tensor:
        if id(share) not in known:
            known[id(share)] = gather(share)
        return known[id(share)]

    return [
        pair._replace(
            teacher=once(pair.teacher),
            student=once(pair.student),
            valid=None if pair.valid is None else once(pair.valid),
        )
        for pair in pairs
    ]


class BatchNormAcross(_BatchNorm):
    """Batch normalisation whose statistics are those of all processes; on any device, in float32.

    torch's ``SyncBatchNorm`` does the same, but not on a processor. In eval mode it is the plain layer.

    Args:
        plain: layer that it stands for. It takes over its parameters and statistics, and the activation that
            layers of timm have.
    """

    def __init__(self, plain: _BatchNorm) -> None:
        super().__init__(
            plain.num_features, plain.eps, plain.momentum, plain.affine, plain.track_running_stats
        )
        self._parameters.update(plain._parameters)
        self._buffers.update(plain._buffers)
        after = (getattr(plain, name, None) for name in ("drop", "act"))
        self.after = nn.Sequential(*(part for part in after if isinstance(part, nn.Module)))
        self.train(plain.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of axes."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if not self.training:
            plain: Tensor = self.after(super().forward(x))
            return plain
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        if count == 1:
            raise ValueError("Expected more than 1 value per channel when training")
        with torch.autocast(x.device.type, enabled=False):
            values = x if x.dtype == torch.float64 else x.float()
            mean = _Total.apply(values.sum(axes)) / count
            centred = values - mean.view(shape)
            variance = _Total.apply(centred.square().sum(axes)) / count
            self._remember(mean.detach(), variance.detach() * count / (count - 1))
            out = centred * (variance + self.eps).rsqrt().view(shape)
            if self.affine:
                out = out * self.weight.view(shape) + self.bias.view(shape)
        normalised: Tensor = self.after(out.to(x.dtype))
        return normalised

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as torch's layers do."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


@contextmanager
def batchnorm_across(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Within the block, batch normalisation below ``network`` takes its statistics from all processes.

    Names and numbers of its state stay as they are. Afterwards the plain layers are back, with that state.

    Args:
        network: network; changed in place.
        device: device that trains; a GPU has torch's ``SyncBatchNorm``.
    """
    places = [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, _BatchNorm)
    ]
    for parent, name, layer in places:
        setattr(parent, name, _across(layer, device))
    try:
        yield
    finally:
        for parent, name, layer in places:
            trained = getattr(parent, name)
            layer.load_state_dict(trained.state_dict())
            layer.train(trained.training)
            setattr(parent, name, layer)


def _across(layer: _BatchNorm, device: torch.device) -> nn.Module:
    """Return a layer with the same parameters and statistics over all processes."""
    if device.type == "cuda":
        converted: nn.Module = convert_sync_batchnorm(layer)  # type: ignore[no-untyped-call]
        return converted
    return BatchNormAcross(layer)
