"""Lists and pictures that URIs name: fetched once into a cache, and again when they change."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from understudy import InputError, WorkError
from understudy.data.layouts import open_pictures
from understudy.data.overview import describe
from understudy.data.remote import fetch, is_uri, uri_of

LIST = "path,category,split,label,mask\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "understudy" / "remote"


@pytest.fixture
def store(cache: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """Objects in memory."""
    memory = fsspec.filesystem("memory")
    for name in ("a.png", "b.png", "m.png"):
        memory.pipe(f"/line/{name}", name.encode())
    yield memory
    memory.rm("/", recursive=True)


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_a_list_names_pictures_and_masks_by_uris(tmp_path: Path, cache: Path, store: object) -> None:
    rows = "memory://line/a.png,nut,train,,\nmemory://line/b.png,nut,test,bent,memory://line/m.png\n"
    (tmp_path / "list.csv").write_text(LIST + rows)
    test, train = open_pictures(tmp_path / "list.csv").records
    assert [each.read_text() for each in (train.path, test.path, *test.masks)] == ["a.png", "b.png", "m.png"]
    assert test.path.is_relative_to(cache / "memory" / "line")
    assert test.path.name == "b.png"


@pytest.mark.parametrize("as_path", [False, True])
def test_a_list_may_be_a_uri_and_its_paths_count_from_there(
    cache: Path, store: fsspec.AbstractFileSystem, as_path: bool
) -> None:
    store.pipe("/line/list.csv", f"{LIST}a.png,,,,\nb.png,,test,bent,m.png\n".encode())
    uri = "memory://line/list.csv"
    found = open_pictures(Path(uri) if as_path else uri)
    assert found.categories == ["list"]
    assert [r.path.read_text() for r in found.records] == ["b.png", "a.png"]
    assert describe(found).endswith("line/list.csv: list of pictures, 1 category, 2 pictures")


def test_files_of_this_machine_have_uris_too(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "ü 1.png").write_bytes(b"picture")
    (tmp_path / "list.csv").write_text("path\nü 1.png\n")
    (record,) = open_pictures(f"file://{tmp_path}/list.csv").records
    assert (record.path.read_bytes(), record.path.name) == (b"picture", "ü 1.png")
    assert uri_of(Path("file:///data/a.png")) == "file:///data/a.png"


def test_a_file_is_fetched_once_and_again_when_it_has_changed(
    cache: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    get_file = type(store).get_file
    monkeypatch.setattr(
        type(store), "get_file", lambda self, path, to: (fetched.append(path), get_file(self, path, to))
    )
    first, again = fetch("memory://line/a.png"), fetch("memory://line/a.png")
    assert first == again
    assert len(fetched) == 1
    store.pipe("/line/a.png", b"another")
    assert fetch("memory://line/a.png").read_bytes() == b"another"
    assert first.read_bytes() == b"a.png"


@pytest.mark.parametrize("mark", ["ETag", "Last-Modified", "LastModified", "mtime"])
def test_a_file_is_as_old_as_what_its_store_tells_of_it(
    cache: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    told = {"name": "/line/a.png", "size": 5, "type": "file", mark: "1"}
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "info", lambda self, path: told)
        first = fetch("memory://line/a.png")
        store.pipe("/line/a.png", b"A.PNG")
        assert fetch("memory://line/a.png") == first
        assert first.read_bytes() == b"a.png"
        told[mark] = "2"
        assert fetch("memory://line/a.png").read_bytes() == b"A.PNG"


def test_a_store_that_tells_only_the_size_is_asked_each_time(
    cache: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "info", lambda self, path: {"name": path, "size": 5, "type": "file"})
        patch.setattr(type(store), "ukey", lambda self, path: "never another")
        assert fetch("memory://line/a.png").read_bytes() == b"a.png"
        store.pipe("/line/a.png", b"A.PNG")
        assert fetch("memory://line/a.png").read_bytes() == b"A.PNG"
    assert files(cache) == ["a.png"]


def test_what_cannot_be_fetched_is_named_with_its_row(
    tmp_path: Path, cache: Path, store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.csv"
    for name, message in (
        ("memory://line/none.png", "line 2: memory://line/none.png does not exist; mend"),
        ("nowhere://line/a.png", "line 2: nowhere://line/a.png cannot be opened: Protocol not known"),
    ):
        path.write_text(f"path\n{name}\n")
        with pytest.raises(InputError, match=message):
            open_pictures(path)
    with pytest.raises(InputError, match="memory://line is no list; a URI names a list"):
        open_pictures("memory://line")

    def broken(self: object, source: str, to: str) -> None:
        Path(to).write_bytes(b"a")
        raise ConnectionError("the line is dead")

    monkeypatch.setattr(type(store), "get_file", broken)
    with pytest.raises(
        WorkError, match=r"memory://line/a\.png cannot be fetched: the line is dead; try again"
    ):
        fetch("memory://line/a.png")
    monkeypatch.setattr(type(store), "get_file", lambda self, source, to: Path(to).write_bytes(b"a"))
    with pytest.raises(WorkError, match="it arrived incomplete"):
        fetch("memory://line/a.png")
    assert files(cache) == []


def test_a_missing_driver_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def url_to_fs(uri: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", url_to_fs)
    with pytest.raises(InputError, match=r"s3://line/a\.png cannot be opened: Install s3fs to access S3"):
        fetch("s3://line/a.png")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"understudy\[remote\]"):
        fetch("s3://line/a.png")


@pytest.mark.parametrize("name", ["a.png", "C:/data/a.png", "/data/a:b/c.png", "s3:a.png", ""])
def test_a_plain_path_is_no_uri(name: str) -> None:
    assert not is_uri(name)
    assert uri_of(Path(name)) is None
