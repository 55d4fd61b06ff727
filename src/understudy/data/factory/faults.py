"""What can be wrong with a kit: sound parts against the rule, or damage; each with its masks.

Masks follow MVTec LOCO: for a missing part all the room where it could lie, for one too many every part
that could be the surplus one, for a misplaced or a wrong part the places concerned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from understudy.data.factory.assortment import RULE, Kit, Layout, Lying, assemble
from understudy.data.factory.canvas import Array, coordinates, noise, paint, soft_below
from understudy.data.factory.defects import MARKED, Defect, scratch, specks, spoil, stain
from understudy.data.factory.parts import PARTS

__all__ = ["LOGICAL", "STRUCTURAL", "Fault", "Mask", "Spoiled"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Spoiled:
    """A kit with a fault.

    Attributes:
        picture: (S, S, 3) in [0, 1].
        masks: name and (S, S) mask of every single defect.
    """

    picture: Array
    masks: tuple[tuple[str, Mask], ...]


Fault = Callable[[np.random.Generator, Layout, int], Spoiled]
"""(rng, layout that keeps the rule, size) -> kit with a fault."""


@dataclass(frozen=True)
class _Breach:
    """One breach of the rule: marked are some parts, or the room that is left in a compartment."""

    name: str
    parts: tuple[Lying, ...] = ()
    room: int | None = None


_Mistake = Callable[[np.random.Generator, Layout], tuple[Layout, tuple[_Breach, ...]]]
"""(rng, layout that keeps the rule) -> layout that does not, and where."""


def missing(rng: np.random.Generator, layout: Layout) -> tuple[Layout, tuple[_Breach, ...]]:
    """One part fewer than there should be."""
    part = _any(rng, layout)
    return layout.without(part), (_Breach(f"missing_{part.kind}", room=part.compartment),)


def extra(rng: np.random.Generator, layout: Layout) -> tuple[Layout, tuple[_Breach, ...]]:
    """A second part of the right kind where there should be one."""
    free = layout.free()
    compartment, place = free[rng.integers(len(free))]
    kind, _ = RULE[compartment]
    wrong = layout.with_part(Lying.at(rng, kind, compartment, place))
    own = tuple(p for p in wrong.parts if p.compartment == compartment)
    return wrong, (_Breach(f"extra_{kind}", own),)


def misplaced(rng: np.random.Generator, layout: Layout) -> tuple[Layout, tuple[_Breach, ...]]:
    """All parts are there, but one lies in another kind's compartment, or two have changed places."""
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


def wrong_kind(rng: np.random.Generator, layout: Layout) -> tuple[Layout, tuple[_Breach, ...]]:
    """The right number of parts, but one is of another kind."""
    part = _any(rng, layout)
    kind = str(rng.choice([k for k in PARTS if k != part.kind]))
    there = Lying.at(rng, kind, part.compartment, part.place)
    return layout.without(part).with_part(there), (_Breach(f"wrong_kind_{kind}", (there, part)),)


def _any(rng: np.random.Generator, layout: Layout) -> Lying:
    return layout.parts[rng.integers(len(layout.parts))]


def _against_the_rule(mistake: _Mistake, rng: np.random.Generator, layout: Layout, size: int) -> Spoiled:
    """Make a mistake in a layout and mark it."""
    wrong, breaches = mistake(rng, layout)
    right_kit, wrong_kit = assemble(layout, size), assemble(wrong, size)
    masks = tuple((b.name, _marked(b, right_kit, wrong_kit)) for b in breaches)
    return Spoiled(wrong_kit.scene.picture, masks)


def _marked(breach: _Breach, right: Kit, wrong: Kit) -> Mask:
    """(S, S): a breach's parts, as they should lie and as they do, or the room left in its compartment."""
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


def broken(rng: np.random.Generator, layout: Layout, size: int) -> Spoiled:
    """A part is broken across: a quarter to nearly a half of it is gone, with its shadow."""
    part = _any(rng, layout)
    whole, bare = assemble(layout, size), assemble(layout.without(part), size)
    coverage = whole.parts[part]
    along, _ = coordinates(size, rng.uniform(0, 2 * np.pi))
    ragged = along + 0.010 * np.clip(noise(rng, size, size / 100), -1, 1)
    limit = np.quantile(ragged[coverage > 0.5], rng.uniform(0.25, 0.45))
    gone = soft_below(ragged, float(limit), size)
    picture = paint(whole.scene.picture, bare.scene.picture, gone)
    return Spoiled(picture, (("broken", gone * coverage >= MARKED),))


def _damage(name: str, defect: Defect, rng: np.random.Generator, layout: Layout, size: int) -> Spoiled:
    """Damage anywhere on the tray or its parts."""
    picture, mask = spoil(rng, assemble(layout, size).scene, defect)
    return Spoiled(picture, ((name, mask),))


LOGICAL: dict[str, Fault] = {
    mistake.__name__: partial(_against_the_rule, mistake)
    for mistake in (extra, misplaced, missing, wrong_kind)
}
"""Kinds of broken rule; the names of their defects end with the part concerned."""

STRUCTURAL: dict[str, Fault] = {
    "broken": broken,
    "scratch": partial(_damage, "scratch", scratch),
    "specks": partial(_damage, "specks", specks),
    "stain": partial(_damage, "stain", stain),
}
"""Kinds of damage; their defects have the same names."""
