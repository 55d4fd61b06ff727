"""Damage to the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Damage = Callable[[bytes, Random], bytes]


def flip(data: bytes, rng: Random) -> bytes:
    """Flip one bit, or up to four."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(data: bytes, rng: Random) -> bytes:
    """Cut the end off, at any place or near the end."""
    return data[: rng.choice((rng.randrange(len(data)), len(data) - rng.randint(1, min(16, len(data)))))]


def blank(data: bytes, rng: Random) -> bytes:
    """Write zeros over a part, as a disk that lost a block."""
    at = rng.randrange(len(data))
    count = min(rng.choice((4, 64, 512)), len(data) - at)
    return data[:at] + bytes(count) + data[at + count :]


def insert(data: bytes, rng: Random) -> bytes:
    """Put some bytes in between."""
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 2, 100))) + data[at:]


def append(data: bytes, rng: Random) -> bytes:
    """Put some bytes behind the end."""
    return data + rng.randbytes(rng.choice((1, 2, 1000)))


def swap(data: bytes, rng: Random) -> bytes:
    """Exchange two parts."""
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    count = min(rng.choice((1, 16, 256)), b - a, len(data) - b)
    return data[:a] + data[b : b + count] + data[a + count : b] + data[a : a + count] + data[b + count :]


def empty(data: bytes, rng: Random) -> bytes:
    """Leave nothing."""
    return b""


def noise(data: bytes, rng: Random) -> bytes:
    """Put random bytes in place of all."""
    return rng.randbytes(min(len(data), 4096) or 1)


DAMAGES: dict[str, Damage] = {
    f.__name__: f for f in (flip, truncate, blank, insert, append, swap, empty, noise)
}
