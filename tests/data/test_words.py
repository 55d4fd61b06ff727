"""Which names count as good and which as bad."""

from __future__ import annotations

import pytest

from understudy import InputError
from understudy.data.words import Words, is_date, is_place, words_of

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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *(
            (name, {"bad"})
            for name in ("bad_parts", "2_NOK", "NG品", "n.i.O. 2024", "外观不良", "badParts", "not ok 1")
        ),
        *((name, {"good"}) for name in ("OK-Bilder", "Gutteile 2024", "i.O. 2024", "anomaly_free", "양품 1")),
        *((name, set()) for name in ("goodyear", "nokia 3", "nut M8", "größe 2", "裂纹", "50 %")),
    ],
)
def test_parts_of_a_name_hint_at_good_and_bad(name: str, said: set[str]) -> None:
    assert USUAL.hints(name) == said


@pytest.mark.parametrize(
    ("name", "date", "place"),
    [
        *(
            (name, True, True)
            for name in ("2026-01-05", "20260105", "5.1.2026", "2026-01", "2026-01-05_14-30")
        ),
        *((name, False, True) for name in ("12", "4711-2", "cam 2", "Kamera_1", "images", "left")),
        *((name, False, False) for name in ("nut", "nut M8", "v1.2", "images of nut", "20261399x", "-")),
    ],
)
def test_names_that_say_when_or_where_are_known(name: str, date: bool, place: bool) -> None:
    assert (is_date(name), is_place(name)) == (date, place)


def test_a_general_word_for_bad_says_no_kind_of_defect() -> None:
    names = ("NOK", "defects", "scratch", "surface defect", "ok")
    assert [USUAL.is_general(name) for name in names] == [True, True, False, False, False]
    assert words_of(bad=["ng_1"]).is_general("NG 1")


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
