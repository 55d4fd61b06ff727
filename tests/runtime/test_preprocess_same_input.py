"""The runtime gives a network what training gave it, whatever the picture, and arrays do as well as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from understudy.data.store import PictureStore
from understudy.distill.network import Normaliser
from understudy.progress import Lap
from understudy.runtime.graph import Answers
from understudy.runtime.inspector import Inspector
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import NO_ROIS, Rois
from understudy.runtime.scoring import Scorer
from understudy.types import Result

SAME = 1e-6
LOOK = Preprocess(image_size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
LAYOUTS = {
    "stretch": LOOK,
    "keep aspect": LOOK.model_copy(update={"keep_aspect": True}),
    "tiles": LOOK.model_copy(update={"tile": 32}),
    "shrunk tiles that overlap": LOOK.model_copy(update={"tile": 48, "overlap": 16}),
}
SIZES = {
    "a pixel": (1, 1),
    "smaller": (20, 14),
    "as large": (32, 32),
    "larger and odd": (75, 131),
    "very wide": (3, 200),
    "very high": (200, 3),
}
MODES = ("L", "RGB", "RGBA", "P", "I;16", "CMYK", "LA", "1")


class Recorder:
    """A network that keeps what it is given."""

    def __init__(self) -> None:
        self.images: list[NDArray[np.float32]] = []
        self.valid: list[NDArray[np.float32]] = []

    def __call__(self, images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap) -> Answers:
        self.images.extend(images)
        self.valid.extend([] if valid is None else valid)
        maps = images.mean(axis=1)
        return Answers(maps, maps.max(axis=(1, 2)), np.ones((len(images), 1), np.float32))


def picture(folder: Path, mode: str, size: tuple[int, int]) -> Path:
    """Noise, saved without loss."""
    rng = np.random.default_rng(size)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, size, np.uint16))
    elif mode in ("RGBA", "LA"):
        image = Image.fromarray(rng.integers(0, 256, (*size, 4), np.uint8)).convert(mode)
    else:
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).convert(mode)
    path = folder / ("picture.tif" if mode == "CMYK" else "picture.png")
    image.save(path)
    with Image.open(path) as saved:
        assert saved.mode == mode
    return path


def far_half(size: tuple[int, int]) -> Rois:
    """The half at the end of the longer side counts."""
    mask = np.zeros(size, bool)
    if size[0] > size[1]:
        mask[size[0] // 2 :] = True
    else:
        mask[:, size[1] // 2 :] = True
    return Rois(mask)


def seen_in_training(
    path: Path, look: Preprocess, rois: Rois, budget: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    store = PictureStore([path], look, budget, rois=rois)
    images, valid = Normaliser(look)(torch.stack([store[i] for i in range(len(store))]))
    return images, valid


@pytest.mark.parametrize("roi", [False, True], ids=["whole", "region of interest"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_the_runtime_sees_what_training_saw(
    mode: str, size: tuple[int, int], layout: Preprocess, roi: bool, tmp_path: Path
) -> None:
    path, rois = picture(tmp_path, mode, size), far_half(size) if roi else NO_ROIS
    network = Recorder()
    list(Scorer(network, layout, {}, rois=rois).score([path], batch_size=2))
    kept, decoded = (seen_in_training(path, layout, rois, budget) for budget in (10**9, 0))
    for images, valid in (kept, decoded):
        np.testing.assert_allclose(np.stack(network.images), images, rtol=0, atol=SAME)
        assert (valid is not None) == bool(roi or layout.pads) == bool(network.valid)
        if valid is not None:
            np.testing.assert_array_equal(np.stack(network.valid), valid)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(
    ("channels", "kind"), [((3,), np.uint8), ((), np.uint8), ((), np.uint16), ((4,), np.uint8)]
)
def test_an_array_is_seen_as_the_same_picture_in_a_file(
    channels: tuple[int, ...],
    kind: type[np.uint8 | np.uint16],
    layout: Preprocess,
    inspector_of: Callable[..., Inspector],
    tmp_path: Path,
) -> None:
    array = np.random.default_rng(0).integers(
        0, np.iinfo(kind).max, (75, 131, *channels), kind, endpoint=True
    )
    Image.fromarray(array).save(tmp_path / "picture.png")
    given: list[Recorder] = []
    found: list[Result] = []
    for source in (array, tmp_path / "picture.png"):
        given.append(Recorder())
        (told,) = inspector_of(Scorer(given[-1], layout, {"nut": np.ones(1, np.float32)})).predict(source)
        assert told.ok
        found.append(told)
    np.testing.assert_array_equal(given[0].images, given[1].images)
    np.testing.assert_array_equal(given[0].valid, given[1].valid)
    np.testing.assert_array_equal(found[0].anomaly_map, found[1].anomaly_map)
    assert (found[0].score, found[0].size) == (found[1].score, found[1].size)
