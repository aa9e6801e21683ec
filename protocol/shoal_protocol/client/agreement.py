"""Whether the directory that the guards show is the one that others have; spec: client §1.2.

::

    from time to time, in a decoy's place ─► a relay of the directory, a random point
                                                 └─► sample ─► both have, one lacks ─► share
    the last COMPARED relays' shares ─► median under LOW ─► warn

Guards know whom they show a directory; a relay that is asked through the onion does not know
who asks. Liars among those asked move the median when they are half of them. A relay that
does not know the question refuses it, which says nothing.
"""

import statistics
from collections.abc import Collection
from typing import Final

from shoal_protocol.clock import SECOND
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.rng import Rng
from shoal_protocol.service import sample

COMPARED: Final = 5  # relays whose answers count; spec: client §1.2
ENOUGH: Final = 3  # answers, below which nothing is said
LOW: Final = 0.9  # of the relays that one of both has, so many both should
FEW: Final = 2  # relays that may differ however small a directory is
FIRST_MEAN: Final = 30 * SECOND  # between two questions until COMPARED have answered
MEAN: Final = 720 * SECOND  # and from then on


class Agreement:
    """One session's comparisons; ``share`` is the median of the last, 1 while there are few."""

    def __init__(self, rng: Rng, now: int) -> None:
        self._rng = rng
        self._found: dict[bytes, float] = {}  # by relay, oldest first
        self._due = now + round(rng.exponential(FIRST_MEAN))

    @property
    def share(self) -> float:
        """Of the relays that one of both knows, how many both know."""
        return 1.0 if len(self._found) < ENOUGH else statistics.median(self._found.values())

    @property
    def low(self) -> bool:
        """Whether they differ by more than news on its way explains."""
        return self.share < LOW

    def ask(self, now: int) -> bytes | None:
        """Return a point to ask about if it is time, and draw the next time."""
        if now < self._due:
            return None
        mean = FIRST_MEAN if len(self._found) < COMPARED else MEAN
        self._due = now + round(self._rng.exponential(mean))
        return self._rng.bytes(sample.POINT_LENGTH)

    def answered(self, relay: bytes, point: bytes, record: bytes, own: Collection[bytes]) -> None:
        """Take a relay's sample around ``point``; ``own`` are the ids known here.

        Raises:
            RemoteProtocolError: "view sample": no relay that means well sends it.
        """
        self._found.pop(relay, None)
        try:
            shown = sample.decode(record, point)
        except RemoteProtocolError:
            self._note(relay, 0.0)
            raise
        both, one = sample.compare(own, shown, point)
        self._note(relay, 1.0 if one <= FEW else both / (both + one))

    def _note(self, relay: bytes, share: float) -> None:
        self._found[relay] = share
        while len(self._found) > COMPARED:
            del self._found[next(iter(self._found))]
