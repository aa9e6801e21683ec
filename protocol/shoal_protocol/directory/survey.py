"""Asking one guard how long each relay has been there; spec: directory §7.1.

::

    IDLE ──start──► AskAges(after) ──Ages, full──► AskAges(last id) ── … ──Ages, not full──► Word
      ▲                                                                                        │
      └────────────────────────────────────────────────────────────────────────────────────────┘

A page must go on where the one before it ended, so that a survey ends; what a guard says of
more relays than a view holds is cut off.
"""

from shoal_protocol.clock import SECOND
from shoal_protocol.directory import frames
from shoal_protocol.directory.pull import ANSWER_S
from shoal_protocol.directory.tenure import MOST, Word
from shoal_protocol.errors import RemoteProtocolError


class Survey:
    """One peer's answers; ``deadline`` (ns) is None while it owes none."""

    def __init__(self) -> None:
        self.deadline: int | None = None
        self._ages: dict[bytes, int] = {}

    def start(self, now: int) -> frames.AskAges:
        """Begin anew; only while nothing is owed."""
        self._ages = {}
        return self._ask(b"", now)

    def receive(self, answer: frames.Ages, now: int) -> frames.AskAges | Word:
        """Take a page; return the next question, or the whole word.

        Raises:
            RemoteProtocolError: "unasked answer", "ages" (not ascending, or not going on).
        """
        if self.deadline is None:
            raise RemoteProtocolError("unasked answer")
        last = max(self._ages, default=b"")
        for age in answer.ages:
            if age.relay_id <= last:
                raise RemoteProtocolError("ages")
            last = age.relay_id
            self._ages[last] = age.steps
        if len(answer.ages) == frames.MAX_AGES and len(self._ages) < MOST:
            return self._ask(last, now)
        self.deadline = None
        return Word(answer.watched, self._ages)

    def not_known(self) -> None:
        """End without a word: the peer is of a version without these questions.

        Raises:
            RemoteProtocolError: "unasked answer".
        """
        if self.deadline is None:
            raise RemoteProtocolError("unasked answer")
        self.deadline = None

    def _ask(self, after: bytes, now: int) -> frames.AskAges:
        self.deadline = now + ANSWER_S * SECOND
        return frames.AskAges(after)
