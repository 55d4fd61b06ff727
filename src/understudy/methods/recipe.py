"""How a method is trained when nothing else is asked for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Adam's settings, the batch and the length of a training.

    Attributes:
        lr: learning rate, constant.
        betas: Adam's two decay rates.
        batch_size: pictures a step.
        steps: length of the training when neither epochs nor steps are asked for.
    """

    lr: float = 0.005
    betas: tuple[float, float] = (0.5, 0.999)
    batch_size: int = 8
    steps: int = 1500
