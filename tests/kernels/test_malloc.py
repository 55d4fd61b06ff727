"""Freed memory stays with the process while it trains, and is given back afterwards."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest

from understudy.distill.network import TorchNetwork
from understudy.distill.teacher import Teacher
from understudy.kernels import malloc
from understudy.methods import build, settings_for

GLIBC = platform.libc_ver()[0] == "glibc"

PROGRAM = """
import resource, torch
from understudy.kernels.malloc import kept_memory

def faults():  # pages that the system handed out while large tensors came and went
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(48 * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():  # pages
    return int(open("/proc/self/statm").read().split()[1])

usual = faults()
with kept_memory():
    with kept_memory():
        faults()
    kept, held = faults(), resident()  # the inner one has ended, the outer one has not
print(usual, kept, (held - resident()) * resource.getpagesize())
"""


def test_a_network_that_scores_keeps_memory_until_it_is_gone(embedded: Teacher) -> None:
    before = malloc._users
    network = TorchNetwork(build("rd", embedded, settings_for("rd")))
    assert malloc._users == before + 1
    del network
    gc.collect()
    assert malloc._users == before


def test_a_failure_releases_what_was_kept() -> None:
    before = malloc._users
    with pytest.raises(ZeroDivisionError), malloc.kept_memory():
        1 / (malloc._users - before - 1)  # it is one more within
    assert malloc._users == before


@pytest.mark.skipif(not GLIBC, reason="it is glibc that is told")
def test_what_is_freed_is_used_again_until_the_last_user_has_ended() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    usual, kept, given_back = map(int, said.split())
    assert usual > 20 * 48 * 2**20 / 2**21  # pages of 2 MiB at most
    assert kept < usual / 10
    assert given_back > 40 * 2**20
