"""Jobs that other processes import; see ``test_spread.py``."""

from __future__ import annotations

import os
import signal
import time

import torch

from understudy.errors import InputError


def facts(job: int) -> tuple[int, int, int]:
    """Square of the job, number of threads, and number of the process."""
    return job * job, torch.get_num_threads(), os.getpid()


def fail_at_one(job: int) -> int:
    """Fail at job 1 while job 0 is being done."""
    if job == 1:
        raise InputError("picture 1 is broken")
    time.sleep(0.5)
    return job


def die(job: int) -> None:
    """End as a process that is killed."""
    os.kill(os.getpid(), signal.SIGKILL)
