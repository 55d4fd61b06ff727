"""What a data set holds, and what in it would break or bias a run, mostly without decoding its pictures."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from PIL import Image

from understudy.data.layouts import describe, open_pictures
from understudy.data.records import Record
from understudy.errors import PictureError
from understudy.files import sha256_of
from understudy.progress import Advance, ignore_progress
from understudy.runtime.images import Size, decode_picture, read_bytes, read_mask, upright_size

__all__ = ["FileFault", "Finding", "Inspection", "Part", "inspect_data"]


SPLITS = ("train", "validation", "test")
_WINDOW = 512  # files given to the threads at once
_MIDDLE = 4096  # bytes of a file that tell most files of one size apart
_JPEG_END = b"\xff\xd9"

Item = TypeVar("Item")
Result = TypeVar("Result")


class FileFault(StrEnum):
    """What may be wrong with a file."""

    BROKEN = "broken"
    MASK_SIZE = "mask size"
    EMPTY_MASK = "empty mask"
    TRAIN_AND_TEST = "train and test"
    NO_MASK = "no mask"

    @property
    def is_serious(self) -> bool:
        """Whether it would break or bias a run; a defect without a mask only leaves pixel metrics poorer."""
        return self is not FileFault.NO_MASK


@dataclass(frozen=True)
class Finding:
    """One fault of one file, as a sentence that names it."""

    fault: FileFault
    path: Path
    text: str


@dataclass
class Part:
    """What one split of one category holds.

    Attributes:
        category: its name.
        split: its name.
        good: number of good pictures.
        defects: number of others.
        marked: number of those that have masks.
        sizes: how many pictures have a (height, width), upright; broken ones are not counted.
        modes: the same of Pillow's modes, such as RGB, L or I;16.
    """

    category: str
    split: str
    good: int = 0
    defects: int = 0
    marked: int = 0
    sizes: Counter[Size] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)

    @property
    def smallest(self) -> Size | None:
        """Size of fewest pixels."""
        return min(self.sizes, key=_pixels, default=None)

    @property
    def largest(self) -> Size | None:
        """Size of most pixels."""
        return max(self.sizes, key=_pixels, default=None)

    @property
    def commonest(self) -> Size | None:
        """Size of most pictures."""
        return max(self.sizes, key=lambda size: (self.sizes[size], size), default=None)


@dataclass(frozen=True)
class Inspection:
    """What a data set holds, and what is wrong with it.

    Attributes:
        root: its folder or list.
        layout: in words.
        summary: one line on what was recognised.
        decoded: every picture and mask was decoded; else only those whose headers and ends did not prove
            them whole, and masks that mark nothing were not looked for.
        parts: in order of category, then train, validation and test.
        copies: of each split, how many pictures repeat another one of it byte for byte.
        findings: in order of fault, then of the pictures.
    """

    root: Path
    layout: str
    summary: str
    decoded: bool
    parts: tuple[Part, ...]
    copies: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found that would break or bias a run."""
        return not any(finding.fault.is_serious for finding in self.findings)


def inspect_data(root: Path, decode: bool = False, advance: Advance = ignore_progress) -> Inspection:
    """Look at every picture and mask of a data set.

    By default headers are read and files are checked to be whole: a PNG by its checksums, a JPEG by its
    end. A file that this does not prove whole is decoded, as is every one of another format.

    Args:
        root: folder or list.
        decode: decode everything. It also finds such damage within a JPEG as stops a decoder, and masks that
            mark nothing.
        advance: called with ("inspect" or "compare", files done, files in all, "").

    Raises:
        InputError: the layout is not recognised or its rules are broken.
    """
    found = open_pictures(root)
    parts: dict[tuple[str, str], Part] = {}
    maybe_equal: dict[tuple[int, int], list[Record]] = defaultdict(list)
    findings: list[Finding] = []
    looks = _in_threads(partial(_look, decode=decode), found.records, "inspect", advance)
    for record, look in zip(found.records, looks, strict=True):
        key = (record.category, record.split)
        _count(parts.setdefault(key, Part(*key)), record, look)
        findings += look.findings
        if look.glance:
            maybe_equal[look.glance.imprint].append(record)
    copies: Counter[str] = Counter()
    for equal in _equal(maybe_equal.values(), advance):
        for split, n in Counter(record.split for record in equal).items():
            copies[split] += n - 1
        findings += _shared(equal)
    return Inspection(
        root=found.root,
        layout=found.layout,
        summary=describe(found),
        decoded=decode,
        parts=tuple(sorted(parts.values(), key=lambda p: (p.category, SPLITS.index(p.split)))),
        copies={split: copies[split] for split in SPLITS if copies[split]},
        findings=tuple(sorted(findings, key=lambda f: list(FileFault).index(f.fault))),
    )


class _Glance(NamedTuple):
    """What a file shows without being decoded.

    Attributes:
        stored: size of its pixels as they are stored.
        upright: size once turned as its EXIF data ask for; ``None`` unless the file is proven whole.
        mode: Pillow's.
        imprint: number of bytes and a hash of those in the middle, alike in equal files.
    """

    stored: Size
    upright: Size | None
    mode: str
    imprint: tuple[int, int]


class _Look(NamedTuple):
    """What is known of one picture and its masks; no size, and nothing of its masks, if it is broken."""

    glance: _Glance | None
    size: Size | None
    findings: list[Finding]


def _look(record: Record, decode: bool) -> _Look:
    glance = _glance(record.path)
    try:
        size = _size(record.path, None if decode else glance)
    except PictureError as error:
        return _Look(glance, None, [Finding(FileFault.BROKEN, record.path, str(error))])
    if not record.is_good and not record.masks:
        text = f"{record.path} shows a defect, {record.defect!r}, that no mask marks"
        return _Look(glance, size, [Finding(FileFault.NO_MASK, record.path, text)])
    checks = (_check_mask(mask, size, decode) for mask in record.masks)
    return _Look(glance, size, [finding for finding in checks if finding])


def _glance(path: Path) -> _Glance | None:
    """Look at a picture's header and end; ``None`` if it does not even open."""
    try:
        with path.open("rb") as file:
            image = Image.open(file)
            stored, mode = (image.height, image.width), image.mode
            upright = upright_size(image) if _is_whole(image, file) else None
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, (length - _MIDDLE) // 2))
            return _Glance(stored, upright, mode, (length, hash(file.read(_MIDDLE))))
    except Exception:  # whatever is wrong, decoding names it
        return None


def _is_whole(image: Image.Image, file: BinaryIO) -> bool:
    """Whether a file is proven whole, and turned as its header says, without being decoded."""
    if image.format == "PNG":
        try:
            image.verify()
        except Exception:  # a damaged file makes it raise almost anything
            return False
        file.seek(0)
        return "exif" in image.info or b"eXIf" not in file.read()
    if image.format == "JPEG":
        file.seek(-min(file.seek(0, os.SEEK_END), 64), os.SEEK_END)
        return file.read().rstrip(b"\0\r\n").endswith(_JPEG_END)
    return False


def _size(path: Path, glance: _Glance | None) -> Size:
    """Of a picture once upright: as a glance at it proves, else by decoding it.

    Raises:
        PictureError: it does not decode.
    """
    if glance and glance.upright:
        return glance.upright
    height, width, _ = decode_picture(read_bytes(path), path).shape
    return height, width


def _check_mask(path: Path, size: Size, decode: bool) -> Finding | None:
    """What is wrong with a mask of a picture of ``size``."""
    glance = _glance(path)
    if not decode and glance and glance.upright and glance.stored == size:
        return None
    try:
        if read_mask(path, size).any():
            return None
    except PictureError as error:
        fits = glance is None or glance.stored == size
        return Finding(FileFault.BROKEN if fits else FileFault.MASK_SIZE, path, str(error))
    return Finding(
        FileFault.EMPTY_MASK, path, f"{path} is a mask in which no pixel is marked; mark the defect"
    )


def _count(part: Part, record: Record, look: _Look) -> None:
    part.good += record.is_good
    part.defects += not record.is_good
    part.marked += bool(record.masks)
    if look.glance and look.size:
        part.sizes[look.size] += 1
        part.modes[look.glance.mode] += 1


def _equal(candidates: Iterable[list[Record]], advance: Advance) -> Iterator[list[Record]]:
    """Records of equal files together, two or more; ``candidates`` may be equal, others are not."""
    suspects = [record for group in candidates if len(group) > 1 for record in group]
    digests = _in_threads(lambda record: sha256_of(record.path), suspects, "compare", advance)
    equal: dict[str, list[Record]] = defaultdict(list)
    for record, digest in zip(suspects, digests, strict=True):
        equal[digest].append(record)
    return (group for group in equal.values() if len(group) > 1)


def _shared(equal: Sequence[Record]) -> list[Finding]:
    """A finding for every test picture among equal ones of which one is in another split."""
    other = next((record for record in equal if record.split != "test"), None)
    return [
        Finding(
            FileFault.TRAIN_AND_TEST,
            record.path,
            f"{record.path} is to be tested on and is, byte for byte, {other.path} of {other.split}; "
            "keep it in one of them",
        )
        for record in equal
        if other and record.split == "test"
    ]


def _in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], what: str, advance: Advance
) -> Iterator[Result]:
    """Results in order, those of one window at most held at a time."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), _WINDOW):
            window = items[start : start + _WINDOW]
            yield from pool.map(work, window)
            advance(what, start + len(window), len(items), "")


def _pixels(size: Size) -> tuple[int, Size]:
    """What sizes are ordered by."""
    return size[0] * size[1], size
