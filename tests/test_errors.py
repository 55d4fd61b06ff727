"""Errors say in one sentence what is wrong, and how a command ends."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from understudy import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [(errors.WorkError, 1), (errors.UnderstudyError, 1), (errors.InputError, 2), (errors.BundleError, 2)],
)
def test_bad_input_exits_with_2_and_failed_work_with_1(kind: type[errors.UnderstudyError], code: int) -> None:
    assert kind("a sentence").exit_code == code
    assert issubclass(kind, errors.UnderstudyError)


def test_a_picture_error_names_its_file_and_is_bad_input() -> None:
    error = errors.PictureError(Path("nut/003.png"), "does not decode; replace it")
    assert str(error) == "nut/003.png does not decode; replace it"
    assert error.path == Path("nut/003.png")
    assert error.exit_code == 2


def test_a_missing_part_is_named_with_its_cure() -> None:
    assert str(errors.extra_needed("train", "fit")).endswith("pip install 'understudy[train]'")
    assert str(errors.extra_needed("train", "fit")).startswith("fit needs")


def test_a_picture_error_crosses_from_one_process_to_another() -> None:
    error = errors.PictureError(Path("nut/003.png"), "does not decode; replace it")
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.path) == (str(error), error.path)
