"""Distil a patch net from a frozen backbone: the teacher of Uninformed Students, arXiv:1911.02357."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.data.store import PictureStore
from understudy.distill.network import Normaliser
from understudy.distill.patch_net import (
    DESCRIPTOR,
    PatchNet,
    correlation_loss,
    knowledge_loss,
    margin_loss,
)
from understudy.distill.teacher import Teacher
from understudy.progress import Advance, ignore_progress
from understudy.runtime.preprocess import Preprocess

__all__ = ["PatchSampler", "distill_patch_teacher"]

_ZOOM = (4, 16)  # least and most patches that lie beside each other in a zoomed picture
_GREY = 0.1  # share of the patches without colour
_NOISE = 0.1 * 255  # standard deviation, on the nearby patch
_BACKBONE_SIDE = 64  # pixels to which a patch is enlarged for the backbone
_RATE, _DECAY = 2e-4, 1e-5
_REPORT_EVERY = 10  # steps


class PatchSampler:
    """Windows of pictures -> random patches of them, each with one nearby and one of another picture.

    A window is zoomed so that 4 to 16 patches lie beside each other. The nearby patch is shifted by at most
    a quarter of a patch and has noise. A tenth of the patches have no colour.

    Args:
        windows: windows, (S, S, 3 or 4) uint8.
        side: side of a patch in pixels.
        seed: seed of everything that is drawn.
    """

    def __init__(self, windows: PictureStore, side: int, seed: int) -> None:
        self._windows, self._side = windows, side
        self._chance = torch.Generator().manual_seed(seed)

    def draw(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Three times (n, p, p, 3 or 4) float32 in [0, 255]: patches, nearby ones, and others."""
        triples = [self._triple() for _ in range(number)]
        anchor, positive, negative = (torch.stack(each) for each in zip(*triples, strict=True))
        return anchor, positive, negative

    def _triple(self) -> tuple[Tensor, Tensor, Tensor]:
        this, other = self._two_of(len(self._windows))
        anchor, positive = self._pair(self._windows[this])
        negative, _ = self._pair(self._windows[other])
        return anchor, positive, negative

    def _pair(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """(S, S, C) window -> a patch and one nearby."""
        whole = window.shape[0]
        beside = self._uniform(*_ZOOM)
        length = min(whole, max(2, round(whole / beside)))
        top, left = (round(self._uniform(0, whole - length)) for _ in range(2))
        reach = (self._side - 1) / 4 * length / self._side
        near = [min(max(round(at + self._uniform(-reach, reach)), 0), whole - length) for at in (top, left)]
        here, there = (self._resized(window, a, b, length) for a, b in ((top, left), (near[0], near[1])))
        there[..., :3] += _NOISE * torch.randn(there[..., :3].shape, generator=self._chance)
        if self._uniform(0, 1) < _GREY:
            for patch in (here, there):
                patch[..., :3] = patch[..., :3].mean(-1, keepdim=True)
        return here, there.clamp(0, 255)

    def _resized(self, window: Tensor, top: int, left: int, length: int) -> Tensor:
        """Cut a square and resize it to (p, p, C)."""
        cut = window[top : top + length, left : left + length].permute(2, 0, 1)[None].float()
        sides = (self._side, self._side)
        return F.interpolate(cut, sides, mode="bilinear", antialias=True)[0].permute(1, 2, 0)

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._chance))

    def _two_of(self, n: int) -> tuple[int, int]:
        """Two different numbers below n, if there are two."""
        first = int(torch.randint(n, (), generator=self._chance))
        if n == 1:
            return first, first
        return first, (first + 1 + int(torch.randint(n - 1, (), generator=self._chance))) % n


def distill_patch_teacher(
    net: PatchNet,
    backbone: Teacher,
    windows: PictureStore,
    preprocess: Preprocess,
    steps: int,
    device: torch.device | None = None,
    seed: int = 0,
    batch_size: int = 64,
    weights: tuple[float, float, float] = (1.0, 0.0, 1.0),
    advance: Advance = ignore_progress,
) -> list[float]:
    """Train a patch net so that the backbone's pooled features of a patch can be read from its descriptor.

    The paper takes patches of natural images; any pictures do. Pooled features are divided by their mean
    deviation over the first batch, so that all backbones weigh alike beside the other losses. The same
    arguments give the same net.

    Args:
        net: net to train, in place; frozen and on the processor afterwards.
        backbone: teacher, whose coarsest level is averaged over a patch that is enlarged to 64 pixels, or to
            the only size that it takes.
        windows: windows of pictures.
        preprocess: turns windows into input.
        steps: number of steps.
        device: device that computes; the processor by default.
        seed: seed of the patches and of the decoder.
        batch_size: patches a step.
        weights: of :func:`understudy.distill.patch_net.knowledge_loss`, ``margin_loss`` and
            ``correlation_loss``.
        advance: called with ("patch net of P", steps done, steps in all, loss).

    Returns:
        The loss of each step.
    """
    device = device or torch.device("cpu")
    inputs, backbone = Normaliser(preprocess).to(device), backbone.to(device)
    net.to(device).requires_grad_(True)
    side = _side_for(backbone, device)
    sampler, channels = PatchSampler(windows, net.side, seed), backbone.levels[-1].channels
    decoder = nn.Linear(DESCRIPTOR, channels)
    nn.init.normal_(decoder.weight, std=DESCRIPTOR**-0.5, generator=torch.Generator().manual_seed(seed))
    decoder.to(device)
    optimiser = torch.optim.Adam(
        [*net.parameters(), *decoder.parameters()], _RATE, weight_decay=_DECAY, fused=True
    )
    of_knowledge, of_margin, of_correlation = weights
    losses = []
    for step in range(1, steps + 1):
        patches = [inputs(each.to(device))[0] for each in sampler.draw(batch_size)]
        descriptors = [net(each).flatten(1) for each in (patches if of_margin else patches[:1])]
        enlarged = F.interpolate(patches[0], (side, side), mode="bilinear", align_corners=False)
        pooled = backbone(enlarged)[-1].mean((2, 3))
        if step == 1:
            unit = pooled.std(0, correction=0).mean().clamp_min(1e-6)
            decoder.bias.data.copy_(pooled.mean(0) / unit)  # descriptors say what differs from the mean
        loss = of_knowledge * knowledge_loss(decoder(descriptors[0]), pooled / unit)
        loss = loss + of_correlation * correlation_loss(descriptors[0])
        if of_margin:
            anchor, positive, negative = descriptors
            loss = loss + of_margin * margin_loss(anchor, positive, negative)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
        if step % _REPORT_EVERY == 0 or step == steps:
            advance(f"patch net of {net.side}", step, steps, f"{losses[-1]:.3g}")
    net.cpu().requires_grad_(False)
    backbone.cpu()
    return losses


def _side_for(backbone: Teacher, device: torch.device) -> int:
    """Side in pixels of a picture that a backbone takes: 64, or the one that it was made for."""
    side = max(_BACKBONE_SIDE, 2 * backbone.levels[-1].stride)
    try:
        backbone(torch.zeros(1, 3, side, side, device=device))
    except Exception:  # a backbone of one size can raise anything
        return backbone.image_size
    return side
