"""What tests of many processes share: pictures in one list, and one small cluster of Ray for all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.runtime.walk import find_pictures


@pytest.fixture(scope="session")
def lake(factory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 17 pictures of four products, which is two batches and one picture; not to be changed."""
    folder = tmp_path_factory.mktemp("lake") / "pictures"
    tests = [path for path in find_pictures(factory) if "test" in path.parts]
    for number, path in enumerate(tests[:17]):
        target = folder / path.relative_to(factory).parts[0] / f"{number:02d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two workers, which the tests of a file share; an idle one slows all that follow."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        _node_ip_address="127.0.0.1",
        logging_level="ERROR",
        log_to_driver=False,
    )
    yield
    ray.shutdown()
