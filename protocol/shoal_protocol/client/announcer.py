"""Keeping one persona announced: today at once, the days ahead at random times; spec: client §8.

::

    day d ──► work, in slices ──► record ──► due ──PUT through a random exit──► kept
                                              ▲                                  │
                                              ├────────── again within the hour ─┤
                                              └── in minutes: most storers are gone ─┘

The owner sees in the directory which relays are nearest to its record's key, and which of
them left or began anew (:mod:`~shoal_protocol.client.storers`): no packet asks for that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import storers
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import announcement, work
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng

AHEAD_MEAN: Final = 600 * clock.SECOND  # how long a day ahead waits on average
REPEAT_MEAN: Final = 1800 * clock.SECOND  # storers keep records in memory; the owner repeats
HURRIED_MEAN: Final = 120 * clock.SECOND  # once less than half of the storers can hold it
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
    asked: int = 0  # relays nearest to the key when it was put last, 0: not watched
    holders: storers.Holders = field(default_factory=dict[bytes, storers.MixKeys])


class Announcer:
    """The announcements of one persona; ``relays``: as in :meth:`followed`."""

    def __init__(
        self,
        me: PersonaSecrets,
        params: NetworkParameters,
        rng: Rng,
        relays: Mapping[bytes, Descriptor] | None = None,
    ) -> None:
        self._me = me
        self._params = params
        self._rng = rng
        self._days: dict[int, _Day] = {}
        self._relays: Mapping[bytes, Descriptor] = relays or {}

    def followed(self, relays: Mapping[bytes, Descriptor], now: int) -> None:
        """Take the relays that the directory lists, by their ids; none say nothing."""
        if not relays:
            return
        self._relays = relays
        for state in self._days.values():
            state.holders = storers.remaining(state.holders, relays)
            self._hasten(state, now)

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
        state = self._days[day]
        state.in_flight = True
        key = announcement.lookup_key(self._me.pseudonym, day, self._params.hash)
        state.holders = storers.nearest(self._relays.values(), key, self._params)
        state.asked = len(state.holders)

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
            self._hasten(state, now)
        else:
            pause = min(RETRY << min(state.failures, 8), RETRY_LONGEST)
            state.failures += 1
            state.due = now + round(pause * (0.5 + self._rng.uniform()))

    def _hasten(self, state: _Day, now: int) -> None:
        """Repeat in minutes what less than half of its storers can still hold, once."""
        if state.kept and not state.in_flight and 2 * len(state.holders) < state.asked:
            state.asked = 0
            state.due = min(state.due, now + round(self._rng.exponential(HURRIED_MEAN)))

    def _begin(self, day: int, due: int, now: int) -> None:
        network = self._params.hash
        revision = announcement.revision_at(self._me, day, now, self._params)
        blinded = announcement.blinded_key(self._me.pseudonym, day, network)
        challenge = announcement.work_challenge(blinded, day, revision, network)
        start = int.from_bytes(self._rng.bytes(7), "big")
        solver = work.Solver(challenge, self._params.announce_work_bits, start=start)
        self._days[day] = _Day(due, revision, solver)
