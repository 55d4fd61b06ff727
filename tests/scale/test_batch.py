"""Batches of pictures give the rows that ``predict`` gives, to the last bit, whatever the batches are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from understudy import InputError, Inspector
from understudy.runtime.walk import find_pictures
from understudy.scale.batch import RESULT_COLUMNS, BatchInspector, result_row


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    assert tuple(columns) == RESULT_COLUMNS
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def expected(exported: Path, pictures: Path) -> list[dict[str, Any]]:
    found = [result_row(result) for result in Inspector.load(exported).predict(pictures)]
    return [row | {"regions": json.dumps(row["regions"])} for row in found]


@pytest.mark.parametrize("size", [1, 5, 17])
@pytest.mark.parametrize("held", ["bytes", "path", "image"])
def test_rows_are_those_of_predict_to_the_last_bit(size: int, held: str, exported: Path, lake: Path) -> None:
    judge, paths = BatchInspector(exported), find_pictures(lake)
    found = []
    for at in range(0, len(paths), size):
        batch: dict[str, Any] = {"path": [str(path) for path in paths[at : at + size]]}
        if held == "bytes":
            batch["bytes"] = [path.read_bytes() for path in paths[at : at + size]]
        if held == "image":
            batch["image"] = [np.asarray(Image.open(path).convert("RGB")) for path in paths[at : at + size]]
        found += rows_of(judge(batch))
    assert found == expected(exported, lake)
    assert {row["verdict"] for row in found} <= {"PASS", "REVIEW", "FAIL"}


def test_what_cannot_be_judged_is_a_row_with_an_error_that_names_it(exported: Path, lake: Path) -> None:
    good = find_pictures(lake)[0].read_bytes()
    names = ["s3://line/a.png", "s3://line/b.png", "s3://line/c.png", "s3://line/d.png"]
    batch = {
        "path": names,
        "bytes": [good, b"none", None, good],
        "error": [None, None, "c.png is away", None],
    }
    rows = rows_of(BatchInspector(exported)(batch))
    assert [row["path"] for row in rows] == names
    assert rows[0]["error"] is None
    assert rows[0]["score"] == rows[3]["score"]
    assert rows[1]["error"].startswith("s3://line/b.png ")
    assert (rows[2]["error"], rows[2]["score"], rows[2]["regions"]) == ("c.png is away", None, None)


def test_a_gap_that_pandas_filled_with_nan_is_read_from_the_disk(exported: Path, lake: Path) -> None:
    first, second = (str(path) for path in find_pictures(lake)[:2])
    batch = {"path": ["a.png", second], "bytes": [Path(first).read_bytes(), float("nan")]}
    rows = rows_of(BatchInspector(exported)(batch))
    assert [row["error"] for row in rows] == [None, None]
    assert [row["score"] for row in rows] == [r["score"] for r in expected(exported, lake)[:2]]


def test_a_model_without_thresholds_gives_scores_alone(
    exported: Path, lake: Path, tmp_path: Path, uncalibrate: Callable[[Path], Path]
) -> None:
    model = uncalibrate(Path(shutil.copytree(exported, tmp_path / "model")))
    (row,) = rows_of(BatchInspector(model)({"path": [str(find_pictures(lake)[0])]}))
    assert row["score"] is not None
    assert (row["verdict"], row["regions"], row["error"]) == (None, None, None)


def test_a_category_that_is_named_is_taken(exported: Path, lake: Path) -> None:
    (row,) = rows_of(BatchInspector(exported, category="nut")({"path": [str(find_pictures(lake)[0])]}))
    assert row["category"] == "nut"


def test_what_cannot_work_is_said_before_the_first_picture(model_folder: Path, exported: Path) -> None:
    with pytest.raises(InputError, match=r"is a trained model.*understudy export"):
        BatchInspector(model_folder)
    with pytest.raises(InputError, match="not trained on category 'brick'"):
        BatchInspector(exported, category="brick")
    with pytest.raises(InputError, match="a batch has a column path, got image"):
        BatchInspector(exported)({"image": []})


def test_no_engine_and_no_torch_is_needed(exported: Path, lake: Path) -> None:
    picture = find_pictures(lake)[0]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "for name in ('ray', 'daft', 'pyarrow', 'pandas', 'torch'): sys.modules[name] = None\n"
            "from understudy.scale.batch import BatchInspector\n"
            f"print(BatchInspector({str(exported)!r})({{'path': [{str(picture)!r}]}})['score'][0])",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == expected(exported, lake)[0]["score"]
