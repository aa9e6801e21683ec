"""What many tests need: seeded draws and a fixed beginning of time."""

from typing import Final

from shoal_protocol import crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.rng import Rng

START: Final = 1_800_000_000 * SECOND  # ns; a quarter past an hour in January 2027


def seeded(seed: int | str = 0) -> Rng:
    """Return draws that are the same for the same seed."""
    return Rng(crypto.seeded_source(str(seed).encode()))
