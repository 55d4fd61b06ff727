"""Which pictures a step sees is a function of the seed and the step; shares are as the order promises."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.data.sampler import BalancedOrder, NaturalOrder, SeededBatches

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def categories_of(sizes: list[int]) -> list[str]:
    return [f"part {i}" for i, size in enumerate(sizes) for _ in range(size)]


def test_natural_batches_are_each_epochs_permutation_cut_into_full_batches() -> None:
    batches = list(SeededBatches(NaturalOrder(10, 4, seed=3), stop=5))
    first, second, third = (np.random.default_rng([3, epoch]).permutation(10).tolist() for epoch in range(3))
    assert batches == [first[:4], first[4:8], second[:4], second[4:8], third[:4]]


def test_natural_batches_with_seed_zero_are_these() -> None:
    batches = list(SeededBatches(NaturalOrder(6, 3, seed=0), stop=3))
    assert batches == [[3, 2, 5], [4, 0, 1], [1, 4, 3]]


@given(
    n=st.integers(1, 30), batch_size=st.integers(1, 9), seed=st.integers(0, 2**31 - 1), at=st.integers(0, 20)
)
@settings(deadline=None)
def test_natural_order_starts_anywhere_and_no_epoch_has_a_picture_twice(
    n: int, batch_size: int, seed: int, at: int
) -> None:
    order = NaturalOrder(n, batch_size, seed)
    whole = list(SeededBatches(order, stop=21))
    assert list(SeededBatches(NaturalOrder(n, batch_size, seed), stop=21, start=at)) == whole[at:]
    for epoch in range(0, 21, order.steps_per_epoch):
        seen = [i for batch in whole[epoch : epoch + order.steps_per_epoch] for i in batch]
        assert len(seen) == len(set(seen))


@given(sizes=SIZES, batch_size=st.integers(1, 9), seed=st.integers(0, 2**31 - 1), at=st.integers(0, 20))
@settings(deadline=None)
def test_balanced_order_starts_anywhere(sizes: list[int], batch_size: int, seed: int, at: int) -> None:
    categories = categories_of(sizes)
    whole = list(SeededBatches(BalancedOrder(categories, batch_size, seed), stop=21))
    assert list(SeededBatches(BalancedOrder(categories, batch_size, seed), stop=21, start=at)) == whole[at:]


@given(sizes=SIZES, batch_size=st.integers(1, 9), seed=st.integers(0, 2**31 - 1))
@settings(deadline=None)
def test_after_any_step_of_the_balanced_order_categories_had_equally_many_places_within_one(
    sizes: list[int], batch_size: int, seed: int
) -> None:
    categories = categories_of(sizes)
    order, had = BalancedOrder(categories, batch_size, seed), Counter(dict.fromkeys(categories, 0))
    for step in range(25):
        batch = order.batch(step)
        assert len(batch) == min(batch_size, len(categories))
        had.update(categories[i] for i in batch)
        assert max(had.values()) - min(had.values()) <= 1


@given(sizes=SIZES, batch_size=st.integers(1, 9), seed=st.integers(0, 2**31 - 1))
@settings(deadline=None)
def test_in_the_balanced_order_no_picture_comes_again_before_all_of_its_category_came(
    sizes: list[int], batch_size: int, seed: int
) -> None:
    categories = categories_of(sizes)
    order = BalancedOrder(categories, batch_size, seed)
    seen = [i for step in range(40) for i in order.batch(step)]
    for name, size in Counter(categories).items():
        own = [i for i in seen if categories[i] == name]
        for cycle in range(0, len(own), size):
            among = own[cycle : cycle + size]
            assert len(among) == len(set(among))


def test_the_order_of_categories_and_the_cycles_of_each_change_with_the_seed_and_the_round() -> None:
    categories = categories_of([6, 6, 6])
    seen = [i for step in range(24) for i in BalancedOrder(categories, 3, seed=0).batch(step)]
    rounds = {tuple(categories[i] for i in seen[at : at + 3]) for at in range(0, len(seen), 3)}
    assert len(rounds) > 1
    own = [i for i in seen if i < 6]
    assert own[:6] != own[6:12]
    assert [i - 6 for i in seen if 6 <= i < 12] != own  # each category has permutations of its own
    assert BalancedOrder(categories, 8, seed=0).batch(0) != BalancedOrder(categories, 8, seed=1).batch(0)


@pytest.mark.parametrize(
    "order", [NaturalOrder(28 + 300, 8, 0), BalancedOrder(categories_of([28, 300]), 8, 0)]
)
def test_an_epoch_is_as_many_steps_in_either_order(order: NaturalOrder | BalancedOrder) -> None:
    assert order.steps_per_epoch == 41


def test_fewer_pictures_than_a_batch_make_a_smaller_batch() -> None:
    assert sorted(NaturalOrder(3, 8, 0).batch(5)) == [0, 1, 2]
    assert sorted(BalancedOrder(["a", "a", "a"], 8, 0).batch(5)) == [0, 1, 2]
