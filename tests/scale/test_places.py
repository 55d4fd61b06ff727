"""Pictures of folders and object stores: found in order, each once, read or explained."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from understudy import InputError
from understudy.runtime.walk import find_pictures
from understudy.scale.places import list_lake, open_place, place_name, read_content


@pytest.fixture
def store() -> Iterator[str]:
    """A store in memory with two pictures, a hidden one and a text."""
    system = fsspec.filesystem("memory")
    for name in ("b.png", "deep/a.JPG", ".hidden/c.png", "notes.txt"):
        system.pipe(f"/line/{name}", name.encode())
    yield "memory://line"
    system.rm("/line", recursive=True)


def test_pictures_of_a_folder_are_named_as_predict_names_them(lake: Path) -> None:
    assert list_lake([lake]) == [str(path) for path in find_pictures(lake)]


def test_a_uri_of_a_folder_gives_uris(lake: Path) -> None:
    uri = lake.as_uri()
    assert list_lake([uri]) == [path.as_uri() for path in find_pictures(lake)]
    assert list_lake([Path(uri)]) == list_lake([uri])  # as the command line hands it over


def test_a_store_that_only_fsspec_knows_is_searched_too(store: str) -> None:
    assert list_lake([store]) == ["memory://line/b.png", "memory://line/deep/a.JPG"]
    assert list_lake(["memory://line/b.png", store, store]) == list_lake([store])
    assert read_content("memory://line/b.png") == (b"b.png", None)


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


def test_a_file_that_is_gone_or_a_store_that_nobody_opens_is_a_reason(store: str, tmp_path: Path) -> None:
    gone = (tmp_path / "gone.png").as_uri()
    assert read_content(gone) == (None, f"{gone} does not exist any more")
    content, reason = read_content("odd+scheme://a/b.png")
    assert content is None
    assert reason is not None
    assert reason.startswith("odd+scheme://a/b.png cannot be opened")
    content, reason = read_content(tmp_path.as_uri())
    assert content is None
    assert str(reason).startswith(tmp_path.as_uri())


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"understudy\[remote\]"):
        open_place("memory://line")


def test_a_uri_that_became_a_path_is_a_uri_again() -> None:
    assert place_name(Path("s3://line/monday")) == "s3://line/monday"
    assert place_name(Path("file:///line/monday")) == "file:///line/monday"
    assert place_name(Path("line/monday")) == "line/monday"
