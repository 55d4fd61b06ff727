"""A store gives the same pictures wherever they are, and never holds more than its budget."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from understudy import InputError, PictureError
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.runtime.depth import Depth
from understudy.runtime.preprocess import Preprocess

LOOK = Preprocess(image_size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
EACH = 32 * 32 * 3


@pytest.fixture
def paths(factory: Path) -> list[Path]:
    return [r.path for r in open_pictures(factory).train()[:3]]


@pytest.mark.parametrize(
    ("budget", "kept"),
    [(0, 0), (EACH - 1, 0), (EACH, 1), (3 * EACH - 1, 2), (3 * EACH, 3), (9 * EACH, 3)],
)
def test_as_many_pictures_are_kept_as_fit_and_workers_are_for_the_others(
    budget: int, kept: int, paths: list[Path]
) -> None:
    store, whole = PictureStore(paths, LOOK, budget, workers=2), PictureStore(paths, LOOK)
    assert store.kept_bytes == kept * EACH
    assert store.workers == (0 if kept == 3 else 2)
    assert store.digests == whole.digests
    assert all(torch.equal(store[i], whole[i]) for i in range(3))


def test_what_is_kept_is_not_read_again_and_what_is_not_is(paths: list[Path], tmp_path: Path) -> None:
    copies = [tmp_path / p.name for p in paths]
    for copy, path in zip(copies, paths, strict=True):
        copy.write_bytes(path.read_bytes())
    store = PictureStore(copies, LOOK, 2 * EACH)
    for copy in copies:
        copy.unlink()
    assert store[0].shape == store[1].shape == (32, 32, 3)
    with pytest.raises(PictureError, match="cannot be read"):
        store[2]


def test_a_store_sent_to_another_process_leaves_what_it_keeps_behind_and_gives_the_same(
    paths: list[Path],
) -> None:
    store = PictureStore(paths, LOOK, 2 * EACH)
    sent = pickle.dumps(store)
    assert len(sent) < EACH
    arrived = pickle.loads(sent)
    assert arrived.kept_bytes == 0
    assert all(torch.equal(arrived[i], store[i]) for i in range(3))


def test_no_pictures_take_no_memory_and_no_workers() -> None:
    store = PictureStore([], LOOK, budget=0, workers=2)
    assert (len(store), store.kept_bytes, store.workers) == (0, 0, 0)


def test_pictures_are_the_same_from_memory_and_from_disk(factory: Path) -> None:
    paths = [r.path for r in open_pictures(factory).train()[:5]]
    kept, decoded = PictureStore(paths, LOOK), PictureStore(paths, LOOK, budget=0)
    assert all(bool((kept[i] == decoded[i]).all()) for i in range(5))
    assert kept.digests == decoded.digests
    assert kept[0].shape == (32, 32, 3)


def test_deep_pictures_are_the_same_from_memory_and_from_disk_at_the_depth_of_the_model(
    tmp_path: Path,
) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (50, 40)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    look = LOOK.model_copy(update={"depth": Depth(bits=12)})
    kept, read = PictureStore([tmp_path / "a.png"], look), PictureStore([tmp_path / "a.png"], look, budget=0)
    assert torch.equal(kept[0], read[0])
    assert int(read[0].max()) > 200
    narrow = LOOK.model_copy(update={"depth": Depth(bits=10)})
    with pytest.raises(InputError, match=r"a\.png has the value .*10 bits \(0 to 1023"):
        PictureStore([tmp_path / "a.png"], narrow)


def test_broken_pictures_are_named_before_any_training(factory: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(factory / "nut" / "train" / "good", tmp_path / "good"))
    for name in ("000.png", "003.png"):
        (data / name).write_bytes(b"broken")
    with pytest.raises(InputError, match=r"000\.png is no picture.*\(and 1 more\)"):
        PictureStore(sorted(data.iterdir()), LOOK)
