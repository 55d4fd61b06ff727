"""Every file of a model says in one sentence that it holds something else, even under a hash that fits."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from understudy import BundleError, load
from understudy.files import sha256_of
from understudy.folders import read_sealed, write_sealed
from understudy.runtime.bundle import save_calibration


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pictures.json", {"trained": [True], "validation": [], "held_out": []}),
        ("pictures.json", {"trained": []}),
        ("prototypes.json", {"nut": ["a"]}),
        ("prototypes.json", {"nut": {}}),
        ("prototypes.json", {"nut": [[0.5]]}),
        ("prototypes.json", {"nut": [float("nan")]}),
        ("prototypes.json", {"nut": [1e300]}),
        ("prototypes.json", {"nut": [0.5], "linen": [0.5, 0.5]}),
        ("roi.json", {}),
        ("roi.json", {"overall": None, "categories": []}),
        ("roi.json", {"overall": "../x.png", "categories": {}}),
        ("roi.json", {"overall": "roi.png", "categories": {}}),
        ("calibration.json", {"thresholds": None}),
        ("calibration.json", [1]),
    ],
)
def test_odd_content_is_named(model_folder: Path, tmp_path: Path, name: str, content: object) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    (copy / name).write_text(json.dumps(content))
    sealed = read_sealed(copy / "manifest.json")
    assert sealed is not None
    sealed["files"][name] = sha256_of(copy / name)
    write_sealed(copy / "manifest.json", sealed)
    with pytest.raises(BundleError, match=r"(take the model from its source|calibrate again)$"):
        load(copy)


@pytest.mark.parametrize("change", [{"mean": [1e300] * 3}, {"std": [1e-320] * 3}, {"std": [0.0, 1.0, 1.0]}])
def test_a_preprocessing_that_gives_no_numbers_is_refused(
    model_folder: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    sealed = read_sealed(copy / "manifest.json")
    assert sealed is not None
    sealed["preprocess"] |= change
    write_sealed(copy / "manifest.json", sealed)
    with pytest.raises(BundleError, match=r"is no manifest of this version: preprocess\."):
        load(copy)


def test_a_model_that_is_calibrated_meanwhile_is_read_before_or_after_and_never_half(
    model_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    model = load(copy)
    first = model.calibration
    assert first is not None
    made = [first.model_copy(update={"min_area": area}) for area in range(1, 16)]
    read: list[int] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            found = load(copy).calibration
            assert found is not None
            read.append(found.min_area)

    with ThreadPoolExecutor() as pool:
        looking = pool.submit(look)
        for calibration in made:
            save_calibration(copy, model.manifest, calibration)
            before = len(read)
            while len(read) == before:  # a reader of files that change all the time would read for ever
                time.sleep(0.001)
        ended.set()
        looking.result()
    assert read == sorted(read, key=lambda area: (area != first.min_area, area))
    assert len(set(read)) > 1
