"""``understudy predict --engine ray`` as a user meets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.dataset
import pytest

from understudy.cli import main
from understudy.runtime.walk import find_pictures
from understudy.scale import lake
from understudy.scale.lake import LakeReport

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture
def no_cluster_left() -> Iterator[None]:
    """The command ends the cluster that it starts."""
    import ray

    if ray.is_initialized():  # that of tests before
        ray.shutdown()
    yield
    assert not ray.is_initialized()


@pytest.mark.usefixtures("no_cluster_left")
def test_pictures_are_judged_into_a_folder_of_parts_and_named_once(
    exported: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(data)
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"none")
    out = tmp_path / "found.parquet"
    asked = ("predict", exported, "nut/test", "--engine", "ray", "--workers", 1, "--out", out)
    assert run(*asked) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1] == "4 pictures scored, 1 unreadable"
    rows = pyarrow.dataset.dataset(out, format="parquet").to_table().to_pylist()
    assert sorted(row["path"] for row in rows) == [str(p) for p in find_pictures(data / "nut" / "test")]
    assert run(*asked) == 1  # all is there
    assert "5 pictures have rows" in capsys.readouterr().err


@pytest.mark.usefixtures("no_cluster_left")
def test_without_thresholds_the_exit_code_is_3(
    exported_copy: Path, data: Path, tmp_path: Path, uncalibrate: Callable[[Path], Path]
) -> None:
    model = uncalibrate(exported_copy)
    assert run("predict", model, data / "nut" / "test", "--engine", "ray", "--out", tmp_path / "out") == 3


def test_pictures_that_were_not_reached_set_the_exit_code_though_no_row_has_an_error(
    exported: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = LakeReport(4, 0, 0, calibrated=True, unreached=1)
    monkeypatch.setattr(lake, "predict_lake", lambda *given, **options: report)
    assert run("predict", exported, data, "--engine", "ray", "--out", tmp_path / "out") == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "--engine ray needs a folder for its parts: add --out DIR"),
        (("--out", "out", "--heatmaps"), "leave out --heatmaps"),
        (("--out", "out", "--format", "csv"), "leave out --format csv"),
        (("--out", "out", "--profile"), "leave out --profile"),
        (("--out", "out", "--device", "cuda"), "leave out --device cuda"),
    ],
)
def test_what_a_lake_does_not_have_is_refused(
    given: tuple[str, ...], words: str, exported: Path, data: Path, the_error: Callable[[], str]
) -> None:
    assert run("predict", exported, data, "--engine", "ray", *given) == 2
    assert words in the_error()


def test_workers_without_an_engine_and_a_trained_model_are_refused(
    exported: Path, model_folder: Path, data: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    assert run("predict", exported, data, "--workers", 2) == 2
    assert "add --engine ray" in the_error()
    assert run("predict", model_folder, data, "--engine", "ray", "--out", tmp_path / "out") == 2
    assert "is a trained model" in the_error()


def test_another_models_parts_are_refused_in_one_sentence(
    exported: Path, data: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    from understudy.scale.batch import RESULT_COLUMNS
    from understudy.scale.parts import Origin, write_part

    out = tmp_path / "out"
    out.mkdir()
    write_part(
        str(out), {name: ["a.png" if name == "path" else None] for name in RESULT_COLUMNS}, Origin("0")
    )
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run("predict", exported, data, "--engine", "ray", "--out", out) == 2
    assert "holds results of another model" in the_error()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
