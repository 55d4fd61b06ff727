"""A folder of Parquet parts: every part is whole or absent, and says which model made it. Needs pyarrow.

A part is named by the pictures in it, so the same block of work, done twice, is one part.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from understudy.errors import InputError, WorkError
from understudy.files import check_writable, write_bytes
from understudy.folders import locked
from understudy.scale.batch import RESULT_COLUMNS
from understudy.scale.places import local_folder, open_place

__all__ = ["Finished", "Origin", "as_utf8", "finished_parts", "keeping_others_out", "write_part"]

_KEY = b"understudy"  # of the metadata of a part
_NAME = re.compile(r"part-[0-9a-f]{16}\.parquet")
_DAMAGED = ".understudy-damaged-"  # begins the name of a part that was set aside


@dataclass(frozen=True)
class Origin:
    """What the rows of a folder depend on, besides the pictures.

    Attributes:
        manifest_sha256: SHA-256 of the model's manifest, which holds the hashes of all its files.
        category: product that all pictures were said to show; ``None`` if it was recognised.
    """

    manifest_sha256: str
    category: str | None = None


@dataclass
class Finished:
    """What the parts of a folder hold.

    Attributes:
        paths: names of their pictures.
        failed: those of them that have an error.
        damaged: new names of the files that were set aside.
    """

    paths: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)


@contextmanager
def keeping_others_out(out: str) -> Iterator[None]:
    """Keep other processes of this machine from writing into a folder; an object store knows no locks.

    Raises:
        BundleError: the folder cannot be written.
        InputError: another process writes there.
    """
    folder = local_folder(out)
    if folder is None:
        yield
        return
    check_writable(folder)
    with locked(folder):
        yield


def finished_parts(out: str, origin: Origin, *, overwrite: bool = False) -> Finished:
    """Read which pictures are done already.

    A file with the name of a part that does not open is no part: it gets a hidden name, and its pictures are
    judged again.

    Args:
        out: folder or URI of the parts; it may not exist yet.
        origin: model of the new run.
        overwrite: remove the parts that are there, of any model.

    Raises:
        InputError: a part is of another model or product, or there is a Parquet file of somebody else.
        WorkError: the folder cannot be read.
    """
    from pyarrow.fs import FileSelector

    system, base = open_place(out)
    done = Finished()
    try:
        if folder := local_folder(out):
            folder.mkdir(parents=True, exist_ok=True)
        found = system.get_file_info(FileSelector(base, allow_not_found=True))
        names = sorted(info.base_name for info in found if info.base_name.endswith(".parquet"))
        for name in (each for each in names if not each.startswith(".")):
            _take(system, base, name, out, origin, overwrite, done)
    except OSError as error:
        raise WorkError(f"{out} cannot be read: {error}; try again when it can be reached") from error
    return done


def _take(
    system: Any, base: str, name: str, out: str, origin: Origin, overwrite: bool, done: Finished
) -> None:
    """Add what a part holds, or remove it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place, path = f"{out.rstrip('/')}/{name}", f"{base.rstrip('/')}/{name}"
    named_so = bool(_NAME.fullmatch(name))
    try:
        with system.open_input_file(path) as file:
            whole = pq.ParquetFile(file)
            said = (whole.schema_arrow.metadata or {}).get(_KEY)
            held = whole.read(["path", "error"]) if said and not overwrite else None
    except pa.ArrowInvalid:  # alone: a whole part may fail to open too, for want of memory
        if not named_so:
            raise _foreign(place) from None
        system.move(path, f"{base.rstrip('/')}/{_DAMAGED}{name}")
        done.damaged.append(f"{out.rstrip('/')}/{_DAMAGED}{name}")
        return
    if not (said and named_so):
        raise _foreign(place)
    if held is None:
        system.delete_file(path)
        return
    if (made_by := json.loads(said)) != asdict(origin):
        what = (
            "another model"
            if made_by.get("manifest_sha256") != origin.manifest_sha256
            else (f"pictures of {made_by.get('category') or 'any product'}, by --category")
        )
        raise InputError(f"{place} holds results of {what}; choose another --out, or --overwrite them")
    done.paths.update(held["path"].to_pylist())
    done.failed.update(row["path"] for row in held.to_pylist() if row["error"] is not None)


def _foreign(place: str) -> InputError:
    return InputError(f"{place} is no part that understudy wrote; move it away, or choose another --out")


def write_part(out: str, columns: Mapping[str, Sequence[Any]], origin: Origin) -> str:
    """Write rows as one part, whole or not at all, and return its name.

    Args:
        out: folder or URI of the parts.
        columns: ``RESULT_COLUMNS``, of at least one picture.
        origin: model that judged them.

    Raises:
        WorkError: the part cannot be written, for example because the disk is full.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [(name, pa.float64() if name == "score" else pa.string()) for name in RESULT_COLUMNS]
    schema = pa.schema(kinds, metadata={_KEY: json.dumps(asdict(origin)).encode()})
    readable = {
        name: [as_utf8(v) if isinstance(v, str) else v for v in columns[name]] for name in RESULT_COLUMNS
    }
    content = io.BytesIO()
    pq.write_table(pa.table(readable, schema=schema), content)
    listed = "\0".join(readable["path"]).encode()
    name = f"part-{hashlib.sha256(listed).hexdigest()[:16]}.parquet"
    if folder := local_folder(out):
        write_bytes(folder / name, content.getvalue())
        return name
    system, base = open_place(out)
    try:
        with system.open_output_stream(f"{base.rstrip('/')}/{name}") as file:
            file.write(content.getvalue())  # a store shows the object when it is closed
    except OSError as error:
        raise WorkError(f"{out} cannot be written: {error}; try again when it can be reached") from error
    return name


def as_utf8(text: str) -> str:
    r"""Return a text that UTF-8 can hold: a byte of a file name that is none becomes ``\udcXX``."""
    return text.encode("utf-8", "backslashreplace").decode()
