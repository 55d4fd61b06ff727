"""Pictures of more than 8 bits are read with all their bits, from every kind of file."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import PictureError
from understudy.runtime.deep import is_deep, is_deep_file
from understudy.runtime.depth import Depth
from understudy.runtime.images import picture_of, read_picture

RNG = np.random.default_rng(0)
TWELVE = Depth(bits=12)


def eight(values: np.ndarray, bits: int = 12) -> np.ndarray:
    scaled = values.astype(np.int64) * 255 // (2**bits - 1)
    return np.repeat(scaled[..., None], 3, axis=2) if scaled.ndim == 2 else scaled


def values_of(*shape: int, bits: int = 12) -> np.ndarray:
    return RNG.integers(0, 2**bits, shape).astype(np.uint16)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(values: np.ndarray, exif: bytes = b"") -> bytes:
    """(H, W, 2 to 4) uint16 -> PNG in which every filter of rows is used."""
    height, width, channels = values.shape
    rows = np.ascontiguousarray(values.astype(">u2")).view(np.uint8).reshape(height, -1).astype(int)
    left = np.pad(rows, ((0, 0), (2 * channels, 0)))[:, : rows.shape[1]]
    up = np.pad(rows, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(left, ((1, 0), (0, 0)))[:-1]
    distances = np.stack([abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)])
    paeth = np.choose(distances.argmin(axis=0), [left, up, corner])
    guesses = [0 * rows, left, up, (left + up) // 2, paeth]
    filtered = b"".join(
        bytes([y % 5]) + ((rows[y] - guesses[y % 5][y]) % 256).astype(np.uint8).tobytes()
        for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    more = chunk(b"eXIf", exif) if exif else b""
    body = chunk(b"IDAT", zlib.compress(filtered)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + body


def tiff(
    values: np.ndarray, order: str = "<", packed: bool = False, planes: int = 1, extra: int = 2
) -> bytes:
    """(H, W), or (H, W, 3 or 4), of any type -> TIFF of one strip; with ``planes`` 2, a plane a channel."""
    height, width, *rest = values.shape
    channels = rest[0] if rest else 1
    stored = np.moveaxis(values, 2, 0) if planes == 2 else values
    pixels = np.ascontiguousarray(stored.astype(values.dtype.newbyteorder(order))).tobytes()
    pixels = zlib.compress(pixels) if packed else pixels
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {256: [width], 257: [height], 258: [8 * values.itemsize] * channels, 259: [8 if packed else 1]}
    tags |= {
        262: [2 if rest else 1],
        273: [8],
        277: [channels],
        278: [height],
        279: [len(pixels)],
        284: [planes],
    }
    tags |= {338: [extra]} if channels == 4 else {}
    tags |= {339: [kind] * channels}
    at = 8 + len(pixels)
    entries, more = b"", b""
    for tag, numbers in tags.items():
        content = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            content, place = b"", at + 2 + 12 * len(tags) + 4 + len(more)
            more += struct.pack(f"{order}{len(numbers)}I", *numbers)
            content = struct.pack(f"{order}I", place)
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + content
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    return head + pixels + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + more


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_gray_of_any_depth_in_16_bits_is_read_with_all_its_levels(
    tmp_path: Path, suffix: str, bits: int
) -> None:
    values = values_of(20, 30, bits=bits)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read_picture(tmp_path / f"a.{suffix}", Depth(bits=bits)), eight(values, bits))


def test_colour_of_16_bits_in_a_png_keeps_its_lower_bits(tmp_path: Path) -> None:
    values = values_of(20, 30, 3)
    (tmp_path / "a.png").write_bytes(png(values))
    assert np.array_equal(read_picture(tmp_path / "a.png", TWELVE), eight(values))
    assert np.array_equal(read_picture(tmp_path / "a.png"), values >> 8)  # what old models see


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_colour_of_16_bits_in_a_tiff_keeps_its_lower_bits(tmp_path: Path, order: str, packed: bool) -> None:
    values = values_of(20, 30, 3)
    (tmp_path / "a.tif").write_bytes(tiff(values, order, packed))
    assert np.array_equal(read_picture(tmp_path / "a.tif", TWELVE), eight(values))


@pytest.mark.parametrize("packed", [False, True])
def test_what_pillow_would_read_wrongly_is_one_sentence(tmp_path: Path, packed: bool) -> None:
    (tmp_path / "planes.tif").write_bytes(tiff(values_of(20, 30, 3), packed=packed, planes=2))
    (tmp_path / "premultiplied.tif").write_bytes(tiff(values_of(20, 30, 4), packed=packed, extra=1))
    for name in ("planes.tif", "premultiplied.tif"):
        with pytest.raises(PictureError, match=f"{name} does not decode"):
            read_picture(tmp_path / name, TWELVE)
    (tmp_path / "float.tif").write_bytes(tiff(np.ones((20, 30, 3), np.float32), packed=packed))
    with pytest.raises(
        PictureError, match=r"float\.tif is damaged or a TIFF of a kind that is not read; save it"
    ):
        read_picture(tmp_path / "float.tif", TWELVE)


@pytest.mark.parametrize("channels", [2, 4])
def test_gray_and_colour_with_opacity_keep_their_lower_bits(tmp_path: Path, channels: int) -> None:
    values = values_of(20, 30, channels)
    values[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(png(values))
    colour = values[..., 0] if channels == 2 else values[..., :3]
    assert np.array_equal(read_picture(tmp_path / "a.png", TWELVE), eight(colour))


def test_deep_transparency_is_laid_over_black(tmp_path: Path) -> None:
    values = np.full((4, 6, 4), 4095, np.uint16)
    values[..., 3] = 65535
    values[0, 0, 3] = 0
    (tmp_path / "a.png").write_bytes(png(values))
    found = read_picture(tmp_path / "a.png", TWELVE)
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[1, 1].tolist() == [255, 255, 255]


def test_a_deep_colour_picture_is_turned_upright(tmp_path: Path) -> None:
    values = values_of(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.png").write_bytes(png(values, exif.tobytes().removeprefix(b"Exif\0\0")))
    assert np.array_equal(read_picture(tmp_path / "a.png", TWELVE), np.rot90(eight(values), -1))


def test_int32_and_uint32_are_read_by_their_depth_and_not_as_16_bits(tmp_path: Path) -> None:
    dim = RNG.integers(0, 256, (5, 7)).astype(np.int32)
    Image.fromarray(dim).save(tmp_path / "a.tif")
    assert np.array_equal(read_picture(tmp_path / "a.tif", Depth(bits=8)), eight(dim, 8))
    wide = RNG.integers(2**31, 2**32, (5, 7)).astype(np.uint32)
    (tmp_path / "b.tif").write_bytes(tiff(wide))
    assert np.array_equal(read_picture(tmp_path / "b.tif", Depth(bits=32)), eight(wide, 32))


def test_a_value_beyond_the_depth_is_refused_by_name_whatever_holds_it(tmp_path: Path) -> None:
    colour = np.full((4, 6, 3), 4096, np.uint16)
    (tmp_path / "a.png").write_bytes(png(colour))
    with pytest.raises(PictureError, match=r"a\.png has the value 4096.*12 bits.*--bit-depth 14"):
        read_picture(tmp_path / "a.png", TWELVE)
    for given in (colour, colour[..., 0], Image.fromarray(colour[..., 0])):
        with pytest.raises(PictureError, match="picture-0 has the value 4096"):
            picture_of(given, Path("picture-0"), TWELVE)


def test_pictures_of_8_bits_are_the_same_at_every_depth(tmp_path: Path) -> None:
    rgb = RNG.integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    for depth in (None, Depth(bits=8), TWELVE, Depth(white=4095)):
        assert np.array_equal(read_picture(tmp_path / "a.png", depth), rgb)
        assert np.array_equal(picture_of(rgb, Path("a"), depth), rgb)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_deep_arrays_are_read_like_files(shape: tuple[int, ...]) -> None:
    values = values_of(*shape)
    assert np.array_equal(picture_of(values, Path("a"), TWELVE), eight(values))
    real = (values / 4095).astype(np.float32)
    assert np.abs(picture_of(real, Path("a"), TWELVE).astype(int) - eight(values)).max() <= 1


def test_an_image_that_pillow_would_flatten_is_refused_rather_than_cut_to_8_bits() -> None:
    image = Image.open(BytesIO(png(values_of(4, 6, 3))))
    with pytest.raises(PictureError, match="Pillow drops 8; give its file or an array"):
        picture_of(image, Path("picture-0"), TWELVE)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_damaged_deep_picture_is_one_sentence(tmp_path: Path, part: float) -> None:
    values = RNG.integers(0, 65536, (200, 30, 3)).astype(np.uint16)
    for name, data in (("a.png", png(values)), ("b.tif", tiff(values)), ("c.tif", tiff(values, packed=True))):
        (tmp_path / name).write_bytes(data[: int(part * len(data))])
        with pytest.raises(PictureError, match=name):
            read_picture(tmp_path / name, TWELVE)


def test_deep_files_are_told_by_their_first_bytes() -> None:
    def stored(image: Image.Image, kind: str) -> BytesIO:
        file = BytesIO()
        image.save(file, kind)
        return file

    gray, deep = Image.new("L", (5, 5)), Image.fromarray(np.zeros((5, 5), np.uint16))
    assert not any(is_deep_file(stored(gray, kind)) for kind in ("png", "jpeg", "bmp", "webp"))
    assert is_deep_file(stored(deep, "png"))
    assert is_deep_file(stored(deep, "tiff"))
    assert is_deep(deep)
    assert not is_deep(gray)
