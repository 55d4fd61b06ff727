"""How deep the pictures of a data set are: the range of their values beyond 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from understudy.errors import PictureError
from understudy.runtime.decoding import opened
from understudy.runtime.deep import deep_values, is_deep, is_deep_file
from understudy.runtime.depth import Depth, bits_of
from understudy.runtime.headers import open_regular
from understudy.runtime.sources import usable_cores

__all__ = ["FoundDepth", "find_depth"]


class FoundDepth(NamedTuple):
    """What was found of a data set's depth.

    Attributes:
        depth: range of the values of deep pictures; 8 bits if there are none.
        pictures: number of deep pictures.
        largest: largest whole number in them; ``None`` if none was looked for.
        brightest: largest floating-point value in them; ``None`` without such pictures.
    """

    depth: Depth
    pictures: int
    largest: int | None
    brightest: float | None

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
            said.append(
                f"floating-point values up to {self.depth.white:g} (the largest is {self.brightest:g})"
            )
        return f"{self.pictures} pictures of more than 8 bits: {' and '.join(said)}"


def find_depth(paths: Sequence[Path], bits: int | None = None) -> FoundDepth:
    """Find the smallest depth that holds the largest value of some pictures.

    Only pictures of more than 8 bits are decoded. Those that cannot be read are passed over; decoding them
    for the training will report them.

    Args:
        paths: picture files.
        bits: depth that is given; then whole numbers are not looked at.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = [value for value in pool.map(_largest_value, paths) if value is not None]
    whole = [int(value) for value in found if isinstance(value, int)]
    real = [value for value in found if isinstance(value, float)]
    largest = max(whole, default=None)
    brightest = max(real, default=None)
    white = 1.0 if brightest is None or brightest <= 1 else 2.0 ** (bits or bits_of(brightest)) - 1
    return FoundDepth(
        Depth(bits=bits or bits_of(largest or 0), white=white),
        len(found),
        None if bits else largest,
        brightest,
    )


def _largest_value(path: Path) -> int | float | None:
    """Return the largest value of a deep picture; ``None`` for a picture of 8 bits, or a broken one."""
    try:
        with open_regular(path) as (file, _):
            if not is_deep_file(file):
                return None
        with opened(path) as (image, file):
            if not is_deep(image):
                return None
            colour = deep_values(image, file).colour
            return float(colour.max()) if colour.dtype.kind == "f" else int(colour.max())
    except PictureError:
        return None
