"""A line that changes is noticed and described; one that does not stays quiet, whatever its length."""

from __future__ import annotations

import json
import math
import threading
import timeit

import numpy as np
import pytest

from understudy.errors import InputError
from understudy.runtime.decision import Calibration, Limits, Reference, Thresholds
from understudy.station.drift import ANCHOR, DriftMonitor, Observed, references_of
from understudy.station.martingale import HORIZON, Wealth, conformal_p

USUAL = {"score": (0.0, 1.0), "distance": (0.2, 0.02), "brightness": (0.42, 0.02), "sharpness": (-3.0, 0.1)}
MOVES = {
    ("score", 4.0): "score higher than the calibration's: median score",
    ("score", -4.0): "score lower than the calibration's: median score",
    ("distance", 0.1): "look less like the product than the calibration's: median distance",
    ("distance", -0.1): "lie nearer to the product's mean than the calibration's: median distance",
    ("brightness", 0.1): "are brighter than the calibration's: median brightness",
    ("brightness", -0.1): "are darker than the calibration's: median brightness",
    ("sharpness", 0.5): "are sharper than the calibration's: median sharpness",
    ("sharpness", -0.5): "are less sharp than the calibration's: median sharpness",
}


def reference(seed: int = 0, n: int = 50) -> Reference:
    rng = np.random.default_rng(seed)
    return Reference(**{name: tuple(sorted(rng.normal(*at, n).tolist())) for name, at in USUAL.items()})


def line(seed: int, n: int, **moved: float) -> list[Observed]:
    rng = np.random.default_rng(1000 + seed)
    columns = [rng.normal(centre + moved.get(name, 0.0), s, n) for name, (centre, s) in USUAL.items()]
    return [Observed(*map(float, row)) for row in np.array(columns).T]


def monitor(n: int = 50, **options: float) -> DriftMonitor:
    options = {"every": 1} | options
    return DriftMonitor(["bottle"], {"bottle": reference(n=n)}, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("moved", "said"), MOVES.items())
def test_a_change_of_one_figure_alarms_once_in_its_stream_and_says_which_way(
    moved: tuple[str, float], said: str
) -> None:
    name, by = moved
    watched = monitor()
    for each in line(0, 100):
        assert watched.add("bottle", each) == []
    alarms = [alarm for each in line(1, 60, **{name: by}) for alarm in watched.add("bottle", each)]
    assert [(a.product, a.name) for a in alarms] == [("bottle", name)]
    assert alarms[0].what.startswith(f"bottle: pictures {said} ")
    assert 100 < alarms[0].n <= 120
    state = {s.name: s for s in watched.status()}
    assert (state[name].since, state[name].what) == (alarms[0].n, str(alarms[0]))
    assert state[name].level >= state[name].limit
    assert sum(s.since is None for s in watched.status()) == 3


def test_an_alarm_says_by_how_much() -> None:
    watched = monitor()
    before = [watched.add("bottle", each) for each in line(0, 30)]
    alarms = [a for each in line(1, 60, brightness=-0.11) for a in watched.add("bottle", each)]
    assert not any(before)
    *_, now, _, was = alarms[0].what.replace(",", "").split()
    assert float(now) == pytest.approx(0.31, abs=0.03)
    assert float(was) == pytest.approx(0.42, abs=0.01)


def test_good_lines_alarm_no_more_often_than_the_budget() -> None:
    """With a budget of 20 %, 100 lines of 400 pictures may alarm 20 times, or 32 by 3 standard errors."""
    alarmed = 0
    for seed in range(100):
        watched = DriftMonitor(["bottle"], {"bottle": reference(seed, 20)}, budget=0.2, every=1, seed=seed)
        alarmed += sum(len(watched.add("bottle", each)) for each in line(seed, 400)) > 0
    assert alarmed <= 32


def test_the_limit_shares_one_budget_among_all_streams() -> None:
    four = DriftMonitor(["a", "b", "c", "d"], {}, budget=0.01).status()
    assert len(four) == 16
    assert [s.limit for s in four] == [pytest.approx(math.log10(16 / 0.01 * 4))] * 16


def test_a_stream_is_the_martingale_of_its_reference_and_pictures() -> None:
    watched, wealth, rng = monitor(seed=7), Wealth(), np.random.default_rng(0)
    known = [float(f"{x:.6g}") for x in reference().sharpness]
    pictures = [Observed(None, None, None, float(x)) for x in rng.normal(-3, 0.1, 50).round(4)]
    for each in pictures:
        watched.add("bottle", each)
    (stream,) = (s for s in watched.status() if s.name == "sharpness")
    for each in pictures:  # chance matters only among ties, and figures that are not rounded have none
        p = conformal_p(sorted(known), each.sharpness or 0.0, 0.5)
        known.append(each.sharpness or 0.0)
        wealth.bet(p)
    assert stream.level == pytest.approx(float(wealth.level), abs=0.3)
    assert stream.n == 50


def test_figures_that_are_missing_or_no_number_do_not_count() -> None:
    watched = monitor()
    watched.add("bottle", Observed(None, math.nan, math.inf, -3.0))
    assert [s.n for s in watched.status()] == [0, 0, 0, 1]
    assert watched.add("a product of nobody", Observed(0.0, 0.0, 0.0, 0.0)) == []


def test_one_picture_in_so_many_counts_for_each_product() -> None:
    watched = DriftMonitor(["a", "b"], {}, every=5)
    for each in line(0, 11):
        watched.add("a", each)
    watched.add("b", line(0, 1)[0])
    assert [s.n for s in watched.status()] == [3] * 4 + [1] * 4
    assert DriftMonitor(["a"], {}).every == 10


def test_without_a_reference_a_line_is_compared_with_its_own_first_pictures() -> None:
    watched = DriftMonitor(["bottle"], {}, every=1)
    for each in line(0, 150):
        assert watched.add("bottle", each) == []
    assert watched.status()[0].what.startswith("no change seen in 150 pictures, beside its own first ones")
    alarms = [a for each in line(1, 60, brightness=-0.1) for a in watched.add("bottle", each)]
    assert "are darker than the line's first ones: median brightness" in alarms[0].what


def test_memory_is_bounded_and_a_later_run_needs_more_evidence_and_still_sees_a_change() -> None:
    watched = DriftMonitor(["bottle"], {"bottle": reference(n=20)}, every=1)
    first = watched.status()[2].limit
    for each in line(0, HORIZON + 100):
        assert watched.add("bottle", each) == []
    (kept,) = (s for s in watched.dump()["streams"] if s["name"] == "brightness")
    assert (kept["run"], len(kept["history"]), len(kept["anchor"])) == (2, ANCHOR + 100, ANCHOR - 20)
    state = watched.status()[2]
    assert state.n == HORIZON + 100
    assert state.limit == pytest.approx(first + math.log10(3))
    alarms = [a for each in line(1, 30, brightness=-0.1) for a in watched.add("bottle", each)]
    assert [a.name for a in alarms] == ["brightness"]


def test_a_reset_begins_anew_with_less_to_spend() -> None:
    watched = DriftMonitor(["a", "b"], {"a": reference(), "b": reference()}, every=1)
    for product in ("a", "b"):
        for each in line(0, 60, brightness=-0.2):
            watched.add(product, each)
    before = watched.status()
    watched.reset("a")
    a, b = watched.status()[2], watched.status()[6]
    assert (a.n, a.level, a.since, a.what) == (0, 0.0, None, "no picture yet")
    assert a.limit == pytest.approx(before[2].limit + math.log10(3))
    assert b == before[6]
    watched.reset()
    assert {s.since for s in watched.status()} == {None}


def test_a_monitor_goes_on_where_it_was_stopped() -> None:
    watched = monitor(every=2)
    for each in line(0, 301):
        watched.add("bottle", each)
    again = DriftMonitor.load(json.loads(json.dumps(watched.dump())))
    assert again.status() == watched.status()
    for each in line(1, 80, sharpness=-1.0):
        assert again.add("bottle", each) == watched.add("bottle", each)
    assert again.status()[3].since == watched.status()[3].since is not None


@pytest.mark.parametrize("spoil", [{"budget": 2}, {"seen": {"other": 1}}, {"streams": []}, {"extra": 1}])
def test_a_state_that_is_none_is_refused(spoil: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"seen|budget|streams|extra"):
        DriftMonitor.load(monitor().dump() | spoil)


@pytest.mark.parametrize("options", [{"budget": 0}, {"budget": 1}, {"every": 0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        monitor(**options)


def test_scores_that_fail_are_no_part_of_a_reference() -> None:
    t = {"review_above": 0.5, "false_alarm_rate": 0.01, "review_rate": 0.05, "n_good": 9}
    limits = Limits(rate=0.01, overall=1.0, categories={})
    calibration = Calibration(
        thresholds=Thresholds(fail_above=1.0, **t),
        categories={"own": Thresholds(fail_above=3.0, **t)},
        masks=limits,
        min_area=1,
        distances=limits,
        promise="",
        references={c: Reference(score=(0.0, 1.0, 2.0, 4.0), distance=(9.0,)) for c in ("own", "shared")},
    )
    cut = references_of(calibration)
    assert (cut["own"].score, cut["shared"].score) == ((0.0, 1.0, 2.0), (0.0, 1.0))
    assert cut["own"].distance == (9.0,)
    assert references_of(None) == {}


def test_threads_may_add_at_once_and_no_picture_is_lost() -> None:
    watched, pictures = monitor(), line(0, 200)
    threads = [
        threading.Thread(target=lambda: [watched.add("bottle", each) for each in pictures]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {s.n for s in watched.status() if s.since is None} <= {800}
    assert len(watched.dump()["streams"][0]["history"]) <= 850


def test_a_picture_costs_well_under_a_millisecond() -> None:
    watched, pictures = monitor(), iter(line(0, 1000))
    best = min(timeit.repeat(lambda: watched.add("bottle", next(pictures)), number=50, repeat=20)) / 50
    assert best < 5e-4  # 0.07 ms on an idle core
