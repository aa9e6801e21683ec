"""Streams of chance: each is named by the run's seed, the node and the purpose.

::

    seeded("7 relay3 disk") ─► Rng: the same name gives the same bytes, wherever it runs

What one node draws moves nothing at another, and no draw depends on the order of events.
"""

from typing import Final

from shoal_protocol import crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.rng import Rng

START: Final = 1_800_000_000 * SECOND  # ns; a quarter past an hour in January 2027


def seeded(name: int | str = 0) -> Rng:
    """Return the draws of the stream ``name``."""
    return Rng(crypto.seeded_source(str(name).encode()))
