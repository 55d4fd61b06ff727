"""Lines over two axes -> SVG, the same for the same figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

__all__ = ["Axis", "Line", "line_chart"]

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 220, 20, 50  # margins; the key stands in the right one
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")  # told apart by all
STEPS = (1, 2, 5)

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A row of points.

    Attributes:
        label: in the key.
        points: (x, y) in the order in which they are joined.
        colour: number of its colour; several lines may share one.
        dashed: for what was computed instead of measured, or the second of two.
    """

    label: str
    points: Sequence[Point]
    colour: int
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """One direction.

    Attributes:
        label: what is shown, with its unit.
        is_log: equal ratios are equally long.
        ticks: names of marked values; round values where there are none.
    """

    label: str
    is_log: bool = False
    ticks: Mapping[float, str] = field(default_factory=dict)


class _Scale:
    """Values of an axis -> places between two ends."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        self._bent = math.log10 if axis.is_log else float
        low, high = min(values), max(values)
        room = (self._bent(high) - self._bent(low) or 1) / 20
        self._low, self._high = self._bent(low) - room, self._bent(high) + room
        self._start, self._end = start, end
        self.ticks = axis.ticks or {v: f"{v:g}" for v in self._round(axis.is_log)}

    def __call__(self, value: float) -> float:
        share = (self._bent(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def _round(self, is_log: bool) -> list[float]:
        """Values to mark: 1, 2, 5 of every power of ten, or a handful equally far apart."""
        if is_log:
            powers = range(math.floor(self._low), math.ceil(self._high) + 1)
            found = [step * 10.0**power for power in powers for step in STEPS]
            return [v for v in found if self._low <= math.log10(v) <= self._high]
        least = (self._high - self._low) / 8
        power = 10.0 ** math.floor(math.log10(least))
        apart = next(step * power for step in (*STEPS, 10) if step * power >= least)
        first, last = math.ceil(self._low / apart), math.floor(self._high / apart)
        return [n * apart for n in range(first, last + 1)]


def line_chart(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Draw lines of one point or more; on a logarithmic axis all is above zero. ``title`` is read aloud."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    across = _Scale(x, [p[0] for line in lines for p in line.points], LEFT, right)
    up = _Scale(y, [p[1] for line in lines for p in line.points], bottom, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        f' aria-label={quoteattr(title)} font-family="sans-serif" font-size="12">\n',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n',
    ]
    for value, name in across.ticks.items():
        parts.append(_stroke([(across(value), TOP), (across(value), bottom)], "#ddd", 1))
        parts.append(_text(across(value), bottom + 18, name, "middle"))
    for value, name in up.ticks.items():
        parts.append(_stroke([(LEFT, up(value)), (right, up(value))], "#ddd", 1))
        parts.append(_text(LEFT - 6, up(value) + 4, name, "end"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 12, x.label, "middle"))
    parts.append(_text(0, 0, y.label, "middle", f"translate(16 {(TOP + bottom) / 2:.1f}) rotate(-90)"))
    for number, line in enumerate(lines):
        colour, at = COLOURS[line.colour % len(COLOURS)], TOP + 12 + 20 * number
        places = [(across(px), up(py)) for px, py in line.points]
        parts.append(_stroke(places, colour, 2, line.dashed))
        if not line.dashed:
            parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>\n' for px, py in places]
        parts.append(_stroke([(right + 14, at), (right + 42, at)], colour, 2, line.dashed))
        parts.append(_text(right + 50, at + 4, line.label, "start"))
    return "".join(parts) + "</svg>\n"


def _stroke(places: Sequence[Point], colour: str, width: int, dashed: bool = False) -> str:
    path = "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
    dashes = ' stroke-dasharray="6 4"' if dashed else ""
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>\n'


def _text(x: float, y: float, words: str, anchor: str, transform: str = "") -> str:
    moved = f' transform="{transform}"' if transform else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333"{moved}>{escape(words)}</text>\n'
