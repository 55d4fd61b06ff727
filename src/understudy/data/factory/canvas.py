"""What the synthetic products are painted with: coordinates, noise, light and soft edges.

Pictures are (S, S, 3) float64 in [0, 1] while they are painted; masks of coverage are (S, S) in
[0, 1].
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "Array",
    "Colour",
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
    """(S, S) x and y from -1 to 1 around (x0, y0), turned by ``angle`` radians."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    return turned(*np.meshgrid(axis - x0, axis - y0), angle)


def turned(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """The same points in axes turned by ``angle`` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return c * x + s * y, -s * x + c * y


def hexagon(x: Array, y: Array) -> Array:
    """Distance from the centre across a regular hexagon's flats: it has one value all along its rim."""
    sides = (np.abs(x * np.cos(a) + y * np.sin(a)) for a in np.arange(3) * np.pi / 3)
    rim: Array = np.max(list(sides), axis=0)
    return rim


def noise(rng: np.random.Generator, size: int, smooth: float | tuple[float, float]) -> Array:
    """(S, S) smooth noise of mean 0 and standard deviation 1; ``smooth`` is its grain in pixels."""
    rough = ndimage.gaussian_filter(rng.standard_normal((size, size)), smooth, mode="wrap")
    standard: Array = (rough - rough.mean()) / rough.std()
    return standard


def soft_below(distance: Array, limit: float, size: int) -> Array:
    """Coverage of ``distance < limit`` with an edge one and a half pixels wide."""
    return np.clip(0.5 + (limit - distance) * size / 3, 0, 1)


def paint(picture: Array, colour: Array | Colour, coverage: Array) -> Array:
    """Lay a colour, or another picture, over a picture."""
    alpha = coverage[..., None]
    return picture * (1 - alpha) + np.asarray(colour) * alpha


def lit(height: Array, strength: float, gloss: float = 0.0) -> Array:
    """(S, S) brightness factor around 1 of a surface with light from the upper left."""
    slope_y, slope_x = np.gradient(height)
    normal = np.stack([-strength * slope_x, -strength * slope_y, np.ones_like(height)])
    normal /= np.linalg.norm(normal, axis=0)
    light = np.array([-0.45, -0.55, 0.70])
    diffuse = np.tensordot(light / np.linalg.norm(light), normal, axes=1)
    half = light + np.array([0, 0, 1])
    shine = np.clip(np.tensordot(half / np.linalg.norm(half), normal, axes=1), 0, 1) ** 40
    return diffuse / 0.70 + gloss * shine


def curve(rng: np.random.Generator, size: int, reach: float, bend: float) -> Array:
    """(S, S) distance, in units of half a side, to a random bent stroke of length ``reach``."""
    start, heading = rng.uniform(-0.35, 0.35, 2), rng.uniform(0, 2 * np.pi)
    steps = 40
    headings = heading + np.cumsum(rng.normal(0, bend, steps))
    points = start + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * reach / steps, axis=0)
    points -= points.mean(0) - start
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    dots = np.ones((size, size), bool)
    # Dense enough that the distance transform sees one line.
    dense = np.concatenate([np.linspace(a, b, 16) for a, b in pairwise(points)])
    at = np.clip(np.searchsorted(axis, dense), 0, size - 1)
    dots[at[:, 1], at[:, 0]] = False
    distance: Array = ndimage.distance_transform_edt(dots) * 2 / size
    return distance


def expose(picture: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Photograph the scene: uneven light, a little blur, sensor noise, 8 bits."""
    size = len(picture)
    x, y = coordinates(size, x0=rng.normal(0, 0.05), y0=rng.normal(0, 0.05))
    light = rng.normal(1, 0.015) * (1 - 0.07 * (x**2 + y**2))
    blurred = ndimage.gaussian_filter(picture * light[..., None], (0.6, 0.6, 0))
    grain = rng.normal(0, 0.008, picture.shape)
    return (np.clip(blurred + grain, 0, 1) * 255 + 0.5).astype(np.uint8)
