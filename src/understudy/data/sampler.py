"""The order in which a training sees pictures: each batch depends on the seed and the step only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

__all__ = ["BalancedOrder", "NaturalOrder", "SeededBatches"]


class NaturalOrder:
    """Every picture equally often: an epoch is a permutation of all pictures, cut into full batches.

    Pictures that fill no batch are left out of that epoch.

    Args:
        n: number of pictures.
        batch_size: pictures per batch; at most ``n`` are used.
        seed: seed of the permutations.

    Attributes:
        batch_size: pictures per batch.
        steps_per_epoch: batches per epoch.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        self.batch_size = min(batch_size, n)
        self.steps_per_epoch = n // self.batch_size
        self._n, self._permutations = n, _Permutations(seed)

    def batch(self, step: int) -> list[int]:
        """Return the indices of the pictures of a step, counted from 0."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        order = self._permutations.of(self._n, (), epoch)
        at = batch * self.batch_size
        indices: list[int] = order[at : at + self.batch_size].tolist()
        return indices


class BalancedOrder:
    """Every category equally often, whatever its size; after any number of pictures, to within one.

    The pictures of all batches in a row are cut into rounds. In each round every category has one picture, in
    a seeded order. A category shows all its pictures, in a seeded permutation, before one comes again. An
    epoch has as many batches as in the natural order.

    Args:
        categories: category of each picture.
        batch_size: pictures per batch; at most as many as there are pictures.
        seed: seed of the permutations.

    Attributes:
        batch_size: pictures per batch.
        steps_per_epoch: batches per epoch.
    """

    def __init__(self, categories: Sequence[str], batch_size: int, seed: int) -> None:
        self.batch_size = min(batch_size, len(categories))
        self.steps_per_epoch = len(categories) // self.batch_size
        labels = np.array(categories)
        self._members = [np.flatnonzero(labels == name) for name in sorted(set(categories))]
        self._permutations = _Permutations(seed)

    def batch(self, step: int) -> list[int]:
        """Return the indices of the pictures of a step, counted from 0."""
        first = step * self.batch_size
        return [self._picture(place) for place in range(first, first + self.batch_size)]

    def _picture(self, place: int) -> int:
        turn, at = divmod(place, len(self._members))
        category = int(self._permutations.of(len(self._members), (0,), turn)[at])
        members = self._members[category]
        cycle, within = divmod(turn, len(members))
        return int(members[self._permutations.of(len(members), (1 + category,), cycle)[within]])


class SeededBatches(Sampler[list[int]]):
    """Batches of indices from one step to another, so that a training can resume at any step.

    Args:
        order: order of the pictures.
        stop: step at which the training ends.
        start: step at which it begins or resumes.
        share: which of how many equal shares of each batch, counted from 0; the order of pictures does not
            depend on the number of shares.
    """

    def __init__(
        self, order: NaturalOrder | BalancedOrder, stop: int, start: int = 0, share: tuple[int, int] = (0, 1)
    ) -> None:
        self._order, self._stop, self._start, self._share = order, stop, start, share

    def __len__(self) -> int:
        return self._stop

    def __iter__(self) -> Iterator[list[int]]:
        return map(self._own, range(self._start, self._stop))

    def _own(self, step: int) -> list[int]:
        """Return the share of a batch."""
        batch, (own, shares) = self._order.batch(step), self._share
        size = len(batch) // shares
        return batch[own * size : (own + 1) * size]


class _Permutations:
    """Seeded permutations, by name and number; keeps the latest one of each name."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._latest: dict[tuple[int, ...], tuple[int, NDArray[np.int64]]] = {}

    def of(self, n: int, name: tuple[int, ...], number: int) -> NDArray[np.int64]:
        """Return the (n,) permutation for a name and a number; it depends on these and the seed only."""
        known = self._latest.get(name)
        if known is None or known[0] != number:
            known = number, np.random.default_rng([self._seed, *name, number]).permutation(n)
            self._latest[name] = known
        return known[1]
