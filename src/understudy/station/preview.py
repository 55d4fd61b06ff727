"""Pictures as a browser can show them: small if asked for, and of a format that it knows."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from understudy.errors import PictureError
from understudy.runtime.decoding import decode_data
from understudy.runtime.depth import Depth

__all__ = ["as_shown"]

_KNOWN = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}  # beginnings of files that every browser shows


def as_shown(data: bytes, depth: Depth | None, width: int | None) -> tuple[bytes, str]:
    """Content of a picture file -> content that a browser shows, and its media type.

    A file that a browser knows stays as it is, unless it is wider than asked for.

    Args:
        data: content of the file.
        depth: range of deep pictures.
        width: largest width in pixels; ``None`` keeps the picture's own.
    """
    kind = next((kind for start, kind in _KNOWN.items() if data.startswith(start)), None)
    if kind and width is None:
        return data, kind
    try:
        image = Image.fromarray(decode_data(data, Path("picture"), depth).picture)
    except PictureError:
        return data, kind or "application/octet-stream"
    if width is not None and image.width > width:
        image.thumbnail((width, 8 * width), Image.Resampling.BILINEAR, reducing_gap=2.0)
    elif kind:
        return data, kind
    file = io.BytesIO()
    if width is None:
        image.save(file, "PNG")
        return file.getvalue(), "image/png"
    image.save(file, "JPEG", quality=85)
    return file.getvalue(), "image/jpeg"
