"""Random draws from an injected source of bytes: the same source gives the same draws.

The node passes ``os.urandom``; tests, vectors and simulations pass
:func:`shoal_protocol.crypto.seeded_source`.
"""

import math
from collections.abc import Callable, MutableSequence, Sequence
from typing import Final, TypeVar

from shoal_protocol import crypto

T = TypeVar("T")
Source = Callable[[int], bytes]  # from a count to that many random bytes

_UNIFORM_BITS: Final = 53  # the mantissa of a double


class Rng:
    """Draws over ``source``."""

    __slots__ = ("bytes",)

    def __init__(self, source: Source) -> None:
        self.bytes: Final = source

    def fork(self) -> "Rng":
        """Return a stream of its own, keyed by 32 bytes of this one."""
        return Rng(crypto.seeded_source(self.bytes(32)))

    def below(self, bound: int) -> int:
        """Return an unbiased integer in [0, bound), by rejection; ``bound`` ≥ 1."""
        bits = (bound - 1).bit_length()
        size = (bits + 7) // 8
        while True:
            value = int.from_bytes(self.bytes(size), "little") & ((1 << bits) - 1) if bits else 0
            if value < bound:
                return value

    def uniform(self) -> float:
        """Return a double in [0, 1)."""
        return (int.from_bytes(self.bytes(8), "little") >> (64 - _UNIFORM_BITS)) / (
            1 << _UNIFORM_BITS
        )

    def exponential(self, mean: float) -> float:
        """Return an exponential draw of the given mean, in the mean's unit."""
        return -mean * math.log1p(-self.uniform())

    def exponentials(self, mean: float, count: int) -> list[float]:
        """Return ``count`` exponential draws, one after the other."""
        return [self.exponential(mean) for _ in range(count)]

    def choice(self, items: Sequence[T]) -> T:
        """Return one of ``items``, each as likely; ``items`` is not empty."""
        return items[self.below(len(items))]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Shuffle ``items`` in place (Fisher and Yates)."""
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return ``count`` distinct places of ``items`` in random order."""
        pool = list(items)
        self.shuffle(pool)
        return pool[:count]
