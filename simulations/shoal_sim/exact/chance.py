"""Draws for runs of millions of events: the Mersenne twister in place of a ChaCha20 stream.

A simulated network needs draws that are even, apart from each other and the same everywhere,
not ones that nobody can foretell. CPython's ``random`` gives the same numbers on all platforms
and all versions (its documentation says so of ``random()``, ``getrandbits`` and ``randbytes``).
"""

import random
from collections.abc import Sequence
from math import log1p
from typing import TypeVar

from shoal_protocol.rng import Rng

T = TypeVar("T")


class FastRng(Rng):
    """The protocol's draws over one twister, some six times as fast.

    Args:
        name: of the stream; another name gives other draws.
    """

    __slots__ = ("_random", "_twister")

    def __init__(self, name: str) -> None:
        self._twister = random.Random(name)  # noqa: S311  no secrets here; seeded by SHA-512 of it
        super().__init__(self._twister.randbytes)
        self._random = self._twister.random

    def below(self, bound: int) -> int:
        """Return an integer in [0, bound); bias below 2^-53 times ``bound``."""
        return int(self._random() * bound)

    def uniform(self) -> float:
        """Return a double in [0, 1)."""
        return self._random()

    def exponential(self, mean: float) -> float:
        """Return an exponential draw of the given mean."""
        return -mean * log1p(-self._random())

    def exponentials(self, mean: float, count: int) -> list[float]:
        """Return ``count`` exponential draws, one after the other."""
        draw = self._random
        return [-mean * log1p(-draw()) for _ in range(count)]

    def choice(self, items: Sequence[T]) -> T:
        """Return one of ``items``, each as likely."""
        return items[int(self._random() * len(items))]

    def fork(self) -> "FastRng":
        """Return a stream apart from this one."""
        return FastRng(self.bytes(16).hex())
