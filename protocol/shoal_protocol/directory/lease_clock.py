"""What time it is in the directory, told by the leases of many relays; spec: directory §5.2.

::

    lease in time by the network's time ─► kept as evidence
    lease out of it, by an epoch at most ─► evidence ─► median of five or more ─┬─ near: ahead = 0
                                                                                └─ off: ahead = it

A live relay signs a lease of ``lease_s`` and renews it at a third, so that each newest lease
tells its relay's time to within a sixth of ``lease_s``. Relays are those whose descriptors are
held, as a key alone is free. The median over relays moves only when
half of them lie. Who hands leases on can't forge them; he can hold new ones back, which is to
show an old directory: at most an epoch old, and only while nobody else shows a newer one.

A person's clock that is off by more than an epoch is not helped: nothing is in time, nothing
is sent. Relays judge by their own clocks alone, as what they sign is what others go by.
"""

from statistics import median_low
from typing import Final

from shoal_protocol.clock import SECOND
from shoal_protocol.parameters import NetworkParameters

LEAST: Final = 5  # relays; spec: directory §5.2
MOST: Final = 4096  # relays whose leases are remembered
_SHARE: Final = 8  # of the evidence: an eighth of it is news enough to look anew
_SIXTH: Final = 6  # of a lease: half of what lies between a lease and its renewal


class LeaseClock:
    """How far the network's time is ahead of our own.

    Args:
        params: the network's.
        tolerance_s: up to how far it is believed, s; 0 believes one's own clock alone.
    """

    def __init__(self, params: NetworkParameters, tolerance_s: int) -> None:
        self._skew: Final = params.clock_skew_s * SECOND
        self._age: Final = params.lease_s - params.lease_s // _SIXTH  # s to go, in the mean
        self._step: Final = max(1, params.lease_s // _SIXTH)
        self._tolerance: Final = tolerance_s * SECOND
        self._until: dict[bytes, int] = {}  # s, of each relay's newest lease
        self._heard = 0  # leases out of time since the last look
        self.ahead = 0  # ns

    def now(self, own: int) -> int:
        """Return the network's time at ``own`` (ns)."""
        return own + self.ahead

    def wants(self, relay_id: bytes, until: int, own: int) -> bool:
        """Whether a lease that is out of time would be evidence, and news as such."""
        if not self._tolerance or abs(self._says(until, own)) > self._tolerance + self._skew:
            return False
        return until >= self._until.get(relay_id, 0) + self._step

    def hear(self, relay_id: bytes, until: int, own: int, *, in_time: bool) -> None:
        """Take a verified lease's end (s) as evidence; look anew when enough are out of time."""
        if not self._tolerance or (relay_id not in self._until and len(self._until) >= MOST):
            return
        self._until[relay_id] = max(until, self._until.get(relay_id, 0))
        if not in_time:
            self._heard += 1
            # At once while the evidence is little; a median of thousands not for each lease.
            if self._heard * _SHARE >= len(self._until):
                self._heard = 0
                self._look(own)

    def _look(self, own: int) -> None:
        far = self._tolerance + self._skew
        said = {relay_id: self._says(until, own) for relay_id, until in self._until.items()}
        for relay_id, ahead in said.items():
            if abs(ahead) > far:
                del self._until[relay_id]
        evidence = [ahead for ahead in said.values() if abs(ahead) <= far]
        if len(evidence) < LEAST:
            return
        ahead = median_low(evidence)
        if abs(ahead - self.ahead) > self._skew:
            self.ahead = 0 if abs(ahead) <= self._skew else ahead

    def _says(self, until: int, own: int) -> int:
        """How far a lease says that the network is ahead of our clock, ns."""
        return (until - self._age) * SECOND - own
