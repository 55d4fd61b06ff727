"""What is done is remembered across restarts, crashes and full disks, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy.station.done import DoneList


def ids(n: int, start: int = 0) -> list[str]:
    return [f"{number:032x}" for number in range(start, start + n)]


def test_ids_are_known_after_a_restart(tmp_path: Path) -> None:
    done = DoneList(tmp_path / "new" / "done")
    for id in ids(3):
        done.add(id)  # not closed, as after a kill
    again = DoneList(tmp_path / "new" / "done")
    assert all(id in again for id in ids(3))
    assert ids(1, start=3)[0] not in again
    done.close()


def test_a_half_written_line_costs_one_id_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "done"
    file.write_bytes("\n".join(ids(2)).encode()[:-5] + b"\xff")
    done = DoneList(file)
    done.add(ids(1, start=7)[0])
    done.close()
    again = DoneList(file)
    assert [id in again for id in (*ids(2), ids(1, start=7)[0])] == [True, False, True]


def test_the_oldest_are_forgotten_but_none_that_is_still_there(tmp_path: Path) -> None:
    done = DoneList(tmp_path / "done", spare=10)
    for id in ids(50):
        done.add(id)
    present = ids(5)
    done.shorten(present)
    assert all(id in done for id in (*present, *ids(10, start=40)))
    assert len(done) == 15
    done.add(ids(1, start=90)[0])
    done.close()
    assert len(DoneList(tmp_path / "done")) == 16


def test_a_list_of_moderate_length_is_left_alone(tmp_path: Path) -> None:
    done = DoneList(tmp_path / "done", spare=10)
    for id in ids(20):
        done.add(id)
    done.shorten([])
    assert len(done) == 20
    done.close()


def test_a_full_disk_is_said_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = DoneList(tmp_path / "done")

    def full(self: Path, *args: object, **kwargs: object) -> object:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "open", full)
        done.add(ids(1)[0])
    assert done.trouble == (
        "what is done cannot be remembered: No space left on device; make room on the disk"
    )
    assert ids(1)[0] in done
    done.add(ids(1, start=1)[0])
    assert done.trouble is None
    done.close()
