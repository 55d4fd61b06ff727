"""Regions of interest: which pixels of a product's pictures count, from masks that somebody drew.

What counts is called ``valid`` throughout (elsewhere: valid mask), true where it does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy.errors import InputError, PictureError
from understudy.runtime.images import PICTURE_SUFFIXES, Mask, Size, read_picture
from understudy.runtime.preprocess import Preprocess

__all__ = ["NO_ROIS", "Rois", "read_roi_masks", "resize_roi", "uses_valid_mask"]


@dataclass(frozen=True)
class Rois:
    """Regions of interest: (H, W) masks, true where a pixel counts.

    Attributes:
        overall: for every picture whose category has none of its own; ``None`` if there all of it counts.
        categories: by category.
    """

    overall: Mask | None = None
    categories: Mapping[str, Mask] = field(default_factory=dict)
    _known: dict[object, Mask] = field(default_factory=dict, repr=False, compare=False)

    @property
    def depend_on_category(self) -> bool:
        """Whether a picture's category has to be known to tell what counts."""
        return bool(self.categories)

    def __bool__(self) -> bool:
        return self.overall is not None or self.depend_on_category

    def only(self, categories: Sequence[str]) -> Rois:
        """The same for some categories alone."""
        return Rois(self.overall, {c: mask for c, mask in self.categories.items() if c in categories})

    @property
    def digest(self) -> str:
        """Names all that it decides."""
        found = hashlib.sha256()
        for name, mask in [(None, self.overall), *sorted(self.categories.items())]:
            if mask is not None:
                found.update(repr((name, mask.shape)).encode())
                found.update(np.packbits(mask).tobytes())
        return found.hexdigest()

    def valid(self, category: str | None, size: Size, canvas: Size, path: Path) -> Mask | None:
        """What counts of a picture's canvas; ``None`` if there are no regions of interest at all.

        Args:
            category: of the picture, ``None`` for an unknown one.
            size: of the picture.
            canvas: its canvas' size.
            path: of the picture.

        Raises:
            PictureError: see :func:`resize_roi`.
        """
        if not self:
            return None
        key = (category, size, canvas)
        if key not in self._known:
            roi = self.categories.get(category or "", self.overall)
            valid = np.ones(canvas, dtype=bool) if roi is None else resize_roi(roi, size, canvas, path)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = valid
            return valid
        return self._known[key]


NO_ROIS = Rois()
_REMEMBERED = 8  # masks: pictures of a product mostly have one size
_WHITE = 128  # at least: what is drawn may be smoothed or compressed


def uses_valid_mask(preprocess: Preprocess, rois: Rois) -> bool:
    """Whether some pixels of windows may not count, so that windows have a fourth channel."""
    return preprocess.pads or bool(rois)


def resize_roi(roi: Mask, size: Size, canvas: Size, path: Path) -> Mask:
    """A region of interest, brought to a picture's canvas: a pixel counts if all that it is made of does.

    So what is shown where nothing counts reaches no pixel that counts, however the picture is resized.

    Args:
        roi: (H, W) of any size.
        size: of the picture, whose aspect it must have.
        canvas: to bring it to.
        path: of the picture.

    Raises:
        PictureError: the picture has another aspect, or nothing is left of the region.
    """
    (height, width), (rows, columns) = size, roi.shape
    if abs(height / width - rows / columns) * min(width, columns) > 1:
        raise PictureError(
            path,
            f"is {width}x{height}, and its region of interest {columns}x{rows} has another aspect; "
            "inspect pictures of that aspect or train without --roi",
        )
    if roi.shape == size == canvas:
        return roi
    top, bottom = _source_span(rows, height, canvas[0])
    left, right = _source_span(columns, width, canvas[1])
    above = np.cumsum(np.cumsum(~roi, 0, dtype=np.int32), 1, dtype=np.int32)  # ignored pixels, and left
    sums = np.pad(above, ((1, 0), (1, 0)))
    lower, upper = sums[bottom], sums[top]
    valid = np.asarray(lower[:, right] - lower[:, left] - upper[:, right] + upper[:, left] == 0)
    if not valid.any():
        raise PictureError(
            path, f"has no pixel left of its region of interest at {canvas[1]}x{canvas[0]}; draw a larger one"
        )
    return valid


def _source_span(length: int, picture: int, pixels: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where what each pixel of a canvas is made of begins and ends along a side of a mask.

    Bilinear resizing with antialiasing weighs the picture's pixels up to one pixel of the coarser of
    both, picture and canvas, from the middle of the canvas' pixel.

    Args:
        length: of the mask's side.
        picture: of the picture's side.
        pixels: of the canvas' side.
    """
    at = np.arange(pixels)
    begin, end = at, at + 1
    if picture != pixels:
        scale = picture / pixels
        middle, reach = (at + 0.5) * scale, max(scale, 1.0)
        begin = np.floor(middle - reach).astype(np.intp).clip(0, picture - 1)
        end = np.ceil(middle + reach).astype(np.intp).clip(1, picture)
    return begin * length // picture, -(-end * length // picture)


def read_roi_masks(path: Path, categories: Sequence[str]) -> Rois:
    """Read one mask for all categories, or a folder of masks that are named like their categories.

    A mask is white where pixels count and black, or transparent, where they are ignored.

    Raises:
        InputError: the path does not exist, a mask does not decode or leaves nothing, or its name is none.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; name a mask, or a folder with one a category, with --roi")
    if not path.is_dir():
        return Rois(overall=_read(path))
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.name[0] != ".")
    strange = [p for p in found if p.stem not in categories]
    if strange or not found:
        what = f"{strange[0]} is named like no category" if strange else f"{path} holds no masks"
        raise InputError(f"{what}; name masks like their categories: {', '.join(categories)}")
    if len({p.stem for p in found}) < len(found):
        raise InputError(f"{path} holds two masks of one category; keep one of each")
    return Rois(categories={p.stem: _read(p) for p in found})


def _read(path: Path) -> Mask:
    try:
        mask = np.asarray(read_picture(path).max(axis=2) >= _WHITE)
    except PictureError as error:
        raise InputError(str(error)) from error
    if not mask.any():
        raise InputError(f"{path} is all black, which ignores every pixel; draw white what counts")
    return mask
