"""Only our own files are removed, one process writes at a time, and a stop loses neither old nor new."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from understudy import InputError, WorkError, folders
from understudy.files import sha256_of
from understudy.folders import (
    RESULTS,
    clear_own,
    draft_in,
    finish,
    foreign_files,
    locked,
    own_files,
    publish,
    read_sealed,
    write_sealed,
)


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder but the private ones."""
    files = (p for p in folder.rglob("*") if p.is_file())
    named = {str(p.relative_to(folder)): p.read_text() for p in files}
    return {name: text for name, text in named.items() if not name.startswith(".understudy")}


def run(folder: Path, files: dict[str, str]) -> None:
    """Publish some files as one run would."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), draft_in(folder) as draft:
        for name, text in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_text(text)
        write_sealed(draft / RESULTS, {"files": {n: sha256_of(draft / n) for n in files}})
        publish(draft, folder)


def test_a_sealed_object_is_read_back_and_an_altered_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed(path, {"files": {"ä": "1"}, "n": 0.1})
    assert read_sealed(path) == {"files": {"ä": "1"}, "n": 0.1}
    path.write_text(path.read_text().replace("0.1", "0.2"))
    assert read_sealed(path) is None


@pytest.mark.parametrize("text", ["", "[]", '{"files": {"x": "y"}}', "[" * 100_000, "\x00"])
def test_what_is_no_sealed_object_names_no_files(tmp_path: Path, text: str) -> None:
    (tmp_path / RESULTS).write_text(text)
    (tmp_path / "x").write_text("the user's")
    clear_own(tmp_path)
    assert own_files(tmp_path) == {}
    assert (tmp_path / "x").read_text() == "the user's"
    assert (tmp_path / RESULTS).read_text() == text


def test_the_files_of_a_new_run_replace_those_of_the_old_one_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the user's")
    run(tmp_path, {"a": "1", "sub/b": "1", "sub/c": "1"})
    run(tmp_path, {"a": "2", "sub/c": "2"})
    assert contents(tmp_path) == {"notes.txt": "the user's", "a": "2", "sub/c": "2"}
    assert list(foreign_files(tmp_path)) == ["notes.txt"]


def test_a_file_that_was_changed_since_counts_as_the_users_and_is_not_removed(tmp_path: Path) -> None:
    run(tmp_path, {"a": "1", "b": "1"})
    (tmp_path / "a").write_text("edited")
    assert list(foreign_files(tmp_path)) == ["a"]
    clear_own(tmp_path)
    assert contents(tmp_path) == {"a": "edited"}


@pytest.mark.parametrize("name", ["../outside", "/tmp/understudy-outside"])
def test_a_list_never_reaches_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    outside = tmp_path / "outside"
    outside.write_text("the user's")
    write_sealed(inside / RESULTS, {"files": {name: sha256_of(outside)}})
    clear_own(inside)
    assert outside.read_text() == "the user's"


def test_a_link_is_not_followed_to_a_file_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "original").write_text("x")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path / "original")
    write_sealed(folder / RESULTS, {"files": {"a": sha256_of(tmp_path / "original")}})
    clear_own(folder)
    assert (tmp_path / "original").read_text() == "x"
    assert (folder / "a").is_symlink()


def test_a_file_of_the_user_under_the_name_of_a_new_one_stops_the_publishing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("the user's")
    with pytest.raises(WorkError, match=r"a is a file of yours; move it away"):
        run(tmp_path, {"a": "1", "b": "1"})
    assert contents(tmp_path) == {"a": "the user's"}
    assert not [p for p in tmp_path.iterdir() if p.is_dir()], "a draft was left behind"


class Stop(BaseException):
    """A process that is killed."""


@pytest.mark.parametrize("stop_at", range(12))
def test_a_stop_at_any_step_leaves_the_old_files_or_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    run(tmp_path, {"a": "old", "b": "old", "gone": "old"})
    steps = 0

    def counted(function):  # type: ignore[no-untyped-def]
        def call(*args, **keywords):  # type: ignore[no-untyped-def]
            nonlocal steps
            steps += 1
            if steps > stop_at:
                raise Stop
            return function(*args, **keywords)

        return call

    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "unlink"):
            patched.setattr(Path, name, counted(getattr(Path, name)))
        patched.setattr(folders, "_discard", counted(folders._discard))
        try:
            run(tmp_path, {"a": "new", "b": "new", "c": "new"})
            ended = True
        except Stop:
            ended = False
    finish(tmp_path)
    old, new = {"a": "old", "b": "old", "gone": "old"}, {"a": "new", "b": "new", "c": "new"}
    assert contents(tmp_path) in (old, new)
    assert contents(tmp_path) == new or not ended
    assert own_files(tmp_path).keys() == contents(tmp_path).keys()
    assert not (tmp_path / ".understudy-new").exists()


def test_the_steps_that_are_stopped_at_reach_from_the_first_to_the_last(tmp_path: Path) -> None:
    """The test above must see both: a publishing that did not begin, and one that ended."""
    run(tmp_path, {"a": "old"})
    (tmp_path / ".understudy-new").mkdir()
    (tmp_path / ".understudy-new" / "a").write_text("new")
    write_sealed(
        tmp_path / ".understudy-new" / RESULTS,
        {"files": {"a": sha256_of(tmp_path / ".understudy-new" / "a")}},
    )
    finish(tmp_path)
    assert contents(tmp_path) == {"a": "new"}


def test_a_second_writer_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    sentence = rf"is being written by process {os.getpid()} \("
    with locked(tmp_path), pytest.raises(InputError, match=sentence), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_gone_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom understudy.folders import locked\n"
        "with locked(Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert done.returncode == -9
    with locked(tmp_path):
        pass


def test_a_new_folder_that_stays_empty_is_removed_and_an_old_one_is_not(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for folder in (old, tmp_path / "new" / "newer"):
        with pytest.raises(InputError), locked(folder):
            raise InputError("nothing was done")
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_a_draft_of_a_killed_run_is_removed_by_the_next_one(tmp_path: Path) -> None:
    left = tmp_path / ".understudy-draft-killed"
    left.mkdir()
    (left / "half").write_text("x")
    with draft_in(tmp_path):
        assert not left.exists()


def test_a_list_is_plain_json_that_others_can_read(tmp_path: Path) -> None:
    run(tmp_path, {"a": "1"})
    listed = json.loads((tmp_path / RESULTS).read_text())
    assert listed["files"] == {"a": sha256_of(tmp_path / "a")}


def test_a_lock_finishes_what_a_stopped_run_began_and_does_not_wait_for_itself(tmp_path: Path) -> None:
    run(tmp_path, {"a": "old"})
    new = tmp_path / ".understudy-new"
    new.mkdir()
    (new / "a").write_text("new")
    write_sealed(new / RESULTS, {"files": {"a": sha256_of(new / "a")}})
    with locked(tmp_path):
        assert not finish(tmp_path)
        assert contents(tmp_path) == {"a": "new"}


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError()])
def test_a_disk_that_knows_no_locks_is_written_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(self: object) -> None:
        raise error

    monkeypatch.setattr(folders.FileLock, "acquire", refuse)
    run(tmp_path / "out", {"a": "1"})
    assert contents(tmp_path / "out") == {"a": "1"}


def test_who_cannot_write_waits_for_the_process_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **keywords: object) -> None:
        Timer(0.2, (tmp_path / ".understudy-new").rmdir).start()
        raise WorkError("read-only")

    (tmp_path / ".understudy-new").mkdir()
    monkeypatch.setattr(folders, "locked", refuse)
    assert finish(tmp_path)


def test_a_folder_that_cannot_be_looked_into_holds_files_of_others() -> None:
    assert next(foreign_files(Path("/proc/1")), None) is not None
