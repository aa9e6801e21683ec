"""Keeping one persona announced: today at once, the days ahead at random times; spec: client §8.

::

    day d ──► work, in slices ──► record ──► due ──PUT through a random exit──► kept
                                              ▲                                  │
                                              └────────── again within the hour ─┘
"""

from dataclasses import dataclass
from typing import Final

from shoal_protocol import clock
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import announcement, work
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng

AHEAD_MEAN: Final = 600 * clock.SECOND  # how long a day ahead waits on average
REPEAT_MEAN: Final = 1800 * clock.SECOND  # storers keep records in memory; the owner repeats
RETRY: Final = 2 * clock.SECOND
RETRY_LONGEST: Final = 120 * clock.SECOND


@dataclass(slots=True)
class _Day:
    due: int
    revision: int
    solver: work.Solver | None
    record: bytes | None = None
    in_flight: bool = False
    failures: int = 0
    kept: bool = False


class Announcer:
    """The announcements of one persona."""

    def __init__(self, me: PersonaSecrets, params: NetworkParameters, rng: Rng) -> None:
        self._me = me
        self._params = params
        self._rng = rng
        self._days: dict[int, _Day] = {}

    def kept(self, now: int) -> bool:
        """Whether today's announcement was taken by a storer."""
        day = self._days.get(clock.index_of(now, self._params.day_s))
        return day is not None and day.kept

    def work(self, now: int) -> None:
        """Begin the days that are missing, drop those that are over, do a slice of work."""
        today = clock.index_of(now, self._params.day_s)
        for old in [day for day in self._days if day < today]:
            del self._days[old]
        self._me.expire(today)
        for day in range(today, today + self._params.announce_days_ahead + 1):
            if day not in self._days:
                wait = 0 if day == today else round(self._rng.exponential(AHEAD_MEAN))
                self._begin(day, now + wait, now)
        for day, state in sorted(self._days.items()):
            if state.solver is not None and state.due <= now:
                nonce = state.solver.step()
                if nonce is not None:
                    prekeys = self._me.prekeys(day, self._rng)
                    state.record = announcement.build(
                        self._me, prekeys, revision=state.revision, nonce=nonce
                    )
                    state.solver = None
                return

    def working(self, now: int) -> bool:
        """Whether :meth:`work` has a slice to do."""
        return any(day.solver is not None and day.due <= now for day in self._days.values())

    def due(self, now: int) -> tuple[int, bytes] | None:
        """Return (day, record) of what is to be put now, the nearest day first."""
        for day, state in sorted(self._days.items()):
            if state.record is not None and not state.in_flight and state.due <= now:
                return day, state.record
        return None

    def sent(self, day: int) -> None:
        """Note that a PUT of ``day`` went out."""
        self._days[day].in_flight = True

    def answered(self, day: int, kept: bool, now: int) -> None:
        """Note how a PUT of ``day`` ended."""
        state = self._days.get(day)
        if state is None:
            return
        state.in_flight = False
        if kept:
            state.kept = True
            state.failures = 0
            state.due = now + round(self._rng.exponential(REPEAT_MEAN))
        else:
            pause = min(RETRY << min(state.failures, 8), RETRY_LONGEST)
            state.failures += 1
            state.due = now + round(pause * (0.5 + self._rng.uniform()))

    def _begin(self, day: int, due: int, now: int) -> None:
        network = self._params.hash
        revision = announcement.revision_at(self._me, day, now, self._params)
        blinded = announcement.blinded_key(self._me.pseudonym, day, network)
        challenge = announcement.work_challenge(blinded, day, revision, network)
        start = int.from_bytes(self._rng.bytes(7), "big")
        solver = work.Solver(challenge, self._params.announce_work_bits, start=start)
        self._days[day] = _Day(due, revision, solver)
