"""Features come back as they were kept, in memory and in files; a set in files is whole or not there."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from understudy import WorkError
from understudy.data import features
from understudy.data.features import (
    FeatureStore,
    LevelLayout,
    as_features,
    bytes_of,
    keep_in_memory,
    read_features,
    write_features,
)

DIGESTS = ["a", "b", "c", "d", "e"]
LAYOUTS = [LevelLayout((4, 4, 3), torch.float32), LevelLayout((2, 1, 5), torch.bfloat16)]
SET = "understudy-features"


@pytest.fixture
def levels() -> list[Tensor]:
    return [torch.randn(5, *shape).to(dtype) for shape, dtype in LAYOUTS]


def parts(levels: list[Tensor]) -> Iterator[list[Tensor]]:
    for start in (0, 2, 4):
        yield [level[start : start + 2] for level in levels]


def silent(line: str) -> None:
    raise AssertionError(line)


def same(store: FeatureStore, levels: list[Tensor], rows: list[int]) -> bool:
    return len(store) == len(rows) and all(
        torch.equal(own, level[row]) and own.dtype == level.dtype
        for i, row in enumerate(rows)
        for own, level in zip(store[i], levels, strict=True)
    )


def test_features_come_back_bit_by_bit_from_memory_and_from_files(
    levels: list[Tensor], tmp_path: Path
) -> None:
    assert bytes_of(LAYOUTS) == 4 * 48 + 2 * 10
    assert same(keep_in_memory(5, LAYOUTS, parts(levels)), levels, [0, 1, 2, 3, 4])
    elsewhere = keep_in_memory(5, LAYOUTS, parts(levels), torch.device("meta"))
    assert {level.device.type for level in elsewhere[0]} == {"meta"}
    assert same(write_features(tmp_path, "t", DIGESTS, LAYOUTS, parts(levels)), levels, [0, 1, 2, 3, 4])
    found = read_features(tmp_path, "t", DIGESTS, silent)
    assert found is not None
    assert same(found, levels, [0, 1, 2, 3, 4])


def test_pictures_are_found_by_what_they_hold_in_any_order_and_number(
    levels: list[Tensor], tmp_path: Path
) -> None:
    write_features(tmp_path, "t", DIGESTS, LAYOUTS, parts(levels))
    found = read_features(tmp_path, "t", ["d", "a", "d"], silent)
    assert found is not None
    assert same(found, levels, [3, 0, 3])


def test_a_loader_gives_features_in_the_layout_of_a_channels_last_network(levels: list[Tensor]) -> None:
    store = keep_in_memory(5, LAYOUTS, parts(levels))
    (batch,) = DataLoader(store, batch_sampler=[[4, 1, 2]])
    found, valid = as_features(batch)
    assert valid is None
    for given, level in zip(found, levels, strict=True):
        assert torch.equal(given, level[[4, 1, 2]].permute(0, 3, 1, 2))
        assert given.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("origin", "digests"), [("other", DIGESTS), ("t", ["a", "new"])])
def test_a_set_of_something_else_is_refused_in_one_line_and_replaced(
    origin: str, digests: list[str], levels: list[Tensor], tmp_path: Path
) -> None:
    write_features(tmp_path, "t", DIGESTS, LAYOUTS, parts(levels))
    said: list[str] = []
    assert read_features(tmp_path, origin, digests, said.append) is None
    assert len(said) == 1
    assert "features of another teacher, size or precision, or of other pictures" in said[0]
    two = [level[:2] for level in levels]
    write_features(tmp_path, "new", ["a", "new"], LAYOUTS, [two])
    found = read_features(tmp_path, "new", ["a", "new"], silent)
    assert found is not None
    assert same(found, two, [0, 1])
    assert [p.name for p in tmp_path.iterdir()] == [SET]


def flip_a_bit(found: Path) -> None:
    data = bytearray((found / "level1.bin").read_bytes())
    data[7] ^= 1
    (found / "level1.bin").write_bytes(data)


def cut_a_file_short(found: Path) -> None:
    os.truncate(found / "level0.bin", 100)


def lose_a_file(found: Path) -> None:
    (found / "level0.bin").unlink()


def lose_the_card(found: Path) -> None:
    (found / "features.json").unlink()


def spoil_the_card(found: Path) -> None:
    card = json.loads((found / "features.json").read_text())
    card["levels"][0]["dtype"] = "float64"
    (found / "features.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "harm",
    [flip_a_bit, cut_a_file_short, lose_a_file, lose_the_card, spoil_the_card],
    ids=lambda f: f.__name__,
)
def test_a_damaged_set_is_never_used(
    harm: Callable[[Path], None], levels: list[Tensor], tmp_path: Path
) -> None:
    write_features(tmp_path, "t", DIGESTS, LAYOUTS, parts(levels))
    harm(tmp_path / SET)
    said: list[str] = []
    assert read_features(tmp_path, "t", DIGESTS, said.append) is None
    assert said == [f"the features in {tmp_path} are damaged"]


def test_a_set_that_is_in_use_survives_the_next_one(levels: list[Tensor], tmp_path: Path) -> None:
    first = write_features(tmp_path, "t", DIGESTS, LAYOUTS, parts(levels))
    write_features(tmp_path, "u", DIGESTS, LAYOUTS, parts([torch.zeros_like(level) for level in levels]))
    assert same(first, levels, [0, 1, 2, 3, 4])


def test_a_disk_without_room_is_named_before_anything_is_computed(
    levels: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed() -> Iterator[list[Tensor]]:
        raise AssertionError
        yield levels

    monkeypatch.setattr(features.shutil, "disk_usage", lambda _: Room(5 * 212 - 1))
    with pytest.raises(WorkError, match=r"cannot be written: No space left on device; make room there"):
        write_features(tmp_path, "t", DIGESTS, LAYOUTS, computed())
    monkeypatch.setattr(features.shutil, "disk_usage", lambda _: Room(5 * 212))
    write_features(tmp_path, "t", DIGESTS, LAYOUTS, parts(levels))


class Room:
    def __init__(self, free: int) -> None:
        self.free = free


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_whatever_stops_the_writing_leaves_no_half_set(
    failure: BaseException, levels: list[Tensor], tmp_path: Path
) -> None:
    def broken_off() -> Iterator[list[Tensor]]:
        yield [level[:2] for level in levels]
        raise failure

    expected = WorkError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_features(tmp_path, "t", DIGESTS, LAYOUTS, broken_off())
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_user_in_a_folder_of_our_name_is_not_lost(levels: list[Tensor], tmp_path: Path) -> None:
    (tmp_path / SET).mkdir()
    (tmp_path / SET / "mine.txt").write_text("the user's")
    with pytest.raises(WorkError, match="name another folder with --cache-features"):
        write_features(tmp_path, "t", DIGESTS, LAYOUTS, parts(levels))
    assert (tmp_path / SET / "mine.txt").read_text() == "the user's"


def test_what_a_killed_run_has_left_is_taken_away_by_the_next(levels: list[Tensor], tmp_path: Path) -> None:
    (tmp_path / ".understudy-draft-x" / SET).mkdir(parents=True)
    (tmp_path / "mine.txt").touch()
    write_features(tmp_path, "t", DIGESTS, LAYOUTS, parts(levels))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt", SET]
