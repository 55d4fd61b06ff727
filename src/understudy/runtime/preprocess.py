"""From a picture to the network's input, and from the maps of its windows to the picture's map.

A picture is resized to its *canvas*. *Windows* are squares of the network's input size, cut from the canvas.
The anomaly map has the size of the canvas. Training, scoring and the light runtime share this module, so a
model sees the same input in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from understudy.runtime.decoding import resized
from understudy.runtime.depth import Depth
from understudy.runtime.images import Mask, Picture, unit

__all__ = ["Corner", "Preprocess"]

_MOST_ENLARGED = 4
_Mean = Annotated[float, Field(ge=-10, le=10)]
_Std = Annotated[float, Field(ge=1e-3, le=10)]

Corner = tuple[int, int]
"""(top, left) of a window on its canvas, in pixels. Not negative; a window may reach beyond the canvas."""


class Preprocess(BaseModel):
    """From a picture to windows for a network, and from the maps of windows to one map.

    Attributes:
        image_size: side S of a window in pixels, from 32 to 4096.
        mean: mean of each channel, for pictures in [0, 1].
        std: standard deviation of each channel, for pictures in [0, 1].
        keep_aspect: resize the longer side of the picture to S and pad the rest of the window; padding does
            not count. Else the picture is stretched to the window.
        tile: side of the square of the original picture that one window shows, in picture pixels, from 32 to
            4096; ``None`` shows the whole picture in one window.
        overlap: smallest overlap of neighbouring tiles, in picture pixels, from 0 to half a tile.
        depth: range of pictures with more than 8 bits a channel; ``None`` in models of older versions, which
            take 16 bits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(ge=32, le=4096)
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Std, _Std, _Std]
    keep_aspect: bool = False
    tile: int | None = Field(default=None, ge=32, le=4096)
    overlap: int = Field(default=0, ge=0)
    depth: Depth | None = None

    @model_validator(mode="after")
    def _overlap_fits(self) -> Preprocess:
        if self.overlap > (self.tile or 0) // 2:
            rule = f"at most half of the tile's {self.tile}" if self.tile else "0 without tiles"
            raise ValueError(f"the overlap must be {rule}, got {self.overlap}")
        if self.tile and self.image_size > _MOST_ENLARGED * self.tile:
            raise ValueError(
                f"a tile of {self.tile} is enlarged {_MOST_ENLARGED} times at most, got {self.image_size}"
            )
        return self

    @property
    def pads(self) -> bool:
        """Whether windows may contain padding."""
        return self.keep_aspect or self.tile is not None

    def canvas(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a picture -> (height, width) of its canvas and of its anomaly map."""
        side = self.image_size
        if not self.pads:
            return side, side
        scale = side / (self.tile or max(size))
        height, width = (max(1, round(length * scale)) for length in size)
        return height, width

    def resize(self, picture: Picture) -> Picture:
        """(H, W, 3) uint8 picture -> (h, w, 3) uint8 canvas; bilinear with antialiasing."""
        height, width = self.canvas(picture.shape[:2])
        if picture.shape[:2] == (height, width):
            return picture
        return resized(Image.fromarray(picture), (height, width))

    def corners(self, canvas: tuple[int, int], valid: Mask | None = None) -> list[Corner]:
        """(height, width) of a canvas -> corners of its windows, spread evenly from border to border.

        Args:
            canvas: (height, width) of the canvas.
            valid: (height, width) mask, false where a pixel does not count. Of several windows, those without
                any pixel that counts are left out.
        """
        rows, columns = (self._starts(length) for length in canvas)
        corners = [(top, left) for top in rows for left in columns]
        if valid is None or len(corners) == 1:
            return corners
        side = self.image_size
        return [(top, left) for top, left in corners if valid[top : top + side, left : left + side].any()]

    def cut(self, canvas: Picture, corner: Corner, valid: Mask | None = None) -> Picture:
        """(h, w, 3) canvas -> its (S, S, 3) window at a corner, with the mean colour beyond the border.

        If some pixels may not count, the window is (S, S, 4): the fourth channel is 255 where a pixel counts.
        """
        (top, left), side = corner, self.image_size
        shown = canvas[top : top + side, left : left + side]
        if valid is None and not self.pads:
            return shown
        height, width, _ = shown.shape
        window = np.zeros((side, side, 4), np.uint8)
        window[..., :3] = np.rint(255 * np.array(self.mean))
        window[:height, :width, :3] = shown
        counts = True if valid is None else valid[top : top + side, left : left + side]
        window[:height, :width, 3] = np.where(counts, 255, 0)
        return window

    def normalise(self, windows: Picture | NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, S, S, 3) uint8, or float32 in [0, 1] -> (B, 3, S, S) float32: minus mean, divided by std."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled = (unit(windows) - mean) / std
        return scaled.transpose(0, 3, 1, 2)

    def inputs(self, windows: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """(B, S, S, 3 or 4) uint8 windows -> (B, 3, S, S) images and (B, 1, S, S) valid mask.

        Three channels give ``None`` for the mask. Pixels that do not count get the mean colour, so what they
        show has no influence.
        """
        images = self.normalise(windows[..., :3])
        if windows.shape[-1] == 3:
            return images, None
        valid = unit(windows[..., 3:]).transpose(0, 3, 1, 2)
        return images * valid, valid

    def join(
        self, maps: Sequence[NDArray[np.float32]], corners: Sequence[Corner], canvas: tuple[int, int]
    ) -> NDArray[np.float32]:
        """(S, S) maps of windows -> (h, w) map of the canvas; overlapping windows fade into each other.

        Pixels that no window shows are 0.
        """
        if len(self._starts(canvas[0])) == len(self._starts(canvas[1])) == 1:
            return maps[0][: canvas[0], : canvas[1]].copy()
        total, weight = np.zeros(canvas, np.float32), np.zeros(canvas, np.float32)
        for window_map, (top, left) in zip(maps, corners, strict=True):
            rows, columns = self._fade(top, canvas[0]), self._fade(left, canvas[1])
            here = np.s_[top : top + len(rows), left : left + len(columns)]
            fading = rows[:, None] * columns
            total[here] += fading * window_map[: len(rows), : len(columns)]
            weight[here] += fading
        return np.divide(total, weight, out=total, where=weight > 0)

    @property
    def _overlap(self) -> int:
        """Overlap of windows in pixels of the canvas."""
        return round(self.overlap * self.image_size / self.tile) if self.tile else 0

    def _starts(self, length: int) -> list[int]:
        """Where windows begin along one side of a canvas."""
        beyond = length - self.image_size
        if beyond <= 0:
            return [0]
        steps = math.ceil(beyond / (self.image_size - self._overlap))
        return [round(beyond * i / steps) for i in range(steps + 1)]

    def _fade(self, start: int, length: int) -> NDArray[np.float32]:
        """Weight of a window along one side of its canvas: falls over the overlap, not at the border."""
        shown = min(self.image_size, length - start)
        at, over = np.arange(shown, dtype=np.float32) + 0.5, max(1, self._overlap)
        before = np.ones(shown, np.float32) if start == 0 else np.minimum(1, at / over)
        after = np.ones(shown, np.float32) if start + shown == length else np.minimum(1, at[::-1] / over)
        return np.asarray(np.minimum(before, after), np.float32)
