"""Files are opened at any size, and never one that could block."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from understudy import PictureError
from understudy.runtime.headers import has_alpha, load_image, open_image, upright_size
from understudy.runtime.images import read_bytes, read_picture, read_size

SMOOTH = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(20, 30, 3).astype(np.uint8)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_or_a_folder_is_one_sentence_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for read in (read_picture, read_bytes):
        for path in (tmp_path / "a.png", tmp_path):
            with pytest.raises(PictureError, match="is no file but a folder, a pipe or a device"):
                read(path)
    assert read_size(tmp_path / "a.png") == (0, 0)


def test_a_name_that_no_file_can_have_is_one_sentence(tmp_path: Path) -> None:
    for name in ("x" * 300 + ".png", "zero\0byte.png"):
        with pytest.raises(PictureError, match="cannot be read"):
            read_picture(tmp_path / name)


def test_opening_keeps_every_format_that_pillow_opens(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "bmp", "tif", "webp", "gif", "ppm", "tga"):
        Image.fromarray(SMOOTH).save(tmp_path / f"a.{suffix}")
        with (tmp_path / f"a.{suffix}").open("rb") as file:
            image = open_image(file)
            assert upright_size(image) == (20, 30)
            load_image(image)
            with Image.open(tmp_path / f"a.{suffix}") as expected:
                assert np.array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_what_no_decoder_knows_is_not_identified(content: bytes) -> None:
    with pytest.raises(UnidentifiedImageError):
        open_image(BytesIO(content))


def test_opacity_is_told_by_the_mode_or_by_a_transparent_colour() -> None:
    assert [has_alpha(Image.new(m, (1, 1))) for m in ("RGBA", "LA", "PA", "RGB", "L", "P", "LAB")] == [
        *[True] * 3,
        *[False] * 4,
    ]
    image = Image.new("P", (1, 1))
    image.info["transparency"] = 0
    assert has_alpha(image)
