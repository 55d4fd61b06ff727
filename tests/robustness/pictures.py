"""Pictures and arrays: every mode and format, damaged files, odd names, fifos, giant headers."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from robustness.damage import DAMAGES
from robustness.drawing import SIGNATURE, Drawn, draw, encode, png_chunk, png_chunks, scene
from robustness.judge import Case, Kind, Ran, Trial, command, right

MEMORY = 1 << 30  # one small file may take no more than this, in bytes


def _judged(case: Case, source: Any) -> Callable[[], Any]:
    """Predict one picture; an error that its result holds is raised."""

    def act() -> Any:
        from understudy.errors import InputError

        (result,) = case.kit.inspector.predict(source)
        if result.error is not None:
            raise InputError(result.error)
        return result

    return act


def _canvas(case: Case, source: Any) -> Any:
    """The network's input for a picture, as uint8."""
    from understudy.runtime.sources import decode_one_by_one

    (decoded,) = decode_one_by_one([source], case.kit.inspector.scorer.preprocess)
    return decoded if isinstance(decoded, Exception) else decoded.picture.astype(int)


def _shows(case: Case, path: Path, drawn: Drawn) -> Callable[[Any], str | None]:
    """Oracle: the picture was decoded to what was drawn, and its map is that of the drawn array."""

    def wrong(result: Any) -> str | None:
        if drawn.refused:
            return drawn.refused
        expected = drawn.rgb if drawn.rgb is not None else _scaled(case, drawn)
        if expected is None:
            return None
        if isinstance(expected, str):
            return expected
        off = np.abs(_canvas(case, path) - _canvas(case, expected)).max()
        if off > drawn.tolerance:
            return f"a pixel of the canvas is {off} off"
        if not drawn.tolerance:
            (same,) = case.kit.inspector.predict(expected)
            if not np.array_equal(same.anomaly_map, result.anomaly_map):
                return "the anomaly map is not that of the same pixels in memory"
        return None

    return wrong


def _scaled(case: Case, drawn: Drawn) -> Any:
    """What values of more than 8 bits must become, by the depth that the model records."""
    if drawn.deep is None:
        return None
    bits = depth_of(case.kit.inspector.scorer.preprocess)
    if int(drawn.deep.max()) >= 2**bits:
        return f"a value of {drawn.deep.max()} was accepted, more than the {bits} bits of the model"
    values = (drawn.deep.astype(np.int64) * 255 // (2**bits - 1)).astype(np.uint8)
    return values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)


def depth_of(preprocess: Any) -> int:
    """Bits of a deep picture's values that white has."""
    depth = getattr(preprocess, "depth", None)
    return int(getattr(depth, "bits", 16) or 16)


def picture(case: Case) -> Trial:
    """A picture of any mode and format, whole or damaged."""
    rng, drawn = case.rng, draw(case.rng)
    if rng.random() < 0.35:
        path = case.place / f"picture{drawn.suffix if rng.random() < 0.8 else rng.choice(('.jpg', '.png'))}"
        path.write_bytes(drawn.data)
        plain = drawn.rgb is not None and not drawn.refused
        return Trial("whole", _judged(case, path), _shows(case, path, drawn), plain=plain)
    name = rng.choice(list(DAMAGES))
    data = DAMAGES[name](drawn.data, rng)
    path = case.place / f"picture{drawn.suffix}"
    path.write_bytes(data)
    seen = drawn.checked or name == "truncate"
    return Trial(
        f"{name} in {drawn.suffix}", _judged(case, path), _shows(case, path, drawn) if seen else right
    )


def header(case: Case) -> Trial:
    """A header that promises other sizes than the file holds, its checksum mended."""
    rng, path = case.rng, case.place / "picture"
    sizes = [rng.choice((0, 1, 13377, 30000, 65535, 2**31 - 1)) for _ in range(2)]
    if rng.random() < 0.5:
        data = encode(Image.fromarray(scene(rng)), "JPEG")
        at = data.index(b"\xff\xc0") + 5
        data = data[:at] + struct.pack(">HH", *(min(s, 65535) for s in sizes)) + data[at + 4 :]
        path = path.with_suffix(".jpg")
    else:
        chunks = list(png_chunks(encode(Image.fromarray(scene(rng)), "PNG")))
        head = struct.pack(">II", *sizes) + chunks[0][1][8:]
        data = SIGNATURE + b"".join(png_chunk(*c) for c in ((b"IHDR", head), *chunks[1:]))
        path = path.with_suffix(".png")
    path.write_bytes(data)
    before = _peak(reset=True)

    def modest() -> str | None:
        taken = _peak() - before
        return f"{len(data)} bytes took {taken >> 20} MiB of memory" if taken > MEMORY else None

    return Trial(f"{path.suffix} header of {sizes}", _judged(case, path), after=modest)


def _peak(reset: bool = False) -> int:
    """Most memory that this process had since the last reset, in bytes; 0 where Linux does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def exif(case: Case) -> Trial:
    """EXIF data: each orientation, and data that are damaged."""
    rng = case.rng
    rgb = scene(rng)
    data = Image.Exif()
    data[0x0112] = turn = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535))
    data[0x010E] = "a" * rng.choice((0, 1, 1000))
    content = data.tobytes() if rng.random() < 0.7 else DAMAGES["flip"](data.tobytes(), rng)
    intact = content == data.tobytes()
    path = case.place / "picture.png"
    Image.fromarray(rgb).save(path, exif=content)
    turned = {2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud, 6: lambda p: np.rot90(p, 3)}
    turned |= {5: lambda p: np.transpose(p, (1, 0, 2)), 8: np.rot90}
    turned |= {7: lambda p: np.rot90(np.transpose(p, (1, 0, 2)), 2)}
    upright = np.ascontiguousarray(turned.get(turn, lambda p: p)(rgb))
    drawn = Drawn(b"", ".png", upright if intact else None)
    return Trial(f"orientation {turn}, intact {intact}", _judged(case, path), _shows(case, path, drawn))


NAMES: tuple[bytes, ...] = (
    b"caf\xe9", b"\xff\xfe", b"a\nb", b"a\tb", b'a"b', b"a;b,c", b"-h", b"--out", b" ", b"...", b"a" * 251,
    b"a" * 252,
        b"\xf0\x9f\x94\xa9" * 60, "ä".encode() * 120, b"a\\b", b"%s{}$HOME", b"a\x1b[31m", "e\u0301".encode(),
)  # fmt: skip


def odd_name(case: Case) -> Trial:
    """A file or a folder of an odd name, through the command line; the score must be the usual one."""
    rng, name = case.rng, rng_name(case.rng)
    folder = Path(os.fsdecode(name)) if rng.random() < 0.5 else Path()
    path = case.place / "in" / folder / os.fsdecode(name + b".png")[-255 if rng.random() < 0.9 else 0 :]
    note = f"name {name!r}"
    asked = rng.choice((path, case.place / "in"))
    try:
        path.parent.mkdir(parents=True)
        path.write_bytes(case.kit.probe.read_bytes())
    except OSError:  # too long for the file system
        asked = path
        (case.place / "in").mkdir(exist_ok=True)
    out = case.place / "out"
    form = rng.choice(("jsonl", "csv", "parquet"))
    options = ["--out", out, *rng.choice(([], ["--heatmaps"], ["--masks"]))] if rng.random() < 0.6 else []
    if not options and form == "parquet":
        form = "csv"
    words = ("predict", case.kit.models["exported"], asked, "--format", form, *options)

    def wrong(ran: Ran) -> str | None:
        text = (
            ran.out if not options else "" if form == "parquet" else (out / f"predictions.{form}").read_text()
        )
        if form == "parquet":
            import pyarrow.parquet

            rows = pyarrow.parquet.read_table(out / "predictions.parquet").to_pylist()
            return (
                None
                if [r["score"] for r in rows] == [case.kit.answers["exported"].score]
                else f"rows: {rows}"
            )
        if form == "jsonl":
            scores = [json.loads(line)["score"] for line in text.splitlines()]
            return None if scores == [case.kit.answers["exported"].score] else f"scores: {scores}"
        return None if str(case.kit.answers["exported"].score) in text else f"the score is not in {text!r}"

    return Trial(note, lambda: command(*words), wrong, writes=(out,))


def rng_name(rng: Random) -> bytes:
    """One of the odd names, or random bytes."""
    if rng.random() < 0.7:
        return rng.choice(NAMES)
    return bytes(rng.choice(bytes(range(1, 256)).replace(b"/", b"")) for _ in range(rng.randint(1, 40)))


def no_file(case: Case) -> Trial:
    """What is no plain file: fifos, folders, links to nowhere, devices, empty names; alone or in a folder."""
    rng, path = case.rng, case.place / "in" / "picture.png"
    path.parent.mkdir()
    what = rng.choice(("fifo", "folder", "link to nowhere", "link to itself", "device", "absent", "no name"))
    {
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link to nowhere": lambda: path.symlink_to("nowhere"),
        "link to itself": lambda: path.symlink_to(path),
        "device": lambda: path.symlink_to(rng.choice(("/dev/zero", "/dev/null", "/proc/self/mem"))),
    }.get(what, lambda: None)()
    good = rng.random() < 0.5
    if good:
        (path.parent / "good.png").write_bytes(case.kit.probe.read_bytes())
    asked: Path | str = "" if what == "no name" else rng.choice((path, path.parent))
    words = ("predict", case.kit.models["exported"], asked)
    alone = asked != path.parent or not good

    def wrong(ran: Ran) -> str | None:
        if alone:
            return f"{what} was taken for a picture"
        return (
            None if str(case.kit.answers["exported"].score) in ran.out else "the good picture was not scored"
        )

    return Trial(f"{what}, a folder asked for: {asked == path.parent}", lambda: command(*words), wrong)


def array(case: Case) -> Trial:
    """An array of odd type, shape or values; and what is no picture at all."""
    rng = case.rng
    rgb = scene(rng)
    if rng.random() < 0.3:
        odd: Any = rng.choice(
            (None, b"", rgb.tobytes(), 7, 1.5, [], [[]], {}, (), object(), [None], [rgb, None], "", [""])
        )
        return Trial(
            f"{type(odd).__name__} given", lambda: _all(case, odd), lambda _: "it was taken for a picture"
        )
    kind = rng.choice(
        ("u1", "i1", "u2", "i2", "u4", "i4", "i8", "f2", "f4", "f8", "?", "c8", "O", "U1", "M8[s]")
    )
    shape = rng.choice(
        ((), (0,), (5,), (0, 0), (9, 9), (1, 1), (9, 9, 1), (9, 9, 2), (9, 9, 3), (9, 9, 4), (9, 9, 5))
    )
    shape = rng.choice((shape, shape, (*shape, 3), (0, *shape), (2, *shape)))
    values = np.random.default_rng(rng.getrandbits(32)).integers(0, 250, shape)
    given = (
        np.asarray(values).astype(kind) if kind != "M8[s]" else np.asarray(values).astype("i8").astype(kind)
    )
    if kind.startswith("f") and given.size and rng.random() < 0.7:
        given = (
            given / 255
            if rng.random() < 0.5
            else np.full_like(given, rng.choice((np.nan, np.inf, -np.inf, 1e30)))
        )
    if rng.random() < 0.2:
        given = given[::-1, ...] if given.ndim else given
    plain = kind == "u1" and given.ndim == 3 and given.shape[2] == 3 and given.size

    def wrong(results: Any) -> str | None:
        if plain and not np.array_equal(_canvas(case, given), _canvas(case, np.ascontiguousarray(given))):
            return "another memory order gives another picture"
        return None if all(np.isfinite(r.score) for r in results) else "the score is not a number"

    return Trial(f"array of {given.dtype} {given.shape}", lambda: _all(case, given), wrong)


def _all(case: Case, given: Any) -> list[Any]:
    from understudy.errors import InputError

    results = list(case.kit.inspector.predict(given))
    if errors := [r.error for r in results if r.error is not None]:
        raise InputError(errors[0])
    return results


KINDS = (
    Kind("pictures", picture, 200),
    Kind("picture headers", header, 8, seconds=60),
    Kind("EXIF data", exif, 30),
    Kind("names", odd_name, 40),
    Kind("no files", no_file, 20),
    Kind("arrays", array, 80),
)
