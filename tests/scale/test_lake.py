"""A lake of pictures on a local cluster: the rows of ``predict``, errors as rows, going on after a stop."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest

from understudy import InputError, Inspector, WorkError
from understudy.runtime.walk import find_pictures
from understudy.scale import lake as lake_module
from understudy.scale.batch import BatchInspector
from understudy.scale.lake import predict_lake
from understudy.scale.parts import Origin

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
    for number in range(1500):
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
    assert 0 < len(before) < 1500
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
    settings = {
        "folder": tmp_path,
        "model": exported,
        "out": str(tmp_path / "file" / "out"),
        "origin": Origin("0"),
        "options": {},
    }
    with pytest.raises(WorkError, match=r"file/out/.* cannot be written"):
        list(lake_module._run([str(path) for path in find_pictures(lake)], 2, 8, settings))


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
