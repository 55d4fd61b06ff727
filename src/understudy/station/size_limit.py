"""How large a picture may be: bytes of its file, and pixels by its header, before anything is decoded."""

from __future__ import annotations

from io import BytesIO
from math import prod
from pathlib import Path

from understudy.errors import PictureError
from understudy.runtime.decoding import size_of
from understudy.station.config import CallLimits

__all__ = ["require_size"]


def require_size(data: bytes, name: str, limits: CallLimits) -> None:
    """Check that a picture is not larger than a station takes. A damaged one is left to the decoder.

    Raises:
        PictureError: its file has more bytes, or it has more pixels.
    """
    if len(data) > limits.picture_bytes:
        most = limits.picture_bytes
        raise PictureError(
            Path(name), f"has {len(data)} bytes, and this station takes {most}; send a smaller file"
        )
    try:
        pixels = prod(size_of(BytesIO(data)))
    except Exception:  # a damaged file makes it raise almost anything; the decoder says what is wrong
        return
    if pixels > limits.pixels:
        raise PictureError(
            Path(name), f"has {pixels} pixels, and this station takes {limits.pixels}; send a smaller one"
        )
