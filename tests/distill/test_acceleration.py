"""How a faster function takes the place of a plain one, and what a batch computes once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from understudy.distill import acceleration
from understudy.distill.acceleration import (
    accelerable,
    cached_per_batch,
    kept_memory,
    one_batch,
    plain_equations,
    prepare_convolutions,
    use_kernels,
)
from understudy.types import Pair


@accelerable
def double(x: int, *, times: int = 2) -> int:
    """Tell what it does."""
    return x * times


def faster(x: int, *, times: int = 2) -> int:
    return -x * times  # told apart by its sign


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "_kernels", {})


def test_a_kernel_is_called_in_place_of_its_plain_function_but_not_within_plain_equations() -> None:
    assert double(3) == 6
    use_kernels({double: faster})
    assert (double(3), double(3, times=5)) == (-6, -15)
    with plain_equations():
        assert double(3) == 6
        with plain_equations():
            assert double(3) == 6
        assert double(3) == 6
    with pytest.raises(ZeroDivisionError), plain_equations():
        raise ZeroDivisionError
    assert double(3) == -6
    assert double.__doc__ == "Tell what it does."


def test_without_kernels_convolutions_and_memory_stay_as_they_are() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4))
    before = network[0]
    prepare_convolutions(network)
    assert network[0] is before
    with kept_memory():
        pass


def test_a_batch_computes_once_for_each_pair_and_option_and_keeps_nothing() -> None:
    calls: list[str] = []

    def total(pair: Pair, which: str) -> Tensor:
        calls.append(which)
        return pair.student.sum()

    one, other = (Pair(torch.zeros(1), torch.ones(n)) for n in (1, 2))
    with one_batch():
        found = [cached_per_batch(total, pair, which).item() for pair in (one, other, one) for which in "ab"]
    assert found == [1, 1, 2, 2, 1, 1]
    assert calls == ["a", "b", "a", "b"]
    cached_per_batch(total, one, "a")
    cached_per_batch(total, one, "a")
    assert calls == ["a", "b", "a", "b", "a", "a"]
