"""Trainings that need nothing of each other, spread over processes of this machine, which share its cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

import torch

from understudy.errors import WorkError
from understudy.runtime.sources import usable_cores

__all__ = ["spread", "threads_each"]

_Job = TypeVar("_Job")
_Value = TypeVar("_Value")


def threads_each(workers: int, cores: int | None = None) -> int:
    """Return the number of threads of each process, so that all together use the cores, at least 1.

    Args:
        workers: number of processes.
        cores: cores to share; those that this process may use by default.
    """
    return max(1, (cores or usable_cores()) // workers)


def spread(
    work: Callable[[_Job], _Value], jobs: Sequence[_Job], workers: int, threads: int | None = None
) -> Iterator[tuple[_Job, _Value]]:
    """Do jobs in several processes; yield each job with what came of it, as soon as it is done.

    A value depends on the number of threads that compute it, and on nothing else of the other jobs. If a job
    fails, no other is begun, those that have begun are finished and yielded, and then its error is raised.

    Args:
        work: does one job; a function of a module, because other processes import it.
        jobs: jobs, in the order in which they begin; they and their values are pickled.
        workers: number of processes.
        threads: threads of each process; :func:`threads_each` by default.

    Raises:
        WorkError: a process was killed, for example because memory was short.
    """
    number = min(workers, len(jobs)) or 1
    each = threads or threads_each(workers)
    failure: BaseException | None = None
    with ProcessPoolExecutor(number, get_context("spawn"), torch.set_num_threads, (each,)) as pool:
        try:
            begun: dict[Future[_Value], _Job] = {}
            waiting = list(jobs)
            while begun or (waiting and failure is None):
                while waiting and len(begun) < number and failure is None:
                    job = waiting.pop(0)
                    begun[pool.submit(work, job)] = job
                for future in wait(begun, return_when=FIRST_COMPLETED).done:
                    job = begun.pop(future)
                    if (error := future.exception()) is None:
                        yield job, future.result()
                    else:
                        failure = failure or error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if isinstance(failure, BrokenProcessPool):
        raise WorkError(
            "a process was killed, perhaps for want of memory; give the same command again, with fewer "
            "--workers"
        ) from failure
    if failure is not None:
        raise failure
