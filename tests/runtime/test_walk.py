"""Pictures below a folder: links are followed once, and what is passed over is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from understudy import InputError
from understudy.runtime.walk import PictureFolder, find_pictures, read_folders


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_pictures(root)]


def test_pictures_are_found_below_a_folder_in_order_and_hidden_ones_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "in ner ü%/a.jpg", ".hidden.png", "notes.txt", ".thumbs/a.png")
    assert names(tmp_path) == ["b.PNG", "in ner ü%/a.jpg"]
    assert find_pictures(tmp_path / "b.PNG") == [tmp_path / "b.PNG"]


@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_not_the_current_folder(path: str) -> None:
    with pytest.raises(InputError, match="a picture or a folder has no name; is a shell variable unset"):
        find_pictures(path)


def test_a_path_that_leads_to_no_picture_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none does not exist; name a picture"):
        find_pictures(tmp_path / "none")
    with pytest.raises(InputError, match="cannot be looked up: File name too long; rename it"):
        find_pictures(tmp_path / f"{'x' * 300}.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png is no regular file"):
        find_pictures(tmp_path / "pipe.png")


def test_a_pipe_with_a_pictures_name_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert names(tmp_path) == ["a.png"]
    assert read_folders(tmp_path, skip_unreadable=True)[1] == [(tmp_path, 1, "no regular file")]


def test_linked_folders_are_followed_and_every_folder_is_read_once(tmp_path: Path) -> None:
    data, away = tmp_path / "data", tmp_path / "away"
    touch(away, "deep/a.png")
    touch(data, "own/b.png")
    (away / "deep" / "loop").symlink_to(away)
    (data / "again").symlink_to(data / "own")
    (data / "linked").symlink_to(away)
    (data / "twice").symlink_to(away / "deep")
    (data / "up").symlink_to(tmp_path)
    assert names(data) == ["linked/deep/a.png", "own/b.png"]
    _, left_out = read_folders(data, skip_unreadable=True)
    assert {(each.folder.name, each.reason) for each in left_out} == {
        ("again", "link to a folder that is read already"),
        ("twice", "link to a folder that is read already"),
        ("loop", "link to a folder that is read already"),
        ("up", "link to a folder that it lies in"),
    }


@pytest.mark.parametrize("weights", ["student.safetensors", "model.onnx", "model.xml"])
def test_the_masks_of_a_model_among_the_pictures_are_no_pictures(tmp_path: Path, weights: str) -> None:
    touch(tmp_path, "a.png", "model/manifest.json", f"model/{weights}", "model/roi.png", "model/x/b.png")
    assert names(tmp_path) == ["a.png"]
    assert read_folders(tmp_path, skip_unreadable=True)[1] == [(tmp_path / "model", 0, "folder of a model")]
    assert names(tmp_path / "model") == ["roi.png", "x/b.png"]  # asked for by name


@pytest.mark.parametrize("name", [".understudy.json", ".understudy.jsonl"])
def test_heat_maps_of_an_earlier_run_among_the_pictures_are_no_pictures(tmp_path: Path, name: str) -> None:
    (tmp_path / "found" / "heatmaps").mkdir(parents=True)
    (tmp_path / "found" / "heatmaps" / "00001-a.png").touch()
    (tmp_path / "found" / name).touch()
    (tmp_path / "a.png").touch()
    assert find_pictures(tmp_path) == [tmp_path / "a.png"]
    assert find_pictures(tmp_path / "found") == [tmp_path / "found" / "heatmaps" / "00001-a.png"]


def test_an_unreadable_subfolder_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png", "shut/b.png")
    scan = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="shut cannot be read: Permission denied; make it readable"):
        find_pictures(tmp_path)


def test_the_work_grows_with_the_number_of_folders_and_not_with_its_square(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []

    class CountedFolder(PictureFolder):
        def __getattribute__(self, name: str) -> object:
            if name == "path":
                looked_at.append(self)
            return super().__getattribute__(name)

    for i in range(200):
        (tmp_path / f"{i:03d}").mkdir()
    monkeypatch.setattr("understudy.runtime.walk.PictureFolder", CountedFolder)
    top, _ = read_folders(tmp_path, skip_unreadable=False)
    assert len(looked_at) < 200 * 20
    assert [folder.name for folder in top.folders] == [f"{i:03d}" for i in range(200)]
