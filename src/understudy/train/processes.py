"""The processes that train together: who they are, how they start, and what only the first one does.

There are two ways to start them. torchrun or SLURM starts the whole command once per device, here and on
other machines; the first process alone prepares and writes the model's folder. Without them, on a processor,
the training loop alone runs in copies of this process; see :mod:`understudy.train.copies`.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from torch import distributed

from understudy.distill.network import resolve_device
from understudy.errors import InputError, UnderstudyError, WorkError
from understudy.train.options import FitOptions
from understudy.train.plan import TrainingPlan

__all__ = [
    "ALONE",
    "Group",
    "JoinedEnvironment",
    "is_first_process",
    "join_group",
    "meeting",
    "portable",
    "run_command",
    "was_told_by_first",
]

_MEETING = timedelta(minutes=10)  # that a process waits for the others, also at each step
_LONGEST = timedelta(days=7)  # that the others wait while the first process prepares or calibrates
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Group:
    """The processes that train together, seen from one of them.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes on all machines.
        local_rank: number of this process on its machine, from 0.
        local_size: number of processes on its machine.
        control: torch's group for messages between processors; ``None`` in a group of one.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    control: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes files, reports progress and talks to the user."""
        return self.rank == 0

    def place(self, plan: TrainingPlan) -> TrainingPlan:
        """Return the plan with the device of this process, and the precision that the first one measured."""
        if self.size == 1:
            return plan
        precision, measured = self.agree((plan.precision, plan.measured))
        device = torch.device("cuda", self.local_rank) if plan.device.type == "cuda" else plan.device
        return replace(plan, precision=precision, measured=measured, device=device)

    def first(self, work: Callable[[], object]) -> None:
        """Do something in the first process alone; the others wait, and fail as it fails.

        Raises:
            UnderstudyError: the work raised it.
        """
        failure: Exception | None = None
        if self.is_first:
            try:
                work()
            except Exception as error:
                failure = error
        told: list[Any] = [failure and portable(failure)]
        if self.size > 1:
            distributed.broadcast_object_list(told, src=0, group=self.control)
        if failure is not None:
            raise failure
        if told[0] is not None:
            told[0].told_by_first = True
            raise told[0]

    def agree(self, value: _Value) -> _Value:
        """Return the value of the first process, in every process."""
        if self.size == 1:
            return value
        told: list[Any] = [value]
        distributed.broadcast_object_list(told, src=0, group=self.control)
        agreed: _Value = told[0]
        return agreed

    def total(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        if self.size == 1:
            return value
        summed = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(summed, group=self.control)
        return float(summed)


ALONE = Group()
"""A process that trains by itself."""


class JoinedEnvironment(LightningEnvironment):
    """Tells Lightning that the processes run and have met already, whoever started them."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group = group

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts no process."""
        return True

    def local_rank(self) -> int:  # noqa: D102
        return self._group.local_rank

    def node_rank(self) -> int:  # noqa: D102
        return self._group.rank // self._group.local_size


class _Started(NamedTuple):
    """What torchrun or SLURM says of this process."""

    by: str
    rank: int
    size: int
    local_rank: int
    address: str


def _started() -> _Started | None:
    """Return what started this process as one of several; ``None`` if nothing did."""
    if "TORCHELASTIC_RUN_ID" in os.environ or {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ):
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        return _Started("torchrun", rank, size, int(os.environ.get("LOCAL_RANK", 0)), "env://")
    if SLURMEnvironment.detect() and "SLURM_PROCID" in os.environ and int(os.environ["SLURM_NTASKS"]) > 1:
        try:
            slurm = SLURMEnvironment()
        except RuntimeError as error:  # tasks without --ntasks-per-node
            raise InputError(f"SLURM's tasks cannot train together: {error}") from error
        address = f"tcp://{slurm.main_address}:{slurm.main_port}"
        return _Started("SLURM", slurm.global_rank(), slurm.world_size(), slurm.local_rank(), address)
    return None


def is_first_process(asked: FitOptions) -> bool:
    """Tell whether this process reports and writes; true where nothing started several."""
    started = _started() if asked.devices * asked.nodes > 1 else None
    return started is None or started.rank == 0


def was_told_by_first(error: Exception) -> bool:
    """Tell whether an error is the copy of one that the first process raised, and says itself."""
    return getattr(error, "told_by_first", False)


@contextmanager
def join_group(asked: FitOptions) -> Iterator[Group]:
    """Meet the other processes of a training that torchrun or SLURM started; else yield :data:`ALONE`.

    Raises:
        InputError: processes and options do not agree, or cannot be started from here.
    """
    size = asked.devices * asked.nodes
    if size == 1:
        if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise InputError(
                f"torchrun started {os.environ['WORLD_SIZE']} processes, and this training has one; say how "
                "many train together by --devices and --nodes"
            )
        yield ALONE
        return
    started = _started()
    device = resolve_device(asked.device)
    if device.type == "cuda" and asked.devices > torch.cuda.device_count():
        raise InputError(
            f"--devices {asked.devices} asks for more GPUs than there are; this machine has "
            f"{torch.cuda.device_count()}"
        )
    if started is None:
        _require_copies(asked, device)
        yield ALONE
        return
    if started.size != size:
        raise InputError(
            f"{started.by} started {started.size} processes, and --devices {asked.devices} --nodes "
            f"{asked.nodes} makes {size}; let both agree"
        )
    with meeting(started.rank, size, started.local_rank, asked.devices, device, started.address) as group:
        yield group


def _require_copies(asked: FitOptions, device: torch.device) -> None:
    """Refuse a training that needs another program to start its processes."""
    if asked.nodes == 1 and asked.strategy == "auto" and device.type == "cpu" and hasattr(os, "fork"):
        return
    nodes = f"--nnodes {asked.nodes} " if asked.nodes > 1 else ""
    raise InputError(
        f"{asked.devices * asked.nodes} processes have to be started by torchrun or SLURM: torchrun {nodes}"
        f"--nproc-per-node {asked.devices} -m understudy fit ... --devices {asked.devices} --nodes "
        f"{asked.nodes}"
    )


@contextmanager
def meeting(
    rank: int, size: int, local_rank: int, local_size: int, device: torch.device, address: str
) -> Iterator[Group]:
    """Meet the other processes, and part from them afterwards.

    Raises:
        WorkError: another process did not come.
    """
    gpu = device.type == "cuda"
    if gpu:
        torch.cuda.set_device(local_rank)
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo", address, _MEETING, world_size=size, rank=rank
        )
    except RuntimeError as error:
        minutes = _MEETING.total_seconds() / 60
        raise WorkError(
            f"process {rank} of {size} did not meet the others within {minutes:.0f} minutes; look at what "
            "they said, and whether they reach each other"
        ) from error
    try:
        control = distributed.new_group(backend="gloo", timeout=_LONGEST)
        yield Group(rank, size, local_rank, local_size, control)
    finally:
        distributed.destroy_process_group()


def run_command(asked: FitOptions, arguments: list[str]) -> int | None:
    """Run a command once per device by torchrun, if it needs that; return its exit code, else ``None``.

    It does for several GPUs of one machine, or if ``--strategy ddp`` was asked for. A signal that ends them,
    such as that of Ctrl-C, gives 128 and its number.

    Args:
        asked: options of the training.
        arguments: arguments of ``understudy``.
    """
    if asked.devices == 1 or asked.nodes > 1 or _started() is not None:
        return None
    if asked.strategy == "auto" and resolve_device(asked.device).type == "cpu":
        return None
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    number = ["--nproc-per-node", str(asked.devices)]
    with _quiet_elastic():
        try:
            main(["--standalone", *number, "-m", "understudy", *arguments])
        except ChildFailedError as error:
            code: int = error.get_first_failure()[1].exitcode
            return code if code > 0 else WorkError.exit_code
        except SignalException as error:
            return 128 + int(error.sigval)
    return 0


@contextmanager
def _quiet_elastic() -> Iterator[None]:
    """Leave torchrun's own report of a failure or a signal out; the process that stopped has said why."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # its loggers have levels of their own
    try:
        yield
    finally:
        logging.disable(before)


def portable(error: BaseException) -> BaseException:
    """Return an error that another process can read; one that is not ours brings its traceback as text."""
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt()
    if not isinstance(error, UnderstudyError):
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
