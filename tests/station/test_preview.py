"""What a browser is sent: the file itself where it can show it, else a picture that it can."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from understudy.station.preview import as_shown


def file_of(form: str, size: tuple[int, int] = (80, 40), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 100).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "kind"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("BMP", "image/bmp")]
)
def test_what_a_browser_knows_stays_as_it_is(form: str, kind: str) -> None:
    data = file_of(form)
    assert as_shown(data, None, None) == (data, kind)
    assert as_shown(data, None, 80) == (data, kind)


def test_a_smaller_picture_is_made_when_asked_for() -> None:
    data, kind = as_shown(file_of("PNG"), None, 20)
    assert kind == "image/jpeg"
    assert Image.open(io.BytesIO(data)).size == (20, 10)


@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_a_tiff_becomes_a_picture_that_a_browser_shows(mode: str) -> None:
    data, kind = as_shown(file_of("TIFF", mode=mode), None, None)
    assert kind == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(data)))
    assert shown.shape == (40, 80, 3)


def test_what_does_not_decode_is_sent_as_it_is() -> None:
    assert as_shown(b"no picture", None, 20) == (b"no picture", "application/octet-stream")
