"""Which box of a stream is asked for next, and where; spec: client §5.

::

    boxes to come: n, n + 1    rank 0 ──GET, waits──┐
                               rank 1 ──GET, waits──┼─► box n ─► n + 1 …
    n alone, if few are hot    rank 2 ──GET, waits──┘
    boxes flow: n … n + ahead at rank 0 too       nothing came: another rank now and then

A live box is waited for at the two best replicas, as the first PUT goes to rank 0, and at a third
while few streams of the persona are hot: two of three may be lost and the box still comes at
once. When boxes flow in, several are asked for at once and each at one replica, so that catching
up costs one GET a box. A GET counts as waiting for as long as it asked to wait, from when it went:
the one that follows it then comes to the relay about when it ends there, and no box falls into
the gap of a round trip. A GET of a box that later ones have overtaken is taken for lost, and the
box is asked for again. Days go up along a stream: after absence the next box is asked for on each
day since the last, once, and again after a while.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shoal_protocol import clock
from shoal_protocol.client.association import WINDOW
from shoal_protocol.client.parcel import Acks
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng
from shoal_protocol.streams import box

EDGE_LEAST_S: Final = 1800  # around midnight both days are asked, for so long …
EDGE_MORE_S: Final = 3600  # … and at random up to so much longer
AHEAD_LEAST: Final = 2  # boxes asked for at once
TWICE: Final = 2  # of these are waited for at two relays, the first at one more if few are hot
AHEAD_MOST: Final = 8
FLOWING: Final = (
    4  # boxes at once from which on a second replica is asked only when the first is slow
)
PAST_AGAIN: Final = 600 * clock.SECOND  # until a past day that had nothing is asked again
PAST_REPLICAS: Final = 2  # that must have nothing
HOT: Final = 1800 * clock.SECOND  # since something went or came: the stream is waited at
COLD_LEAST: Final = 300 * clock.SECOND  # others have a turn in 5 to 15 minutes
COLD_MORE: Final = 600 * clock.SECOND
OTHER_SHARE: Final = 4  # one GET in so many asks another rank, once one has been in vain


class Stream(Protocol):
    """What is followed: a session's incoming stream, or that of an invite."""

    @property
    def id(self) -> bytes:
        """Its name here."""
        ...

    @property
    def day(self) -> int:
        """The day of the last box that came, or on which the stream began."""
        ...

    @property
    def come(self) -> Acks:
        """Which boxes have come."""
        ...

    def expects(self, index: int) -> bool:
        """Whether box ``index`` may come and has not."""
        ...

    def address(self, index: int, day: int) -> bytes:
        """Return the 32-byte address of box ``index`` on ``day``."""
        ...


@dataclass(frozen=True, slots=True)
class BoxAsked:
    """One GET on its way for box ``index`` of ``day`` at ``relay``, made at ``at`` (ns)."""

    index: int
    day: int
    relay: bytes
    waits: bool
    at: int


@dataclass(slots=True)
class _Place:
    """One (index, day): where it lies and what is asked there."""

    address: bytes
    ranked: list[bytes] = field(default_factory=list[bytes])
    view: int = -1
    out: dict[bytes, tuple[int, int]] = field(  # relay: newest GET there, made at, counts until
        default_factory=dict[bytes, tuple[int, int]]
    )
    vain: set[bytes] = field(default_factory=set[bytes])  # relays that had nothing
    vain_at: int = 0
    round: int = 0  # relays in vain since the present round began
    asked_at: int = 0


def instead(
    relay: bytes, ranked: Sequence[bytes], out: Container[bytes], vain: Container[bytes], rng: Rng
) -> bytes:
    """Return the relay that a waiting GET goes to: ``relay``, or now and then another rank.

    Decoys go by it, too: else a GET at a low rank would be known for a real one.
    """
    if relay in vain and rng.below(OTHER_SHARE) == 0:
        return rng.choice([one for one in ranked if one not in out])
    return relay


def edge_s(rng: Rng) -> int:
    """Return for how long before and after midnight an address is asked on both days, in s.

    Each stream has its own, and each decoy: at a common hour all real ones would change days.
    """
    return EDGE_LEAST_S + rng.below(EDGE_MORE_S)


def live_days(now: int, edge: int, params: NetworkParameters) -> list[int]:
    """Return the days on which a box may be put now, today first."""
    today = clock.index_of(now, params.day_s)
    within = now // clock.SECOND % params.day_s
    days = [today]
    if within < edge:
        days.append(today - 1)
    if within >= params.day_s - edge:
        days.append(today + 1)
    return days


class Following:
    """The reading of one stream."""

    def __init__(self, stream: Stream, params: NetworkParameters, rng: Rng, now: int) -> None:
        self.stream: Final = stream
        self._params = params
        self._rng = rng
        self._places: dict[tuple[int, int], _Place] = {}
        self._ahead = AHEAD_LEAST
        self._active = now
        self._turn = now  # when a cold stream is asked next
        self.first_day = stream.day
        self._edge_s = edge_s(rng)

    def stir(self, now: int) -> None:
        """Note that something went or came: the stream is hot from now on."""
        self._active = now

    @property
    def active(self) -> int:
        """When something last went or came (ns)."""
        return self._active

    def hot(self, now: int) -> bool:
        """Whether the stream is waited at all the time."""
        return now - self._active < HOT

    def next_ask(
        self,
        rank: Callable[[bytes], list[bytes]],
        view: int,
        hot: bool,
        spare: bool,
        slow: int,
        now: int,
    ) -> tuple[bytes, BoxAsked] | None:
        """Return (address, what is asked) of the GET that this stream wants most, or None.

        Args:
            rank: gives the relays of an address that may be asked, best first.
            view: a number that changes when they do.
            hot: whether the stream may be waited at; else it has its turn now and then.
            spare: whether the next box is waited for at a third relay.
            slow: ns after which an answer that does not wait is late.
        """
        if not hot and now < self._turn:
            return None
        self._prune(now)
        today = clock.index_of(now, self._params.day_s)
        live = self._live_days(now, today)
        first = self.stream.come.next
        missing = [i for i in range(first, first + WINDOW) if self.stream.expects(i)]
        missing = missing[: self._ahead]
        places = dict.fromkeys(missing[:TWICE], 2)
        if spare and missing:
            places[missing[0]] = 3
        # A past day on which boxes may lie unread comes before what may come today.
        for day in range(max(self.stream.day, today - box.DAYS_KEPT), today):
            if day in live:
                continue
            for index in missing if day == self.stream.day else missing[:1]:
                found = self._past(index, day, rank, view, now)
                if found is not None:
                    return found
        for index in missing:
            # The day that was asked longest ago comes first, or one of two would be left out.
            for day in sorted(live, key=lambda one: self._asked_at(index, one)):
                found = self._live(index, day, places.get(index, 1), rank, view, slow, now)
                if found is not None:
                    return found
        if not hot:
            self._turn = now + COLD_LEAST + self._rng.below(COLD_MORE)
        return None

    def sent(self, asked: BoxAsked, until: int) -> None:
        """Note that a GET went out; after ``until`` (ns) another may follow it."""
        place = self._places[asked.index, asked.day]
        place.out[asked.relay] = asked.at, until
        place.asked_at = asked.at

    def lost(self, asked: BoxAsked, now: int) -> None:
        """Note that no answer came: another rank may know more."""
        self._ended(asked, now, vain=True)

    def empty(self, asked: BoxAsked, now: int) -> None:
        """Note that the relay had nothing."""
        self._ended(asked, now, vain=True)
        self._ahead = max(AHEAD_LEAST, self._ahead // 2)

    def came(self, asked: BoxAsked, now: int) -> None:
        """Note that the box came."""
        self._ended(asked, now, vain=False)
        self._ahead = min(self._ahead + 1, AHEAD_MOST)
        self._active = now

    def _ended(self, asked: BoxAsked, now: int, *, vain: bool) -> None:
        place = self._places.get((asked.index, asked.day))
        if place is not None:
            if place.out.get(asked.relay, (0, 0))[0] == asked.at:
                del place.out[asked.relay]
            if vain:
                place.vain.add(asked.relay)
                place.vain_at = now
                place.round += 1

    def _asked_at(self, index: int, day: int) -> int:
        place = self._places.get((index, day))
        return 0 if place is None else place.asked_at

    def _live_days(self, now: int, today: int) -> list[int]:
        days = live_days(now, self._edge_s, self._params)
        return [day for day in days if day >= self.first_day or day == today]

    def _past(
        self, index: int, day: int, rank: Callable[[bytes], list[bytes]], view: int, now: int
    ) -> tuple[bytes, BoxAsked] | None:
        place = self._place(index, day, rank, view)
        left = [relay for relay in place.ranked if relay not in place.vain]
        if place.vain and now - place.vain_at >= PAST_AGAIN:
            place.round = 0  # two more ranks, and when all had nothing, the best ones again
            if not left:
                place.vain.clear()
                left = place.ranked
        if place.out or not left or place.round >= PAST_REPLICAS:
            return None
        return place.address, BoxAsked(index, day, left[0], waits=False, at=now)

    def _live(
        self,
        index: int,
        day: int,
        places: int,
        rank: Callable[[bytes], list[bytes]],
        view: int,
        slow: int,
        now: int,
    ) -> tuple[bytes, BoxAsked] | None:
        place = self._place(index, day, rank, view)
        if index == self.stream.come.next and self.stream.come.bits:
            # Boxes after this one have come, so it lies there: an answer so late was lost.
            place.out = {relay: out for relay, out in place.out.items() if now - out[0] < slow}
        waiting = {relay for relay, (_, until) in place.out.items() if now < until}
        best = place.ranked[:places]
        for position, relay in enumerate(best):
            if relay in waiting:
                continue
            flows = position > 0 and self._ahead > FLOWING and best[0] in waiting
            if flows and now - place.out[best[0]][0] < slow:
                return None
            relay = instead(relay, place.ranked, waiting, place.vain, self._rng)
            return place.address, BoxAsked(index, day, relay, waits=True, at=now)
        return None

    def _place(
        self, index: int, day: int, rank: Callable[[bytes], list[bytes]], view: int
    ) -> _Place:
        place = self._places.get((index, day))
        if place is None:
            place = _Place(self.stream.address(index, day))
            self._places[index, day] = place
        if place.view != view:
            place.ranked = rank(place.address)
            place.view = view
        return place

    def _prune(self, now: int) -> None:
        come = self.stream.come
        gone = [key for key in self._places if come.covers(key[0]) or key[1] < self._oldest(now)]
        for key in gone:
            del self._places[key]

    def _oldest(self, now: int) -> int:
        return clock.index_of(now, self._params.day_s) - box.DAYS_KEPT - 1
