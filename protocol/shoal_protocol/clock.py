"""Units of time: ``now`` is an integer of nanoseconds since the Unix epoch, everywhere.

Integers make virtual time exact and the order of a simulator's heap total. A driver's
clock never runs backward while it lives; what wall-clock skew does to epochs and days is
the business of those who name an epoch or a day.
"""

from typing import Final

SECOND: Final = 1_000_000_000  # ns
MILLISECOND: Final = 1_000_000  # ns


def seconds(value: float) -> int:
    """Turn ``value`` seconds into nanoseconds."""
    return round(value * SECOND)


def index_of(now: int, length_s: int) -> int:
    """Return the number of the period of ``length_s`` seconds that holds ``now`` (ns)."""
    return now // (length_s * SECOND)
