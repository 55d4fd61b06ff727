"""Simulated lines of the drift benchmark are watched as the station does, and drawn as the table says."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from understudy.runtime.decision import Reference
from understudy.station.drift import DriftMonitor, Observed

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("station_drift")


def test_simulated_lines_alarm_where_the_monitor_does(script: ModuleType) -> None:
    """Figures without ties have one p-value but for a random part below 1 / n, so within some pictures."""
    rng = np.random.default_rng(0)
    lines = rng.normal(size=(6, 60 + 200, 4))
    lines[:3, 60 + 100 :, 2] += 3
    lines[3, 60 + 50 :, 1] -= 3
    lines[:, :, 0][rng.random((6, 260)) < 0.2] = np.nan
    lines[4, 60:, 0] = np.nan
    found = script.first_alarms(lines, 60, 0)
    for line, first in zip(lines, found, strict=True):
        known = {
            name: tuple(sorted(x for x in line[:60, i] if not math.isnan(x)))
            for i, name in enumerate(script.STREAMS)
        }
        monitor, alarmed = DriftMonitor(["nut"], {"nut": Reference(**known)}, every=1), [0, 0, 0, 0]
        for t, row in enumerate(line[60:], start=1):
            for alarm in monitor.add("nut", Observed(*map(float, row))):
                alarmed[script.STREAMS.index(alarm.name)] = t
        assert alarmed == pytest.approx(list(first), abs=3)
    assert (found > 0).sum() == 4


def test_the_alarm_of_a_stream_with_gaps_is_counted_in_pictures_of_the_line(script: ModuleType) -> None:
    lines = np.random.default_rng(1).normal(size=(1, 60 + 300, 4))
    lines[0, 60::2, 0] = np.nan
    lines[0, 60 + 200 :, 0] += 5
    first = script.first_alarms(lines, 60, 0)[0, 0]
    assert 208 < first < 230
    assert first % 2 == 0


@pytest.mark.parametrize("alike", [False, True])
def test_a_block_has_pictures_that_follow_each_other_in_their_order(script: ModuleType, alike: bool) -> None:
    pool = np.random.default_rng(2).normal(size=(40, 1)).repeat(4, axis=1)
    drawn = script.drawn(pool, np.random.default_rng(3), 23, 5, alike)
    assert len(drawn) == 23
    place = np.argsort(np.argsort(pool[:, 0])) if alike else np.arange(40)
    steps = np.diff(place[drawn][:20].reshape(4, 5), axis=1) % 40  # blocks go round in a circle
    assert set(steps.ravel().tolist()) in ({1}, {39})


def test_the_tables_give_shares_and_medians(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = importlib.import_module("tables.station_drift")
    same = {"machine": "a machine", "date": "2026-01-01", "commit": "abc", "n_reference": "50", "lines": "4"}
    same |= {f"first_{name}": "0" for name in script.STREAMS}
    good = {**same, "part": "good lines", "product": "all", "pictures": "2000", "delay": ""}
    rows = [
        {**good, "what": "independent", "block": "1", "every": "1", "alarms": "0"},
        {**good, "what": "alike", "block": "5", "every": "1", "alarms": "3"},
        {**good, "what": "alike", "block": "5", "every": "5", "alarms": "1"},
    ]
    changed = {**same, "part": "changed lines", "what": "a blur", "block": "1", "every": "1", "pictures": "0"}
    rows.append({**changed, "product": "nut", "alarms": "4", "delay": "4 6 8 10", "first_sharpness": "4"})
    rows.append({**changed, "product": "pin", "alarms": "2", "delay": "4 6 0 0", "first_score": "2"})
    assert "| independent | 0.0 | – |" in tables.good_lines(rows)
    assert "| those alike beside each other, 5 in a row | 75.0 | 25.0 |" in tables.good_lines(rows)
    assert "| a blur | 8 (75) | pin: – (50) | sharpness |" in tables.delays(rows)
