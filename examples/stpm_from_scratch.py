"""STPM in one file: student-teacher feature pyramid matching (arXiv:2103.04257), from pictures to a map.

    python examples/stpm_from_scratch.py GOOD_PICTURES PICTURE

No line of Understudy is used; a test holds its loss, its training step and its map equal to the library's
``--method stpm``. Read it from top to bottom; the library is the same with names for its parts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 256  # pictures are resized to a square of this side, without cropping
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
LEVELS = (1, 2, 3)  # residual stages of a ResNet: strides 4, 8, 16


def read(paths: Sequence[Path]) -> Tensor:
    """Picture files -> (N, 3, S, S), unit_vectors as the teacher was trained."""
    pictures = [Image.open(p).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR) for p in paths]
    stack = torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))
    return ((stack / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def make_teacher(weights: dict[str, Tensor] | None = None, name: str = "resnet18") -> nn.Module:
    """A frozen network that returns one (B, D, H, W) tensor a level; the hub's weights by default."""
    teacher = timm.create_model(name, pretrained=weights is None, features_only=True, out_indices=LEVELS)
    if weights is not None:
        teacher.load_state_dict(weights)
    return teacher.eval().requires_grad_(False)


def make_student(name: str = "resnet18") -> nn.Module:
    """The same architecture from random weights."""
    student = timm.create_model(name, pretrained=False, features_only=True, out_indices=LEVELS)
    for module in student.modules():
        # timm starts the last scale of each residual branch at zero; the paper's networks start at one.
        if isinstance(module, nn.BatchNorm2d) and module.affine and not module.weight.any():
            nn.init.ones_(module.weight)
    return student.train()


def distances(teacher: nn.Module, student: nn.Module, images: Tensor) -> list[Tensor]:
    """Per level (B, H, W): squared distance between the unit feature vectors of each position."""
    with torch.no_grad():
        wanted = teacher(images)
    pairs = zip(wanted, student(images), strict=True)
    return [(F.normalize(t, dim=1) - F.normalize(s, dim=1)).square().sum(1) for t, s in pairs]


def loss(levels: Sequence[Tensor]) -> Tensor:
    """Mean over batch and positions, sum over levels. The authors' code leaves out the paper's one half."""
    return torch.stack([level.mean() for level in levels]).sum()


def anomaly_map(levels: Sequence[Tensor]) -> Tensor:
    """Levels -> (B, S, S): their product on a grid of a quarter of the size, then enlarged."""
    product = torch.ones(())
    for level in levels:
        product = product * enlarge(level, SIZE // 4)
    return enlarge(product, SIZE)


def enlarge(level: Tensor, side: int) -> Tensor:
    """(B, H, W) -> (B, side, side)."""
    return F.interpolate(level[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]


def train(
    teacher: nn.Module, student: nn.Module, images: Tensor, epochs: int = 100, batch_size: int = 32
) -> None:
    """Train the student on four fifths; keep the epoch whose maps of the other fifth are the lowest."""
    order = torch.randperm(len(images))
    held_out, learn = order[: len(images) // 5], order[len(images) // 5 :]
    optimiser = torch.optim.SGD(student.parameters(), lr=0.4, momentum=0.9, weight_decay=1e-4)
    best, lowest = student.state_dict(), float("inf")
    for epoch in range(epochs):
        for batch in learn[torch.randperm(len(learn))].split(batch_size):
            optimiser.zero_grad()
            loss(distances(teacher, student, images[batch])).backward()
            optimiser.step()
        error = validate(teacher, student, images[held_out])
        print(f"epoch {epoch + 1} of {epochs}: mean map of held-out pictures {error:.3g}")
        if error < lowest:
            lowest = error
            best = {name: value.clone() for name, value in student.state_dict().items()}
    student.load_state_dict(best)


@torch.no_grad()
def validate(teacher: nn.Module, student: nn.Module, images: Tensor) -> float:
    """Mean of the maps of good pictures that the student does not learn from."""
    student.eval()
    error = float(anomaly_map(distances(teacher, student, images)).mean())
    student.train()
    return error


def main(good: str, picture: str) -> None:
    """Learn from a folder of good pictures; write the map of one picture beside it."""
    torch.manual_seed(0)
    suffixes = {".png", ".jpg", ".jpeg"}
    paths = sorted(p for p in Path(good).iterdir() if p.suffix.lower() in suffixes and ".map" not in p.name)
    teacher, student = make_teacher(), make_student()
    train(teacher, student, read(paths))
    with torch.no_grad():
        found = anomaly_map(distances(teacher, student.eval(), read([Path(picture)])))[0]
    out = Path(picture).with_suffix(".map.png")
    Image.fromarray((255 * found / found.max()).byte().numpy()).save(out)
    print(f"score {found.max():.4g}; wrote {out}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/stpm_from_scratch.py GOOD_PICTURES PICTURE")
    main(*sys.argv[1:])
