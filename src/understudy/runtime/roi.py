"""Regions of interest: masks that say which pixels of a product's pictures count.

A mask of pixels that count is called ``valid`` throughout; it is true where a pixel counts.
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
    """Regions of interest of a model: (H, W) masks, true where a pixel counts.

    Attributes:
        overall: mask for every category that is not in ``categories``; ``None`` if all pixels count there.
        categories: masks by category.
    """

    overall: Mask | None = None
    categories: Mapping[str, Mask] = field(default_factory=dict)
    _known: dict[object, Mask] = field(default_factory=dict, repr=False, compare=False)

    @property
    def depend_on_category(self) -> bool:
        """Whether the category of a picture must be known to tell which pixels count."""
        return bool(self.categories)

    def __bool__(self) -> bool:
        return self.overall is not None or self.depend_on_category

    def only(self, categories: Sequence[str]) -> Rois:
        """Return the same regions of interest with these categories only."""
        return Rois(self.overall, {c: mask for c, mask in self.categories.items() if c in categories})

    @property
    def digest(self) -> str:
        """SHA-256 of all masks and their categories, in hexadecimal."""
        digest = hashlib.sha256()
        for name, mask in [(None, self.overall), *sorted(self.categories.items())]:
            if mask is not None:
                digest.update(repr((name, mask.shape)).encode())
                digest.update(np.packbits(mask).tobytes())
        return digest.hexdigest()

    def valid(self, category: str | None, size: Size, canvas: Size, path: Path) -> Mask | None:
        """Return the (h, w) mask of valid pixels of a picture's canvas; ``None`` without regions of interest.

        Args:
            category: category of the picture; ``None`` for an unknown product.
            size: (height, width) of the picture.
            canvas: (height, width) of its canvas.
            path: file of the picture, for errors.

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
_REMEMBERED = 8  # resized masks; pictures of one product mostly have one size
_WHITE = 128  # values from here on are white; drawn masks may be smoothed or compressed


def uses_valid_mask(preprocess: Preprocess, rois: Rois) -> bool:
    """Tell whether windows have a fourth channel, the valid mask, because some pixels may not count."""
    return preprocess.pads or bool(rois)


def resize_roi(roi: Mask, size: Size, canvas: Size, path: Path) -> Mask:
    """(H, W) region of interest -> mask of a picture's canvas.

    A canvas pixel counts only if all pixels that it is resized from count. So pixels that do not count never
    influence a pixel that does.

    Args:
        roi: (H, W) mask of any size.
        size: (height, width) of the picture; its aspect must be that of the mask.
        canvas: (height, width) of the result.
        path: file of the picture, for errors.

    Raises:
        PictureError: the picture has another aspect, or no pixel of the region is left.
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
    ignored = np.cumsum(np.cumsum(~roi, 0, dtype=np.int32), 1, dtype=np.int32)  # summed-area table
    sums = np.pad(ignored, ((1, 0), (1, 0)))
    lower, upper = sums[bottom], sums[top]
    valid = np.asarray(lower[:, right] - lower[:, left] - upper[:, right] + upper[:, left] == 0)
    if not valid.any():
        raise PictureError(
            path, f"has no pixel left of its region of interest at {canvas[1]}x{canvas[0]}; draw a larger one"
        )
    return valid


def _source_span(length: int, picture: int, pixels: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the source of each canvas pixel begins and ends, along one side of a mask.

    Bilinear resizing with antialiasing mixes picture pixels around the middle of each canvas pixel. They
    reach as far as one pixel of the coarser of the two grids.

    Args:
        length: length of the mask's side.
        picture: length of the picture's side.
        pixels: length of the canvas' side.
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
    """Read one mask for all categories, or a folder of masks with the names of their categories.

    A mask is white where pixels count, and black or transparent where they do not.

    Raises:
        InputError: the path does not exist, a mask does not decode or has no white pixel, or its name is no
            category.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; name a mask, or a folder with one a category, with --roi")
    if not path.is_dir():
        return Rois(overall=_read(path))
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.name[0] != ".")
    strange = [p for p in files if p.stem not in categories]
    if strange or not files:
        what = f"{strange[0]} is named like no category" if strange else f"{path} holds no masks"
        raise InputError(f"{what}; name masks like their categories: {', '.join(categories)}")
    if len({p.stem for p in files}) < len(files):
        raise InputError(f"{path} holds two masks of one category; keep one of each")
    return Rois(categories={p.stem: _read(p) for p in files})


def _read(path: Path) -> Mask:
    try:
        mask = np.asarray(read_picture(path).max(axis=2) >= _WHITE)
    except PictureError as error:
        raise InputError(str(error)) from error
    if not mask.any():
        raise InputError(f"{path} is all black, so no pixel would count; draw the pixels that count in white")
    return mask
