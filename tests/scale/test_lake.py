"""A lake of pictures on a local cluster: the rows of ``predict``, errors as rows, going on after a stop."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest

from understudy import InputError, Inspector, WorkError
from understudy.files import sha256_of
from understudy.progress import Reporter
from understudy.runtime.walk import find_pictures
from understudy.scale import lake as lake_module
from understudy.scale.batch import RESULT_COLUMNS, BatchInspector
from understudy.scale.lake import _Step, _Worker, predict_lake
from understudy.scale.parts import Origin, write_part
from understudy.scale.places import Content

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]


def rows_in(out: Path) -> dict[str, dict[str, Any]]:
    """Path -> row of every part; each path stands in one row."""
    rows = pyarrow.dataset.dataset(out, format="parquet").to_table().to_pylist()
    by_path = {row["path"]: row for row in rows}
    assert len(by_path) == len(rows)
    return by_path


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("as_uri", [False, True])
def test_two_workers_give_the_scores_of_predict_to_the_last_bit(
    as_uri: bool, exported: Path, lake: Path, tmp_path: Path
) -> None:
    done = predict_lake(exported, [lake.as_uri() if as_uri else lake], tmp_path / "out", workers=2)
    assert (done.rows, done.errors, done.before, done.calibrated) == (17, 0, 0, True)
    results = list(Inspector.load(exported).predict(lake))
    rows = rows_in(tmp_path / "out")
    named = [r.path.as_uri() if as_uri else str(r.path) for r in results]
    assert [rows[n]["score"] for n in named] == [r.score for r in results]
    assert [rows[n]["verdict"] for n in named] == [r.verdict for r in results]
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 3


@pytest.mark.usefixtures("cluster")
def test_what_cannot_be_read_is_a_row_and_what_is_missing_is_done_by_the_next_run(
    exported: Path, lake: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for number, path in enumerate(find_pictures(lake)):
        os.link(path, own / f"{number:02d}.png")
    (own / "04.png").rename(own / "caf\udce9.png")  # a name that is no UTF-8
    (own / "03.png").unlink()
    (own / "03.png").write_bytes(b"none")
    out = tmp_path / "out"
    first = predict_lake(exported, [own], out, workers=2)
    assert (first.rows, first.errors) == (17, 1)
    whole = rows_in(out)
    assert whole[str(own / "03.png")]["error"].startswith(str(own / "03.png"))
    parts = sorted(out.glob("part-*.parquet"))
    kept = {part: part.stat().st_mtime_ns for part in parts[1:]}
    parts[0].unlink()
    second = predict_lake(exported, [own], out, workers=2)
    assert (second.rows, second.errors) == (17, 1)
    assert 0 < second.before < 17
    third = predict_lake(exported, [own], out, workers=2)
    assert (third.before, third.errors) == (17, 1)
    assert rows_in(out) == whole
    assert {part: part.stat().st_mtime_ns for part in kept} == kept


def test_a_run_that_was_killed_goes_on_with_what_is_missing(
    exported: Path, lake: Path, tmp_path: Path
) -> None:
    many, out = tmp_path / "many", tmp_path / "out"
    many.mkdir()
    picture = find_pictures(lake)[0]
    for number in range(600):
        os.link(picture, many / f"{number:04d}.png")
    asked = ["predict", str(exported), str(many), "--engine", "ray", "--workers", "2", "--out", str(out)]
    run = subprocess.Popen(
        [sys.executable, "-m", "understudy", *asked], stderr=subprocess.DEVNULL, start_new_session=True
    )
    limit = time.monotonic() + 60
    while not list(out.glob("part-*.parquet")):
        assert run.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    time.sleep(2)  # Ray ends the workers of a driver that is gone
    before = set(rows_in(out))
    assert 0 < len(before) < 600
    again = subprocess.run([sys.executable, "-m", "understudy", *asked], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"{len(before)} pictures have rows" in again.stderr
    lines = [line for line in again.stderr.splitlines() if not line.startswith("predict ")]
    assert len(lines) == 2, again.stderr  # Ray itself says nothing
    rows = rows_in(out)
    assert rows.keys() == {str(path) for path in many.iterdir()}
    assert len({row["score"] for row in rows.values()}) == 1


@pytest.mark.usefixtures("cluster")
def test_the_same_class_is_a_stage_of_any_pipeline_of_ray_data(exported: Path, lake: Path) -> None:
    import ray.data

    paths = [str(path) for path in find_pictures(lake)]
    judged = ray.data.from_items([{"path": path, "bytes": Path(path).read_bytes()} for path in paths])
    judged = judged.map_batches(
        BatchInspector,
        fn_constructor_kwargs={"model": exported},
        batch_size=8,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    scores = {row["path"]: row["score"] for row in judged.take_all()}
    assert scores == {str(r.path): r.score for r in Inspector.load(exported).predict(lake)}


@pytest.mark.usefixtures("cluster")
def test_an_error_of_a_worker_is_the_sentence_that_it_said(
    exported: Path, lake: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    settings = settings_for(exported, tmp_path / "file" / "out")
    with pytest.raises(WorkError, match=r"file/out/.* cannot be written"):
        list(lake_module._run({str(path): "" for path in find_pictures(lake)}, 2, 8, settings))


@pytest.mark.usefixtures("cluster")
def test_a_picture_that_ends_its_worker_is_a_row_and_the_others_are_judged(
    exported: Path, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deadly(_Worker):
        """A worker that some pictures end, as a broken decoder does."""

        def _write(self, paths: Sequence[str], places: Sequence[str]) -> dict[str, list[Any]]:
            if any("deadly" in path for path in paths):
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._write(paths, places)

    good = [str(path) for path in find_pictures(lake)][:5]
    deadly, out = str(tmp_path / "deadly.png"), tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(lake_module, "_Worker", Deadly)
    pictures = dict.fromkeys([*good[:2], deadly, *good[2:]], "")
    steps = list(lake_module._run(pictures, 1, 3, settings_for(exported, out)))
    assert (sum(each.rows for each in steps), sum(each.errors for each in steps)) == (6, 1)
    assert any("judged one by one now" in each.says for each in steps)
    rows = rows_in(out)
    assert rows.keys() == pictures.keys()
    assert rows[deadly]["error"] == f"{deadly} ended the process that judged it; convert it, or leave it out"
    assert [rows[path]["score"] for path in good] == [r.score for r in Inspector.load(exported).predict(good)]


def lose(monkeypatch: pytest.MonkeyPatch) -> list[list[list[str]]]:
    """Let workers die over all that they get; returns the blocks of each pass."""
    passes: list[list[list[str]]] = []

    def judge(blocks: list[list[str]], *others: Any) -> Iterator[_Step]:
        passes.append(blocks)
        yield from ()
        return blocks

    monkeypatch.setattr(lake_module, "_judge_blocks", judge)
    return passes


def test_a_part_that_was_written_before_its_worker_died_is_not_made_twice(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, settings = lose(monkeypatch), settings_for(exported, tmp_path)
    rows = {name: [None] * 2 for name in RESULT_COLUMNS} | {"path": ["/a.png", "/b.png"]}
    write_part(str(tmp_path), rows | {"error": [None, "/b.png is broken"]}, settings["origin"])
    steps = list(lake_module._run(dict.fromkeys(["/a.png", "/b.png", "/c.png"], ""), 1, 8, settings))
    assert passes == [[["/a.png", "/b.png", "/c.png"]], [["/c.png"]]]
    assert (sum(each.rows for each in steps), sum(each.errors for each in steps)) == (3, 2)
    assert rows_in(tmp_path).keys() == {"/a.png", "/b.png", "/c.png"}


def test_many_pictures_that_end_their_workers_are_a_fault_of_the_machine(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch)
    pictures = dict.fromkeys((f"/{number}.png" for number in range(21)), "")
    with pytest.raises(WorkError, match=r"21 pictures ended the processes that judged them, /0\.png for one"):
        list(lake_module._run(pictures, 1, 8, settings_for(exported, tmp_path)))
    assert not list(tmp_path.iterdir())


def settings_for(model: Path, out: Path) -> dict[str, Any]:
    origin = Origin(sha256_of(model / "manifest.json"))
    return {"model": model, "out": str(out), "origin": origin, "options": {}}


def block_of(paths: Iterable[str], place: str = "") -> dict[str, list[bytes]]:
    names = [os.fsencode(path) for path in paths]
    return {"path": names, "place": [place.encode()] * len(names)}


def test_a_worker_with_another_model_says_so_and_writes_nothing(
    exported: Path, lake: Path, tmp_path: Path
) -> None:
    settings = settings_for(exported, tmp_path) | {"origin": Origin("0" * 64)}
    found = _Worker(**settings)(block_of(map(str, find_pictures(lake))))
    assert found["failed"] == [
        f"{exported} is another model on a machine of a worker; copy it to all of them"
    ]
    assert (found["exit_code"], found["rows"]) == ([2], [0])
    assert not list(tmp_path.iterdir())


def test_what_was_not_reached_gets_no_row_and_what_is_missing_does(
    exported: Path, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = find_pictures(lake)[0].read_bytes()
    answers = {
        "s3://line/a.png": Content(data),
        "s3://line/b.png": Content(None, "b.png cannot be read", reached=False),
        "s3://line/c.png": Content(None, "c.png does not exist any more"),
        "s3://line/d.png": Content(None, "d.png cannot be read", reached=False),
    }
    patience: list[bool] = []

    def read(name: str, place: str, patient: bool) -> Content:
        patience.append(patient)
        return answers[name]

    monkeypatch.setattr(lake_module, "read_content", read)
    worker = _Worker(**settings_for(exported, tmp_path))
    worker._readers = ThreadPoolExecutor(1)
    found = worker(block_of(answers, "s3://line"))
    assert [found[name] for name in ("rows", "errors", "unreached", "failed")] == [[2], [1], [2], [""]]
    assert found["reason"] == ["b.png cannot be read"]
    assert rows_in(tmp_path).keys() == {"s3://line/a.png", "s3://line/c.png"}
    assert patience == [True, True, False, True]  # a store that is away is not waited for again and again
    nothing = worker(block_of(["s3://line/b.png", "s3://line/d.png"], "s3://line"))
    assert [nothing[name] for name in ("rows", "unreached", "failed")] == [[0], [2], [""]]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_worker_never_holds_more_than_128_files_of_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    held, most, lock = 0, 0, threading.Lock()

    def count(by: int) -> None:
        nonlocal held, most
        with lock:
            held += by
            most = max(most, held)

    class Data(bytes):
        def __del__(self) -> None:
            count(-1)

    def read(name: str, place: str, patient: bool) -> Content:
        count(1)
        return Content(Data(name.encode()))

    monkeypatch.setattr(lake_module, "read_content", read)
    worker = object.__new__(_Worker)
    worker._readers, worker._answers = ThreadPoolExecutor(16), True
    names = [f"s3://line/{number}.png" for number in range(500)]
    judged: list[str] = []
    for batch in worker._read(names, ["s3://line"] * 500, []):
        time.sleep(0.02)
        assert [os.fsencode(name) for name in batch["path"]] == batch["bytes"]
        judged += batch["path"]
    assert judged == names
    assert 64 < most <= 128


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[_Step]], list[dict[str, str]]]:
    """Stands in for Ray: takes what the parts held; what was to be judged is in the list that it returns."""
    monkeypatch.setattr(lake_module, "_engine", lambda workers: _Size())

    def answers(steps: list[_Step]) -> list[dict[str, str]]:
        asked: list[dict[str, str]] = []

        def run(
            pictures: dict[str, str], workers: int, batch_size: int, settings: dict[str, Any]
        ) -> Iterator[_Step]:
            asked.append(pictures)
            rows = {name: [None] * len(pictures) for name in RESULT_COLUMNS} | {"path": list(pictures)}
            write_part(settings["out"], rows, settings["origin"])
            yield from steps

        monkeypatch.setattr(lake_module, "_run", run)
        return asked

    return answers


class _Size:
    def __enter__(self) -> int:
        return 1

    def __exit__(self, *of_an_error: object) -> None: ...


def test_pictures_of_the_same_name_in_another_folder_are_others(
    exported: Path,
    lake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: Callable[[list[_Step]], list[dict[str, str]]],
) -> None:
    asked, out = engine([_Step(1, 0)]), (tmp_path / "out").as_uri()
    for day in ("monday", "tuesday", "monday"):
        folder = tmp_path / day / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(find_pictures(lake)[0], folder / "a.png")
        monkeypatch.chdir(tmp_path / day)
        predict_lake(exported, ["pictures"], out, workers=1, progress=False)
    assert [[*each] for each in asked] == [
        [str(tmp_path / day / "pictures" / "a.png")] for day in ("monday", "tuesday")
    ]
    assert rows_in(tmp_path / "out").keys() == {path for each in asked for path in each}


def test_rows_of_names_without_their_folder_are_refused(exported: Path, lake: Path, tmp_path: Path) -> None:
    rows = {name: [None] for name in RESULT_COLUMNS} | {"path": ["pictures/a.png"]}
    write_part(str(tmp_path), rows, Origin(sha256_of(exported / "manifest.json")))
    with pytest.raises(InputError, match=r"holds a row of pictures/a\.png, .*--overwrite"):
        predict_lake(exported, [lake], tmp_path, progress=False)


def test_what_is_said_at_the_end_counts_what_was_not_reached_and_names_a_damaged_part(
    exported: Path,
    lake: Path,
    tmp_path: Path,
    engine: Callable[[list[_Step]], list[dict[str, str]]],
) -> None:
    engine([_Step(15, 0, 2, "a.png cannot be read: away"), _Step(0, 0, 1, "b.png cannot be read: away")])
    (tmp_path / "part-0123456789abcdef.parquet").write_bytes(b"PAR1 half")
    said: list[str] = []
    done = predict_lake(exported, [lake], tmp_path, progress=Reporter(said.append))
    assert (done.rows, done.unreached) == (15, 3)
    assert "part-0123456789abcdef.parquet is what is left of a damaged part" in said[0]
    assert said[-1] == "3 pictures have no row yet; the first: a.png cannot be read: away"


def test_without_ray_one_sentence_names_the_extra(
    exported: Path, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        lake_module.importlib.util, "find_spec", lambda name: None if name == "ray" else find(name)
    )
    with pytest.raises(InputError, match=r"a lake of pictures needs .*understudy\[ray\]"):
        predict_lake(exported, [lake], tmp_path / "out")
    assert not (tmp_path / "out").exists()
