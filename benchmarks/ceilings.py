"""How far a training step is from what the machine could do: counted work, measured ceilings, and the gap.

    python benchmarks/ceilings.py --out benchmarks/results/ceilings.csv

Torch counts the multiply-adds while it runs a step, forward and backward. Bytes are an *estimate*: all that
every operation of torch reads and writes, as if nothing stayed in the processor's caches. Less than that
really moves. The ceilings are measured in the same run: a product of large matrices, and a copy larger than
any cache. No step can be faster than its multiply-adds at the first ceiling. Each case and precision runs in
its own process. Teachers have random weights and compute their features at each step. Pictures are noise in
memory.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from apart import print_rows, run_missing
from machine import provenance, read
from tables.ceilings import ceilings
from understudy.distill.teacher import default_strides
from understudy.distill.weights import RANDOM, load_teacher
from understudy.kernels.malloc import disable_malloc_trim
from understudy.methods import METHODS, build, settings_for

CASES = {
    "stpm": "resnet18",
    "rd": "wide_resnet50_2",
    "snl-rd": "wide_resnet50_2",
    "snl-fd": "wide_resnet50_2",
    "dskd": "wide_resnet50_2",
}
PRECISIONS = {"32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default=",".join(CASES))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--side", type=int, default=3072, help="side of the matrices")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(**json.loads(asked.run))])
        return
    common = {name: getattr(asked, name) for name in ("batch_size", "image_size", "steps", "side")}
    for method in asked.methods.split(","):
        for precision in PRECISIONS:
            job = {"method": method, "teacher": CASES[method], "precision": precision} | common
            run_missing(__file__, asked.data, asked.out, job)
    print(ceilings(read(asked.out)))


def run(
    method: str, teacher: str, precision: str, batch_size: int, image_size: int, steps: int, side: int
) -> dict[str, Any]:
    """Count and time one training step, and measure the ceilings: one row."""
    key = dict(locals())
    disable_malloc_trim()  # a training does so too
    step = training_step(method, teacher, PRECISIONS[precision], batch_size, image_size)
    step()  # an optimiser makes its state in the first one
    with FlopCounterMode(display=False) as counter:
        step()
    with BytesCounter() as traffic:
        step()
    return (
        key
        | {
            "threads": torch.get_num_threads(),
            "multiply_adds_g": round(counter.get_total_flops() / 2e9, 1),
            "bytes_g": round(traffic.total / 1e9, 2),
            "step_ms": round(1000 * seconds_of(step, steps), 1),
            "matmul_gmacs_per_s": round(matmul_rate(side, PRECISIONS[precision]) / 1e9, 1),
            "copy_gb_per_s": round(copy_rate() / 1e9, 2),
        }
        | provenance()
    )


def training_step(
    method: str, teacher: str, dtype: torch.dtype, batch_size: int, image_size: int
) -> Callable[[], None]:
    """Make a step of forward, backward and optimiser, as :func:`understudy.train.loop.train` does them."""
    torch.manual_seed(0)
    network, _, _ = load_teacher(teacher, default_strides(teacher, image_size), RANDOM, image_size)
    distiller = build(method, network, settings_for(method)).train()
    distiller.to(memory_format=torch.channels_last)
    optimiser = METHODS[method].recipes["paper"].optimiser.over(distiller.student.parameters())
    images = torch.randn(batch_size, 3, image_size, image_size).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = torch.stack(list(distiller.training_loss(images).values())).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


class BytesCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of the tensors that operations read and write. A view moves nothing.

    Attributes:
        total: bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [t for t in tree_leaves((args, kwargs, found)) if isinstance(t, Tensor)]
            self.total += sum(t.numel() * t.element_size() for t in tensors)
        return found


def matmul_rate(side: int, dtype: torch.dtype) -> float:
    """Multiply-adds per second of a product of two square matrices."""
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    return float(side**3 / seconds_of(lambda: a @ b, 7))


def copy_rate(bytes_each: int = 2**29) -> float:
    """Bytes per second, read and written together, of a copy."""
    source = torch.ones(bytes_each, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2 * bytes_each / seconds_of(lambda: target.copy_(source), 7)


def seconds_of(work: Callable[[], object], times: int) -> float:
    """Median over repetitions; the first one is left out."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken[1:])


if __name__ == "__main__":
    main()
