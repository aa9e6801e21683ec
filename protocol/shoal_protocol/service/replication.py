"""Replication: relays hand on what they keep when the directory changes, no client taking part.

::

    directory_changed ─► settles ─► Walk old ► present ─► done ─► old = present ─► Keep
    each epoch ──────────────────► Walk an epoch ago ► present ─┘
    receive ─┬─ Answer ──────────► Walk ──────────────► SendFrame, Access
             └─ Ask, Offer, Push ► Intake ────────────► Access ─► SendFrame

A walk goes from the membership of the last completed one to the present one; it is complete
when everything offered was answered, or whoever owed an answer has left or stayed silent for
ten passes. A crash in the middle costs the walk only: the next run begins it again, and is
told HELD. The epoch's walk finds what came late, put by somebody whose directory was old.

A directory that lost more than half of its relays at once is not believed for a while: more
likely this relay was cut off, and would hand everything to the few it still sees.
spec: replication §1
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from shoal_protocol import clock, wire
from shoal_protocol.constants import RELAY_ID_LENGTH
from shoal_protocol.directory.view import MAX_RELAYS
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng
from shoal_protocol.service import replica_frames
from shoal_protocol.service.replica_events import LIMITS, Event, Keep, Limits, Spare
from shoal_protocol.service.replica_frames import Answer
from shoal_protocol.service.replica_intake import Intake
from shoal_protocol.service.replica_walk import Stage, Walk
from shoal_protocol.service.storage import Outcome, Stored

_IDS: Final = wire.Size(0, MAX_RELAYS * RELAY_ID_LENGTH)
_DEFERRED: Final = 4  # settling times that a change waits at most while others follow it
_SPREAD: Final = 0.25  # of an epoch, over which relays begin its walk


@dataclass(frozen=True, slots=True)
class _Kept:
    """Memberships as sorted relay ids: of the last completed walk, and of the last epoch's."""

    network: Annotated[bytes, wire.exactly(32)]
    old: Annotated[bytes, _IDS]
    hourly: Annotated[bytes, _IDS]


_CODEC: Final = wire.Codec(_Kept, limit=2 * MAX_RELAYS * RELAY_ID_LENGTH + 64)


class Replicator:
    """The replication of one relay.

    Args:
        own_id: this relay's id, 16 bytes.
        params: the network's.
        rng: for when in an epoch its walk begins.
        kept: the data of the last Keep, or nothing; what can't be read counts as nothing.
        limits: this relay's bounds.

    ``counters`` counts walks, items and refusals by fixed label.
    """

    def __init__(
        self,
        own_id: bytes,
        *,
        params: NetworkParameters,
        rng: Rng,
        kept: bytes = b"",
        limits: Limits = LIMITS,
    ) -> None:
        self.counters: Final[Counter[str]] = Counter()
        self._own_id = own_id
        self._params = params
        self._rng = rng
        self._limits = limits
        self._settle: Final = clock.seconds(limits.settle_leases * params.lease_s)
        self._patience: Final = limits.isolated_leases * params.lease_s * clock.SECOND
        self._present: frozenset[bytes] = frozenset()
        self._leaving: frozenset[bytes] = frozenset()
        self._old: frozenset[bytes] | None = None
        self._hourly: frozenset[bytes] | None = None
        self._restore(kept)
        self._walk: Walk | None = None
        self._of_epoch = False  # whether the walk is the epoch's
        self._passes = 0  # of walks since one was completed
        self._changed: tuple[int, int] | None = None  # ns: first and last change not settled
        self._isolated: int | None = None  # ns, since when
        self._epoch_at: int | None = None  # ns, when the epoch's walk is due
        self.left_behind = 0  # items of the last walk that nobody took and that rank elsewhere
        self._look_again = False  # whether it is before this relay goes
        self._begun = False  # whether this relay has been in the directory since its start
        self._next_number = 0
        self._intake = Intake(own_id, params, limits, self._number)

    @property
    def walking(self) -> bool:
        """Whether a walk is under way."""
        return self._walk is not None

    @property
    def settled(self) -> bool:
        """Whether all that is kept here has been handed on to the present membership."""
        return self._walk is None and self._changed is None and self._old == self._present

    @property
    def handed_on(self) -> bool:
        """Whether this relay is leaving, and has handed on all but what is ``left_behind``."""
        gone = self._own_id not in self._present and self._own_id in self._leaving
        return gone and self.settled and not self._look_again

    def knows(self, peer: bytes) -> bool:
        """Whether ``peer`` (16 bytes) is another relay of the directory, leaving or not."""
        return peer != self._own_id and (peer in self._present or peer in self._leaving)

    def directory_changed(
        self, relays: Iterable[bytes], now: int, *, leaving: Iterable[bytes] = ()
    ) -> list[Event]:
        """Learn the ids of the relays in the directory now, own included.

        Args:
            relays: those that may be given something new.
            now: ns.
            leaving: those that hand on what they keep and go.
        """
        present, self._leaving = frozenset(relays), frozenset(leaving)
        if not self._begun and self._own_id in present | self._leaving:
            self._begun = True
            if self._old is not None and self._own_id not in present:
                self._old |= {self._own_id}  # what nobody took before the start is offered again
        if self._epoch_at is None:
            self._epoch_at = now + self._settle
        if present == self._present:
            return []
        self._present = present
        self._intake.keep_only(present | self._leaving)
        self._changed = (self._changed[0] if self._changed else now), now
        before = (self._old or frozenset()) - self._leaving
        if len(before - present) * 2 <= len(before):
            self._isolated = None
        elif self._isolated is None:
            self._isolated = now
            self.counters["isolated"] += 1
        if self._walk is None:
            return []
        return self._follow(self._walk.membership(present, now), now)

    def receive(self, peer: bytes, frame: bytes, now: int) -> list[Event]:
        """Take a frame from ``peer`` (16 bytes), whom the driver has authenticated.

        Raises:
            RemoteProtocolError: the frame is refused and nothing has changed. After "flood"
                the driver reads more slowly; after anything else it closes the channel.
        """
        try:
            return self._receive(peer, frame, now)
        except RemoteProtocolError as error:
            self.counters[f"refused {error.reason}"] += 1
            raise

    def failed(self, peer: bytes, now: int) -> list[Event]:
        """Learn that a peer can't be reached, or that the channel to it has closed."""
        if self._walk is None:
            return []
        return self._follow(self._walk.failed(peer, now), now)

    def stored(self, ticket: int, outcome: Outcome, now: int) -> list[Event]:
        """Go on with an Access that the store has done, durably.

        Raises:
            LocalProtocolError: the outcome is that of another operation.
        """
        if self._intake.waits_for(ticket):
            return self._intake.stored(ticket, outcome, now)
        if self._walk is None or not self._walk.waits_for(ticket):
            return []
        if not isinstance(outcome, tuple):
            raise LocalProtocolError("a scan gives stored records")
        found = tuple(stored for stored in outcome if isinstance(stored, Stored))
        self.counters["scanned"] += len(found)
        return self._follow(self._walk.scanned(found, now), now)

    def store_failed(self, ticket: int, now: int) -> list[Event]:
        """Go on without an Access that the store couldn't do."""
        self.counters["store failed"] += 1
        if self._intake.waits_for(ticket):
            return self._intake.store_failed(ticket)
        if self._walk is None or not self._walk.waits_for(ticket):
            return []
        return self._follow(self._walk.scan_failed(now), now)

    def next_deadline(self) -> int | None:
        """When :meth:`handle_timer` has work, or None while nothing but an event brings any."""
        if self._walk is None:
            return self._begins_at()
        if self._walk.stage is not Stage.PAUSE:
            return self._walk.deadline()
        times = (self._begins_at(), self._walk.deadline())
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: int) -> list[Event]:
        """Do what is due; harmless when called early."""
        if self._walk is not None and self._walk.stage is not Stage.PAUSE:
            return self._follow(self._walk.handle_timer(now), now)
        begins = self._begins_at()
        if begins is not None and begins <= now:
            return self._begin(now)
        if self._walk is None:
            return []
        return self._follow(self._walk.handle_timer(now), now)

    def _receive(self, peer: bytes, frame: bytes, now: int) -> list[Event]:
        if not self.knows(peer):
            raise RemoteProtocolError("replica stranger")
        self._intake.admit(peer, len(frame), now)
        decoded = replica_frames.CODEC.decode(frame)
        if not isinstance(decoded, Answer):
            self.counters[type(decoded).__name__.lower()] += 1
            return self._intake.take(peer, decoded, self._present, now)
        events = None if self._walk is None else self._walk.answered(peer, decoded, now)
        if events is None:
            self.counters["late answer"] += 1  # or one that nobody asked for: it costs a frame
            return []
        return self._follow(events, now)

    def _begins_at(self) -> int | None:
        """When a walk begins, unless one is at work: after a change, or for the epoch."""
        if self._own_id not in self._present and self._own_id not in self._leaving:
            return None
        if self._changed is None:
            return self._epoch_at if self._walk is None else None
        first, last = self._changed
        at = min(last + self._settle, first + _DEFERRED * self._settle)
        return at if self._isolated is None else max(at, self._isolated + self._patience)

    def _begin(self, now: int) -> list[Event]:
        """Begin the walk that is due; a pause of another one ends."""
        if self._walk is not None:
            self._passes += self._walk.passes
            self._walk = None
        if self._changed is not None:
            self._changed = self._isolated = None
            if self._old is None or self._hourly is None:
                # There is no telling what was where: what is kept stays where it is.
                self._old = self._hourly = self._present | (self._leaving & {self._own_id})
                if self._old == self._present:
                    return [self._keep()]
            if self._old != self._present:
                return self._start(self._old, of_epoch=False, now=now)
            self._passes = 0
        if self._epoch_at is None or now < self._epoch_at or self._hourly is None:
            return []
        length = self._params.epoch_s * clock.SECOND
        spread = _SPREAD * self._rng.uniform()
        self._epoch_at = (now // length + 1) * length + int(spread * length)
        if self._hourly == self._present:
            self._look_again = False
            return []
        return self._start(self._hourly, of_epoch=True, now=now)

    def _start(self, old: frozenset[bytes], *, of_epoch: bool, now: int) -> list[Event]:
        self._of_epoch = of_epoch
        self._walk = Walk(
            self._own_id,
            old,
            self._present,
            params=self._params,
            limits=self._limits,
            number=self._number,
        )
        self.counters["epoch walk" if of_epoch else "walk"] += 1
        return self._follow(self._walk.begin(), now)

    def _follow(self, events: list[Event], now: int) -> list[Event]:
        """Note what a walk did, and complete it when it is done."""
        self.counters["spare"] += sum(len(e.items) for e in events if isinstance(e, Spare))
        walk = self._walk
        if walk is None or walk.stage not in (Stage.PAUSE, Stage.DONE):
            return events
        tried = self._passes + walk.passes
        leaves = self._own_id in self._leaving
        most = self._limits.leaving_passes if leaves else self._limits.passes
        if walk.stage is Stage.PAUSE and tried < most:
            return events
        self.counters["silent relays"] += len(walk.owing)
        self._walk, self._passes, self.left_behind = None, 0, walk.homeless
        self._old = walk.new
        if self._of_epoch:
            self._hourly = walk.new
            self._look_again = False
        elif leaves and (self._look_again or len(self._leaving) > 1):
            # Others who leave may have asked at the same time, and all have heard "absent".
            self._look_again, self._epoch_at = True, now + self._settle
        return [*events, self._keep()]

    def _keep(self) -> Keep:
        kept = _Kept(self._params.hash, _pack(self._old), _pack(self._hourly))
        return Keep(_CODEC.encode(kept))

    def _restore(self, data: bytes) -> None:
        if not data:
            return
        try:
            kept = _CODEC.decode(data)
        except RemoteProtocolError:
            self.counters["kept unreadable"] += 1
            return
        if kept.network == self._params.hash:
            self._old, self._hourly = _unpack(kept.old), _unpack(kept.hourly)

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number


def _pack(relays: frozenset[bytes] | None) -> bytes:
    return b"".join(sorted(relays or ()))


def _unpack(data: bytes) -> frozenset[bytes]:
    size = RELAY_ID_LENGTH
    return frozenset(data[at : at + size] for at in range(0, len(data) - size + 1, size))
