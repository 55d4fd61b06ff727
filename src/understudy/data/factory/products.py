"""Four products, each unlike the others: linen, veneer, hex nut, capsule. Every piece differs a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from understudy.data.factory.canvas import Array, coordinates, hexagon, lit, noise, paint, soft_below

__all__ = ["PRODUCTS", "Scene"]


@dataclass(frozen=True)
class Scene:
    """A painted product.

    Attributes:
        picture: (S, S, 3) in [0, 1].
        product: (S, S) coverage in [0, 1]: where the product is, and so where a defect can be.
        ground: (S, S, 3): what would be seen without the product.
    """

    picture: Array
    product: Array
    ground: Array


def linen(rng: np.random.Generator, size: int) -> Scene:
    """Plain weave: warp over weft, weft over warp."""
    x, y = coordinates(size, rng.normal(0, 0.012))
    threads = 27 * np.pi
    u = threads * (x + 0.004 * noise(rng, size, 18)) + rng.uniform(0, 6)
    v = threads * (y + 0.004 * noise(rng, size, 18)) + rng.uniform(0, 6)
    over = np.sin(u) * np.sin(v) > 0
    warp, weft = np.abs(np.cos(u / 2 + np.pi / 4)), np.abs(np.cos(v / 2 + np.pi / 4))
    profile = np.where(over, np.abs(np.sin(u)) ** 0.7, np.abs(np.sin(v)) ** 0.7)
    slub = np.where(over, noise(rng, size, (14, 1)), noise(rng, size, (1, 14)))
    tone = 0.50 + 0.30 * profile + 0.035 * slub + 0.02 * (warp - weft) + 0.02 * noise(rng, size, 40)
    picture = tone[..., None] * np.array([1.0, 0.93, 0.80])
    everywhere = np.ones((size, size))
    return Scene(picture, everywhere, np.full((size, size, 3), 0.12))


def veneer(rng: np.random.Generator, size: int) -> Scene:
    """Planed wood: growth rings cut lengthwise, with pores along the grain."""
    x, y = coordinates(size, rng.normal(0, 0.03))
    bend = 0.05 * noise(rng, size, (20, 70)) + 0.04 * np.sin(1.3 * x + rng.uniform(0, 6))
    rings = 5.5 * (y + bend) + 0.6 * rng.uniform()
    phase = rings - np.floor(rings)
    late_wood = phase**3 * (1 - phase) ** 0.4 * 2.2
    pores = np.clip(noise(rng, size, (0.6, 7)) - 1.2, 0, 2)
    tone = 0.72 - 0.20 * late_wood - 0.10 * pores + 0.02 * noise(rng, size, (1, 30))
    picture = tone[..., None] ** np.array([0.75, 1.15, 1.9])
    everywhere = np.ones((size, size))
    return Scene(picture, everywhere, np.full((size, size, 3), 0.15))


def nut(rng: np.random.Generator, size: int) -> Scene:
    """A turned and milled hex nut on a rubber belt, at any angle."""
    belt = 0.17 + 0.015 * noise(rng, size, 1.2) + 0.01 * noise(rng, size, 12)
    ground = belt[..., None] * np.array([0.95, 1.0, 1.08])
    x, y = coordinates(size, rng.uniform(0, np.pi / 3), *rng.normal(0, 0.02, 2))
    radius = np.hypot(x, y)
    flats = hexagon(x, y)
    body, bore = soft_below(flats, 0.66, size), soft_below(radius, 0.335, size)
    chamfer = np.clip((radius - 0.64) * 60, 0, 8) + np.clip((0.40 - radius) * 90, 0, 6)
    brushed = 0.03 * noise(rng, size, 0.8) + 0.035 * np.sin(radius * 190 + 2 * noise(rng, size, 25))
    metal = (0.60 + brushed) * lit(-chamfer, 0.55, gloss=0.10)
    shadow = soft_below(np.hypot(x - 0.03, y - 0.03) * 0.5 + flats * 0.55, 0.72, size // 8)
    picture = ground * (1 - 0.45 * shadow[..., None])
    picture = paint(picture, metal[..., None] * np.array([0.97, 1.0, 1.04]), body)
    thread = 0.16 + 0.10 * np.sin(radius * 150) * soft_below(-radius, -0.27, size)
    hole = np.where((radius > 0.275)[..., None], thread[..., None] * np.ones(3), ground * 0.55)
    return Scene(paint(picture, hole, bore), body * (1 - bore), ground)


def capsule(rng: np.random.Generator, size: int) -> Scene:
    """A printed two-part gelatine capsule in a tray."""
    tray = 0.84 + 0.012 * noise(rng, size, 30)
    ground = tray[..., None] * np.array([0.95, 0.99, 1.0])
    angle, x0, y0 = rng.normal(0, 0.07), *rng.normal(0, 0.02, 2)
    x, y = coordinates(size, angle, x0, y0)
    width = np.where(x < 0.08, 0.30, 0.285)  # the cap is slid over the body
    ends = np.clip(np.abs(x) - 0.42, 0, None)
    across = np.hypot(ends, y) / width
    body = soft_below(across * 0.29, 0.29, size)
    round_height = np.sqrt(np.clip(1 - across**2, 0, 1))
    shade = 0.62 + 0.42 * round_height - 0.10 * np.clip(y / 0.3, -1, 1)
    cap, rest = np.array([0.78, 0.16, 0.17]), np.array([0.93, 0.88, 0.74])
    base = np.where((x < 0.08)[..., None], cap, rest) + 0.008 * noise(rng, size, 3)[..., None]
    seam = np.exp(-(((x - 0.08) / 0.012) ** 2))
    base = base * (1 - 0.35 * seam[..., None])
    base = paint(base, (0.20, 0.13, 0.12), _print("U·25", size, x, y, (0.40, 0.02)) * 0.85)
    gloss = np.exp(-(((y + 0.13) / 0.035) ** 2)) * soft_below(np.abs(x), 0.47, size // 12)
    colour = base * shade[..., None] + 0.45 * gloss[..., None]
    shadow = np.exp(-np.clip(np.hypot(ends, y - 0.07) / 0.30 - 0.75, 0, None) * 5)
    picture = ground * (1 - 0.35 * shadow[..., None])
    return Scene(paint(picture, colour, body), body, ground)


def _print(text: str, size: int, x: Array, y: Array, at: tuple[float, float]) -> Array:
    """Coverage of a text printed around ``at`` in the product's own coordinates."""
    stamp = Image.new("L", (256, 96))
    font = ImageFont.load_default(72)
    ImageDraw.Draw(stamp).text((128, 48), text, fill=255, font=font, anchor="mm")
    ink = np.asarray(stamp) / 255.0
    column = np.round((x - at[0]) * 320 + 128).astype(int)
    row = np.round((y - at[1]) * 320 + 48).astype(int)
    inside = (column >= 0) & (column < 256) & (row >= 0) & (row < 96)
    return np.where(inside, ink[np.clip(row, 0, 95), np.clip(column, 0, 255)], 0.0)


PRODUCTS: dict[str, Callable[[np.random.Generator, int], Scene]] = {
    "capsule": capsule,
    "linen": linen,
    "nut": nut,
    "veneer": veneer,
}
