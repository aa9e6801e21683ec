"""Records on their way to the relays of their address, until the reader has them; spec: client §7.

::

    made ──committed, paid──► queued ──PUT at ranks 0…copies−1──► stored (two relays said OK)
                                ▲   │ no answer: again after a growing, jittered time
                                └───┴── stored everywhere, not acknowledged for long: again
                     acknowledged ──► gone

    relay said OK ─► kept_by ──(every few seconds, in one batch)──► row ─► restored: not put there

A record is a box, or the entry of a first contact. The first PUT goes to rank 0, the others
follow at random times: the reader's waiting GETs end where a PUT comes, and were all there
within a second, their answers would be a burst on the reader's line. A relay that left the
directory is replaced by the next in rank. The same record is put unchanged each time: relays
take it once. What a crash could take back never fills a slot: a record waits until the batch
that made it is durable. Which relays keep it is durable a little later: what a crash takes of
that is put once more, which a relay takes for the same record.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import work
from shoal_protocol.rng import Rng
from shoal_protocol.service import desk, placement

STORED_BY: Final = 2  # relays that say so, before a record counts as stored
TAKEN_BY: Final = 2  # relays with another box at one's own address: it was written there before
SECOND_MEAN_S: Final = 0.5  # that a PUT to rank 1 waits: it serves where the first is lost …
LATER_MEAN_S: Final = 4.0  # … and one to a rank behind it
MAX_RECORDS: Final = 4096  # on their way at once
RETRY_GROWTH: Final = 1.5
RETRY_LONGEST: Final = 30 * clock.SECOND
ELSEWHERE: Final = 2  # failures after which a fragment goes to the next relay
UNSEEN_FIRST: Final = 600 * clock.SECOND  # stored everywhere, and not acknowledged
ERASE_MEAN: Final = 300 * clock.SECOND  # until a box is taken back, of each its own …
ERASE_MOST: Final = 1800 * clock.SECOND  # … so that one acknowledgement does not show in many
UNSEEN_LONGEST: Final = 12 * 3600 * clock.SECOND
RESUMED_MOST: Final = (
    1  # rounds that a restart takes up: a node that is on for an hour a day repeats
)
NOTE_EVERY: Final = 5 * clock.SECOND  # between two batches of what relays keep
MOST_KEPT: Final = 16  # relays that are remembered to keep one record


@dataclass(slots=True)
class _Replica:
    rank: int
    due: int
    attempts: int = 0
    in_flight: bool = False
    stored: bool = False


@dataclass(slots=True, eq=False)
class Outgoing:
    """One record (2,048 bytes) on its way.

    ``key`` names it (16 bytes); ``owner`` and ``conversation`` whose it is. ``session`` and
    ``index`` are a box's place, empty and 0 for a first contact; ``message`` the message that
    it is a part of. ``needs_ack`` False: it stays, quiet, until its place is acknowledged.
    ``batch`` is the journal's that makes it durable; ``copies`` how many relays get it;
    ``kept_by`` those (ids, 16 bytes) that said they keep it and are still believed.
    """

    key: bytes
    record: bytes
    created: int
    needs_ack: bool
    batch: int
    copies: int
    first_contact: bool = False
    erases: bool = False  # takes a box back: done once it is stored everywhere
    fragment: bool = False  # of a file: it goes when nothing else does, to one relay
    session: bytes = b""
    index: int = 0
    message: str = ""
    owner: str = ""
    conversation: str = ""
    stored: bool = False
    after: int = 0  # ns; not put before
    nonce: bytes | None = None  # what pays for it; None until the work is done
    solver: work.Solver | None = None
    replicas: dict[bytes, _Replica] = field(default_factory=dict[bytes, _Replica])
    view: int = -1  # version of the directory that the replicas were ranked by
    again: int | None = None  # when it is put again though stored
    rounds: int = 0
    failures: int = 0
    taken: set[bytes] = field(default_factory=set[bytes])  # relays that keep another box there
    shift: int = 0  # ranks that did not take a fragment
    kept_by: set[bytes] = field(default_factory=set[bytes])
    fleeting: bool = False  # belongs to no message any more, and is taken back once it came

    @property
    def address(self) -> bytes:
        """Where it goes, 32 bytes."""
        return self.record[:32]

    @property
    def by_box(self) -> bool:
        """Whether it is a box; a first contact is one (of index 1) where an invite says where."""
        return not self.first_contact or self.index > 0

    @property
    def stored_everywhere(self) -> bool:
        """Whether every replica that can be asked keeps it."""
        return bool(self.replicas) and all(r.stored for r in self.replicas.values())


class Outbox:
    """All records of one node that are on their way.

    Args:
        patience: ns after which an unanswered PUT is taken for lost.
    """

    def __init__(self, params: NetworkParameters, patience: int, rng: Rng) -> None:
        self._params = params
        self._patience: Final = patience
        self._rng = rng
        self._records: dict[bytes, Outgoing] = {}
        self._unpaid: dict[bytes, Outgoing] = {}
        self._untold: set[bytes] = set()  # keys of records whose ``kept_by`` changed
        self._tell_at: int | None = None  # when these are handed out
        self._served: dict[str, int] = {}  # by owner: the turn in which it last had a slot
        self._turn = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def loud(self) -> int:
        """Records that wait for an acknowledgement; those of others' doing are not among them."""
        return sum(outgoing.needs_ack for outgoing in self._records.values())

    def records(self) -> Iterator[Outgoing]:
        """All records, oldest first."""
        return iter(self._records.values())

    def get(self, key: bytes) -> Outgoing | None:
        """Return the record of this name."""
        return self._records.get(key)

    def add(self, outgoing: Outgoing) -> None:
        """Take a record; its replicas are ranked when it is first looked at.

        One that enough relays keep is paid for when another is to keep it.
        """
        self._records[outgoing.key] = outgoing
        if outgoing.nonce is None and len(outgoing.kept_by) < outgoing.copies:
            self._unpaid[outgoing.key] = outgoing

    def erase(self, record: bytes, batch: int, owner: str, conversation: str, now: int) -> None:
        """Take a tombstone (2,048 bytes) of a box that the reader has, at all its relays.

        It goes like any other record, after a random time and behind what is said, and is done
        once all keep it, or given up with its day.
        """
        wait = min(round(self._rng.exponential(ERASE_MEAN)), ERASE_MOST)
        self.add(
            Outgoing(
                record_key(record),
                record,
                now,
                needs_ack=False,
                batch=batch,
                copies=self._params.replicas,
                erases=True,
                owner=owner,
                conversation=conversation,
                after=now + wait,
            )
        )

    @property
    def working(self) -> bool:
        """Whether :meth:`work` has a slice to do."""
        return bool(self._unpaid)

    def work(self) -> None:
        """Do a slice of the proof of work that pays for the oldest unpaid record.

        What no two relays keep comes first: somebody waits for it.
        """
        if not self._unpaid:
            return
        fresh = (one for one in self._unpaid.values() if not one.stored)
        outgoing = next(fresh, None) or next(iter(self._unpaid.values()))
        bits = self._params.put_work_bits
        if not bits:
            outgoing.nonce = bytes(work.NONCE_LENGTH)
        elif outgoing.solver is None:
            challenge = desk.put_challenge(outgoing.address, outgoing.record, self._params.hash)
            start = int.from_bytes(self._rng.bytes(7), "big")
            outgoing.solver = work.Solver(challenge, bits, start=start)
        if outgoing.solver is not None:
            outgoing.nonce = outgoing.solver.step()
        if outgoing.nonce is not None:
            outgoing.solver = None
            del self._unpaid[outgoing.key]

    def next_put(
        self, relays: Iterable[bytes], view: int, reachable: set[bytes], durable: int, now: int
    ) -> tuple[Outgoing, bytes] | None:
        """Return the PUT that most wants the slot, as (record, relay id), or None.

        Args:
            relays: ids in the directory; view: a number that changes when they do.
            reachable: ids that may be asked from behind the present guard.
            durable: the newest batch that is committed.
        """
        best: tuple[tuple[int, int, int, int], Outgoing, bytes] | None = None
        ids = list(relays)
        for outgoing in self._records.values():
            if outgoing.batch > durable:
                continue
            if outgoing.view != view or (outgoing.fragment and outgoing.failures >= ELSEWHERE):
                self._rank(outgoing, ids, view, reachable, now)
            if outgoing.nonce is None:
                continue
            for relay, replica in outgoing.replicas.items():
                if replica.in_flight or replica.stored or replica.due > now:
                    continue
                urgency = 0 if not (replica.attempts or replica.rank) else 1
                if outgoing.stored or outgoing.erases:
                    urgency = 2
                if outgoing.fragment:
                    urgency = 3
                # The oldest first: it is what the reader waits for, also after a restart. But
                # personas take turns: a crowd that one has to answer holds up no other's words.
                turn = self._served.get(outgoing.owner, 0)
                order = (turn, urgency, replica.due, outgoing.created)
                if best is None or order < best[0]:
                    best = order, outgoing, relay
        return None if best is None else (best[1], best[2])

    def sent(self, outgoing: Outgoing, relay: bytes) -> None:
        """Note that a PUT went out."""
        replica = outgoing.replicas[relay]
        replica.in_flight = True
        replica.attempts += 1
        self._turn = self._served[outgoing.owner] = self._turn + 1

    def answered(self, outgoing: Outgoing, relay: bytes, stored: bool, now: int) -> bool:
        """Note the relay's answer; True when enough relays keep the record for the first time.

        One alone could be the reader's guard, which the reader never asks.
        """
        replica = outgoing.replicas.get(relay)
        if replica is None or outgoing.key not in self._records:
            return False  # the relay is no replica any more, or the record is done
        replica.in_flight = False
        if not stored:
            outgoing.failures += 1
            self._retry(replica, now)
            return False
        replica.stored = True
        if relay not in outgoing.kept_by:
            outgoing.kept_by.add(relay)
            self._untell(outgoing, now)
        kept = sum(one.stored for one in outgoing.replicas.values())
        if outgoing.stored or kept < min(STORED_BY, outgoing.copies, len(outgoing.replicas)):
            return False
        outgoing.stored = True
        return True

    def lost(self, outgoing: Outgoing, relay: bytes, now: int) -> None:
        """Note that no answer came in time."""
        replica = outgoing.replicas.get(relay)
        if replica is not None:
            replica.in_flight = False
            outgoing.failures += 1
            self._retry(replica, now)

    def put_again(self, outgoing: Outgoing, now: int) -> None:
        """Put a record at all its relays once more: the reader looked and did not find it."""
        outgoing.kept_by.clear()
        self._untell(outgoing, now)
        self._put_everywhere(outgoing, now)

    def told(self, now: int) -> list[Outgoing]:
        """Return, every :data:`NOTE_EVERY`, the records that other relays keep than was told.

        What was acknowledged meanwhile is not among them, nor what is in no row.
        """
        if self._tell_at is None or now < self._tell_at:
            return []
        changed = [self._records[key] for key in self._untold if key in self._records]
        self._untold.clear()
        self._tell_at = None
        return sorted(changed, key=lambda one: (one.created, one.key))

    def forget(self, owner: str) -> None:
        """Forget that somebody ever put anything; what is on its way is :meth:`done`."""
        self._served.pop(owner, None)

    def done(self, keys: Iterable[bytes]) -> list[Outgoing]:
        """Take records out that the reader has acknowledged, or that are given up."""
        gone = [self._records.pop(key) for key in keys if key in self._records]
        for outgoing in gone:
            self._unpaid.pop(outgoing.key, None)
        return gone

    def tick(self, now: int) -> list[Outgoing]:
        """Put again what waits unseen.

        Returns:
            Records that outlived their place, taken out: a box's days, an entry's.
        """
        expired: list[bytes] = []
        for outgoing in self._records.values():
            done = outgoing.erases and outgoing.stored_everywhere
            if done or outgoing.created + self._life(outgoing) <= now:
                expired.append(outgoing.key)
            elif outgoing.again is not None and outgoing.again <= now:
                outgoing.again = None
                self._put_everywhere(outgoing, now)
            elif outgoing.needs_ack and outgoing.again is None and outgoing.stored_everywhere:
                self._put_again_later(outgoing, now)
        return self.done(expired)

    def _life(self, outgoing: Outgoing) -> int:
        if outgoing.erases:
            return clock.seconds(self._params.day_s)
        if not outgoing.by_box:
            return clock.seconds(self._params.entry_life_s)
        return clock.seconds(self._params.box_days * self._params.day_s)

    def _rank(
        self, outgoing: Outgoing, ids: list[bytes], view: int, reachable: set[bytes], now: int
    ) -> None:
        if outgoing.view < 0 and outgoing.kept_by:
            # Rounds of earlier runs count, up to a bound: relays may have said OK and kept nothing.
            age = max(now - outgoing.created, 0)
            outgoing.rounds = min((age // UNSEEN_FIRST + 1).bit_length() - 1, RESUMED_MOST)
        outgoing.view = view
        reach = self._params.replicas + self._params.replica_slack
        ranked = [r for r in placement.rank(outgoing.address, ids, reach) if r in reachable]
        if outgoing.fragment and outgoing.failures >= ELSEWHERE and ranked:
            # One copy, and its relay does not take it: the next in rank may.
            outgoing.failures = 0
            outgoing.shift += 1
            ranked = ranked[outgoing.shift % len(ranked) :]
        old = outgoing.replicas
        left = outgoing.kept_by & (old.keys() - set(ids))
        if left:  # it may come back with nothing
            outgoing.kept_by -= left
            self._untell(outgoing, now)
        outgoing.replicas = {
            relay: old.get(relay)
            or _Replica(
                rank,
                max(now, outgoing.after) + self._spread(rank),
                stored=relay in outgoing.kept_by,
            )
            for rank, relay in enumerate(ranked[: outgoing.copies])
        }
        for rank, relay in enumerate(outgoing.replicas):
            outgoing.replicas[relay].rank = rank
        if not outgoing.stored_everywhere:
            self._pay(outgoing)

    def _put_everywhere(self, outgoing: Outgoing, now: int) -> None:
        self._pay(outgoing)
        for replica in outgoing.replicas.values():
            if replica.stored:
                replica.stored = False
                replica.due = now + self._spread(replica.rank)

    def _spread(self, rank: int) -> int:
        """Draw how long a PUT to this rank waits, ns."""
        if not rank:
            return 0
        return clock.seconds(self._rng.exponential(SECOND_MEAN_S if rank == 1 else LATER_MEAN_S))

    def _pay(self, outgoing: Outgoing) -> None:
        if outgoing.nonce is None and outgoing.key in self._records:
            self._unpaid[outgoing.key] = outgoing

    def _untell(self, outgoing: Outgoing, now: int) -> None:
        if not outgoing.erases and not outgoing.fragment:
            self._untold.add(outgoing.key)
            if self._tell_at is None:
                self._tell_at = now + NOTE_EVERY

    def _retry(self, replica: _Replica, now: int) -> None:
        pause = self._patience * RETRY_GROWTH ** min(replica.attempts - 1, 16) - self._patience
        pause = min(pause, RETRY_LONGEST)
        replica.due = now + round(pause * (0.5 + self._rng.uniform()))

    def _put_again_later(self, outgoing: Outgoing, now: int) -> None:
        pause = min(UNSEEN_FIRST << min(outgoing.rounds, 16), UNSEEN_LONGEST)
        outgoing.rounds += 1
        outgoing.again = now + round(pause * (0.75 + self._rng.uniform() / 2))


def record_key(record: bytes) -> bytes:
    """Return a name (16 bytes) for a record."""
    return crypto.digest(record, size=16)
