"""Messages of a contact that were deleted here, so that none comes back; spec: client §6.

::

    deleted, or its time is over ─► mark = H(number, created; 8 bytes) ─► row "unwanted"
    the same number and time under another line ─► dropped
    days after it came in which its sender may write it anew are over ─► mark gone

A session that is begun anew brings again what was not acknowledged, under another line. What
is here is known by its text; what was deleted is not to be told by a text. A contact has at
most a window of boxes on its way, which is how many marks are kept of it.
"""

from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.client import state
from shoal_protocol.client.keeping import Keeper
from shoal_protocol.parameters import NetworkParameters

MOST: Final = 1024  # marks of one contact; the oldest goes
LATER: Final = 2  # days: both sides' clocks may be off
_MARK: Final = 8  # bytes


class Unwanted:
    """The marks of one conversation."""

    def __init__(self, params: NetworkParameters, rows: Keeper) -> None:
        self._params = params
        self._rows = rows
        self._until: dict[bytes, int] = {}  # mark: the last day on which it may come again
        self._next: int | None = None  # the first of these days

    def __len__(self) -> int:
        return len(self._until)

    def add(self, number: int, created: int, came: int) -> None:
        """Mark a message of the contact: its number, its time there and here (ns)."""
        mark = _mark(number, created)
        day = clock.index_of(came, self._params.day_s) + self._params.box_days + LATER
        self._until.pop(mark, None)
        self._until[mark] = day
        self._rows.unwanted(mark, day)
        if len(self._until) > MOST:
            self._drop(next(iter(self._until)))
        self._next = min(self._until.values())

    def holds(self, number: int, created: int) -> bool:
        """Whether this message was deleted here."""
        return _mark(number, created) in self._until

    def age(self, now: int) -> None:
        """Let marks go of what nobody writes anew any more."""
        today = clock.index_of(now, self._params.day_s)
        if self._next is None or today <= self._next:
            return
        for mark in [mark for mark, day in self._until.items() if day < today]:
            self._drop(mark)
        self._next = min(self._until.values(), default=None)

    def restore(self, mark: bytes, row: state.UnwantedRow) -> None:
        """Take a mark that a store kept."""
        self._until[mark] = row.until
        self._next = min(row.until, row.until if self._next is None else self._next)

    def clear(self) -> None:
        """Forget all."""
        for mark in list(self._until):
            self._drop(mark)
        self._next = None

    def _drop(self, mark: bytes) -> None:
        del self._until[mark]
        self._rows.forget_unwanted(mark)


def _mark(number: int, created: int) -> bytes:
    return crypto.digest(number.to_bytes(4, "big") + created.to_bytes(8, "big"), size=_MARK)
