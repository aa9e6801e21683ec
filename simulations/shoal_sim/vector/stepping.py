"""The loop of a watcher that follows packets: masses of targets through pools, event by event.

::

    enters: pool's mass += p, count += 1          leaves: p = mass / count, mass -= p, count -= 1

With numba (the extra ``sim-fast``) the loop is compiled, without it each step is numpy's over
all targets; both give the same bits, as each does the same additions and divisions in the
same order. What it stands for is told in vector/tracing.py, which puts events in order.

Arguments of both:
    codes: events in order: twice the visit, and 1 more if it leaves.
    kind, pool: of each visit (packet · hops + hop): bits ``FIRST`` and ``LAST``; which pool.
    target, owner: of each packet: its column of ``found`` and its row; below 0 for none.
    found: (owners, targets) what is added to.
"""

from collections.abc import Callable
from importlib import import_module, util
from typing import Any, Final, TypeAlias, cast

import numpy
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[numpy.int64]
Small: TypeAlias = NDArray[numpy.int32]
Flags: TypeAlias = NDArray[numpy.bool_]
Floats: TypeAlias = NDArray[numpy.float64]

FAST: Final = util.find_spec("numba") is not None  # is the loop compiled?
FIRST: Final = 1  # bits of a visit's kind
LAST: Final = 2


def by_rows(
    codes: Ints,
    kind: NDArray[numpy.int8],
    pool: Small,
    target: Small,
    owner: Small,
    hops: int,
    pools: int,
    found: Floats,
) -> None:
    """Go through the events, a row of all targets at a time."""
    width = found.shape[1]
    mass = numpy.zeros((pools, width))
    count = [0] * pools
    flying: dict[int, Floats] = {}
    visits = codes >> 1
    what = kind[visits].tolist()
    for code, which, visit, at in zip(
        codes.tolist(), what, visits.tolist(), pool[visits].tolist(), strict=True
    ):
        packet = visit // hops
        if code & 1:
            row = mass[at]
            p = row / count[at]
            row -= p
            count[at] -= 1
            if not which & LAST:
                flying[packet] = p
            elif owner[packet] >= 0:
                found[owner[packet]] += p
        else:
            count[at] += 1
            if which & FIRST:
                if target[packet] >= 0:
                    mass[at, target[packet]] += 1.0
            elif packet in flying:
                mass[at] += flying.pop(packet)


def _loop(
    codes: Ints,
    kind: NDArray[numpy.int8],
    pool: Small,
    target: Small,
    owner: Small,
    hops: int,
    pools: int,
    found: Floats,
) -> None:
    """Do what ``by_rows`` does, number by number, for numba to compile."""
    packets, width = len(target), found.shape[1]
    mass = numpy.zeros((pools, width))
    count = numpy.zeros(pools, dtype=numpy.int64)
    slot = numpy.full(packets, -1, dtype=numpy.int32)
    room = 1024
    flying = numpy.empty((room, width))
    free = numpy.arange(room, dtype=numpy.int32)
    left = room
    for code in codes:
        visit = code >> 1
        packet = visit // hops
        at = pool[visit]
        which = kind[visit]
        if code & 1:
            n = count[at]
            count[at] = n - 1
            if which & 2:
                to = owner[packet]
                for k in range(width):
                    p = mass[at, k] / n
                    mass[at, k] -= p
                    if to >= 0:
                        found[to, k] += p
                continue
            if left == 0:
                wider = numpy.empty((2 * room, width))
                wider[:room] = flying
                flying = wider
                free = numpy.arange(room, 2 * room).astype(numpy.int32)
                left = room
                room *= 2
                more = numpy.empty(room, dtype=numpy.int32)
                more[:left] = free
                free = more
            left -= 1
            s = free[left]
            slot[packet] = s
            for k in range(width):
                p = mass[at, k] / n
                mass[at, k] -= p
                flying[s, k] = p
        else:
            count[at] += 1
            if which & 1:
                if target[packet] >= 0:
                    mass[at, target[packet]] += 1.0
            elif slot[packet] >= 0:
                s = slot[packet]
                slot[packet] = -1
                free[left] = s
                left += 1
                for k in range(width):
                    mass[at, k] += flying[s, k]


_TYPES: Final = (
    "void(int64[::1], int8[::1], int32[::1], int32[::1], int32[::1], int64, int64, float64[:, ::1])"
)
_made: list[Callable[..., None]] = []


def compiled() -> Callable[..., None]:
    """Return ``_loop`` compiled, once a process; numba keeps it on disk for the next."""
    if not _made:
        numba = cast(Any, import_module("numba"))
        make = {"parallel": False, "fastmath": False, "error_model": "numpy"}
        try:
            _made.append(numba.njit(_TYPES, cache=True, **make)(_loop))
        except RuntimeError:  # nowhere to keep it
            _made.append(numba.njit(_TYPES, **make)(_loop))
    return _made[0]
