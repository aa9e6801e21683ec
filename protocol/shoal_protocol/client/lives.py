"""How long what disappears has left, whatever the clock does; spec: client §6, person-store §5.

::

    clock ──set back──► ahead = highest time seen − clock      time = clock + ahead
      │                    │ put right (it leaps): less, down to 0
      │                    └ the network confirms the clock, for 10 min: every deadline comes
      │                      sooner by `ahead`, which is 0 again
      └─► highest time seen ──once a minute while something is to disappear──► row "clock"

Deadlines stand as times of the clock. One that is set back would give everything the time
once more by which it was: so the time that deadlines are held against never goes back. It
goes on from the highest seen, over a restart, too, but for the minute that a row may be old
and for the time for which the node was off, which a clock that was set back does not tell.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from shoal_protocol import clock
from shoal_protocol.client import state

SLACK: Final = clock.SECOND  # by which a clock may be set back again and again
LEAP: Final = 600 * clock.SECOND  # between two looks: the clock was put right, or the node slept
SURE: Final = 600 * clock.SECOND  # that the network confirms a clock which was set back
NOTE_EVERY: Final = 60 * clock.SECOND


class Fleeting(Protocol):
    """What holds things that disappear."""

    @property
    def fleeting(self) -> bool:
        """Whether something durable here is to disappear."""
        ...

    def sooner(self, by: int) -> None:
        """Let every deadline come ``by`` ns sooner."""
        ...


class Lives:
    """The time that deadlines are held against.

    Args:
        journal: where the highest time seen is made durable.
    """

    def __init__(self, journal: state.Journal) -> None:
        self._journal = journal
        self._seen = 0  # the highest time
        self._ahead = 0  # of the clock, since that was set back
        self._since = 0  # by the clock, when that was noticed
        self._looked = 0  # by the clock
        self._noted = 0

    def restore(self, kept: state.Kept, now: int) -> None:
        """Take the highest time that a store kept, and look at the clock."""
        for _, data in kept.of(state.CLOCK):
            self._seen = state.CLOCKS.decode(data).seen
        self._looked = now
        self._look(now)

    def time(self, now: int) -> int:
        """Return the time (ns) that deadlines are made from and held against."""
        return now + self._ahead

    def look(self, now: int, confirmed: bool, holders: Iterable[Fleeting]) -> None:
        """Note the clock's time (ns), and let deadlines come sooner if it was set back.

        Args:
            confirmed: whether the network says that the clock is right.
        """
        self._look(now)
        if self._ahead and (not confirmed or now < self._since):
            self._since = now
        if self._ahead and now - self._since >= SURE:
            by, self._ahead, self._seen = self._ahead, 0, now
            for one in holders:
                one.sooner(by)
            self._note()
        elif abs(self._seen - self._noted) >= NOTE_EVERY:
            if any(one.fleeting for one in holders):
                self._note()
            else:
                self._noted = self._seen

    def _look(self, now: int) -> None:
        step = now - self._looked
        if step >= LEAP:
            self._ahead = max(0, self._ahead - step)
        self._looked = now
        if now + self._ahead < self._seen - SLACK:
            self._ahead, self._since = self._seen - now, now
        self._seen = max(self._seen, now + self._ahead)

    def _note(self) -> None:
        self._noted = self._seen
        self._journal.put(state.CLOCK, b"", state.CLOCKS.encode(state.ClockRow(self._seen)))
