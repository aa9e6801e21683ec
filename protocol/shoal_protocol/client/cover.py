"""When a person's node sends and what kind of slot it is; Loopix §4.1; spec: client §2.

Slots come at exponential intervals whatever happens. Each first draws its class by a
fixed coin and is only then filled, so that neither the times nor the mix of quick and
waiting replies depends on what the person does. The schedule's draws are a stream of its
own: what goes into a packet takes none of them.
"""

from enum import Enum
from typing import Final

from shoal_protocol import clock
from shoal_protocol.parameters import Preset
from shoal_protocol.rng import Rng


class SlotClass(Enum):
    """What may fill a slot."""

    QUICK = "quick"  # PUT, DHT operation or echo: answered at once
    WAITING = "waiting"  # GET, of a real or of a random address


class CoverSchedule:
    """The Poisson process of one person's node.

    Args:
        rng: 32 bytes of it seed the schedule's own stream.
    """

    def __init__(self, preset: Preset, rng: Rng, now: int) -> None:
        self._preset: Final = preset
        self._rng: Final = rng.fork()
        self._next = now + self._interval()

    def next_deadline(self) -> int:
        """When the next slot is (ns)."""
        return self._next

    def draw(self, now: int) -> SlotClass | None:
        """Return the class of the slot that is due, or None before its time.

        A driver that comes up to a second late catches up, so that the rate holds. One that
        comes later goes on from ``now``: a burst would show a watcher how long the machine slept.
        """
        if now < self._next:
            return None
        late = now - self._next
        start = self._next if late < clock.SECOND else now
        self._next = start + self._interval()
        quick = self._rng.uniform() < self._preset.quick_share
        return SlotClass.QUICK if quick else SlotClass.WAITING

    def _interval(self) -> int:
        return clock.seconds(self._rng.exponential(1 / self._preset.rate))
