"""Masks of defects: every mode that programs for marking write, other sizes, damaged files."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustness.damage import DAMAGES
from robustness.drawing import deep_png, encode
from robustness.judge import Case, Kind, Trial

Bits = NDArray[np.bool_]
EDGE = 0.02  # share of the pixels that a lossy mask may have wrong


def _shape(rng: Random) -> Bits:
    """(H, W) mask with a box, a part of which may touch the border."""
    mask = np.zeros((rng.randint(24, 90), rng.randint(24, 90)), bool)
    top, left = rng.randrange(16), rng.randrange(16)
    mask[top : top + rng.randint(4, 16), left : left + rng.randint(4, 16)] = True
    if rng.random() < 0.3:
        mask[18:22, 18:23] = True
    return mask


def _gray(mask: Bits, rng: Random) -> bytes:
    values = mask * np.uint8(rng.choice((255, 255, 1, 128)))
    return encode(Image.fromarray(values), rng.choice(("PNG", "BMP", "TIFF")))


def _bilevel(mask: Bits, rng: Random) -> bytes:
    return encode(Image.fromarray(mask), rng.choice(("PNG", "TIFF")))


def _palette(mask: Bits, rng: Random) -> bytes:
    """Black and a colour, in any place of the palette: index 0 may be the mark."""
    colours = [0] * 768
    black, mark = rng.sample(range(256), 2) if rng.random() < 0.5 else rng.choice(((0, 1), (1, 0)))
    colours[3 * mark : 3 * mark + 3] = rng.choice(((255, 255, 255), (255, 0, 0), (128, 0, 128)))
    image = Image.fromarray(np.where(mask, np.uint8(mark), np.uint8(black)))
    image.putpalette(colours)
    return encode(image, "PNG")


def _colour(mask: Bits, rng: Random) -> bytes:
    colour = np.array(rng.choice(((255, 255, 255), (255, 0, 0), (0, 0, 255))), np.uint8)
    return encode(Image.fromarray(mask[..., None] * colour), rng.choice(("PNG", "BMP", "TIFF")))


def _opaque_alpha(mask: Bits, rng: Random) -> bytes:
    colour = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    return encode(Image.fromarray(np.dstack([colour, np.full(mask.shape, 255, np.uint8)])), "PNG")


def _by_alpha(mask: Bits, rng: Random) -> bytes:
    """One colour everywhere, and only alpha tells."""
    colour = rng.choice(((255, 255, 255), (255, 0, 0), (0, 0, 0)))
    planes = [np.full(mask.shape, value, np.uint8) for value in colour]
    return encode(Image.fromarray(np.dstack([*planes, mask * np.uint8(255)])), "PNG")


def _deep(mask: Bits, rng: Random) -> bytes:
    return deep_png(mask * np.uint16(rng.choice((65535, 1, 255, 256))))


def _cmyk(mask: Bits, rng: Random) -> bytes:
    return encode(Image.fromarray(mask).convert("RGB").convert("CMYK"), "TIFF")


def _float(mask: Bits, rng: Random) -> bytes:
    return encode(Image.fromarray(mask.astype(np.float32) * rng.choice((1, 255))), "TIFF")


def _jpeg(mask: Bits, rng: Random) -> bytes:
    image = Image.fromarray(mask).convert(rng.choice(("L", "RGB")))
    return encode(image, "JPEG", quality=rng.randint(75, 100))


Writer = Callable[[Bits, Random], bytes]
WRITERS: tuple[Writer, ...] = (
    _gray, _bilevel, _palette, _palette, _colour, _opaque_alpha, _by_alpha, _deep, _cmyk, _float, _jpeg,
)  # fmt: skip


def _read(
    case: Case, mask: Bits, suffix: str, data: bytes, size: tuple[int, int] | None = None
) -> Callable[[], Any]:
    """Read the mask of a defective picture as an evaluation does."""
    path = case.place / f"000_mask{suffix}"
    path.write_bytes(data)

    def act() -> Any:
        from understudy.data.records import Record
        from understudy.evaluate.marks import read_masks

        return read_masks(Record("nut", "test", "dent", case.place / "000.png", (path,)), size or mask.shape)

    return act


def _marks(mask: Bits, lossy: bool = False) -> Callable[[Any], str | None]:
    """Oracle: the pixels that were marked are read, and no others."""

    def wrong(read: Any) -> str | None:
        off = int((np.asarray(read) != mask).sum())
        return f"{off} of {mask.size} pixels differ" if off > (EDGE * mask.size if lossy else 0) else None

    return wrong


def whole_mask(case: Case) -> Trial:
    """A mask of any mode; exactly the marked pixels must be read."""
    mask, writer = _shape(case.rng), case.rng.choice(WRITERS)
    data = writer(mask, case.rng)
    act = _read(case, mask, ".png", data)
    return Trial(writer.__name__, act, _marks(mask, writer is _jpeg), plain=writer not in (_cmyk, _float))


def odd_mask(case: Case) -> Trial:
    """A mask of another size, without a mark, with NaN, or of no picture: it must be refused."""
    rng, mask = case.rng, _shape(case.rng)
    what = rng.choice(("size", "turned", "nothing marked", "NaN", "no picture", "empty"))
    data, size = _gray(mask, rng), mask.shape
    if what == "size":
        size = (mask.shape[0] + rng.choice((-1, 1, 50)), mask.shape[1])
    elif what == "turned":
        size = (mask.shape[1] + 1, mask.shape[0])
    elif what == "nothing marked":
        data = rng.choice((_gray, _deep))(np.zeros_like(mask), rng)
    elif what == "NaN":
        data = encode(Image.fromarray(np.where(mask, np.float32(np.nan), np.float32(0))), "TIFF")
    else:
        data = b"" if what == "empty" else b"no picture at all"
    act = _read(case, mask, ".png", data, size)
    return Trial(what, act, lambda _: f"a mask was accepted: {what}")


def damaged_mask(case: Case) -> Trial:
    """A damaged PNG: its checksums tell, so it is refused or read as before."""
    rng, mask = case.rng, _shape(case.rng)
    data = encode(Image.fromarray(mask * np.uint8(255)), "PNG", compress_level=rng.choice((0, 6)))
    name = rng.choice(list(DAMAGES))
    return Trial(f"{name} in PNG", _read(case, mask, ".png", DAMAGES[name](data, rng)), _marks(mask))


KINDS = (
    Kind("masks", whole_mask, 60),
    Kind("odd masks", odd_mask, 20),
    Kind("damaged masks", damaged_mask, 80),
)
