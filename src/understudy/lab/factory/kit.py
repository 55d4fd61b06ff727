"""A kit: a tray of six compartments, and a rule that says which parts lie in each and how many.

Every compartment has two places, one above the other. If the rule asks for one part, it lies in either place.
Parts are turned by any angle and shifted a little. Everything else is fixed, so a kit that breaks the rule is
wrong even if every part in it is sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from understudy.lab.factory.defects import MARKED, Defect, scratch, specks, spoil, stain
from understudy.lab.factory.scenes import (
    PARTS,
    REACH,
    Array,
    Scene,
    coordinates,
    noise,
    paint,
    soft_below,
    turned,
)

__all__ = [
    "COMPARTMENTS",
    "LOGICAL",
    "PLACES",
    "RULE",
    "STRUCTURAL",
    "Kit",
    "KitFault",
    "KitLayout",
    "Lying",
    "Mask",
    "Spoiled",
    "arrange",
    "assemble",
]


RULE = (("nut", 2), ("screw", 1), ("washer", 1), ("dowel", 1), ("washer", 2), ("nut", 1))
"""Kind and number of the parts in each compartment, row by row."""

# Lengths are in half sides of the picture.
COMPARTMENTS = tuple((x, y) for y in (-0.45, 0.45) for x in (-0.60, 0.0, 0.60))  # centres
PLACES = (-0.20, 0.20)  # height of the two places above and below the centre of a compartment
_WIDE, _HIGH = 0.27, 0.42  # half the width and half the height of a compartment


@dataclass(frozen=True)
class Lying:
    """A part that lies in a kit.

    Attributes:
        kind: one of ``PARTS``.
        compartment: index into ``COMPARTMENTS``.
        place: index into ``PLACES``.
        shift: (x, y) from the middle of its place, in half sides of the picture.
        angle: in radians.
        look: random seed of its texture.
    """

    kind: str
    compartment: int
    place: int
    shift: tuple[float, float]
    angle: float
    look: int

    @classmethod
    def at(cls, rng: np.random.Generator, kind: str, compartment: int, place: int) -> Self:
        """Lay a part into a place, with a random shift, angle and texture."""
        shift = (rng.uniform(-0.045, 0.045), rng.uniform(-0.012, 0.012))
        return cls(kind, compartment, place, shift, rng.uniform(0, 2 * np.pi), int(rng.integers(2**32)))


@dataclass(frozen=True)
class KitLayout:
    """What lies where in a kit, before anything is painted.

    Attributes:
        pose: angle of the tray in radians, and x and y of its centre in half sides of the picture.
        look: random seed of the texture of tray and table.
        parts: parts in the tray.
    """

    pose: tuple[float, float, float]
    look: int
    parts: tuple[Lying, ...]

    def without(self, part: Lying) -> Self:
        """Copy of the layout without one part."""
        return replace(self, parts=tuple(p for p in self.parts if p != part))

    def with_part(self, part: Lying) -> Self:
        """Copy of the layout with one more part."""
        return replace(self, parts=(*self.parts, part))

    def free(self) -> list[tuple[int, int]]:
        """List (compartment, place) of every empty place."""
        taken = {(p.compartment, p.place) for p in self.parts}
        places = [(c, i) for c in range(len(COMPARTMENTS)) for i in range(len(PLACES))]
        return [place for place in places if place not in taken]


@dataclass(frozen=True)
class Kit:
    """A painted kit.

    Attributes:
        scene: the picture; its product is the whole tray with its parts.
        parts: part -> (S, S) coverage in [0, 1].
        compartments: (S, S) coverage of the floor of each compartment.
    """

    scene: Scene
    parts: dict[Lying, Array]
    compartments: tuple[Array, ...]


def arrange(rng: np.random.Generator) -> KitLayout:
    """Lay out a random kit that keeps the rule."""
    pose = (rng.normal(0, 0.008), rng.normal(0, 0.008), rng.normal(0, 0.008))
    parts = []
    for compartment, (kind, count) in enumerate(RULE):
        for place in rng.permutation(len(PLACES))[:count]:
            parts.append(Lying.at(rng, kind, compartment, int(place)))
    return KitLayout(pose, int(rng.integers(2**32)), tuple(parts))


def assemble(layout: KitLayout, size: int) -> Kit:
    """Paint a layout as a picture of ``size`` x ``size`` pixels; no part changes the look of another."""
    x, y = coordinates(size, *layout.pose)
    ground, picture, tray, compartments = _tray(layout.look, x, y)
    painted = []
    for part in layout.parts:
        window, own_x, own_y = _around(part, layout.pose, x, y)
        colour, covered = PARTS[part.kind](np.random.default_rng(part.look), own_x, own_y, size)
        coverage = np.zeros((size, size))
        coverage[window] = covered
        painted.append((part, window, colour, coverage))
    for _, _, _, coverage in painted:  # all shadows first, so that none falls on another part
        picture = picture * (1 - 0.55 * _shadow(coverage)[..., None])
    for _, window, colour, coverage in painted:
        picture[window] = paint(picture[window], colour, coverage[window])
    scene = Scene(np.clip(picture, 0, 1), tray, ground)
    return Kit(scene, {part: coverage for part, _, _, coverage in painted}, compartments)


def _tray(look: int, x: Array, y: Array) -> tuple[Array, Array, Array, tuple[Array, ...]]:
    """Paint an empty tray: -> table, table with tray, coverage of the tray, coverage of its compartments."""
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
    """Coverage of a rectangle with round corners around (at_x, at_y), 2·wide by 2·high."""
    beyond_x = np.clip(np.abs(x - at_x) - wide + corner, 0, None)
    beyond_y = np.clip(np.abs(y - at_y) - high + corner, 0, None)
    return soft_below(np.hypot(beyond_x, beyond_y), corner, size)


def _shadow(coverage: Array) -> Array:
    """(S, S) coverage of a thing -> (S, S) strength of its soft shadow, towards the lower right."""
    size = len(coverage)
    step = max(1, round(size / 85))
    moved = np.roll(coverage, (step, step), (0, 1))
    shadow: Array = ndimage.gaussian_filter(moved, size / 110, truncate=3)
    return shadow


def _around(
    part: Lying, pose: tuple[float, float, float], x: Array, y: Array
) -> tuple[tuple[slice, slice], Array, Array]:
    """Window of the picture around a part, and (W, W) coordinates around the part's centre in it."""
    size = len(x)
    at_x, at_y = COMPARTMENTS[part.compartment]
    at_x, at_y = at_x + part.shift[0], at_y + PLACES[part.place] + part.shift[1]
    seen_x, seen_y = turned(np.array(at_x), np.array(at_y), -pose[0])
    side = round(REACH * size) + 8
    column = int(np.clip(round((float(seen_x) + pose[1] + 1) / 2 * size) - side // 2, 0, size - side))
    row = int(np.clip(round((float(seen_y) + pose[2] + 1) / 2 * size) - side // 2, 0, size - side))
    window = np.s_[row : row + side, column : column + side]
    return window, *turned(x[window] - at_x, y[window] - at_y, part.angle)


Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Spoiled:
    """A painted kit with a fault.

    Attributes:
        picture: (S, S, 3) in [0, 1].
        masks: (name, (S, S) mask) of each defect.
    """

    picture: Array
    masks: tuple[tuple[str, Mask], ...]


KitFault = Callable[[np.random.Generator, KitLayout, int], Spoiled]
"""(rng, layout that keeps the rule, side of the picture) -> kit with a fault."""


@dataclass(frozen=True)
class _Breach:
    """One breach of the rule, and what to mark.

    Attributes:
        name: kind of breach and of part, such as ``missing_nut``.
        parts: parts to mark.
        room: compartment whose empty floor to mark; ``None`` if parts are marked.
    """

    name: str
    parts: tuple[Lying, ...] = ()
    room: int | None = None


_Mistake = Callable[[np.random.Generator, KitLayout], tuple[KitLayout, tuple[_Breach, ...]]]
"""(rng, layout that keeps the rule) -> layout that breaks it, and the breaches."""


def missing(rng: np.random.Generator, layout: KitLayout) -> tuple[KitLayout, tuple[_Breach, ...]]:
    """Take out one part."""
    part = _any(rng, layout)
    return layout.without(part), (_Breach(f"missing_{part.kind}", room=part.compartment),)


def extra(rng: np.random.Generator, layout: KitLayout) -> tuple[KitLayout, tuple[_Breach, ...]]:
    """Add a second part of the right kind to a compartment that should have one."""
    free = layout.free()
    compartment, place = free[rng.integers(len(free))]
    kind, _ = RULE[compartment]
    wrong = layout.with_part(Lying.at(rng, kind, compartment, place))
    both = tuple(p for p in wrong.parts if p.compartment == compartment)
    return wrong, (_Breach(f"extra_{kind}", both),)


def misplaced(rng: np.random.Generator, layout: KitLayout) -> tuple[KitLayout, tuple[_Breach, ...]]:
    """Move a part to the compartment of another kind, or let two parts of different kinds change places."""
    part = _any(rng, layout)
    if rng.random() < 0.5:
        others = [p for p in layout.parts if p.kind != part.kind]
        other = others[rng.integers(len(others))]
        there = replace(part, compartment=other.compartment, place=other.place)
        back = replace(other, compartment=part.compartment, place=part.place)
        wrong = layout.without(part).without(other).with_part(there).with_part(back)
        return wrong, (
            _Breach(f"misplaced_{part.kind}", (there, other)),
            _Breach(f"misplaced_{other.kind}", (back, part)),
        )
    free = [(c, place) for c, place in layout.free() if RULE[c][0] != part.kind]
    compartment, place = free[rng.integers(len(free))]
    there = replace(part, compartment=compartment, place=place)
    name = f"misplaced_{part.kind}"
    return layout.without(part).with_part(there), (
        _Breach(name, (there,)),
        _Breach(name, room=part.compartment),
    )


def wrong_kind(rng: np.random.Generator, layout: KitLayout) -> tuple[KitLayout, tuple[_Breach, ...]]:
    """Replace a part by one of another kind."""
    part = _any(rng, layout)
    kind = str(rng.choice([k for k in PARTS if k != part.kind]))
    there = Lying.at(rng, kind, part.compartment, part.place)
    return layout.without(part).with_part(there), (_Breach(f"wrong_kind_{kind}", (there, part)),)


def _any(rng: np.random.Generator, layout: KitLayout) -> Lying:
    """Choose a random part."""
    return layout.parts[rng.integers(len(layout.parts))]


def _against_the_rule(mistake: _Mistake, rng: np.random.Generator, layout: KitLayout, size: int) -> Spoiled:
    """Make a mistake in a layout, paint the kit, and mark the mistake."""
    wrong, breaches = mistake(rng, layout)
    right_kit, wrong_kit = assemble(layout, size), assemble(wrong, size)
    masks = tuple((b.name, _marked(b, right_kit, wrong_kit)) for b in breaches)
    return Spoiled(wrong_kit.scene.picture, masks)


def _marked(breach: _Breach, right: Kit, wrong: Kit) -> Mask:
    """(S, S) mask of a breach: its parts, where they should lie and where they do, or the empty floor."""
    coverage = right.parts | wrong.parts
    mask = np.zeros_like(right.scene.product, dtype=bool)
    for part in breach.parts:
        mask |= coverage[part] >= MARKED
    if breach.room is not None:
        mask |= wrong.compartments[breach.room] >= MARKED
        for part, covered in wrong.parts.items():
            if part.compartment == breach.room:
                mask &= covered < MARKED
    return mask


def broken(rng: np.random.Generator, layout: KitLayout, size: int) -> Spoiled:
    """Break a part across: between a quarter and 45 % of it is gone, with its shadow."""
    part = _any(rng, layout)
    whole, bare = assemble(layout, size), assemble(layout.without(part), size)
    coverage = whole.parts[part]
    along, _ = coordinates(size, rng.uniform(0, 2 * np.pi))
    ragged = along + 0.010 * np.clip(noise(rng, size, size / 100), -1, 1)
    limit = np.quantile(ragged[coverage > 0.5], rng.uniform(0.25, 0.45))
    gone = soft_below(ragged, float(limit), size)
    picture = paint(whole.scene.picture, bare.scene.picture, gone)
    return Spoiled(picture, (("broken", gone * coverage >= MARKED),))


def _damage(name: str, defect: Defect, rng: np.random.Generator, layout: KitLayout, size: int) -> Spoiled:
    """Damage the tray or its parts at any place."""
    picture, mask = spoil(rng, assemble(layout, size).scene, defect)
    return Spoiled(picture, ((name, mask),))


LOGICAL: dict[str, KitFault] = {
    mistake.__name__: partial(_against_the_rule, mistake)
    for mistake in (extra, misplaced, missing, wrong_kind)
}
"""Kinds of breach of the rule; the names of their defects end with the kind of part."""

STRUCTURAL: dict[str, KitFault] = {
    "broken": broken,
    "scratch": partial(_damage, "scratch", scratch),
    "specks": partial(_damage, "specks", specks),
    "stain": partial(_damage, "stain", stain),
}
"""Kinds of damage; their defects have the same name."""
