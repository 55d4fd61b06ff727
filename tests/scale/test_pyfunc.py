"""A model of MLflow says what the exported model says, and holds no pickle."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy import InputError, Inspector
from understudy.cli import main
from understudy.files import sha256_of
from understudy.runtime.sources import find_pictures
from understudy.scale.pyfunc import write_pyfunc


@pytest.fixture(scope="module")
def served(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("served") / "model"
    write_pyfunc(exported, out)
    return out


@pytest.fixture(scope="module")
def loaded(served: Path) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(served))


@pytest.mark.filterwarnings("ignore")
def test_mlflow_opens_it_and_says_what_the_export_says(loaded: Any, exported: Path, factory: Path) -> None:
    import pandas as pd

    pictures = [str(p) for p in find_pictures(factory / "nut" / "test")]
    expected = list(Inspector.load(exported, threads=1).predict(pictures))
    found = loaded.predict(pd.DataFrame({"path": pictures}))
    assert list(found["score"]) == [each.score for each in expected]
    assert list(found["verdict"]) == [each.verdict for each in expected]
    sent = pd.DataFrame({"path": ["a", "b"], "bytes": [Path(p).read_bytes() for p in pictures[:2]]})
    again = loaded.predict(sent)
    assert list(again["score"]) == [each.score for each in expected[:2]]
    assert list(again["path"]) == ["a", "b"]


@pytest.mark.filterwarnings("ignore")
def test_a_picture_in_json_is_judged_and_a_broken_one_is_an_error_in_its_row(
    loaded: Any, factory: Path
) -> None:
    from mlflow.pyfunc.scoring_server import _decode_json_input, infer_and_parse_data

    picture = base64.b64encode(find_pictures(factory / "nut" / "test")[0].read_bytes()).decode()
    sent = json.dumps(
        {"dataframe_split": {"columns": ["path", "bytes"], "data": [["x", picture], ["y", "bm9uZQ=="]]}}
    )
    schema = loaded.metadata.get_input_schema()
    found = loaded.predict(infer_and_parse_data(_decode_json_input(sent), schema))
    assert found["score"].notna().tolist() == [True, False]
    assert found["error"].isna().tolist() == [True, False]
    assert found["error"][1].startswith("y ")


def test_nothing_in_it_is_pickled_and_the_export_is_in_it_whole(served: Path, exported: Path) -> None:
    files = [each for each in served.rglob("*") if each.is_file()]
    assert not [each for each in files if each.suffix in (".pkl", ".pickle", ".pt", ".joblib")]
    assert "loader_module: mlflow.pyfunc.loaders.code_model" in (served / "MLmodel").read_text()
    for each in exported.iterdir():
        if each.is_file() and not each.name.startswith("."):
            assert sha256_of(served / "artifacts" / exported.name / each.name) == sha256_of(each)


def test_a_folder_with_files_and_a_trained_model_are_refused(
    exported: Path, model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files already"):
        write_pyfunc(exported, tmp_path)
    with pytest.raises(InputError, match="make one with understudy export"):
        write_pyfunc(model_folder, tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


def test_without_mlflow_the_extra_is_named(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(InputError, match=r"understudy\[mlflow\]"):
        write_pyfunc(exported, tmp_path / "out")


def test_folders_above_it_are_made(exported: Path, tmp_path: Path) -> None:
    write_pyfunc(exported, tmp_path / "new" / "deep" / "served")
    assert (tmp_path / "new" / "deep" / "served" / "MLmodel").is_file()
    assert [each.name for each in (tmp_path / "new" / "deep").iterdir()] == ["served"]


@pytest.mark.parametrize("fault", ["full", "inside", "no mlflow", "no folder"])
def test_what_mlflow_cannot_take_is_said_before_the_export_is_written(
    fault: str,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    if fault == "full":
        (served / "mine.txt").write_text("mine")
    if fault == "inside":
        served = tmp_path / "line" / "served"
    if fault == "no mlflow":
        monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    if fault == "no folder":
        served = tmp_path / "file" / "served"
        served.parent.write_text("no folder")
    asked = ["export", str(model_folder), "--out", str(tmp_path / "line"), "--pyfunc", str(served)]
    assert main(asked) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "line").exists()


@pytest.mark.usefixtures("written")
def test_the_command_line_writes_it_beside_the_export(model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model_folder, tmp_path / "model")
    command = ["export", str(copy), "--out", str(tmp_path / "line"), "--pyfunc", str(tmp_path / "served")]
    assert main(command) == 0
    assert (tmp_path / "served" / "MLmodel").is_file()
    assert (tmp_path / "served" / "artifacts" / "line" / "model.onnx").is_file()
