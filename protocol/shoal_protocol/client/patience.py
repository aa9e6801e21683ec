"""How long an answer may be under way; RFC 6298; spec: client §4.

::

    drawn delays of all six mixes ── known exactly, packet by packet ─┐
    margin: smoothed rest + 4 · its deviation ── measured ────────────┴─► overdue
      nothing answers for a margin: twice the margin ─► an answer: back to what was measured

What links and machines add to the drawn delays differs by network, not by preset: a fixed
allowance is too long on good links, so that what is lost is noticed late, and on bad ones too
short, so that everything is asked for again and again. It decides only what a slot asks for
anew, never when a slot is.
"""

from typing import Final

from shoal_protocol import clock

FIRST: Final = 3 * clock.SECOND  # before anything was measured
LEAST: Final = clock.SECOND  # a machine may be busy for so long; RFC 6298, 2.4
MOST: Final = 16 * clock.SECOND  # whatever slow or hostile relays make of it


class Patience:
    """The margin of one session's round trips."""

    def __init__(self) -> None:
        self._smoothed: int | None = None
        self._deviation = 0
        self._factor = 1
        self._doubled = 0  # ns; when the margin last grew

    @property
    def margin(self) -> int:
        """What an answer may take beyond the delays drawn for it, ns."""
        if self._smoothed is None:
            measured = FIRST
        else:
            measured = max(LEAST, self._smoothed + 4 * self._deviation)
        return min(measured * self._factor, MOST)

    def answered(self, beyond: int) -> None:
        """Take what a round trip took beyond its drawn delays, ns."""
        beyond = max(0, beyond)
        if self._smoothed is None:
            self._smoothed, self._deviation = beyond, beyond // 2
        else:
            self._deviation += (abs(beyond - self._smoothed) - self._deviation) // 4
            self._smoothed += (beyond - self._smoothed) // 8
        self._factor = 1

    def overdue(self, now: int) -> None:
        """Note that a round trip was not answered in time: twice the margin, till one is."""
        if now - self._doubled >= self.margin and self.margin < MOST:
            self._doubled = now
            self._factor *= 2
