"""How deep the pictures of a data set are: the range of their values beyond 8 bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from understudy.errors import PictureError
from understudy.runtime.decoding import opened
from understudy.runtime.deep import deep_values, is_deep, is_deep_file
from understudy.runtime.depth import ROOM, Depth, bits_of
from understudy.runtime.headers import open_regular
from understudy.runtime.sources import usable_cores

__all__ = ["FoundDepth", "find_depth"]

_CAMERA_BITS = 12  # fewest bits that are assumed beyond 8: dark pictures do not show them all
_WHITES = (1.0, 100.0, *(2.0**bits - 1 for bits in (8, 10, 12, 14, 16)))  # usual ones of floating point
_DARK = 4  # pictures that do not reach this part of white are dark


class FoundDepth(NamedTuple):
    """What was found of a data set's depth.

    Attributes:
        depth: range of the values of deep pictures; 8 bits if there are none.
        pictures: number of deep pictures.
        largest: largest whole number in them; ``None`` if none was looked for.
        brightest: largest floating-point value in them; ``None`` without such pictures.
        doubts: what speaks against the depth that was found.
    """

    depth: Depth
    pictures: int
    largest: int | None
    brightest: float | None
    doubts: tuple[str, ...] = ()

    @property
    def statement(self) -> str | None:
        """One line on what was found; ``None`` if all pictures have 8 bits."""
        if not self.pictures:
            return None
        said = []
        if self.largest is not None:
            said.append(f"{self.depth.bits} bits a channel (the largest value is {self.largest})")
        elif self.brightest is None:
            said.append(f"{self.depth.bits} bits a channel, as given")
        if self.brightest is not None:
            white = self.depth.white
            note = ", taken as white" if white < self.brightest <= white * ROOM else ""
            said.append(f"floating-point values up to {white:g} (the largest is {self.brightest:g}{note})")
        found = f"{self.pictures} pictures of more than 8 bits: {' and '.join(said)}"
        return "; ".join((found, *self.doubts))


class _Largest(NamedTuple):
    """The largest value of one deep picture.

    Attributes:
        value: the value.
        path: the picture.
        is_real: whether its values are floating-point numbers.
    """

    value: float
    path: Path
    is_real: bool


def find_depth(paths: Sequence[Path], bits: int | None = None) -> FoundDepth:
    """Find a depth that holds the largest value of some pictures.

    Whole numbers take 8 bits if that holds them, else at least 12, because dark pictures do not show how
    bright a defect may be.

    The white of floating-point pictures is 1 if half of them do not go beyond it; those that do are refused
    when they are used. Else it is the smallest of 1, 100, 255, 1023, 4095, 16383 and 65535 that holds the
    largest value. If that value does not reach a quarter of it, the value itself is white, rounded to three
    digits. Up to 5 % above white counts as white.

    Only pictures of more than 8 bits are decoded. Those that cannot be read, or have pixels that are no
    finite number, are passed over; decoding them for their use will report them.

    Args:
        paths: picture files.
        bits: depth that is given; then whole numbers are not looked at. It is also that of floating-point
            pictures that go beyond 1.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = [largest for largest in pool.map(_largest_value, paths) if largest is not None]
    whole = [each for each in found if not each.is_real]
    real = [each for each in found if each.is_real]
    largest = max((int(each.value) for each in whole), default=None)
    brightest = max((each.value for each in real), default=None)
    depth = Depth(bits=bits or _bits(whole), white=_white(real, bits))
    doubts = [] if bits else [_doubt(whole, depth.top, ", or give the camera's depth with --bit-depth")]
    if not bits and depth.white > 1:
        doubts.append(_doubt(real, depth.white))
    beyond = [each for each in real if each.value > depth.white * ROOM]
    if beyond:
        doubts.append(f"{len(beyond)} of them go beyond and will be refused, such as {beyond[0].path}")
    return FoundDepth(
        depth, len(found), None if bits else largest, brightest, tuple(doubt for doubt in doubts if doubt)
    )


def _bits(whole: Sequence[_Largest]) -> int:
    """Return the depth of pictures with whole numbers; 8 without pictures."""
    bits = bits_of(max((each.value for each in whole), default=0))
    return bits if bits <= 8 else max(bits, _CAMERA_BITS)


def _white(real: Sequence[_Largest], bits: int | None) -> float:
    """Return the white of floating-point pictures; 1 without pictures."""
    values = sorted(each.value for each in real)
    if not values or values[-1] <= ROOM:
        return 1.0
    if bits:
        return 2.0**bits - 1
    if values[(len(values) - 1) // 2] <= ROOM:
        return 1.0
    brightest = values[-1]
    usual = next((white for white in _WHITES if brightest <= white * ROOM), None)
    return usual if usual and brightest >= usual / _DARK else float(f"{brightest:.3g}")


def _doubt(pictures: Sequence[_Largest], white: float, way_out: str = "") -> str | None:
    """Return a clause that says that most pictures are dark; ``None`` if they are not."""
    if not pictures:
        return None
    ordered = sorted(pictures, key=lambda each: each.value)
    middle, brightest = ordered[(len(ordered) - 1) // 2], ordered[-1]
    if middle.value >= white / _DARK:
        return None
    return (
        f"half of them have no value above {middle.value:g} and will be dark: if they should not be, mend "
        f"the brightest, {brightest.path}{way_out}"
    )


def _largest_value(path: Path) -> _Largest | None:
    """Return the largest value of a deep picture; ``None`` for a picture of 8 bits, or a broken one."""
    try:
        with open_regular(path) as (file, _):
            if not is_deep_file(file):
                return None
        with opened(path) as (image, file):
            if not is_deep(image):
                return None
            colour = deep_values(image, file).colour
            value = float(colour.max())
            is_finite = math.isfinite(value) and math.isfinite(colour.min())
            return _Largest(value, path, colour.dtype.kind == "f") if is_finite else None
    except PictureError:
        return None
