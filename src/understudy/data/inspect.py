"""What a data set holds, and what would break or bias a run; mostly without decoding its pictures."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from PIL import Image

from understudy.data.bit_depth import FoundDepth, find_depth
from understudy.data.layouts import as_picture_set
from understudy.data.overview import describe
from understudy.data.records import PictureData, Record
from understudy.errors import PictureError
from understudy.files import sha256_of
from understudy.progress import Advance, ignore_progress
from understudy.runtime.decoding import decode_file
from understudy.runtime.depth import Depth
from understudy.runtime.headers import open_image, open_regular, upright_size
from understudy.runtime.images import Size
from understudy.runtime.masks import looks_inverted, read_mask
from understudy.runtime.walk import LeftOut

__all__ = ["FileFault", "Finding", "Inspection", "Part", "inspect_data"]


SPLITS = ("train", "validation", "test")
_WINDOW = 512  # files that the threads get at once
_MIDDLE = 4096  # bytes in the middle of a file, which differ in most files of one size
_JPEG_END = b"\xff\xd9"

Item = TypeVar("Item")
Value = TypeVar("Value")


class FileFault(StrEnum):
    """What may be wrong with a file."""

    BROKEN = "broken"
    MASK_SIZE = "mask size"
    EMPTY_MASK = "empty mask"
    TRAIN_AND_TEST = "train and test"
    INVERTED_MASK = "inverted mask"
    NO_MASK = "no mask"

    @property
    def is_serious(self) -> bool:
        """Whether it would break or bias a run; a defect without a mask, or all over, need not."""
        return self not in (FileFault.NO_MASK, FileFault.INVERTED_MASK)


@dataclass(frozen=True)
class Finding:
    """One fault of one file.

    Attributes:
        fault: kind of fault.
        path: the file.
        text: the fault in one sentence that names the file.
    """

    fault: FileFault
    path: Path
    text: str


@dataclass
class Part:
    """What one split of one category holds.

    Attributes:
        category: name of the category.
        split: name of the split.
        good: number of good pictures.
        defects: number of pictures with a defect.
        marked: number of pictures with masks.
        sizes: number of pictures of each (height, width), upright; without broken pictures.
        modes: number of pictures of each Pillow mode, such as RGB, L or I;16; without broken pictures.
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
        """Size with the fewest pixels, as (height, width); ``None`` without pictures."""
        return min(self.sizes, key=_pixels, default=None)

    @property
    def largest(self) -> Size | None:
        """Size with the most pixels, as (height, width); ``None`` without pictures."""
        return max(self.sizes, key=_pixels, default=None)

    @property
    def commonest(self) -> Size | None:
        """Size of the most pictures, as (height, width); ``None`` without pictures."""
        return max(self.sizes, key=lambda size: (self.sizes[size], size), default=None)


@dataclass(frozen=True)
class Inspection:
    """What a data set holds, and what is wrong with it.

    Attributes:
        root: folder or list of the data set.
        layout: layout, in words.
        summary: one line on what was recognised.
        decoded: whether every picture and mask was decoded. Else only files were decoded whose header and end
            do not prove them whole, and masks that mark nothing were not searched.
        parts: splits, in order of category, then train, validation and test.
        copies: number of pictures of each split that repeat another one of that split byte for byte.
        findings: faults, in order of their kind, then of the pictures.
        left_out: files and folders that are in no record, with the reason.
        depth: depth that holds the pictures of all splits.
    """

    root: Path
    layout: str
    summary: str
    decoded: bool
    parts: tuple[Part, ...]
    copies: dict[str, int]
    findings: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...] = ()
    depth: FoundDepth | None = None

    @property
    def is_sound(self) -> bool:
        """Whether there is no fault that would break or bias a run."""
        return not any(finding.fault.is_serious for finding in self.findings)


def inspect_data(data: PictureData, decode: bool = False, advance: Advance = ignore_progress) -> Inspection:
    """Look at every picture and mask of a data set.

    By default files are checked to be whole without decoding: a PNG by its checksums, a JPEG by its end. A
    file that this does not prove whole is decoded, and so is every file of another format.

    Args:
        data: folder or list of pictures.
        decode: decode every file. This also finds damage within a JPEG that stops a decoder, and masks that
            mark nothing.
        advance: called with ("inspect" or "compare", files done, files in all, "").

    Raises:
        InputError: the layout is not recognised, or its rules are broken.
    """
    pictures = as_picture_set(data)
    parts: dict[tuple[str, str], Part] = {}
    maybe_equal: dict[tuple[int, int], list[Record]] = defaultdict(list)
    findings: list[Finding] = []
    found = find_depth([record.path for record in pictures.records])
    look_at = partial(_look, decode=decode, depth=found.depth)
    looks = _in_threads(look_at, pictures.records, "inspect", advance)
    for record, look in zip(pictures.records, looks, strict=True):
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
        root=pictures.root,
        layout=pictures.layout,
        summary=describe(pictures),
        decoded=decode,
        parts=tuple(sorted(parts.values(), key=lambda p: (p.category, SPLITS.index(p.split)))),
        copies={split: copies[split] for split in SPLITS if copies[split]},
        findings=tuple(sorted(findings, key=lambda f: list(FileFault).index(f.fault))),
        left_out=pictures.left_out,
        depth=found,
    )


class _Glance(NamedTuple):
    """What a file shows without being decoded.

    Attributes:
        stored: (height, width) of its pixels as they are stored.
        upright: (height, width) once turned as the EXIF data say; ``None`` unless the file is proven whole.
        mode: Pillow mode.
        imprint: number of bytes, and a hash of the bytes in the middle; the same for equal files.
    """

    stored: Size
    upright: Size | None
    mode: str
    imprint: tuple[int, int]


class _Look(NamedTuple):
    """What was learned of one picture and its masks.

    Attributes:
        glance: what the file shows; ``None`` if it does not open.
        size: (height, width), upright; ``None`` if the picture is broken.
        findings: faults of the picture and its masks; without those of the masks if the picture is broken.
    """

    glance: _Glance | None
    size: Size | None
    findings: list[Finding]


def _look(record: Record, decode: bool, depth: Depth) -> _Look:
    """Check one picture and its masks."""
    glance = _glance(record.path)
    try:
        size = _size(record.path, None if decode else glance, depth)
    except PictureError as error:
        return _Look(glance, None, [Finding(FileFault.BROKEN, record.path, str(error))])
    if not record.is_good and not record.masks:
        text = f"{record.path} shows a defect, {record.defect!r}, that no mask marks"
        return _Look(glance, size, [Finding(FileFault.NO_MASK, record.path, text)])
    checks = (_check_mask(mask, size, decode) for mask in record.masks)
    return _Look(glance, size, [finding for finding in checks if finding])


def _glance(path: Path) -> _Glance | None:
    """Look at the header and the end of a picture file; ``None`` if it does not open."""
    try:
        with open_regular(path) as (file, _):
            image = open_image(file)
            stored, mode = (image.height, image.width), image.mode
            upright = upright_size(image) if _is_whole(image, file) else None
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, (length - _MIDDLE) // 2))
            return _Glance(stored, upright, mode, (length, hash(file.read(_MIDDLE))))
    except Exception:  # decoding will name the fault
        return None


def _is_whole(image: Image.Image, file: IO[bytes]) -> bool:
    """Tell whether a file is proven whole, and its orientation known, without decoding it."""
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


def _size(path: Path, glance: _Glance | None, depth: Depth) -> Size:
    """Return the (height, width) of a picture, upright: from the glance if it proves it, else by decoding.

    Raises:
        PictureError: the picture does not decode, or has values beyond the depth.
    """
    if glance and glance.upright:
        return glance.upright
    return decode_file(path, depth).size


def _check_mask(path: Path, size: Size, decode: bool) -> Finding | None:
    """Return what is wrong with the mask of a picture of ``size``; ``None`` if nothing is."""
    glance = _glance(path)
    if not decode and glance and glance.upright and glance.stored == size:
        return None
    try:
        mask = read_mask(path, size)
        if looks_inverted(mask):
            text = f"{path} is a mask of nearly all pixels and the border; invert it if it marks what is good"
            return Finding(FileFault.INVERTED_MASK, path, text)
        if mask.any():
            return None
    except PictureError as error:
        fits = glance is None or glance.stored == size
        return Finding(FileFault.BROKEN if fits else FileFault.MASK_SIZE, path, str(error))
    return Finding(
        FileFault.EMPTY_MASK, path, f"{path} is a mask in which no pixel is marked; mark the defect"
    )


def _count(part: Part, record: Record, look: _Look) -> None:
    """Add one picture to the counts of its part."""
    part.good += record.is_good
    part.defects += not record.is_good
    part.marked += bool(record.masks)
    if look.glance and look.size:
        part.sizes[look.size] += 1
        part.modes[look.glance.mode] += 1


def _equal(candidates: Iterable[list[Record]], advance: Advance) -> Iterator[list[Record]]:
    """Yield groups of two or more records with equal files, out of groups whose files may be equal."""
    suspects = [record for group in candidates if len(group) > 1 for record in group]
    digests = _in_threads(lambda record: sha256_of(record.path), suspects, "compare", advance)
    equal: dict[str, list[Record]] = defaultdict(list)
    for record, digest in zip(suspects, digests, strict=True):
        equal[digest].append(record)
    return (group for group in equal.values() if len(group) > 1)


def _shared(equal: Sequence[Record]) -> list[Finding]:
    """Return a finding for every test picture that equals a picture of another split."""
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
    work: Callable[[Item], Value], items: Sequence[Item], what: str, advance: Advance
) -> Iterator[Value]:
    """Work on all items in threads and yield the results in order; holds one window of results at a time."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), _WINDOW):
            window = items[start : start + _WINDOW]
            yield from pool.map(work, window)
            advance(what, start + len(window), len(items), "")


def _pixels(size: Size) -> tuple[int, Size]:
    """Key that sorts sizes by their number of pixels."""
    return size[0] * size[1], size
