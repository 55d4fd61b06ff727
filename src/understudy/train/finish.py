"""What follows the last step: batch normalisation, scales of maps, prototypes, codebook, composition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, Subset

from understudy.data.store import PictureStore
from understudy.distill.distiller import Distiller
from understudy.distill.fusion import Fusion
from understudy.distill.network import full_precision
from understudy.distill.teacher import Teacher, embedding
from understudy.distill.valid import valid_cells
from understudy.progress import Advance, ignore_progress
from understudy.runtime.decision import Prototypes
from understudy.runtime.preprocess import Preprocess
from understudy.types import Features

__all__ = [
    "MOST_BATCHES",
    "fill_codebook",
    "fill_composition",
    "learn_prototypes",
    "recompute_batchnorm",
    "scale_maps",
]


_ENOUGH = 1000  # windows of a category, for its prototype


def learn_prototypes(
    teacher: Teacher,
    good: PictureStore,
    categories: Sequence[str],
    preprocess: Preprocess,
    device: torch.device,
    batch_size: int = 8,
) -> Prototypes:
    """Return the mean embedding of each category, scaled to unit length.

    Of a category with very many windows, evenly spread ones are enough.

    Args:
        teacher: teacher that the model scores with.
        good: windows that were learned from.
        categories: category of each window.
        preprocess: turns windows into input.
        device: device that computes.
        batch_size: number of windows at once.
    """
    teacher.to(device)
    sums: dict[str, Tensor] = {}
    chosen = sorted(i for members in _places(categories, _ENOUGH).values() for i in members)
    names = iter([categories[i] for i in chosen])
    for images, _ in _batches(good, chosen, preprocess, device, batch_size):
        with torch.inference_mode(), full_precision():
            embeddings = embedding(teacher(images)).double().cpu()
        for name, each in zip(islice(names, len(embeddings)), embeddings, strict=True):
            sums[name] = sums.get(name, 0) + each
    teacher.to("cpu")
    return {name: F.normalize(sums[name], dim=0).float().numpy() for name in sorted(sums)}


def _places(categories: Sequence[str], most: int) -> dict[str, list[int]]:
    """Return the places of all windows of each category, or of evenly spread ones if there are too many."""
    places: dict[str, list[int]] = {}
    for place, category in enumerate(categories):
        places.setdefault(category, []).append(place)
    return {
        c: [members[i * len(members) // most] for i in range(most)] if len(members) > most else members
        for c, members in places.items()
    }


_MOST_PIXELS = 2**24  # of all maps together, for the quantiles


def scale_maps(
    distiller: Distiller,
    good: PictureStore,
    preprocess: Preprocess,
    device: torch.device,
    batch_size: int = 8,
) -> None:
    """Fit the scales of a distiller whose map is a :class:`understudy.distill.fusion.Fusion`.

    Args:
        distiller: distiller; changed in place.
        good: windows of good pictures.
        preprocess: turns windows into input.
        device: device that computes.
        batch_size: number of windows at once.
    """
    fusion = distiller.to(device).eval().to_map
    assert isinstance(fusion, Fusion)
    # Evenly spaced pixels of each map bound the memory for any number of pictures.
    step = -(-len(good) * preprocess.image_size**2 // _MOST_PIXELS)
    values_of: dict[str, list[NDArray[np.float32]]] = {name: [] for name in fusion.parts}
    for batch in DataLoader(good, batch_size=batch_size):
        images, valid = _inputs(batch, preprocess, device)
        with torch.inference_mode(), full_precision():
            pairs = distiller.pairs(images, valid)
            values = fusion.values(pairs, (images.shape[-2], images.shape[-1]), valid)
        for name, each in values.items():
            values_of[name].append(each[::step].float().cpu().numpy())
    fusion.fit({name: np.concatenate(each) for name, each in values_of.items()})
    distiller.to("cpu")


_FOR_CENTRES = 20_000  # cells of a category
_EACH, _LEAST = 100, 20  # windows of a category that these come from: at most, at least
_ALL = 4000  # windows of all categories together, unless each has the least
_FOR_SCALES = 400  # windows of all categories together


def fill_codebook(
    distiller: Distiller,
    good: PictureStore,
    categories: Sequence[str],
    preprocess: Preprocess,
    device: torch.device,
    advance: Advance = ignore_progress,
    batch_size: int = 8,
) -> None:
    """Learn the centres of each category beside a trained student, and the scales of both maps.

    Args:
        distiller: distiller with an empty codebook; changed in place.
        good: windows that were learned from.
        categories: category of each window.
        preprocess: turns windows into input.
        device: device that computes.
        advance: called with ("codebook", categories done, categories in all, "").
        batch_size: number of windows at once.
    """
    codebook = distiller.to(device).eval().codebook
    assert codebook is not None
    places = _places(categories, max(_LEAST, min(_EACH, _ALL // len({*categories}))))

    chance = torch.Generator().manual_seed(0)

    def cells_of(chosen: list[int]) -> tuple[Tensor, Tensor]:
        batches = _batches(good, chosen, preprocess, device, batch_size)
        return _cells_and_embeddings(distiller.teacher, codebook.cells, batches, len(chosen), chance)

    codebook.fill(_in_turn(cells_of, places, "codebook", advance))
    some = _places(categories, max(1, _FOR_SCALES // len(places)))
    moments = torch.zeros(2, 3, dtype=torch.float64)  # number, sum and sum of squares of each map
    chosen = [i for members in some.values() for i in members]
    for images, valid in _batches(good, chosen, preprocess, device, batch_size):
        with torch.inference_mode(), full_precision():
            features = distiller.teacher(images)
            pairs = distiller.pairs_from(features, images, valid)
            size = (images.shape[-2], images.shape[-1])
            both = distiller.student_map(pairs, images, valid), codebook.to_map(features, size, valid)
            for i, one in enumerate(both):
                values = (one.flatten() if valid is None else one[valid > 0]).double().cpu()
                moments[i] += torch.stack([torch.tensor(len(values)), values.sum(), values.square().sum()])
    codebook.fit_scales(moments)
    distiller.to("cpu")


def fill_composition(
    distiller: Distiller,
    good: PictureStore,
    categories: Sequence[str],
    preprocess: Preprocess,
    device: torch.device,
    advance: Advance = ignore_progress,
    batch_size: int = 8,
) -> None:
    """Learn the codes of each category's cells. Those of one do not depend on which others there are.

    Args:
        distiller: distiller with an empty composition; changed in place.
        good: windows that were learned from.
        categories: category of each window.
        preprocess: turns windows into input.
        device: device that computes.
        advance: called with ("composition", categories done, categories in all, "").
        batch_size: number of windows at once.
    """
    composition = distiller.to(device).eval().composition
    assert composition is not None
    places = _places(categories, _EACH)

    def cells_of(chosen: list[int]) -> tuple[Tensor, Tensor]:
        chance = torch.Generator().manual_seed(0)
        batches = _batches(good, chosen, preprocess, device, batch_size)
        return _cells_and_embeddings(distiller.teacher, composition.cells, batches, len(chosen), chance)

    composition.fill(_in_turn(cells_of, places, "composition", advance))
    distiller.to("cpu")


def _in_turn(
    cells_of: Callable[[list[int]], tuple[Tensor, Tensor]],
    places: Mapping[str, list[int]],
    what: str,
    advance: Advance,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield cells and embeddings of each category, by name, and tell how many are done."""
    for done, (_, chosen) in enumerate(sorted(places.items()), 1):
        yield cells_of(chosen)
        advance(what, done, len(places), "")


def _cells_and_embeddings(
    teacher: Teacher,
    stack: Callable[[Features], Tensor],
    batches: Iterable[tuple[Tensor, Tensor | None]],
    windows: int,
    chance: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return random cells of a category's windows, equally many of each, and the embeddings of all."""
    cells, embeddings = [], []
    for images, valid in batches:
        with torch.inference_mode(), full_precision():
            features = teacher(images)
            stacked = stack(features)
            embeddings.append(embedding(features))
        counts = None if valid is None else valid_cells(valid, (stacked.shape[2], stacked.shape[3])) > 0
        for i, window in enumerate(stacked):
            own = window.flatten(1).T
            own = own if counts is None else own[counts[i].flatten()]
            some = torch.randperm(len(own), generator=chance)[: -(-_FOR_CENTRES // windows)]
            cells.append(own[some.to(own.device)])
    return torch.cat(cells), torch.cat(embeddings)


def _batches(
    good: PictureStore, chosen: Sequence[int], preprocess: Preprocess, device: torch.device, batch_size: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield images and valid pixels of some windows, in order."""
    for batch in DataLoader(Subset(good, chosen), batch_size=batch_size):
        yield _inputs(batch, preprocess, device)


def _inputs(windows: Tensor, preprocess: Preprocess, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """(B, S, S, 3 or 4) uint8 windows -> normalised images and valid pixels on the device."""
    images, valid = preprocess.inputs(windows.numpy())
    return torch.from_numpy(images).to(device), None if valid is None else torch.from_numpy(valid).to(device)


MOST_BATCHES = 32  # more batches change no figure (docs/decisions/0033)

_Batch = TypeVar("_Batch")


def recompute_batchnorm(
    student: nn.Module, batches: Iterable[_Batch], forward: Callable[[_Batch], object]
) -> None:
    """Set the statistics of every batch normalisation to their mean over some batches, with final weights.

    A training leaves a running mean over about the last ten batches, most of them seen with older weights. If
    products differ, that mean may not fit a product.

    Args:
        student: student; changed in place, in eval mode afterwards. A layer that no batch reaches keeps its
            statistics.
        batches: batches like those of the training.
        forward: shows one batch to the student.
    """
    layers = [m for m in student.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [{k: v.clone() for k, v in layer.state_dict().items()} for layer in layers]
    update_bn(((batch,) for batch in batches), _Shown(student, forward))
    for layer, state in zip(layers, before, strict=True):
        if not layer.num_batches_tracked:
            layer.load_state_dict(state)
    student.eval()


class _Shown(nn.Module):
    """Module that torch's ``update_bn`` calls with each batch."""

    def __init__(self, student: nn.Module, show: Callable[[Any], object]) -> None:
        super().__init__()
        self.student, self.show = student, show

    def forward(self, batch: Any) -> None:
        self.show(batch)
