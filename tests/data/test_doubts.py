"""Sentences on folders with two readings: singular and plural, and names as a shell takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy import InputError
from understudy.data.doubts import is_or_are, names_of
from understudy.data.layouts import open_pictures
from understudy.runtime.walk import PictureFolder


def test_many_names_are_cut_short_and_one_is_singular() -> None:
    folders = [PictureFolder(Path(name)) for name in "abcdef"]
    assert names_of(folders) == "a, b, c, d, ..."
    assert [is_or_are(folders[:n], "is", "are") for n in (1, 2)] == ["is", "are"]


def test_names_with_spaces_are_quoted_in_the_option_that_settles_it(tmp_path: Path) -> None:
    for name in ("Gutteile 2024", "Schlechtteile 2024"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").touch()
    with pytest.raises(InputError, match='--good "Gutteile 2024" --bad "Schlechtteile 2024" says'):
        open_pictures(tmp_path)
