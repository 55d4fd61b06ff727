"""Pictures of any kind become canvases in order: decoded ahead from a list, one at a time from a stream."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from understudy import InputError, PictureError
from understudy.runtime import decoding, sources
from understudy.runtime.budget import DecodingBudget
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.sources import (
    Decoded,
    PictureInput,
    Source,
    decode_ahead,
    decode_one_by_one,
    digest_of,
    is_stream,
    list_sources,
    usable_cores,
)

LOOK = Preprocess(image_size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
DECODERS = [decode_ahead, decode_one_by_one]


def frame(value: int) -> np.ndarray:
    return np.full((32, 32, 3), value, np.uint8)


def save(path: Path, value: int) -> Path:
    Image.fromarray(frame(value)).save(path)
    return path


class Counted:
    """Sources that count how many were asked for."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources, self.asked = sources, 0

    def __iter__(self) -> Iterator[Source]:
        for source in self.sources:
            self.asked += 1
            yield source


@pytest.mark.parametrize("decode", DECODERS)
def test_canvases_come_in_order_under_their_files_or_their_places(decode: object, tmp_path: Path) -> None:
    sources = [frame(0), save(tmp_path / "a.png", 1), Image.fromarray(frame(2)), frame(3)[..., 0]]
    found = list(decode(sources, LOOK))
    assert [str(each.path) for each in found] == [
        "picture-0",
        str(tmp_path / "a.png"),
        "picture-2",
        "picture-3",
    ]
    assert [int(each.picture.mean()) for each in found] == [0, 1, 2, 3]
    assert {each.picture.shape for each in found} == {(32, 32, 3)}


@pytest.mark.parametrize("decode", DECODERS)
def test_a_picture_that_does_not_decode_gives_its_error_in_its_place(decode: object, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    sources = [frame(0), tmp_path / "broken.png", np.zeros((4, 4, 7)), frame(3), tmp_path / "gone.png"]
    found = list(decode(sources, LOOK))
    assert [type(each) for each in found] == [Decoded, PictureError, PictureError, Decoded, PictureError]
    assert [str(each.path) for each in found][1:3] == [str(tmp_path / "broken.png"), "picture-2"]
    errors = [each for each in found if isinstance(each, PictureError)]
    assert all(e.__traceback__ is e.__cause__ is e.__context__ is None for e in errors)  # they keep no pixels


def test_a_canvas_is_as_large_as_the_model_wants_and_the_pictures_own_size_is_kept() -> None:
    (found,) = decode_ahead([np.zeros((20, 50, 3), np.uint8)], LOOK)
    assert isinstance(found, Decoded)
    assert (found.size, found.picture.shape) == ((20, 50), (32, 32, 3))


def test_of_a_long_list_a_few_are_decoded_ahead_and_not_all() -> None:
    counted = Counted([frame(i % 256) for i in range(300)])
    coming = decode_ahead(counted, LOOK, ahead=5)
    next(coming)
    assert 1 < counted.asked <= 6
    assert len(list(coming)) == 299


def test_one_by_one_asks_for_a_picture_only_when_it_is_wanted() -> None:
    counted = Counted([frame(i) for i in range(4)])
    coming = decode_one_by_one(counted, LOOK)
    assert counted.asked == 0
    for n in range(1, 5):
        next(coming)
        assert counted.asked == n


@pytest.mark.parametrize(
    ("pictures", "streams"),
    [
        ("folder", False),
        (Path("folder"), False),
        (frame(0), False),
        (np.stack([frame(0)] * 2), False),
        (Image.fromarray(frame(0)), False),
        ([frame(0)], False),
        ((frame(0),), False),
        (iter([frame(0)]), True),
        ((frame(i) for i in range(2)), True),
        (map(frame, range(2)), True),
    ],
)
def test_an_iterator_is_a_stream_and_nothing_else_is(pictures: PictureInput, streams: bool) -> None:
    assert is_stream(pictures) == streams


def test_a_folder_is_searched_and_a_list_may_hold_all_kinds(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    b, a = save(tmp_path / "deeper" / "b.png", 1), save(tmp_path / "a.png", 2)
    (tmp_path / "notes.txt").touch()
    array, image = frame(3), Image.fromarray(frame(4))
    assert list(list_sources(tmp_path)) == list(list_sources(str(tmp_path))) == [a, b]
    assert list(list_sources([array, str(a), image, tmp_path])) == [array, a, image, a, b]
    assert list(list_sources(iter([image, tmp_path]))) == [image, a, b]


def test_an_array_or_an_image_alone_is_one_picture_and_four_axes_are_several() -> None:
    image = Image.fromarray(frame(0))
    assert list(list_sources(image)) == [image]
    assert len(list(list_sources(frame(0)))) == 1
    assert len(list(list_sources(np.stack([frame(0)] * 5)))) == 5


def test_what_names_no_picture_is_refused_at_once_and_in_a_stream_when_it_comes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures in an empty list"):
        list_sources([])
    with pytest.raises(InputError, match=f"no pictures in {tmp_path}"):
        list_sources(tmp_path)
    with pytest.raises(InputError, match="nowhere does not exist"):
        list_sources([frame(0), "nowhere"])
    coming = iter(list_sources(iter([frame(0), "nowhere"])))
    next(coming)
    with pytest.raises(InputError, match="nowhere does not exist"):
        next(coming)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16", "CMYK", "LA"])
def test_an_image_is_seen_as_the_same_picture_in_a_file(mode: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, (20, 30), np.uint16))
    else:
        channels = 4 if mode in ("RGBA", "LA") else 3
        image = Image.fromarray(rng.integers(0, 256, (20, 30, channels), np.uint8)).convert(mode)
    path = tmp_path / "picture.tif"
    image.save(path)
    given, read = decode_ahead([image, path], LOOK)
    assert isinstance(given, Decoded)
    assert isinstance(read, Decoded)
    np.testing.assert_array_equal(given.picture, read.picture)
    assert given.size == read.size == (20, 30)


def test_an_image_is_turned_upright_and_stays_as_it_was(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        given, read = decode_ahead([image, tmp_path / "a.png"], LOOK)
        assert isinstance(given, Decoded)
        assert isinstance(read, Decoded)
        assert given.size == read.size == (30, 20)
        np.testing.assert_array_equal(given.picture, read.picture)
        assert image.size == (30, 20)  # width and height, as stored


def test_an_image_that_is_cut_short_or_of_float_pixels_gives_its_error(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "a.png") as image:
        cut, strange = decode_ahead([image, Image.fromarray(np.full((3, 3), 7, np.float32))], LOOK)
    assert isinstance(cut, PictureError)
    assert isinstance(strange, PictureError)
    assert [str(each).split()[0] for each in (cut, strange)] == ["picture-0", "picture-1"]


def test_a_digest_is_the_first_half_of_a_files_sha256(tmp_path: Path) -> None:
    data = save(tmp_path / "a.png", 7).read_bytes()
    assert digest_of(data) == hashlib.sha256(data).hexdigest()[:32]
    (found,) = decode_ahead([tmp_path / "a.png"], LOOK)
    assert isinstance(found, Decoded)
    assert found.digest == digest_of(data)


def test_cores_are_those_that_the_process_may_use_where_the_system_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 4, 5}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_an_endless_stream_is_read_no_further_than_it_is_asked() -> None:
    def camera() -> Iterator[np.ndarray]:
        while True:
            yield frame(9)

    assert len(list(islice(decode_one_by_one(list_sources(camera()), LOOK), 7))) == 7


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (None, "NoneType"),
        (b"abc", "bytes"),
        (7, "int"),
        (2.5, "float"),
        ([b"x"], "bytes"),
        ([[]], "list"),
    ],
)
def test_what_is_no_picture_by_its_type_is_one_sentence(given: object, kind: str) -> None:
    with pytest.raises(
        InputError, match=f"^a value of type {kind} is no picture; give a file or folder by its name"
    ):
        list_sources(given)


def test_a_name_that_no_file_can_have_is_one_sentence(tmp_path: Path) -> None:
    for name in ("x" * 300 + ".png", "zero\0byte.png"):
        with pytest.raises(InputError, match="png"):
            list_sources(tmp_path / name)


def test_there_are_no_more_threads_than_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, n: int) -> None:
            asked.append(n)
            super().__init__(n)

    monkeypatch.setattr(sources, "ThreadPoolExecutor", Pool)
    for cores in (1, 3, 64):
        monkeypatch.setattr(sources, "usable_cores", lambda cores=cores: cores)
        assert len(list(decode_ahead([frame(0)] * 3, LOOK, ahead=16))) == 3
    assert asked == [1, 3, 16]


def test_with_room_for_one_picture_at_a_time_all_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "BUDGET", DecodingBudget(1, free=lambda: 1e9))
    paths = [save(tmp_path / f"{i}.png", i) for i in range(40)]
    found = list(decode_ahead(paths, LOOK, ahead=8))
    assert [each.picture[0, 0, 0] for each in found] == list(range(40))
