"""How many pixels a picture has, from its header, before anything is decoded."""

from __future__ import annotations

from io import BytesIO
from math import prod
from pathlib import Path

from understudy.errors import PictureError
from understudy.runtime.decoding import size_of

__all__ = ["require_pixels"]


def require_pixels(data: bytes, name: str, most: int) -> None:
    """Check that a picture is not larger than a station takes. A damaged one is left to the decoder.

    Raises:
        PictureError: it has more pixels.
    """
    try:
        pixels = prod(size_of(BytesIO(data)))
    except Exception:  # a damaged file makes it raise almost anything; the decoder says what is wrong
        return
    if pixels > most:
        raise PictureError(
            Path(name), f"has {pixels} pixels, and this station takes {most}; send a smaller one"
        )
