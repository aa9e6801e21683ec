"""How long each relay has been there, as one node has seen it or as others tell a newcomer.

::

    watched   time that this node has watched, summed up: not while it was off, not while half
              of the relays were gone at once (then it is the node that is cut off), and never
              more than a lease between two looks, whatever the clock says
    age       watched − first seen − BREAK_COST · time away        one a relay and its work
    word      age by (own watching, the median of what sources say), the greater

A break costs a multiple of its length rather than everything: else a quarter of an hour of
flooding would take an honest relay's three days away, and a reboot as much. A relay that signs
another nonce for its identity's work is another one. Relays believe themselves alone; a
person's node asks its guards and takes the median. spec: directory §7.1
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median_low
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.clock import SECOND
from shoal_protocol.constants import RELAY_ID_LENGTH
from shoal_protocol.directory import subnets
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.work import NONCE_LENGTH

BREAK_COST: Final = 12  # times as long as a relay was away, it ages less; spec: directory §7.1
STEPS: Final = 72  # of ``role_age_s``: what ages are told and compared in, hours on main
MOST: Final = 16_384  # relays remembered; spec: directory §7.1
SOURCES_MOST: Final = 8  # whose word is kept
ENOUGH: Final = 3  # words of which the median is nobody's alone; spec: directory §7.1
AGE_MOST: Final = 2**16 - 1  # steps, seven years on main

_LOOKS: Final = 6  # at the directory while a lease lasts
_HERE: Final = 2**64 - 1  # in place of when it went away


@dataclass(frozen=True, slots=True)
class _Kept:
    relay_id: Annotated[bytes, wire.exactly(RELAY_ID_LENGTH)]
    nonce: Annotated[bytes, wire.exactly(NONCE_LENGTH)]
    first: Annotated[int, wire.U64]
    away: Annotated[int, wire.U64]


@dataclass(frozen=True, slots=True)
class _Book:
    watched: Annotated[int, wire.U64]
    relays: Annotated[tuple[_Kept, ...], wire.Size(0, MOST)]


_CODEC: Final = wire.Codec(_Book, limit=64 * MOST)


@dataclass(slots=True)
class _Known:
    """All in ns of watching; ``away`` since when it is not there."""

    nonce: bytes
    first: int
    away: int | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """What one source says: the steps that it has watched, and each relay's age in steps."""

    watched: int
    ages: Mapping[bytes, int]


class Tenure:
    """One node's book of who has been there since when.

    Args:
        params: the network's.
        kept: what :meth:`dump` gave before, or None; begun anew when it is damaged.
        told: whether others' word is asked: a person's node, which is not always there.
    """

    def __init__(
        self, params: NetworkParameters, kept: bytes | None = None, *, told: bool = False
    ) -> None:
        self.told: Final = told
        self.step: Final = params.role_age_s * SECOND // STEPS or SECOND
        self.look: Final = max(1, params.lease_s // _LOOKS) * SECOND
        self._lease: Final = params.lease_s * SECOND
        self._patience: Final = params.role_age_s * SECOND // BREAK_COST
        self._needed: Final = params.role_age_s * SECOND
        self._least: Final = params.role_least
        self._watched = 0
        self._at: int | None = None
        self._blind = 0  # ns on end
        self._known: dict[bytes, _Known] = {}
        self._listed: list[bytes] | None = None  # who is there, sorted, once it is asked
        self._words: dict[bytes, tuple[int, Word]] = {}  # by source: when it was said
        self._sources: dict[bytes, frozenset[bytes]] = {}
        self._heard = False  # most of those that are asked
        self._disgraced: dict[bytes, int] = {}  # since when, for others' words
        self._serve: frozenset[bytes] = frozenset()  # while this node was not cut off
        if kept is not None:
            self._load(kept)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def ripe(self) -> bool:
        """Whether anything can be said: a newcomer who goes by others' word has heard some."""
        return not self.told or self._heard or self._watched >= self._needed

    @property
    def contested(self) -> bool:
        """Whether the word of one source could hide that there are old relays enough."""
        fresh = self._fresh()
        return len(fresh) < ENOUGH and any(
            word.watched >= STEPS
            and sum(steps >= STEPS for steps in word.ages.values()) >= self._least
            for _, word in fresh
        )

    def asks(self, sources: Mapping[bytes, frozenset[bytes]]) -> None:
        """Name the sources that are to be asked, with their networks."""
        self._sources = dict(sources)

    def serve(self, relay_ids: frozenset[bytes]) -> None:
        """Name the relays whose absence tells that this node is cut off."""
        if not self._blind:
            self._serve = relay_ids

    def watch(self, present: Iterable[Descriptor], now: int) -> None:
        """Note who is there at ``now`` (ns); the more often the better, at least once a lease."""
        here = {relay.relay_id: relay.nonce for relay in present}
        passed = 0 if self._at is None else min(max(now - self._at, 0), self._lease)
        self._at = now
        self._listed = None
        if self._is_cut_off(here):
            self._blind += passed
            return
        self._blind = 0
        self._watched += passed
        for relay_id, known in list(self._known.items()):
            if relay_id not in here:
                if known.away is None:
                    known.away = self._watched
                elif self._age(known) <= 0:
                    del self._known[relay_id]
        for relay_id, nonce in here.items():
            self._see(relay_id, nonce)

    def hear(self, source: bytes, word: Word) -> None:
        """Take what a source (a guard's relay id) says; its last word counts."""
        self._words.pop(source, None)
        self._words[source] = (self._watched, word)
        while len(self._words) > SOURCES_MOST:
            del self._words[next(iter(self._words))]
        if len(self._words) >= min(len(self._sources) // 2 + 1, ENOUGH):
            self._heard = True

    def forget(self, relay_id: bytes) -> None:
        """Let a relay begin anew that is proven to have signed two things at once."""
        if self._known.pop(relay_id, None) is not None or self.told:
            self._disgraced.pop(relay_id, None)
            self._disgraced[relay_id] = self._watched
            if len(self._disgraced) > MOST:
                del self._disgraced[next(iter(self._disgraced))]

    def steps(self, relay_id: bytes) -> int:
        """Return a relay's age in whole steps."""
        known = self._known.get(relay_id)
        own = 0 if known is None else min(self._age(known) // self.step, AGE_MOST)
        return max(own, self._said(relay_id)) if self.told else own

    @property
    def watched(self) -> int:
        """How long this node has watched, in steps."""
        return min(self._watched // self.step, AGE_MOST)

    def page(self, after: bytes, most: int) -> list[tuple[bytes, int]]:
        """Return the next ``most`` of those that are there, by id, with their ages in steps."""
        if self._listed is None:
            self._listed = sorted(i for i, known in self._known.items() if known.away is None)
        begin = bisect_right(self._listed, after)
        return [(i, self.steps(i)) for i in self._listed[begin : begin + most]]

    def dump(self) -> bytes:
        """Return all as bytes to keep; what others said is not kept."""
        relays = (
            _Kept(relay_id, known.nonce, known.first, _HERE if known.away is None else known.away)
            for relay_id, known in sorted(self._known.items())
        )
        return _CODEC.encode(_Book(self._watched, tuple(relays)))

    def _load(self, kept: bytes) -> None:
        try:
            book = _CODEC.decode(kept)
        except RemoteProtocolError:
            return
        self._watched = book.watched
        for each in book.relays:
            away = None if each.away == _HERE else min(each.away, book.watched)
            first = min(each.first, book.watched)
            self._known[each.relay_id] = _Known(each.nonce, first, away)

    def _is_cut_off(self, here: Mapping[bytes, bytes]) -> bool:
        """Whether half of those that served are gone at once: for a while that is our fault.

        Others cost their owners nothing that lasts: they would stop all clocks by coming and going.
        """
        there = {i: known for i, known in self._known.items() if known.away is None}
        old = {i for i, known in there.items() if self._age(known) >= self._needed}
        before = there.keys() & self._serve or old or there.keys()
        missing = len(before - here.keys())
        return 2 * missing > len(before) and self._blind < self._patience

    def _see(self, relay_id: bytes, nonce: bytes) -> None:
        known = self._known.get(relay_id)
        if known is None or known.nonce != nonce:
            if known is not None or len(self._known) < MOST:
                self._known[relay_id] = _Known(nonce, self._watched)
        elif known.away is not None:
            away = self._watched - known.away
            known.first = min(self._watched, known.first + BREAK_COST * away)
            known.away = None

    def _age(self, known: _Known) -> int:
        away = 0 if known.away is None else self._watched - known.away
        return max(0, self._watched - known.first - BREAK_COST * away)

    def _said(self, relay_id: bytes) -> int:
        """Return the median of what sources say: of two that watched long, if there are."""
        disgraced = self._disgraced.get(relay_id)
        if disgraced is not None and self._watched - disgraced < self._needed:
            return 0
        fresh = self._fresh()
        long = [(source, word) for source, word in fresh if word.watched >= STEPS]
        networks = [self._sources.get(source, frozenset({source})) for source, _ in long]
        if not subnets.two_apart(networks):
            long = fresh  # else whoever claims to have watched for long would speak alone
        return median_low([word.ages.get(relay_id, 0) for _, word in long]) if long else 0

    def _fresh(self) -> list[tuple[bytes, Word]]:
        return [
            (source, word)
            for source, (when, word) in self._words.items()
            if self._watched - when < self._needed
        ]
