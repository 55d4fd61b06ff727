"""Four small parts of a kit: hex nut, brass washer, wooden dowel, screw. Every one differs a little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from understudy.data.factory.canvas import Array, hexagon, lit, noise, soft_below, turned

__all__ = ["PARTS", "REACH", "Part", "area_of"]

REACH = 0.19  # no part goes farther from its centre than this, in half sides of the picture

Part = Callable[[np.random.Generator, Array, Array, int], tuple[Array, Array]]
"""(rng, x, y, size) -> colour, (W, W, 3), and coverage, (W, W).

The coordinates are the part's own, (W, W), in half sides of a picture of ``size`` pixels.
"""


def nut(rng: np.random.Generator, x: Array, y: Array, size: int) -> tuple[Array, Array]:
    """A hex nut of zinc-plated steel, seen from above."""
    radius, flats = np.hypot(x, y), hexagon(x, y)
    height = -np.clip(radius - 0.138, 0, None) * 0.9 - np.clip(0.098 - radius, 0, None) * 1.2
    turning = 0.025 * np.sin(radius * 520 + rng.uniform(0, 6)) + 0.015 * noise(rng, len(x), 0.8)
    tone = (0.60 + turning) * lit(height * size / 2, 1.0, gloss=0.12)
    thread = 0.22 + 0.08 * np.sin(radius * 420)
    tone = np.where(radius < 0.092, thread, tone)
    coverage = soft_below(flats, 0.153, size) * soft_below(-radius, -0.078, size)
    return tone[..., None] * np.array([0.95, 0.99, 1.05]), coverage


def washer(rng: np.random.Generator, x: Array, y: Array, size: int) -> tuple[Array, Array]:
    """A flat brass ring."""
    radius = np.hypot(x, y)
    height = -np.clip(radius - 0.156, 0, None) - np.clip(0.088 - radius, 0, None)
    grain, _ = turned(x, y, rng.uniform(0, np.pi))
    rolled = 0.012 * np.sin(grain * 260 + 2 * noise(rng, len(x), 12)) + 0.014 * noise(rng, len(x), 0.8)
    tone = (0.80 + rolled) * lit(height * size / 2, 0.9, gloss=0.10)
    coverage = soft_below(radius, 0.170, size) * soft_below(-radius, -0.076, size)
    return tone[..., None] * np.array([1.02, 0.80, 0.42]), coverage


def dowel(rng: np.random.Generator, x: Array, y: Array, size: int) -> tuple[Array, Array]:
    """A grooved beech dowel with chamfered ends, lying on its side."""
    half, ends = 0.072, np.clip(np.abs(x) - 0.140, 0, None)
    round_height = np.sqrt(np.clip(half**2 - y**2, 1e-4, None))
    flutes = 0.0035 * np.cos(np.arcsin(np.clip(y / half, -1, 1)) * 9 + rng.uniform(0, 6))
    height = np.where(ends > 0, round_height - ends * 0.8, round_height + flutes)
    fibre = 0.03 * noise(rng, len(x), 1.2) + 0.03 * np.sin(x * 30 + noise(rng, len(x), 9))
    tone = (0.74 + fibre) * np.clip(lit(height * size / 2, 0.55), 0.35, 1.25)
    outline = np.maximum(np.abs(y) + 0.35 * ends, np.abs(x) - 0.178 + half)
    return tone[..., None] * np.array([1.08, 0.84, 0.58]), soft_below(outline, half, size)


def screw(rng: np.random.Generator, x: Array, y: Array, size: int) -> tuple[Array, Array]:
    """A black-oxide cap screw lying on its side: knurled head, threaded shank."""
    is_head = x < -0.062
    half = np.where(is_head, 0.081, 0.047 - 0.6 * np.clip(x - 0.155, 0, None))
    round_height = np.sqrt(np.clip(half**2 - y**2, 1e-4, None))
    thread = 0.007 * np.sin((x + 0.15 * y) * 330 + rng.uniform(0, 6))
    knurl = 0.002 * np.sin(y * 380)
    height = round_height + np.where(is_head, knurl, thread)
    tone = (0.33 + 0.012 * noise(rng, len(x), 0.8)) * lit(height * size / 2, 0.8, gloss=0.9)
    body = np.maximum(np.abs(y) - half, np.maximum(x - 0.178, -0.165 - x))
    return np.clip(tone, 0.05, 1)[..., None] * np.array([0.98, 1.0, 1.06]), soft_below(body, 0.0, size)


PARTS: dict[str, Part] = {"dowel": dowel, "nut": nut, "screw": screw, "washer": washer}


def area_of(kind: str, size: int) -> int:
    """Pixels that a part of this kind covers by half or more in a picture of ``size`` pixels."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)
    _, coverage = PARTS[kind](np.random.default_rng(0), x, y, size)
    return int((coverage > 0.5).sum())
