"""The limits on a picture look at its length and its header, and leave damaged files to the decoder."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from understudy.errors import PictureError
from understudy.station.config import CallLimits
from understudy.station.size_limit import require_size


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_a_picture_of_too_many_pixels_is_refused() -> None:
    require_size(png(20, 10), "a.png", CallLimits(pixels=200))
    with pytest.raises(PictureError, match=r"a\.png has 200 pixels, and this station takes 199"):
        require_size(png(20, 10), "a.png", CallLimits(pixels=199))


def test_the_pixels_are_not_needed() -> None:
    with pytest.raises(PictureError, match="has 2000000 pixels"):
        require_size(png(2000, 1000)[:80], "a.png", CallLimits(pixels=199))


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_file_is_left_to_the_decoder(data: bytes) -> None:
    require_size(data, "a.png", CallLimits(pixels=1))


def test_a_file_of_too_many_bytes_is_refused() -> None:
    data = png(20, 10)
    require_size(data, "a.png", CallLimits(picture_bytes=len(data)))
    with pytest.raises(PictureError, match=rf"a\.png has {len(data)} bytes, and this station takes"):
        require_size(data, "a.png", CallLimits(picture_bytes=len(data) - 1))
