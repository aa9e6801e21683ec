"""Streams of chance: each is named by the run's seed, the node and the purpose.

::

    seeded("7 relay3 disk") ─► Rng: the same name gives the same bytes, wherever it runs
    numbers(7, "routes", 3) ─► numpy's PCG64DXSM, for arrays of draws

What one node draws moves nothing at another, and no draw depends on the order of events.
"""

from typing import TYPE_CHECKING, Final

from shoal_protocol import crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.rng import Rng

if TYPE_CHECKING:
    import numpy

START: Final = 1_800_000_000 * SECOND  # ns; a quarter past an hour in January 2027


def seeded(name: int | str = 0) -> Rng:
    """Return the draws of the stream ``name``."""
    return Rng(crypto.seeded_source(str(name).encode()))


def numbers(seed: int, *purpose: str | int) -> "numpy.random.Generator":
    """Return numpy's draws of the stream that ``seed`` and ``purpose`` name."""
    import numpy  # the tests of the protocol use this module, and do without numpy

    name = repr((seed, *purpose)).encode()
    entropy = int.from_bytes(crypto.blake2b(name, digest_size=32).digest(), "little")
    return numpy.random.Generator(numpy.random.PCG64DXSM(numpy.random.SeedSequence(entropy)))
