"""A kit: a tray of six compartments, and the rule which parts lie in each and how many.

Every compartment has two places, one above the other. Where the rule asks for one part, it lies in
either; parts are turned at will and shifted a little. Nothing else is left to chance, so a kit that
breaks the rule is wrong although every part in it is sound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import ndimage

from understudy.data.factory.canvas import Array, coordinates, noise, paint, soft_below, turned
from understudy.data.factory.parts import PARTS, REACH
from understudy.data.factory.products import Scene

__all__ = ["COMPARTMENTS", "PLACES", "RULE", "Kit", "Layout", "Lying", "arrange", "assemble"]

RULE = (("nut", 2), ("screw", 1), ("washer", 1), ("dowel", 1), ("washer", 2), ("nut", 1))
"""Kind and number of the parts in each compartment, row by row."""

COMPARTMENTS = tuple((x, y) for y in (-0.45, 0.45) for x in (-0.60, 0.0, 0.60))
PLACES = (-0.20, 0.20)  # of the parts of a compartment, above and below its middle
_WIDE, _HIGH = 0.27, 0.42  # half of a compartment


@dataclass(frozen=True)
class Lying:
    """A part in a kit.

    Attributes:
        kind: which part.
        compartment: index into ``COMPARTMENTS``.
        place: index into ``PLACES``.
        shift: (x, y) from the middle of its place.
        angle: in radians.
        look: seed of what is its own.
    """

    kind: str
    compartment: int
    place: int
    shift: tuple[float, float]
    angle: float
    look: int

    @classmethod
    def at(cls, rng: np.random.Generator, kind: str, compartment: int, place: int) -> Self:
        """Lay a part somewhere within a place."""
        shift = (rng.uniform(-0.045, 0.045), rng.uniform(-0.012, 0.012))
        return cls(kind, compartment, place, shift, rng.uniform(0, 2 * np.pi), int(rng.integers(2**32)))


@dataclass(frozen=True)
class Layout:
    """What lies where, before anything is painted.

    Attributes:
        pose: angle, x and y of the tray.
        look: seed of the tray's and the table's own texture.
        parts: in the tray.
    """

    pose: tuple[float, float, float]
    look: int
    parts: tuple[Lying, ...]

    def without(self, part: Lying) -> Self:
        """The same with a part taken out."""
        return replace(self, parts=tuple(p for p in self.parts if p != part))

    def with_part(self, part: Lying) -> Self:
        """The same with a part added."""
        return replace(self, parts=(*self.parts, part))

    def free(self) -> list[tuple[int, int]]:
        """(compartment, place) of every place where nothing lies."""
        taken = {(p.compartment, p.place) for p in self.parts}
        places = [(c, i) for c in range(len(COMPARTMENTS)) for i in range(len(PLACES))]
        return [place for place in places if place not in taken]


@dataclass(frozen=True)
class Kit:
    """A painted kit.

    Attributes:
        scene: the picture; the product is the whole tray with its parts.
        parts: (S, S) coverage of every part.
        compartments: (S, S) coverage of every compartment's floor.
    """

    scene: Scene
    parts: dict[Lying, Array]
    compartments: tuple[Array, ...]


def arrange(rng: np.random.Generator) -> Layout:
    """Lay out a kit that keeps the rule."""
    pose = (rng.normal(0, 0.008), rng.normal(0, 0.008), rng.normal(0, 0.008))
    parts = []
    for compartment, (kind, count) in enumerate(RULE):
        for place in rng.permutation(len(PLACES))[:count]:
            parts.append(Lying.at(rng, kind, compartment, int(place)))
    return Layout(pose, int(rng.integers(2**32)), tuple(parts))


def assemble(layout: Layout, size: int) -> Kit:
    """Paint a layout, a picture of ``size`` by ``size``; what a part looks like depends on no other part."""
    x, y = coordinates(size, *layout.pose)
    ground, picture, tray, compartments = _tray(layout.look, x, y)
    painted = []
    for part in layout.parts:
        window, own_x, own_y = _around(part, layout.pose, x, y)
        colour, covered = PARTS[part.kind](np.random.default_rng(part.look), own_x, own_y, size)
        coverage = np.zeros((size, size))
        coverage[window] = covered
        painted.append((part, window, colour, coverage))
    for _, _, _, coverage in painted:  # all shadows first: none falls on a neighbour
        picture = picture * (1 - 0.55 * _shadow(coverage)[..., None])
    for _, window, colour, coverage in painted:
        picture[window] = paint(picture[window], colour, coverage[window])
    scene = Scene(np.clip(picture, 0, 1), tray, ground)
    return Kit(scene, {part: coverage for part, _, _, coverage in painted}, compartments)


def _tray(look: int, x: Array, y: Array) -> tuple[Array, Array, Array, tuple[Array, ...]]:
    """Table, empty tray on it, coverage of the tray, and coverage of its compartments."""
    rng, size = np.random.default_rng(look), len(x)
    table = 0.36 + 0.012 * noise(rng, size, 1.0) + 0.012 * noise(rng, size, size / 16)
    ground = table[..., None] * np.array([0.86, 0.98, 1.06])
    tray = _box(x, y, 0.0, 0.0, 0.935, 0.935, 0.07, size)
    picture = ground * (1 - 0.5 * _shadow(tray)[..., None])
    shell = 0.84 + 0.008 * noise(rng, size, 0.9) + 0.008 * noise(rng, size, size / 10)
    picture = paint(picture, shell[..., None] * np.array([0.985, 1.0, 0.995]), tray)
    floor = (shell - 0.10)[..., None] * np.array([0.965, 1.0, 1.01])
    compartments = []
    for at_x, at_y in COMPARTMENTS:
        inside = _box(x, y, at_x, at_y, _WIDE, _HIGH, 0.06, size)
        compartments.append(inside)
        sunk = floor * (1 - 0.42 * _shadow(1 - inside)[..., None])  # the wall's shadow
        picture = paint(picture, sunk, inside)
        lip = np.clip(np.roll(inside, (-1, -1), (0, 1)) - inside, -1, 1)  # light catches the far edges
        picture = picture * (1 - 0.10 * lip[..., None])
    return ground, picture, tray, tuple(compartments)


def _box(
    x: Array, y: Array, at_x: float, at_y: float, wide: float, high: float, corner: float, size: int
) -> Array:
    """Coverage of a rectangle with round corners."""
    beyond_x = np.clip(np.abs(x - at_x) - wide + corner, 0, None)
    beyond_y = np.clip(np.abs(y - at_y) - high + corner, 0, None)
    return soft_below(np.hypot(beyond_x, beyond_y), corner, size)


def _shadow(coverage: Array) -> Array:
    """Soft shadow of what is covered, towards the lower right."""
    size = len(coverage)
    step = max(1, round(size / 85))
    moved = np.roll(coverage, (step, step), (0, 1))
    shadow: Array = ndimage.gaussian_filter(moved, size / 110, truncate=3)
    return shadow


def _around(
    part: Lying, pose: tuple[float, float, float], x: Array, y: Array
) -> tuple[tuple[slice, slice], Array, Array]:
    """Window of the picture around a part, and the part's own coordinates in it."""
    size = len(x)
    at_x, at_y = COMPARTMENTS[part.compartment]
    at_x, at_y = at_x + part.shift[0], at_y + PLACES[part.place] + part.shift[1]
    seen_x, seen_y = turned(np.array(at_x), np.array(at_y), -pose[0])
    side = round(REACH * size) + 8
    column = int(np.clip(round((float(seen_x) + pose[1] + 1) / 2 * size) - side // 2, 0, size - side))
    row = int(np.clip(round((float(seen_y) + pose[2] + 1) / 2 * size) - side // 2, 0, size - side))
    window = np.s_[row : row + side, column : column + side]
    return window, *turned(x[window] - at_x, y[window] - at_y, part.angle)
