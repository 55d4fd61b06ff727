"""Files are decoded within a budget, without touching the settings of the process."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from understudy import PictureError
from understudy.runtime import decoding
from understudy.runtime.budget import DecodingBudget
from understudy.runtime.decoding import decode_data, decode_file
from understudy.runtime.images import picture_of, read_picture, read_size
from understudy.runtime.masks import read_mask
from understudy.runtime.preprocess import Preprocess

RNG = np.random.default_rng(0)
LOOK = Preprocess(image_size=64, mean=(0.5,) * 3, std=(0.5,) * 3)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def smooth(height: int, width: int) -> np.ndarray:
    small = Image.fromarray(RNG.integers(0, 256, (12, 16, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "LA", "I;16"])
def test_the_canvas_is_the_same_as_that_of_the_whole_picture(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 2**16, (150, 90)).astype(np.uint16))
    else:
        image = Image.fromarray(RNG.integers(0, 256, (150, 90, 4), np.uint8)).convert(mode)
    image.save(tmp_path / "a.tif")
    found = decode_file(tmp_path / "a.tif", None, LOOK.canvas)
    assert np.array_equal(found.picture, LOOK.resize(read_picture(tmp_path / "a.tif")))
    assert found.size == (150, 90)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_the_size_from_the_header_is_that_of_the_decoded_picture(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", smooth(20, 30), exif=exif)
    assert read_size(path) == read_picture(path).shape[:2] == decode_file(path, None, LOOK.canvas).size


def test_a_large_jpeg_is_decoded_smaller_and_keeps_its_size_and_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.jpg", smooth(900, 1200), exif=exif, quality=95)
    whole = decode_file(path, None, LOOK.canvas)
    asked = []
    monkeypatch.setattr(decoding, "REDUCED_ABOVE", 1_000_000)
    monkeypatch.setattr(
        decoding, "resized", lambda image, size: asked.append(image.size) or LOOK.resize(np.asarray(image))
    )
    reduced = decode_file(path, None, LOOK.canvas)
    assert asked == [(225, 300)]  # a quarter, which is twice the canvas or more
    assert (reduced.size, reduced.digest) == (whole.size, whole.digest) == ((1200, 900), whole.digest)
    assert np.abs(reduced.picture.astype(int) - whole.picture).max() <= 4


def test_a_jpeg_of_ordinary_size_is_decoded_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", smooth(900, 1200))
    expected = LOOK.resize(np.asarray(Image.open(path)))
    assert np.array_equal(decode_file(path, None, LOOK.canvas).picture, expected)


def test_no_flipped_bit_of_a_png_changes_a_picture_in_silence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    path, refused = tmp_path / "p.png", 0
    Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        for decode in (decode_file, lambda file: decode_data(file.read_bytes(), file)):
            try:
                found = decode(path)
            except PictureError:
                refused += 1
            else:
                assert np.array_equal(getattr(found, "picture", found), pixels)
    assert refused > 2 * 0.9 * len(whole)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "jpg"])
def test_what_needs_more_than_the_free_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = save(tmp_path / f"a.{suffix}", smooth(300, 400))
    monkeypatch.setattr(decoding, "BUDGET", DecodingBudget(1000, free=lambda: 100_000))
    with pytest.raises(
        PictureError, match=rf"a\.{suffix} is 400x300 and needs [1-9] MB .*more memory than is free"
    ):
        read_picture(path)


def test_running_out_of_memory_is_said_as_that_and_not_as_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    path = save(tmp_path / "a.png", smooth(30, 40))
    monkeypatch.setattr(decoding, "_flat", fail)
    with pytest.raises(PictureError, match=r"a\.png is 40x30 and needs .* MB to be decoded.*more memory"):
        read_picture(path)


def test_a_large_file_waits_for_its_share_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = RNG.integers(0, 256, (200, 300, 3), np.uint8)
    path = save(tmp_path / "a.png", picture)
    expected = decode_file(path)
    monkeypatch.setattr(decoding, "_SMALL", 1000)
    found = decode_file(path)
    assert np.array_equal(found.picture, picture)
    assert (found.size, found.digest) == (expected.size, expected.digest)


def test_pixels_beyond_the_limit_are_refused_by_the_same_sentence_in_every_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", smooth(300, 400))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100_000)
    said = []
    for read in (
        read_picture,
        lambda p: decoding.decode_data(p.read_bytes(), p),
        lambda p: decode_file(p, None, LOOK.canvas),
    ):
        with pytest.raises(PictureError, match="million pixels, the most that is decoded") as caught:
            read(path)
        said.append(str(caught.value))
    assert len(set(said)) == 1


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_pillows_warning_about_large_pictures_is_neither_given_nor_silenced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, options: dict[str, str]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / f"a.{suffix}", smooth(30, 40), exif=exif, **(options if suffix == "tif" else {}))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(path).shape == (40, 30, 3)
        assert read_mask(path).shape[:2] == ((40, 30) if suffix == "tif" else (30, 40))
        with pytest.raises(Image.DecompressionBombWarning):
            Image.open(path)


def test_importing_changes_no_filter_of_warnings() -> None:
    code = (
        "import warnings, PIL.Image; before = list(warnings.filters)\n"
        "import understudy, understudy.runtime.sources, understudy.runtime.masks\n"
        "assert [f for f in warnings.filters if f not in before and 'PIL' in str(f[2])] == []"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_colour_profile_is_not_applied(tmp_path: Path) -> None:
    picture = smooth(30, 40)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    path = save(tmp_path / "a.png", picture, icc_profile=profile)
    assert np.array_equal(read_picture(path), picture)


@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr", "RGBa", "La", "RGBX", "PA", "I;16B", "1"])
def test_odd_modes_are_read(mode: str) -> None:
    assert picture_of(Image.new(mode, (4, 3)), Path("picture-0")).shape == (3, 4, 3)
