"""Lists that are typed as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy import InputError
from understudy.cli import main
from understudy.cli.arguments import split_names, split_numbers


def test_names_are_split_at_commas_and_stripped() -> None:
    assert split_names(None) is None
    assert split_names("nut") == ("nut",)
    assert split_names(" metal nut ,SNL(RD),") == ("metal nut", "SNL(RD)")


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_no_name_is_an_error_that_names_the_option(text: str) -> None:
    with pytest.raises(InputError, match="--rows names none; give names separated by commas"):
        split_names(text, "--rows")


def test_numbers_are_split_at_commas() -> None:
    assert split_numbers("8", "--strides") == (8,)
    assert split_numbers("0, 1,-2", "--seeds") == (0, 1, -2)


@pytest.mark.parametrize("text", ["", "8,", "a", "8;16", "1.5"])
def test_what_is_no_number_is_an_error_that_names_the_option_and_the_text(text: str) -> None:
    with pytest.raises(InputError, match=f"--strides takes numbers separated by commas, got '{text}'"):
        split_numbers(text, "--strides")


@pytest.mark.parametrize("verb", ["demo", "reproduce"])
def test_a_folder_that_is_not_named_has_its_default(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()
    Path("demo/notes.txt").write_text("mine")
    Path("picture.png").touch()
    words = {"demo": ["demo"], "reproduce": ["reproduce", "no-such-table", "--data", "."]}[verb]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert {"demo": "holds something that no demo made", "reproduce": "no table is named"}[verb] in said
