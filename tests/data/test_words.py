"""Which names count as good and which as bad."""

from __future__ import annotations

import pytest

from understudy import InputError
from understudy.data.words import Words, words_of

USUAL = Words()


_GOOD = (
    "good OK Okay normal pass PASSED IO i.O. gut bon Conforme buono bueno correcto goed fine golden o_k 良品"
)
_BAD = (
    "bad NOK n.OK not_ok Not-OK NG ko Reject rejected fail FAILED defect defective Defects anomaly anomalies "
    "abnormal nio n.i.O. schlecht defekt Ausschuss mauvais défaut de\u0301faut rebut scrap malo defecto "
    "difettoso scratch no-good 不良"
)


@pytest.mark.parametrize("name", [*_GOOD.split(), "in Ordnung"])
def test_usual_words_for_good_count_in_any_case_and_spelling(name: str) -> None:
    assert USUAL.meaning(name) == "good"
    assert USUAL.is_good_label(name)


@pytest.mark.parametrize("name", [*_BAD.split(), "not ok"])
def test_usual_words_for_bad_count_in_any_case_and_spelling(name: str) -> None:
    assert USUAL.meaning(name) == "bad"
    assert not USUAL.is_good_label(name)


@pytest.mark.parametrize("name", ["bottle", "goods train", "0", "okra", "nokia", "badge", "train", ""])
def test_other_names_say_nothing(name: str) -> None:
    assert USUAL.meaning(name) is None


@pytest.mark.parametrize("label", ["0", "0.0", "False"])
def test_what_tables_write_for_no_defect_is_a_good_label(label: str) -> None:
    assert USUAL.is_good_label(label)
    assert not words_of(bad=[label]).is_good_label(label)


def test_ones_own_words_go_before_the_usual_ones() -> None:
    words = words_of(good=["Perfect", "NG"], bad=["fine"])
    assert [words.meaning(name) for name in ("perfect", "n.g.", "FINE", "ok", "bent")] == [
        "good",
        "good",
        "bad",
        "good",
        None,
    ]


def test_words_that_cannot_be_used_are_named() -> None:
    with pytest.raises(InputError, match="'perfect' cannot count as good and as bad"):
        words_of(["Perfect"], ["per-fect"])
    with pytest.raises(InputError, match="has no letters"):
        words_of(["-"])
    with pytest.raises(InputError, match=r"bad takes several names, as \('ng',\)"):
        words_of(bad="ng")
    with pytest.raises(InputError, match="--bad names 'bent', and list has no folder and no label"):
        words_of(bad=["bent"]).refuse_unused(["good"], "list")
