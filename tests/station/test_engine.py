"""The queue of pictures: batches form by themselves, and every caller gets its own answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import until

from understudy.errors import PictureError
from understudy.runtime.scoring import Scored
from understudy.runtime.sources import EncodedPicture
from understudy.station.engine import BusyError, Engine, named
from understudy.types import Result


class Model:
    """Stands for a loaded version: the score of a picture is its content as a number."""

    def __init__(self) -> None:
        self.inspector = self
        self.lane: Model | None = None
        self.scorer = self
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.categories = [f"p{10 * n}" for n in range(20)]

    def score(self, pictures: Any, batch_size: int, products: list[str | None]) -> Iterator[Any]:
        pictures = list(pictures)
        self.gate.wait()
        self.batches.append(len(pictures))
        for picture in pictures:
            if picture.data == b"stop":
                raise RuntimeError("the network broke")
            if not picture.data.isdigit():
                yield PictureError(Path(picture.name), "does not decode")
                continue
            empty = np.zeros((1, 1), np.float32)
            yield Scored(Path(picture.name), (1, 1), "", float(picture.data), empty, empty[0])

    def judged(self, scored: Any, product: str | None) -> Result:
        if isinstance(scored, PictureError):
            return Result(scored.path, np.nan, np.zeros((0, 0), np.float32), (0, 0), error=str(scored))
        return Result(scored.path, scored.score, scored.anomaly_map, scored.size, category=product)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def engine_of(model: Model) -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(**options: Any) -> Engine:
        made.append(Engine(lambda: model, **options))  # type: ignore[arg-type, return-value]
        return made[-1]

    yield make
    model.gate.set()
    for engine in made:
        engine.close()


def pictures_of(*data: bytes) -> list[EncodedPicture]:
    return [EncodedPicture(f"{i}.png", each) for i, each in enumerate(data)]


def test_every_caller_gets_its_own_answers(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of(batch_size=4, lanes=2)
    found: dict[int, list[float]] = {}

    def call(start: int) -> None:
        futures = engine.submit(pictures_of(*(b"%d" % (start + i) for i in range(3))), f"p{start}")
        found[start] = [future.result().result.score for future in futures]
        assert {future.result().result.category for future in futures} == {f"p{start}"}

    threads = [threading.Thread(target=call, args=(10 * n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {10 * n: [10 * n, 10 * n + 1, 10 * n + 2] for n in range(20)}


def test_what_waits_is_scored_together(engine_of: Callable[..., Engine], model: Model) -> None:
    model.gate.clear()
    engine = engine_of(batch_size=4, wait=0.0)
    first = engine.submit(pictures_of(b"1"), None)
    until(lambda: not engine.waiting)  # the worker has taken the first one, and stands at the gate
    rest = [f for _ in range(6) for f in engine.submit(pictures_of(b"1"), None)]
    model.gate.set()
    for future in first + rest:
        future.result()
    assert model.batches == [1, 4, 2]


def test_a_picture_waits_for_calls_on_their_way_and_no_longer(
    engine_of: Callable[..., Engine], model: Model
) -> None:
    engine = engine_of(batch_size=2, wait=30.0)
    engine.submit(pictures_of(b"1"), None)[0].result()  # nobody is on the way: at once
    engine.expect(1)
    early = engine.submit(pictures_of(b"1"), None)
    time.sleep(0.05)
    assert not early[0].done()
    late = engine.submit(pictures_of(b"2"), None)
    early[0].result()
    late[0].result()
    engine.expect(-1)
    assert model.batches == [1, 2]
    engine.expect(1)
    given_up = engine.submit(pictures_of(b"3"), None)
    engine.expect(-1)  # the other call went away
    assert given_up[0].result().result.score == 3


def test_a_bad_picture_does_not_stop_the_others(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of(batch_size=3)
    good, bad, last = (f.result() for f in engine.submit(pictures_of(b"1", b"?", b"3"), None))
    assert (good.result.score, last.result.score) == (1, 3)
    assert bad.scored is None
    assert bad.result.error == "1.png does not decode"


def test_a_picture_that_breaks_the_network_fails_alone(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of(batch_size=3)
    first, broken, last = engine.submit(pictures_of(b"1", b"stop", b"3"), None)
    assert (first.result().result.score, last.result().result.score) == (1, 3)
    with pytest.raises(RuntimeError, match="broke"):
        broken.result()
    assert engine.submit(pictures_of(b"5"), None)[0].result().result.score == 5
    assert engine.is_alive


def test_a_product_that_a_new_version_does_not_know_is_recognised(engine_of: Callable[..., Engine]) -> None:
    (known,) = engine_of().submit(pictures_of(b"1"), "p0")
    (unknown,) = engine_of().submit(pictures_of(b"1"), "screw")
    assert (known.result().result.category, unknown.result().result.category) == ("p0", None)


def test_a_full_queue_takes_nothing_of_a_call(engine_of: Callable[..., Engine], model: Model) -> None:
    model.gate.clear()
    engine = engine_of(batch_size=1, most_waiting=3)
    engine.submit(pictures_of(b"0"), None)
    until(lambda: not engine.waiting)
    engine.submit(pictures_of(b"1", b"2"), None)
    with pytest.raises(BusyError, match="send the pictures again"):
        engine.submit(pictures_of(b"3", b"4"), None)
    assert engine.waiting == 2


def test_closing_answers_what_waits(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of()
    futures = engine.submit(pictures_of(*[b"1"] * 50), None)
    engine.close()
    assert [f.result(0).result.score for f in futures] == [1] * 50
    with pytest.raises(BusyError):
        engine.submit(pictures_of(b"1"), None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.png", "a.png"),
        ("C:\\parts\\a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("", "picture"),
        ("a\nb\x00.png", "ab.png"),
        ("x" * 500, "x" * 200),
    ],
)
def test_names_of_clients_are_only_names(given: str, kept: str) -> None:
    assert named(given) == kept


def test_many_pictures_go_side_by_side_and_few_together(
    engine_of: Callable[..., Engine], model: Model
) -> None:
    model.lane = lane = Model()
    engine = engine_of(lanes=2)
    engine.submit(pictures_of(b"1"), None)[0].result()
    assert (model.batches, lane.batches) == ([1], [])
    lane.gate.clear()
    futures = engine.submit(pictures_of(*(b"%d" % n for n in range(7))), None)
    until(lambda: engine.waiting == 5)  # each lane has one
    lane.gate.set()
    assert [future.result().result.score for future in futures] == list(range(7))
    assert lane.batches == [1] * sum(lane.batches)
    assert sum(lane.batches + model.batches[1:]) == 7
    assert sum(lane.batches) >= 6


def test_a_batch_for_all_cores_waits_until_no_other_has_them(
    engine_of: Callable[..., Engine], model: Model
) -> None:
    model.gate.clear()
    engine = engine_of(lanes=3)
    first = engine.submit(pictures_of(b"1"), None)
    until(lambda: not engine.waiting)
    rest = engine.submit(pictures_of(b"2", b"3"), None)
    time.sleep(0.05)
    assert engine.waiting == 2
    model.gate.set()
    assert [future.result().result.score for future in first + rest] == [1, 2, 3]
    assert model.batches == [1, 2]


def test_a_lane_that_breaks_is_free_again(engine_of: Callable[..., Engine], model: Model) -> None:
    model.lane = Model()
    engine = engine_of(lanes=2)
    for _ in range(3):
        futures = engine.submit(pictures_of(b"stop", b"stop", b"4"), None)
        assert futures[2].result().result.score == 4
        with pytest.raises(RuntimeError, match="broke"):
            futures[0].result()


def test_threads_that_wait_for_others_do_not_take_the_same_pictures(
    engine_of: Callable[..., Engine], model: Model
) -> None:
    model.lane = None  # all of them are batches for all cores
    engine = engine_of(lanes=4, wait=0.01)
    engine.expect(1)  # so that every thread waits for one more
    for n in range(20):
        assert engine.submit(pictures_of(b"%d" % n), None)[0].result().result.score == n
    assert model.batches == [1] * 20
    engine.expect(-1)
