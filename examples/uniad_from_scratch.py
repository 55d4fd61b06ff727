"""UniAD in one file: one model for many products (arXiv:2206.03687), from pictures to a map.

    python examples/uniad_from_scratch.py GOOD_PICTURES PICTURE

No line of Understudy is used; a test holds all that it computes equal to the library's ``--method uniad``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

SIZE, GRID = 224, 14  # pixels of a picture and cells of the coarsest level, along a side
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
WIDTH, HEADS, HIDDEN, DEPTH, DROPOUT = 256, 8, 1024, 4, 0.1
NEIGHBOURS, JITTER, POOL = 7, 1.21, 16  # cells hidden along a side; noise by signal; pixels of the score


def read(paths: list[Path]) -> Tensor:
    """Picture files -> (N, 3, S, S), normalised as the teacher was trained."""
    pictures = [Image.open(p).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR) for p in paths]
    values = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])) / 255
    return ((values - MEAN) / STD).permute(0, 3, 1, 2)


def stack(levels: list[Tensor], grid: int) -> Tensor:
    """Levels of a frozen teacher -> (B, C, grid, grid): all on the coarsest grid, one above the other."""
    return torch.cat([F.interpolate(f, (grid, grid), mode="bilinear", align_corners=True) for f in levels], 1)


def hidden_neighbours(grid: int) -> Tensor:
    """(n, n): minus infinity where a token must not see another one, that of its own cell too; else 0."""
    y, x = torch.arange(grid**2) // grid, torch.arange(grid**2) % grid
    near = ((y[:, None] - y).abs() <= NEIGHBOURS // 2) & ((x[:, None] - x).abs() <= NEIGHBOURS // 2)
    return torch.zeros(grid**2, grid**2).masked_fill(near, float("-inf"))


class Attention(nn.Module):
    """Attention of eight heads that sees no neighbours; its weights are named as torch names them."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * WIDTH, WIDTH)))
        self.in_proj_bias, self.out_proj = nn.Parameter(torch.zeros(3 * WIDTH)), nn.Linear(WIDTH, WIDTH)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """(B, n, D) each -> (B, n, D)."""
        parts = zip(self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        q, k, v = (
            F.linear(x, weight, bias).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for x, (weight, bias) in zip((query, key, value), parts, strict=True)
        )
        weights = F.dropout((q @ k.mT / q.shape[3] ** 0.5 + mask).softmax(3), DROPOUT, self.training)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """(B, n, D) tokens -> same shape: they ask one source after the other, then pass an MLP."""

    def __init__(self, attentions: list[str], queries: int = 0) -> None:
        super().__init__()
        self.attentions = attentions
        for name in attentions:
            self.add_module(name, Attention())
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(len(attentions) + 1))
        wide, narrow, self.drop = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH), nn.Dropout(DROPOUT)
        self.mlp = nn.Sequential(wide, nn.ReLU(), nn.Dropout(DROPOUT), narrow)
        self.queries = nn.Parameter(torch.randn(queries, WIDTH)) if queries else None

    def forward(self, tokens: Tensor, sources: list[Tensor], places: Tensor, mask: Tensor) -> Tensor:
        """Positions are added to queries and keys, never to values."""
        for name, seen, norm in zip(self.attentions, sources, self.norms[:-1], strict=True):
            tokens = norm(tokens + self.drop(getattr(self, name)(tokens + places, seen + places, seen, mask)))
        return self.norms[-1](tokens + self.drop(self.mlp(tokens)))


class UniAD(nn.Module):
    """(B, C, grid, grid) features -> their reconstruction; the layer before is never copied, only asked."""

    def __init__(self, channels: int, grid: int = GRID) -> None:
        super().__init__()
        self.squeeze, self.rebuild = nn.Linear(channels, WIDTH), nn.Linear(WIDTH, channels)
        self.rows, self.columns = (nn.Parameter(torch.rand(grid, WIDTH // 2)) for _ in range(2))
        self.encoder = nn.ModuleList(Layer(["attention"]) for _ in range(DEPTH))
        self.decoder = nn.ModuleList(Layer(["to_memory", "to_before"], grid**2) for _ in range(DEPTH))
        self.norm, self.mask = nn.LayerNorm(WIDTH), nn.Buffer(hidden_neighbours(grid), persistent=False)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """In training the tokens are noisy; what they are compared with is not."""
        tokens, grid = features.flatten(2).mT.contiguous(), features.shape[3]
        if self.training:
            deviation = JITTER * tokens.norm(dim=2, keepdim=True) / tokens.shape[2] ** 0.5
            tokens = tokens + deviation * torch.randn_like(tokens)
        places = torch.cat([self.columns.repeat(grid, 1), self.rows.repeat_interleave(grid, 0)], 1)
        memory = self.squeeze(tokens)
        for layer in self.encoder:
            memory = layer(memory, [memory], places, self.mask)
        out = memory
        for layer in self.decoder:
            out = layer(layer.queries.expand_as(memory), [memory, out], places, self.mask)
        return self.rebuild(self.norm(out)).mT.reshape(features.shape)


def anomaly_map(features: Tensor, rebuilt: Tensor, size: int = SIZE) -> Tensor:
    """(B, C, h, w) features and their reconstruction -> (B, 1, S, S): length of the error, enlarged."""
    length = (rebuilt - features).norm(dim=1, keepdim=True)
    return F.interpolate(length, (size, size), mode="bilinear", align_corners=True)


def score(found: Tensor) -> Tensor:
    """(B, 1, S, S) map -> (B,): its highest mean over 16 x 16 pixels."""
    return F.avg_pool2d(found, POOL, 1).amax((1, 2, 3))


def main(good: str, picture: str, epochs: int = 1000, name: str = "tf_efficientnet_b4") -> None:
    """Learn from a folder of good pictures; print the score of one picture and where its map is highest."""
    teacher = timm.create_model(name, pretrained=True, features_only=True, out_indices=(0, 1, 2, 3)).eval()
    paths = sorted(p for p in Path(good).iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg"})
    with torch.no_grad():
        features, shown = (stack(teacher(read(some)), GRID) for some in (paths, [Path(picture)]))
    student = UniAD(features.shape[1])
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-4, weight_decay=1e-4)
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = 1e-4 if epoch < 0.8 * epochs else 1e-5
        for batch in torch.randperm(len(features)).split(8):
            optimiser.zero_grad()
            F.mse_loss(student(features[batch]), features[batch]).backward()
            nn.utils.clip_grad_norm_(student.parameters(), 0.1)
            optimiser.step()
    with torch.no_grad():
        found = anomaly_map(shown, student.eval()(shown))
    print(f"score {score(found).item():.4g}; highest at row and column {divmod(int(found.argmax()), SIZE)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/uniad_from_scratch.py GOOD_PICTURES PICTURE")
    main(*sys.argv[1:])
