"""Work that hangs holds nobody up; other work gives its value or its error."""

from __future__ import annotations

import threading

import pytest

from understudy.station.patience import within


def test_a_value_or_an_error_comes_through() -> None:
    assert within(30, lambda: 7) == 7
    with pytest.raises(KeyError):
        within(30, lambda: {}["x"])


def test_work_that_hangs_is_left_behind() -> None:
    go_on = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, lambda: go_on.wait(30))
    go_on.set()
