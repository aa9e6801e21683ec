"""Whom a node keeps directory channels to, whom it dials, and which of two channels stays.

::

    view changed, pin, left, ended, a rest is over ──► handle_timer ──► Dial(number, …)
                                                                           │
        ┌───────────────────────────── ended(number): rests 1, 2, 4 … 60 s ┤ fails
        │                                                                  ▼
        │    closed            TAKEN, or INSTEAD of the one held      opened(number)
        └─── left(peer) ◄───── peers ◄───────────────────── admit ◄────────┤
                                                  REFUSED ◄───┘            └─ incoming ones

A relay keeps about ``count`` channels to relays of its view, takes those of others, and counts
of these half at most: who dials it chooses no more of its neighbours than that. Of those that it
dials half serve, as that takes age and a network of one's own, and none share a /16 or /32 while
others are there: identities cost a second each (Heilman et al., "Eclipse Attacks on Bitcoin's
Peer-to-Peer Network", USENIX Security 2015). It dials a pinned one (a bootstrap address) only
while that relay is missing from the view: islands find each other again, and no bootstrap relay
carries everybody. A person's node keeps one to each that is pinned, its guards, takes none, and
leaves all others. Two nodes that dial each other at once keep the channel that the lower id
dialled. spec: directory §9
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from shoal_protocol.clock import SECOND
from shoal_protocol.directory import subnets
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.rng import Rng

NEIGHBOURS: Final = 6  # channels to other relays; spec: directory §9
CHANNELS_MOST: Final = 512  # beyond which no incoming one is taken; spec: directory §9
DIALS_MOST: Final = 8  # under way at once
REST_FIRST: Final = SECOND  # after a failed dial, doubling; spec: directory §9
REST_MOST: Final = 60 * SECOND
LIVED: Final = 10 * SECOND  # a channel that lived shorter counts as a failed dial


class Admission(Enum):
    """What becomes of a channel."""

    REFUSED = auto()  # it is to be closed
    TAKEN = auto()
    INSTEAD = auto()  # it is kept, and the one held before is to be closed


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a channel to ``relay_id`` at one of ``addresses``, tried in this order.

    Say :meth:`Neighbours.opened` with ``number`` if one answers, then ``admit`` it; in either
    case :meth:`Neighbours.ended`, when all have failed or the channel has closed.
    """

    number: int
    relay_id: bytes
    addresses: tuple[str, ...]


@dataclass(slots=True)
class _Dialled:
    relay_id: bytes
    opened: int | None = None  # ns; None while nobody has answered


@dataclass(slots=True)
class _Rest:
    """When a relay may be dialled again, ns."""

    failures: int = 0
    until: int = 0


class Neighbours:
    """One node's choice of directory channels, one a peer.

    Args:
        view: the relays that are known; only read.
        rng: for whom to dial, and for how long to let a relay rest.
        serve: whether this is a relay; False for a person's node.
        count: channels that a relay keeps to others.

    Every ``now`` is of one clock that never goes back, that of the view, ns.
    """

    def __init__(
        self, view: DirectoryView, *, rng: Rng, serve: bool, count: int = NEIGHBOURS
    ) -> None:
        self._view = view
        self._rng = rng
        self._serve = serve
        self._count = count
        self._own_id: bytes | None = None
        self._pinned: dict[bytes, tuple[str, ...]] = {}
        self._held: dict[bytes, bool] = {}  # by peer: whether this node dialled
        self._dials: dict[int, _Dialled] = {}
        self._rests: dict[bytes, _Rest] = {}
        self._number = 0
        self._due: int | None = None
        self._revision = -1  # of the view, at the last look

    @property
    def peers(self) -> tuple[bytes, ...]:
        """The relay ids of those with a channel, sorted."""
        return tuple(sorted(self._held))

    @property
    def resting(self) -> int:
        """How many relays' rests are remembered, over or not."""
        return len(self._rests)

    def begin(self, own_id: bytes) -> None:
        """Take channels from now on, as the node with this relay id."""
        self._own_id = own_id
        self._due = 0

    def stop(self) -> tuple[bytes, ...]:
        """Take and dial no more; return the peers whose channels are to be closed."""
        self._own_id = None
        return self.peers

    def pin(self, pinned: Mapping[bytes, Sequence[str]]) -> tuple[bytes, ...]:
        """Replace the pinned relays: a relay's bootstrap addresses, a person's guards.

        Returns:
            The peers whose channels are to be closed: a person's node leaves all others.
        """
        self._pinned = {relay_id: tuple(addresses) for relay_id, addresses in pinned.items()}
        self._due = 0
        return () if self._serve else tuple(peer for peer in self.peers if peer not in pinned)

    def admit(self, peer: bytes, *, outgoing: bool) -> Admission:
        """Decide on a channel that is open, and hold it unless it is refused."""
        if self._own_id is None or (not self._serve and not (outgoing and peer in self._pinned)):
            return Admission.REFUSED
        held = self._held.get(peer)
        if held is None:
            if not outgoing and len(self._held) >= CHANNELS_MOST:
                return Admission.REFUSED
            self._held[peer] = outgoing
            return Admission.TAKEN
        preferred = self._own_id < peer
        if held == preferred and outgoing != preferred:
            return Admission.REFUSED
        self._held[peer] = outgoing
        return Admission.INSTEAD

    def left(self, peer: bytes) -> None:
        """Forget the channel held to ``peer``, which has closed or is being closed."""
        if self._held.pop(peer, None) is not None:
            self._due = 0

    def opened(self, number: int, now: int) -> None:
        """Note that a dial was answered."""
        self._dials[number].opened = now
        self._due = 0

    def ended(self, number: int, now: int) -> None:
        """Note that a dial failed, or that its channel is closed; the relay rests."""
        dial = self._dials.pop(number)
        lived = dial.opened is not None and now - dial.opened >= LIVED
        rest = self._rests.setdefault(dial.relay_id, _Rest())
        rest.failures = 0 if lived else rest.failures + 1
        pause = min(REST_MOST, (REST_FIRST << min(rest.failures, 10)) // 2)
        rest.until = now + int(pause * (0.5 + self._rng.uniform()))
        self._due = 0

    def handle_timer(self, now: int) -> list[Dial]:
        """Return whom to dial now; harmless when called early."""
        self._due, self._revision = None, self._view.revision
        if self._own_id is None:
            return []
        relays = self._view.listed(now)
        known = {relay.relay_id for relay in relays}
        self._rests = {i: r for i, r in self._rests.items() if i in known or i in self._pinned}
        # A dial whose channel was left is busy till it has ended: its relay is yet to rest.
        busy = {self._own_id, *self._held, *(dial.relay_id for dial in self._dials.values())}
        dialling = sum(dial.opened is None for dial in self._dials.values())
        chosen = [
            (relay_id, addresses)
            for relay_id, addresses in sorted(self._pinned.items())
            if relay_id not in busy and (not self._serve or relay_id not in known)
        ]
        found = self._rested(chosen, now)
        own = known & {peer for peer, outgoing in self._held.items() if outgoing}
        own |= known & {dial.relay_id for dial in self._dials.values()}
        half = self._count // 2
        missing = self._count - len(own) - min(half, len(known & set(self._held) - own))
        if self._serve and missing > 0:
            others = [(r.relay_id, r.addresses) for r in relays if r.relay_id not in busy]
            ready = self._rested(others, now)
            taken = {n for r in relays if r.relay_id in own for n in subnets.wide(r.addresses)}
            serving = {relay.relay_id for relay in self._view.relays(now)}
            some = min(missing, max(0, half - len(own & serving)))
            drawn = self._draw([each for each in ready if each[0] in serving], some, taken)
            left = [each for each in ready if each not in drawn]
            drawn += self._draw(left, missing - len(drawn), taken)
            if len(drawn) < missing:
                self._await([relay_id for relay_id, _ in others], now)
            found += drawn
        self._await([relay_id for relay_id, _ in chosen], now)
        return [self._dial(*each) for each in found[: max(0, DIALS_MOST - dialling)]]

    def next_deadline(self) -> int | None:
        """When :meth:`handle_timer` is next due, ns; what has passed is due at once."""
        return self._due if self._revision == self._view.revision else 0

    def _draw(
        self, relays: Sequence[tuple[bytes, tuple[str, ...]]], most: int, taken: set[bytes]
    ) -> list[tuple[bytes, tuple[str, ...]]]:
        """Draw networks that are not ``taken``, and a relay of each; of others when these end."""
        networks: dict[frozenset[bytes], list[tuple[bytes, tuple[str, ...]]]] = {}
        for each in relays:  # in a lab without networks each relay is one
            network = subnets.wide(each[1]) or frozenset((each[0],))
            networks.setdefault(network, []).append(each)
        order = list(networks)
        self._rng.shuffle(order)
        drawn: list[tuple[bytes, tuple[str, ...]]] = []
        for network in order:
            if len(drawn) < most and taken.isdisjoint(network):
                drawn += self._rng.sample(networks[network], 1)
                taken |= network
        left = [each for each in relays if each not in drawn]
        return drawn + self._rng.sample(left, most - len(drawn))

    def _rested(
        self, relays: Sequence[tuple[bytes, tuple[str, ...]]], now: int
    ) -> list[tuple[bytes, tuple[str, ...]]]:
        return [
            each for each in relays if each[0] not in self._rests or self._until(each[0]) <= now
        ]

    def _await(self, relay_ids: Sequence[bytes], now: int) -> None:
        """Look again when the first of these that rest has rested."""
        ends = [self._until(i) for i in relay_ids if i in self._rests and self._until(i) > now]
        if ends:
            self._due = min(ends) if self._due is None else min(self._due, *ends)

    def _until(self, relay_id: bytes) -> int:
        return self._rests[relay_id].until

    def _dial(self, relay_id: bytes, addresses: tuple[str, ...]) -> Dial:
        self._number += 1
        self._dials[self._number] = _Dialled(relay_id)
        return Dial(self._number, relay_id, addresses)
