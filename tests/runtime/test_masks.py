"""Which pixels a mask file marks: by colour, by opacity, and never by a damaged bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy import PictureError
from understudy.runtime.masks import looks_inverted, read_mask, read_mask_values

MARKED = np.zeros((4, 6), bool)
MARKED[1:3, 2:4] = True
GRAY = np.where(MARKED, 255, 0).astype(np.uint8)


def write(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def palette(first: int, second: int) -> Image.Image:
    """Return a mask whose marked pixels have the second colour of a palette."""
    image = Image.fromarray(MARKED.astype(np.uint8), "L").convert("P")
    image.putdata(MARKED.ravel().astype(int).tolist())
    image.putpalette([first] * 3 + [second] * 3)
    return image


def with_alpha(colour: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([colour] * 3 + [alpha]).astype(np.uint8))


def test_a_mask_is_true_wherever_it_is_not_zero(tmp_path: Path) -> None:
    values = np.zeros((4, 6), np.uint8)
    values[1, 2], values[2, 3] = 1, 255
    mask = read_mask(write(tmp_path / "m.png", Image.fromarray(values)), (4, 6))
    assert np.argwhere(mask).tolist() == [[1, 2], [2, 3]]
    opaque = Image.fromarray(values).convert("RGBA")
    assert read_mask(write(tmp_path / "n.png", opaque), (4, 6)).sum() == 2


def test_gray_values_are_kept_since_they_may_name_kinds_of_defects(tmp_path: Path) -> None:
    values = np.array([[0, 7, 200, 255]], np.uint8)
    assert read_mask_values(write(tmp_path / "m.png", Image.fromarray(values))).tolist() == values.tolist()
    deep = values.astype(np.uint16) * 200
    assert read_mask_values(write(tmp_path / "d.png", Image.fromarray(deep))).tolist() == deep.tolist()


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_palette_marks_by_colour_whatever_the_order_of_its_entries(
    tmp_path: Path, suffix: str, inverted: bool
) -> None:
    image = palette(255, 0) if inverted else palette(0, 255)
    assert np.array_equal(read_mask(write(tmp_path / f"m.{suffix}", image)), inverted != MARKED)


@pytest.mark.parametrize("colour", [0, 255, 90])
def test_one_colour_that_shows_through_in_places_marks_by_opacity(tmp_path: Path, colour: int) -> None:
    image = with_alpha(np.full(MARKED.shape, colour), GRAY)
    for name, stored in (("a", image), ("b", image.convert("LA"))):
        assert np.array_equal(read_mask(write(tmp_path / f"{name}.png", stored)), MARKED)


def test_where_several_colours_show_the_colour_marks_and_transparent_pixels_do_not(tmp_path: Path) -> None:
    alpha = np.full(MARKED.shape, 255)
    alpha[0] = 0
    colour = GRAY.copy()
    colour[0] = 255
    assert np.array_equal(read_mask(write(tmp_path / "m.png", with_alpha(colour, alpha))), MARKED)


def test_opacity_that_is_the_same_everywhere_says_nothing(tmp_path: Path) -> None:
    for alpha in (0, 100, 255):
        image = with_alpha(GRAY, np.full(MARKED.shape, alpha))
        assert np.array_equal(read_mask(write(tmp_path / "m.png", image)), MARKED)


def test_a_transparent_entry_of_a_palette_is_not_marked(tmp_path: Path) -> None:
    path = write(tmp_path / "m.png", palette(255, 0), transparency=0)
    assert np.array_equal(read_mask(path), MARKED)


def test_cmyk_is_white_where_there_is_no_ink(tmp_path: Path) -> None:
    image = Image.fromarray(GRAY).convert("RGB").convert("CMYK")
    assert np.array_equal(read_mask(write(tmp_path / "m.tif", image)), MARKED)


def test_lossy_files_mark_from_half_on(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:40, 13:41] = True
    image = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    for path in (
        write(tmp_path / "m.jpg", image, quality=90),
        write(tmp_path / "m.webp", image, quality=90),
        write(tmp_path / "m.tif", image, compression="jpeg"),
    ):
        assert np.count_nonzero(read_mask(path) != mask) <= 0.01 * mask.sum(), path
    lossless = write(tmp_path / "exact.webp", image.point(lambda v: v // 255), lossless=True)
    assert np.array_equal(read_mask(lossless), mask)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    path = write(tmp_path / "m.tif", Image.fromarray(np.array([[0, value]], np.float32)))
    with pytest.raises(PictureError, match=r"m\.tif is a mask with pixels that are no finite numbers"):
        read_mask(path)


def test_no_flipped_bit_of_a_png_changes_a_mask_in_silence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, (32, 32)).astype(np.uint8) * 255
    path = write(tmp_path / "m.png", Image.fromarray(values))
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            assert np.array_equal(read_mask(path), values != 0)
        except PictureError:
            refused += 1
    assert refused > 0.9 * len(whole)


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    path = write(tmp_path / "m.png", Image.new("L", (6, 4)))
    with pytest.raises(PictureError, match=r"m\.png is a mask of 6x4, its picture is 8x5"):
        read_mask(path, (5, 8))


def test_a_mask_looks_inverted_if_it_marks_nearly_all_and_the_whole_border() -> None:
    mask = np.ones((50, 50), bool)
    assert looks_inverted(mask)
    mask[20:30, 20:30] = False
    assert looks_inverted(mask)
    mask[0, 0] = False
    assert not looks_inverted(mask)
    assert not looks_inverted(~mask)
