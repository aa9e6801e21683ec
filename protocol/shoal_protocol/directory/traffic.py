"""How much a relay is asked, in classes so coarse that they tell a crowd and no person.

::

    requests ─► TrafficMeter: 15 periods of lease_s/15 ─► mean a minute x ─► class ─► lease
    class = ⌊2·log2(1 + x)⌋, at most 40         midpoint: x = 2^((class + ½)/2) − 1

Only requests are counted, packets whose last layer a relay takes off: each packet of a
person ends in exactly one, at a relay that the way's maker drew. What a relay receives in
all would show how many people have it as their guard, and when they come and go.
spec: directory §5.1
"""

import math
from collections import deque
from typing import Final

from shoal_protocol.clock import SECOND

MAX_CLASS: Final = 40  # over 17,000 requests a second; spec: directory §5.1
PERIODS: Final = 15  # of a mean, full ones only: minutes on the main network

_STEPS: Final = 2  # classes a doubling
_MINUTE: Final = 60  # s


def class_of(per_minute: float) -> int:
    """Return the class of a mean of requests a minute."""
    return min(MAX_CLASS, math.floor(_STEPS * math.log2(1 + per_minute)))


def per_second(traffic: int) -> float:
    """Return the requests a second in the middle of a class; none for class 0.

    A class spans a factor √2, so that this is within a fifth of any rate above one a minute.
    """
    if traffic == 0:
        return 0.0
    return (2 ** ((traffic + 0.5) / _STEPS) - 1) / _MINUTE


class TrafficMeter:
    """Counts one relay's requests.

    Args:
        lease_s: how long a lease lasts, s: the mean is taken over as long.
        now: ns.
    """

    def __init__(self, lease_s: int, now: int) -> None:
        self._period: Final = lease_s * SECOND // PERIODS
        self._full: Final[deque[int]] = deque(maxlen=PERIODS)
        self._begun = now
        self._count = 0

    def count(self, now: int) -> None:
        """Count a request."""
        self._roll(now)
        self._count += 1

    def level(self, now: int) -> int:
        """Return the class of the last full periods, at most 15; 0 before the first is full."""
        self._roll(now)
        if not self._full:
            return 0
        seconds = len(self._full) * self._period / SECOND
        return class_of(sum(self._full) * _MINUTE / seconds)

    def _roll(self, now: int) -> None:
        """Close the periods that have ended; a clock that went back begins anew."""
        ended = (now - self._begun) // self._period
        if ended < 0:
            self._full.clear()
            self._begun, self._count = now, 0
        elif ended:
            self._full.append(self._count)
            self._full.extend([0] * min(ended - 1, PERIODS))
            self._begun += ended * self._period
            self._count = 0
