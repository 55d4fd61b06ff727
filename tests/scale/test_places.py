"""Pictures of folders and object stores: found in order, each once, read or explained."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from understudy import InputError
from understudy.runtime.walk import find_pictures
from understudy.scale import places
from understudy.scale.places import list_lake, local_folder, open_place, place_name, read_content


@pytest.fixture
def store() -> Iterator[str]:
    """A store in memory with two pictures, a hidden one and a text."""
    system = fsspec.filesystem("memory")
    for name in ("b.png", "deep/a.JPG", ".hidden/c.png", "notes.txt"):
        system.pipe(f"/line/{name}", name.encode())
    yield "memory://line"
    system.rm("/line", recursive=True)


def test_pictures_of_a_folder_are_named_as_predict_names_them(lake: Path) -> None:
    assert list(list_lake([lake])) == [str(path) for path in find_pictures(lake)]


def test_a_local_picture_has_one_name_wherever_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    for day in ("monday", "tuesday"):
        (tmp_path / day / "pictures").mkdir(parents=True)
        (tmp_path / day / "pictures" / "a.png").touch()
        monkeypatch.chdir(tmp_path / day)
        names |= list_lake(["pictures", "./pictures", tmp_path / day]).keys()
    assert names == {str(tmp_path / day / "pictures" / "a.png") for day in ("monday", "tuesday")}


def test_a_uri_of_a_folder_gives_uris(lake: Path) -> None:
    uri = lake.as_uri()
    assert list(list_lake([uri])) == [path.as_uri() for path in find_pictures(lake)]
    assert list_lake([Path(uri)]) == list_lake([uri])  # as the command line hands it over


def test_a_store_that_only_fsspec_knows_is_searched_too(store: str) -> None:
    assert list_lake([store]) == dict.fromkeys(["memory://line/b.png", "memory://line/deep/a.JPG"], store)
    assert list(list_lake(["memory://line/b.png", store, store])) == list(list_lake([store]))
    for place in (store, "memory://line/b.png"):
        assert read_content("memory://line/b.png", place).data == b"b.png"


ODD = ("a b.png", "a#1.png", "a.png", "q?x.png", "50%25.png", "50%.png", "\u00fc.png", "d e/#?%20.png")


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_a_name_in_a_store_is_read_as_it_is_whatever_is_in_it(scheme: str, tmp_path: Path) -> None:
    folder = tmp_path / "odd # name"
    for name in ODD:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
        fsspec.filesystem("memory").pipe(f"{folder}/{name}", name.encode())
    place = f"{scheme}://{folder}"
    found = list_lake([place])
    assert sorted(found) == sorted(f"{place}/{name}" for name in ODD)
    for name, where in found.items():
        content = read_content(name, where)
        assert content.data is not None, content.error
        assert name == f"{place}/{content.data.decode()}"


def test_a_place_with_a_query_gives_names_with_it_that_are_read_by_their_paths(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pyarrow.fs import LocalFileSystem

    (tmp_path / "a?b.png").write_bytes(b"here")
    asked: list[str] = []

    def opens(name: str) -> tuple[object, str]:
        asked.append(name)
        return LocalFileSystem(), str(tmp_path)

    monkeypatch.setattr(places, "open_place", opens)
    place = f"s3://{tmp_path.name}/p?endpoint_override=localhost:9000"
    found = list_lake([place])
    assert found == {f"s3://{tmp_path.name}/p/a?b.png?endpoint_override=localhost:9000": place}
    for name, where in found.items():
        assert read_content(name, where).data == read_content(name, where).data == b"here"
    assert asked == [place]  # opened once


def test_a_store_that_comes_back_is_read_and_one_that_stays_away_was_not_reached(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_PAUSES", (0.0, 0.0))
    left = [2]

    class Away:
        def open_input_stream(self, path: str) -> object:
            left[0] -= 1
            if left[0] >= 0:
                raise OSError("AWS Error SLOW_DOWN")
            return open_place(store)[0].open_input_stream(path)

    monkeypatch.setattr(places, "_opened", lambda place: places._Opened(place, Away(), "/line", ""))
    assert read_content("memory://line/b.png", store).data == b"b.png"
    left[0] = 9
    content = read_content("memory://line/b.png", store)
    assert (content.data, content.reached) == (None, False)
    assert content.error is not None
    assert content.error.startswith("memory://line/b.png cannot be read: AWS Error SLOW_DOWN")
    assert left[0] == 6


def test_what_is_not_there_is_named(store: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"memory://nowhere does not exist"):
        list_lake(["memory://nowhere"])
    fsspec.filesystem("memory").pipe("/line/notes/a.txt", b"")
    with pytest.raises(InputError, match=r"no pictures in memory://line/notes"):
        list_lake(["memory://line/notes"])
    with pytest.raises(InputError, match="does not exist"):
        list_lake([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no pictures in an empty list"):
        list_lake([])


def test_a_file_that_is_gone_or_a_store_that_nobody_opens_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_PAUSES", ())
    gone = (tmp_path / "gone.png").as_uri()
    assert read_content(gone, tmp_path.as_uri()) == (None, f"{gone} does not exist any more", True)
    data, reason, reached = read_content("odd+scheme://a/b.png", "odd+scheme://a")
    assert (data, reached) == (None, False)
    assert str(reason).startswith("odd+scheme://a cannot be opened")
    data, reason, reached = read_content(tmp_path.as_uri(), tmp_path.as_uri())
    assert (data, reached) == (None, False)
    assert str(reason).startswith(tmp_path.as_uri())


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"understudy\[remote\]"):
        open_place("memory://line")


def test_a_uri_that_became_a_path_is_a_uri_again() -> None:
    assert place_name(Path("s3://line/monday")) == "s3://line/monday"
    assert place_name(Path("file:///line/monday")) == "file:///line/monday"
    assert place_name(Path("line/monday")) == "line/monday"


def test_a_folder_is_local_by_its_path_and_by_its_uri_and_a_store_is_not(tmp_path: Path) -> None:
    assert local_folder(f"file://{tmp_path}/a%20b") == local_folder(f"{tmp_path}/a b") == tmp_path / "a b"
    assert local_folder(os.path.relpath(tmp_path)) == tmp_path
    assert local_folder("memory://line") is None
