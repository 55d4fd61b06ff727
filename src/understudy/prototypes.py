"""Good pictures that a training has learned from -> a prototype of each category, to recognise it by."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from understudy.data.store import PictureStore
from understudy.device import full_precision
from understudy.distill.teacher import Teacher, embedding
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.recognition import Prototypes

__all__ = ["learn_prototypes"]

_ENOUGH = 1000  # windows of a category


def learn_prototypes(
    teacher: Teacher,
    good: PictureStore,
    categories: Sequence[str],
    preprocess: Preprocess,
    device: torch.device,
    batch_size: int = 8,
) -> Prototypes:
    """Mean embedding of each category, brought to length one; of very many windows some tell enough.

    Args:
        teacher: that the model scores with.
        good: windows learned from.
        categories: of each of them.
        preprocess: how a picture becomes input.
        device: to compute on.
        batch_size: windows at once.
    """
    teacher.to(device)
    sums: dict[str, Tensor] = {}
    chosen = _some_of_each(categories)
    names = iter([categories[i] for i in chosen])
    for batch in DataLoader(Subset(good, chosen), batch_size=batch_size):
        images = torch.from_numpy(preprocess.inputs(batch.numpy())[0]).to(device)
        with torch.inference_mode(), full_precision():
            embeddings = embedding(teacher(images)).double().cpu()
        for name, each in zip(islice(names, len(embeddings)), embeddings, strict=True):
            sums[name] = sums.get(name, 0) + each
    teacher.to("cpu")
    return {name: F.normalize(sums[name], dim=0).float().numpy() for name in sorted(sums)}


def _some_of_each(categories: Sequence[str]) -> list[int]:
    """Places of every window of a category, or of evenly spread ones where there are too many."""
    places: dict[str, list[int]] = {}
    for place, category in enumerate(categories):
        places.setdefault(category, []).append(place)
    return sorted(i for own in places.values() for i in own[:: -(-len(own) // _ENOUGH)])
