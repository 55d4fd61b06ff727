"""Defects of the synthetic products, each with the exact pixels that it changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from understudy.lab.factory.scenes import Array, Scene, coordinates, curve, noise, paint, soft_below

__all__ = ["DEFECTS", "MARKED", "Defect", "scratch", "specks", "spoil", "stain"]


Defect = Callable[[np.random.Generator, Scene], tuple[Array, Array]]
"""(rng, scene) -> picture with the defect everywhere, and coverage of the defect, (S, S) in [0, 1]."""

_LEAST_AREA = 30 / 256**2  # share of the picture; a smaller defect is drawn again
MARKED = 0.25  # coverage from which a pixel counts as defective


def spoil(rng: np.random.Generator, scene: Scene, defect: Defect) -> tuple[Array, NDArray[np.bool_]]:
    """Put a defect somewhere on the product: -> (S, S, 3) picture and (S, S) mask of the defect."""
    while True:
        picture, coverage = defect(rng, scene)
        visible = coverage * scene.product
        mask = visible >= MARKED
        if mask.mean() >= _LEAST_AREA:
            return paint(scene.picture, picture, visible), mask


def _blot(rng: np.random.Generator, scene: Scene, radius: float, edge: float) -> Array:
    """Coverage of an irregular blot on the product, (S, S) in [0, 1].

    Args:
        rng: source of the random numbers.
        scene: the product.
        radius: size of the blot in half sides of the picture.
        edge: sharpness of its edge; 1 is sharp, less is softer.
    """
    size = len(scene.product)
    rows, columns = np.nonzero(scene.product > 0.9)
    pick = rng.integers(len(rows))
    x0, y0 = columns[pick] / size * 2 - 1, rows[pick] / size * 2 - 1
    x, y = coordinates(size, rng.uniform(0, np.pi), 0.85 * x0, 0.85 * y0)
    distance = np.hypot(x, y * rng.uniform(1.0, 1.7)) * (1 + 0.14 * noise(rng, size, 6))
    return soft_below(distance, radius, max(4, round(size * edge)))


def hole(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Hole: the product is torn open and the ground shows."""
    return scene.ground, _blot(rng, scene, rng.uniform(0.06, 0.13), 0.6)


def stain(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Brown stain: something soaked in; the structure stays visible."""
    return scene.picture * np.array([0.62, 0.48, 0.34]), _blot(rng, scene, rng.uniform(0.09, 0.19), 0.25)


def loose_thread(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Loose thread that lies on the product."""
    size = len(scene.product)
    distance = curve(rng, size, rng.uniform(0.5, 0.9), 0.12)
    round_thread = 0.97 - 9 * distance
    colour = round_thread[..., None] * np.array([0.98, 0.95, 0.88])
    return np.clip(colour, 0, 1), soft_below(distance, 0.022, size)


def scratch(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Scratch: a thin furrow with one bright and one dark side."""
    size = len(scene.product)
    distance = curve(rng, size, rng.uniform(0.35, 0.8), 0.02)
    bright = np.roll(distance, 1, axis=0) > distance
    tone = np.where(bright, 1.45, 0.45)[..., None]
    return np.clip(scene.picture * tone, 0, 1), soft_below(distance, 0.012, size)


def crack(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Crack: a jagged dark line."""
    size = len(scene.product)
    distance = curve(rng, size, rng.uniform(0.3, 0.6), 0.35)
    return scene.picture * 0.18, soft_below(distance, 0.013, size)


def knot(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Dark knot in wood."""
    core = _blot(rng, scene, rng.uniform(0.07, 0.13), 0.2)
    return scene.picture * np.array([0.50, 0.40, 0.32]), core


def rust(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Rust: an orange, mottled blot."""
    size = len(scene.product)
    mottled = 0.42 + 0.10 * noise(rng, size, 1.5)
    colour = np.clip(mottled, 0, 1)[..., None] * np.array([1.25, 0.68, 0.36])
    return colour, _blot(rng, scene, rng.uniform(0.10, 0.20), 0.2) * 0.9


def chip(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Chip: a piece is broken off the rim and the ground shows."""
    size = len(scene.product)
    rim = np.abs(scene.product - 0.5) < 0.3
    x, y = coordinates(size)
    outer = rim & (np.hypot(x, y) > 0.5)
    rows, columns = np.nonzero(outer)
    pick = rng.integers(len(rows))
    x, y = coordinates(size, 0, columns[pick] / size * 2 - 1, rows[pick] / size * 2 - 1)
    ragged = np.clip(noise(rng, size, 5), -1, 1)  # larger values would cut out islands far away
    distance = np.hypot(x, y) * (1 + 0.16 * ragged)
    return scene.ground * 0.8, soft_below(distance, rng.uniform(0.10, 0.18), size)


def specks(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Specks: a few black grains of dirt."""
    coverage = np.zeros_like(scene.product)
    for _ in range(rng.integers(2, 6)):
        coverage = np.maximum(coverage, _blot(rng, scene, rng.uniform(0.018, 0.04), 1.0))
    return np.full_like(scene.picture, 0.10), coverage


def dent(rng: np.random.Generator, scene: Scene) -> tuple[Array, Array]:
    """Dent: the surface is pressed in, so light and shadow change sides."""
    size = len(scene.product)
    coverage = _blot(rng, scene, rng.uniform(0.10, 0.16), 0.15)
    slope = np.gradient(coverage, axis=0) * size / 8
    return np.clip(scene.picture * (0.72 - 0.35 * slope)[..., None], 0, 1), coverage


DEFECTS: dict[str, dict[str, Defect]] = {
    "capsule": {"crack": crack, "dent": dent, "specks": specks},
    "linen": {"hole": hole, "loose_thread": loose_thread, "stain": stain},
    "nut": {"chip": chip, "rust": rust, "scratch": scratch},
    "veneer": {"crack": crack, "knot": knot, "scratch": scratch},
}
