"""Commands that do wrong on purpose, one for each column; the judge must see each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NoReturn

from robustness.judge import FINE, HANG, LOST, SENTENCE, TRACEBACK, WRONG, Case, Kind, Ran, Trial
from understudy.errors import InputError


def _refuses() -> NoReturn:
    raise InputError("the picture is damaged; replace it")


def _breaks() -> NoReturn:
    raise ValueError("nobody expected this")


def _rambles() -> NoReturn:
    raise InputError("first line\nsecond line")


def _hangs() -> None:
    time.sleep(60)


def _dies() -> None:
    os._exit(9)


ACTS: dict[str, tuple[str, Callable[[], Any]]] = {
    "works": (FINE, lambda: 7),
    "refuses": (SENTENCE, _refuses),
    "is refused": (SENTENCE, lambda: Ran(2, "", "progress\nunderstudy: the list is empty\n")),
    "breaks": (TRACEBACK, _breaks),
    "rambles": (TRACEBACK, _rambles),
    "is unexpected": (TRACEBACK, lambda: Ran(1, "", "understudy: unexpected KeyError: 'x'\n")),
    "fails without a word": (TRACEBACK, lambda: Ran(1, "", "")),
    "dies": (TRACEBACK, _dies),
    "hangs": (HANG, _hangs),
    "answers wrongly": (WRONG, lambda: 8),
}
KEPT = "of the user"


def _fake(case: Case) -> Trial:
    outcome, act = list(ACTS.values())[case.number]
    return Trial(outcome, act, lambda answer: "the answer is not 7" if answer not in (7, None) else None)


def _loses(case: Case) -> Trial:
    """Remove, change or keep a file of the user; the fourth one only changes what it may write."""
    path = case.place / "deep" / "thesis.txt"
    path.parent.mkdir()
    path.write_text(KEPT)
    acts: tuple[Callable[[], Any], ...] = (
        path.unlink,
        lambda: path.write_text("another text") and None,
        lambda: None,
        lambda: path.write_text("another text") and None,
    )
    writes = (path,) if case.number == 3 else ()
    return Trial((LOST, LOST, FINE, FINE)[case.number], acts[case.number], writes=writes)


def _refused_though_plain(case: Case) -> Trial:
    return Trial(WRONG, _refuses, plain=True)


def _leaves_a_mess(case: Case) -> Trial:
    return Trial(WRONG, _refuses, after=lambda: "a half-written file is left")


KINDS = {
    kind.name: kind
    for kind in (
        Kind("fakes", _fake, 1, most=len(ACTS), seconds=2),
        Kind("losses", _loses, 1, most=4, seconds=5),
        Kind("plain", _refused_though_plain, 1, most=1, seconds=5),
        Kind("messes", _leaves_a_mess, 1, most=1, seconds=5),
    )
}
