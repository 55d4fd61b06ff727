"""A picture file is opened and its header read, without Pillow's limits of size, which are global."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import ExifTags, Image, UnidentifiedImageError

from understudy.errors import PictureError

__all__ = [
    "has_alpha",
    "load_image",
    "open_image",
    "open_regular",
    "orientation_of",
    "unread",
    "upright_size",
]


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file and yield it with its length in bytes. A pipe or a device is refused, because it may block.

    Raises:
        PictureError: it cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(path, "is no file but a folder, a pipe or a device; name a picture file")
        file = path.open("rb")
    except OSError as error:
        raise PictureError(path, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # such as a zero byte in the name
        raise PictureError(path, f"cannot be read: {error}") from error
    with file:
        yield file, status.st_size


def open_image(file: IO[bytes]) -> Image.Image:
    """Open a picture as :func:`PIL.Image.open` does, at any size and without its warning about large ones.

    Pillow's limits are settings of the whole process, so this program has a limit of its own.

    Raises:
        UnidentifiedImageError: no decoder knows it. Damaged files raise other errors too.
    """
    file.seek(0)
    prefix = file.read(16)
    tried: set[str] = set()
    for load in (Image.preinit, Image.init):
        load()
        for name in [name for name in Image.ID if name not in tried]:
            tried.add(name)
            factory, accepts = Image.OPEN[name]
            try:
                if accepts is None or accepts(prefix) is True:
                    file.seek(0)
                    return factory(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # what Pillow's own loop ignores
                continue
    raise UnidentifiedImageError("cannot identify the picture")


def load_image(image: Image.Image) -> None:
    """Decode an opened picture as its own method does, without the warning about a large TIFF."""
    if image.format == "TIFF" and getattr(image, "tile", None):
        size = getattr(image, "_tile_size", image.size)
        image.im = Image.new(image.mode, size, None).im  # Pillow warns where it makes room itself
    image.load()


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the (height, width) that an opened picture has when it is decoded and turned; decodes nothing.

    EXIF data after the pixels are not read. Pillow gives the size of a TIFF upright already.
    """
    width, height = image.size
    turned = image.format != "TIFF" and orientation_of(unread(image)) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def unread(image: Image.Image) -> Image.Image:
    """Return what tells a picture's orientation; the picture itself would be decoded, or keep the answer."""
    if image.format == "TIFF":
        return image
    probe = Image.Image()
    probe.info = image.info
    return probe


def orientation_of(image: Image.Image) -> int:
    """Return the orientation, from 1 to 8, that the EXIF data tell; damaged EXIF data are ignored."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def has_alpha(image: Image.Image) -> bool:
    """Tell whether pixels of an opened picture may be transparent."""
    return image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
