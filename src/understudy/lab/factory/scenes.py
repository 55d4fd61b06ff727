"""The synthetic products and parts, and what they are painted with: coordinates, noise, light, soft edges.

While they are painted, pictures are (S, S, 3) float64 in [0, 1]. Coverage says how much of a pixel something
covers, (S, S) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

__all__ = [
    "PARTS",
    "PRODUCTS",
    "REACH",
    "Array",
    "Colour",
    "Part",
    "Scene",
    "area_of",
    "coordinates",
    "curve",
    "expose",
    "hexagon",
    "lit",
    "noise",
    "paint",
    "soft_below",
    "turned",
]


Array = NDArray[np.float64]
Colour = tuple[float, float, float]


def coordinates(size: int, angle: float = 0.0, x0: float = 0.0, y0: float = 0.0) -> tuple[Array, Array]:
    """Make (S, S) x and y coordinates around (x0, y0), turned by ``angle`` radians; the picture is 2 wide."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    return turned(*np.meshgrid(axis - x0, axis - y0), angle)


def turned(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates of the same points in axes that are turned by ``angle`` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return c * x + s * y, -s * x + c * y


def hexagon(x: Array, y: Array) -> Array:
    """Distance from the centre measured across the flats of a hexagon: constant all along its rim."""
    sides = (np.abs(x * np.cos(a) + y * np.sin(a)) for a in np.arange(3) * np.pi / 3)
    rim: Array = np.max(list(sides), axis=0)
    return rim


def noise(rng: np.random.Generator, size: int, smooth: float | tuple[float, float]) -> Array:
    """Draw (S, S) smooth noise of mean 0 and standard deviation 1; ``smooth`` is its grain in pixels."""
    rough = ndimage.gaussian_filter(rng.standard_normal((size, size)), smooth, mode="wrap")
    standard: Array = (rough - rough.mean()) / rough.std()
    return standard


def soft_below(distance: Array, limit: float, size: int) -> Array:
    """Coverage of the region ``distance < limit``, in [0, 1], with a soft edge.

    Args:
        distance: (S, S) in half sides of the picture.
        limit: largest distance within the region.
        size: sharpness of the edge; with the picture's side in pixels, it is one and a half pixels wide.
    """
    return np.clip(0.5 + (limit - distance) * size / 3, 0, 1)


def paint(picture: Array, colour: Array | Colour, coverage: Array) -> Array:
    """Paint a colour or another picture over a picture, where ``coverage`` is above 0."""
    alpha = coverage[..., None]
    return picture * (1 - alpha) + np.asarray(colour) * alpha


def lit(height: Array, strength: float, gloss: float = 0.0) -> Array:
    """(S, S) heights of a surface -> (S, S) brightness around 1, with light from the upper left."""
    slope_y, slope_x = np.gradient(height)
    normal = np.stack([-strength * slope_x, -strength * slope_y, np.ones_like(height)])
    normal /= np.linalg.norm(normal, axis=0)
    light = np.array([-0.45, -0.55, 0.70])
    diffuse = np.tensordot(light / np.linalg.norm(light), normal, axes=1)
    half = light + np.array([0, 0, 1])
    shine = np.clip(np.tensordot(half / np.linalg.norm(half), normal, axes=1), 0, 1) ** 40
    return diffuse / 0.70 + gloss * shine


def curve(rng: np.random.Generator, size: int, reach: float, bend: float) -> Array:
    """Draw a random bent stroke of length ``reach``: -> (S, S) distance to it, in half sides."""
    start, heading = rng.uniform(-0.35, 0.35, 2), rng.uniform(0, 2 * np.pi)
    steps = 40
    headings = heading + np.cumsum(rng.normal(0, bend, steps))
    points = start + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * reach / steps, axis=0)
    points -= points.mean(0) - start
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    dots = np.ones((size, size), bool)
    # The points lie so close that the distance transform sees one line.
    dense = np.concatenate([np.linspace(a, b, 16) for a, b in pairwise(points)])
    at = np.clip(np.searchsorted(axis, dense), 0, size - 1)
    dots[at[:, 1], at[:, 0]] = False
    distance: Array = ndimage.distance_transform_edt(dots) * 2 / size
    return distance


def expose(picture: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Photograph a picture, (S, S, 3) -> uint8: uneven light, a little blur, sensor noise."""
    size = len(picture)
    x, y = coordinates(size, x0=rng.normal(0, 0.05), y0=rng.normal(0, 0.05))
    light = rng.normal(1, 0.015) * (1 - 0.07 * (x**2 + y**2))
    blurred = ndimage.gaussian_filter(picture * light[..., None], (0.6, 0.6, 0))
    grain = rng.normal(0, 0.008, picture.shape)
    return (np.clip(blurred + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


REACH = 0.19  # no part extends farther from its centre than this, in half sides of the picture

Part = Callable[[np.random.Generator, Array, Array, int], tuple[Array, Array]]
"""(rng, x, y, size) -> (W, W, 3) colour and (W, W) coverage of a part.

x and y are (W, W) coordinates around the part's centre, in half sides of a picture of ``size`` pixels.
"""


def nut_part(rng: np.random.Generator, x: Array, y: Array, size: int) -> tuple[Array, Array]:
    """Hex nut of zinc-plated steel, seen from above."""
    radius, flats = np.hypot(x, y), hexagon(x, y)
    height = -np.clip(radius - 0.138, 0, None) * 0.9 - np.clip(0.098 - radius, 0, None) * 1.2
    turning = 0.025 * np.sin(radius * 520 + rng.uniform(0, 6)) + 0.015 * noise(rng, len(x), 0.8)
    tone = (0.60 + turning) * lit(height * size / 2, 1.0, gloss=0.12)
    thread = 0.22 + 0.08 * np.sin(radius * 420)
    tone = np.where(radius < 0.092, thread, tone)
    coverage = soft_below(flats, 0.153, size) * soft_below(-radius, -0.078, size)
    return tone[..., None] * np.array([0.95, 0.99, 1.05]), coverage


def washer(rng: np.random.Generator, x: Array, y: Array, size: int) -> tuple[Array, Array]:
    """Flat brass washer."""
    radius = np.hypot(x, y)
    height = -np.clip(radius - 0.156, 0, None) - np.clip(0.088 - radius, 0, None)
    grain, _ = turned(x, y, rng.uniform(0, np.pi))
    rolled = 0.012 * np.sin(grain * 260 + 2 * noise(rng, len(x), 12)) + 0.014 * noise(rng, len(x), 0.8)
    tone = (0.80 + rolled) * lit(height * size / 2, 0.9, gloss=0.10)
    coverage = soft_below(radius, 0.170, size) * soft_below(-radius, -0.076, size)
    return tone[..., None] * np.array([1.02, 0.80, 0.42]), coverage


def dowel(rng: np.random.Generator, x: Array, y: Array, size: int) -> tuple[Array, Array]:
    """Grooved beech dowel with chamfered ends, lying on its side."""
    half, ends = 0.072, np.clip(np.abs(x) - 0.140, 0, None)
    round_height = np.sqrt(np.clip(half**2 - y**2, 1e-4, None))
    flutes = 0.0035 * np.cos(np.arcsin(np.clip(y / half, -1, 1)) * 9 + rng.uniform(0, 6))
    height = np.where(ends > 0, round_height - ends * 0.8, round_height + flutes)
    fibre = 0.03 * noise(rng, len(x), 1.2) + 0.03 * np.sin(x * 30 + noise(rng, len(x), 9))
    tone = (0.74 + fibre) * np.clip(lit(height * size / 2, 0.55), 0.35, 1.25)
    outline = np.maximum(np.abs(y) + 0.35 * ends, np.abs(x) - 0.178 + half)
    return tone[..., None] * np.array([1.08, 0.84, 0.58]), soft_below(outline, half, size)


def screw(rng: np.random.Generator, x: Array, y: Array, size: int) -> tuple[Array, Array]:
    """Black cap screw lying on its side: knurled head, threaded shank."""
    is_head = x < -0.062
    half = np.where(is_head, 0.081, 0.047 - 0.6 * np.clip(x - 0.155, 0, None))
    round_height = np.sqrt(np.clip(half**2 - y**2, 1e-4, None))
    thread = 0.007 * np.sin((x + 0.15 * y) * 330 + rng.uniform(0, 6))
    knurl = 0.002 * np.sin(y * 380)
    height = round_height + np.where(is_head, knurl, thread)
    tone = (0.33 + 0.012 * noise(rng, len(x), 0.8)) * lit(height * size / 2, 0.8, gloss=0.9)
    body = np.maximum(np.abs(y) - half, np.maximum(x - 0.178, -0.165 - x))
    return np.clip(tone, 0.05, 1)[..., None] * np.array([0.98, 1.0, 1.06]), soft_below(body, 0.0, size)


PARTS: dict[str, Part] = {"dowel": dowel, "nut": nut_part, "screw": screw, "washer": washer}


def area_of(kind: str, size: int) -> int:
    """Number of pixels that a part of this kind covers by half or more, in a picture of side ``size``."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)
    _, coverage = PARTS[kind](np.random.default_rng(0), x, y, size)
    return int((coverage > 0.5).sum())


@dataclass(frozen=True)
class Scene:
    """A painted product.

    Attributes:
        picture: (S, S, 3) in [0, 1].
        product: (S, S) coverage of the product in [0, 1]; a defect can only be there.
        ground: (S, S, 3) in [0, 1], what would be seen without the product.
    """

    picture: Array
    product: Array
    ground: Array


def linen(rng: np.random.Generator, size: int) -> Scene:
    """Linen in plain weave: warp over weft, weft over warp."""
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
    """Planed wood veneer: growth rings cut lengthwise, with pores along the grain."""
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
    """Turned and milled hex nut on a rubber belt, at any angle."""
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
    """Printed two-part gelatine capsule in a tray."""
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
    """Coverage of a text printed around ``at``, in the coordinates x and y of the product."""
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
