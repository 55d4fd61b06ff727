"""Every kind of picture that a camera or a person can hand in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import PictureError
from understudy.runtime import decoding
from understudy.runtime.images import decode_picture, read_picture, resize_mask
from understudy.runtime.preprocess import Preprocess

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
LOOK = Preprocess(image_size=32, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))


def write(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_rgb_is_read_as_it_is(tmp_path: Path) -> None:
    assert np.array_equal(read_picture(write(tmp_path / "a.png", Image.fromarray(RGB))), RGB)


def test_gray_is_repeated(tmp_path: Path) -> None:
    found = read_picture(write(tmp_path / "a.png", Image.fromarray(RGB[..., 0])))
    assert np.array_equal(found, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_gray_is_scaled_by_a_fixed_factor(tmp_path: Path, suffix: str) -> None:
    wide = RGB[..., 0].astype(np.uint16) * 257
    found = read_picture(write(tmp_path / f"a.{suffix}", Image.fromarray(wide)))
    assert np.array_equal(found[..., 0], RGB[..., 0])


def test_transparency_is_laid_over_black(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.full((4, 6), 255, np.uint8)])
    rgba[0, 0, 3] = 0
    found = read_picture(write(tmp_path / "a.png", Image.fromarray(rgba)))
    assert found[0, 0].tolist() == [0, 0, 0]
    assert np.array_equal(found[1:], RGB[1:])


def test_a_palette_and_one_bit_are_read(tmp_path: Path) -> None:
    flat = Image.new("RGB", (4, 4), (200, 30, 40))
    assert read_picture(write(tmp_path / "a.png", flat.convert("P")))[0, 0, 0] > 150
    assert read_picture(write(tmp_path / "b.png", Image.new("1", (4, 4), 1))).tolist()[0][0] == [255] * 3


def test_cmyk_is_converted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=95)
    red, green, blue = read_picture(path)[4, 4]
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_exif_rotation_is_applied(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    options = {"lossless": True} if suffix == "webp" else {}
    path = write(tmp_path / f"a.{suffix}", Image.fromarray(RGB), exif=exif, **options)
    assert np.array_equal(read_picture(path), np.rot90(RGB, -1))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow comments on damaged EXIF data
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp"])
def test_no_damage_of_single_bytes_raises_anything_but_a_picture_error(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(tmp_path / f"a.{suffix}", Image.fromarray(RGB), exif=exif)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[rng.integers(min(len(whole), 400))] = rng.integers(256)
        try:
            assert decode_picture(bytes(damaged), path).shape[2] == 3
            read += 1
        except PictureError:
            continue
    assert read > 0


def test_a_picture_of_one_pixel_becomes_a_flat_input(tmp_path: Path) -> None:
    found = LOOK.resize(read_picture(write(tmp_path / "a.png", Image.new("RGB", (1, 1), (9, 8, 7)))))
    assert found.shape == (32, 32, 3)
    assert np.unique(found.reshape(-1, 3), axis=0).tolist() == [[9, 8, 7]]


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    text, short = tmp_path / "text.png", tmp_path / "short.png"
    text.write_text("hello")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(short)
    short.write_bytes(short.read_bytes()[:2000])
    with pytest.raises(PictureError, match=r"text\.png is no picture that can be decoded") as caught:
        read_picture(text)
    assert caught.value.path == text
    with pytest.raises(PictureError, match=r"short\.png does not decode.*replace or remove it"):
        read_picture(short)
    with pytest.raises(PictureError, match=r"none\.png cannot be read: No such file"):
        read_picture(tmp_path / "none.png")


def test_a_huge_picture_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.png", Image.new("1", (300, 300)))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 30_000)
    with pytest.raises(PictureError, match="more than 0 million pixels, the most that is decoded; cut it"):
        read_picture(path)


def test_normalising_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    batch = np.full((2, 32, 32, 3), 255, np.uint8)
    found = LOOK.normalise(batch)
    assert found.shape == (2, 3, 32, 32)
    assert found.dtype == np.float32
    assert found[0, :, 0, 0].tolist() == pytest.approx([1.0, 2.4, 3.5])


def test_resizing_averages_what_it_leaves_out() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    found = LOOK.resize(stripes)
    assert np.abs(found.astype(int) - 100).max() <= 5  # without antialiasing it would be 0 or 200


def test_a_resized_mask_keeps_half_covered_pixels_and_never_loses_a_defect() -> None:
    mask = np.zeros((64, 64), bool)
    mask[:8, :8] = True
    assert resize_mask(mask, (8, 8)).sum() == 1
    speck = np.zeros((64, 64), bool)
    speck[20, 20] = True
    assert resize_mask(speck, (8, 8)).sum() >= 1
    assert not resize_mask(np.zeros((64, 64), bool), (8, 8)).any()
