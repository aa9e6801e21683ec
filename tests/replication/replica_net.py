"""Relays that replicate over a heap in virtual time: Replicators over MemoryStores."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.errors import RemoteProtocolError, StoreError
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.pseudonyms import work
from shoal_protocol.service import desk, placement, replica_frames, storage
from shoal_protocol.service.desk import Access
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.replica_events import LIMITS, Event, Keep, Limits, SendFrame, Spare
from shoal_protocol.service.replication import Replicator
from shoal_protocol.service.storage import Operation, PutBox, PutEntry, Stored
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import WriteCapability
from support import START, seeded

PARAMS: Final = replace(LAB, put_work_bits=2)
TODAY: Final = clock.index_of(START, PARAMS.day_s)


def paid(record: bytes, bits: int, params: NetworkParameters = PARAMS) -> bytes:
    """Return the nonce that pays for a record."""
    return work.solve(desk.put_challenge(record[:32], record, params.hash), bits, start=0)


def box_of(
    name: object,
    day: int = TODAY,
    *,
    tombstone: bool = False,
    params: NetworkParameters = PARAMS,
) -> PutBox:
    """Return the PUT of a stream's box or tombstone, signed and paid."""
    stream = WriteCapability.create(seeded(f"stream {name}"), params.hash)
    if tombstone:
        record = stream.tombstone(day)
    else:
        record = stream.seal(day, seeded(f"text {name}").bytes(box.PLAINTEXT_LENGTH))
    bits = params.put_work_bits
    return PutBox(record[:32], day, tombstone, record, bits, paid(record, bits, params))


def entry_of(name: object, *, bits: int = 0, life_s: int = PARAMS.entry_life_s) -> PutEntry:
    """Return the PUT of an inbox entry; unpaid when ``bits`` is 0."""
    record = seeded(f"entry {name}").bytes(2048)
    nonce = paid(record, bits) if bits else bytes(8)
    expires = START + clock.seconds(life_s)
    return PutEntry(record[:32], storage.name_of(record), record, bits, nonce, expires)


def keepers(address: bytes, relays: Iterable["Relay"], count: int = PARAMS.replicas) -> list[bytes]:
    """Return the ids of those of ``relays`` that rank highest for an address."""
    return placement.rank(address, [relay.id for relay in relays], count)


class Relay:
    """One relay: its store and what it kept outlast the machine."""

    def __init__(self, number: int, limits: Limits = LIMITS) -> None:
        self.number = number
        self.id = crypto.digest(b"relay %d" % number, size=16)
        self.store = MemoryStore(PARAMS, self.id)
        self.kept = b""
        self.limits = limits
        self.puts: Counter[bytes] = Counter()  # new records that came by replication, by address
        self.spare: set[storage.Item] = set()
        self.refused: Counter[str] = Counter()
        self.machine = self.made()

    def made(self) -> Replicator:
        """Return a machine as a process that begins now would have it."""
        return Replicator(
            self.id,
            params=PARAMS,
            rng=seeded(f"relay {self.number}"),
            kept=self.kept,
            limits=self.limits,
        )

    def put(self, *operations: Operation) -> None:
        """Keep what a client has put here."""
        self.store.execute(operations, START)

    def all(self) -> tuple[Stored, ...]:
        """Return everything that is kept."""
        (found,) = self.store.execute([storage.Scan(b"", 10_000)], START)
        assert isinstance(found, tuple)
        return tuple(stored for stored in found if isinstance(stored, Stored))

    def records(self) -> set[bytes]:
        """Return the records kept."""
        return {stored.record for stored in self.all()}


class Net:
    """Relays, their directory and the frames between them."""

    def __init__(self, count: int, *, limits: Limits = LIMITS) -> None:
        self.now = START
        self.latency = 20 * clock.MILLISECOND
        self.limits = limits
        self.relays = [Relay(number, limits) for number in range(count)]
        self.directory = list(self.relays)
        self.leaving: list[Relay] = []  # take nothing new, and hand on what they keep
        self.down: set[bytes] = set()  # dead: what is sent there fails
        self.mute: set[bytes] = set()  # take frames and say nothing
        self.frames: list[tuple[bytes, bytes, replica_frames.Frame]] = []
        self.bytes: Counter[bytes] = Counter()  # sent, by relay
        self.stop: Callable[[SendFrame], bool] = lambda event: False
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._timers: defaultdict[bytes, int] = defaultdict(int)
        self.tell()
        self.run(10)

    def relay(self, relay_id: bytes) -> Relay:
        """Return a relay by its id."""
        return next(relay for relay in self.relays if relay.id == relay_id)

    def among(self, ids: Sequence[bytes]) -> list[Relay]:
        """Return relays by their ids, in that order."""
        return [self.relay(relay_id) for relay_id in ids]

    def join(self, count: int = 1) -> list[Relay]:
        """Put new relays into the directory."""
        fresh = [Relay(len(self.relays) + i, self.limits) for i in range(count)]
        self.relays += fresh
        self.directory += fresh
        self.tell()
        return fresh

    def leave(self, *gone: Relay) -> None:
        """Kill relays and take them out of the directory."""
        self.down |= {relay.id for relay in gone}
        self.directory = [relay for relay in self.directory if relay not in gone]
        self.tell()

    def drain(self, *going: Relay) -> None:
        """Let relays say that they take nothing new."""
        self.directory = [relay for relay in self.directory if relay not in going]
        self.leaving += going
        self.tell()

    def tell(self) -> None:
        """Tell all who the relays are, within half a second."""
        for place, relay in enumerate(self.directory + self.leaving):
            self._at(
                self.now + place % 5 * 100 * clock.MILLISECOND,
                partial(self._hear, relay),
            )

    def _hear(self, relay: Relay) -> None:
        ids, leaving = [one.id for one in self.directory], [one.id for one in self.leaving]
        self.do(relay, relay.machine.directory_changed(ids, self.now, leaving=leaving))

    def restart(self, relay: Relay) -> None:
        """Crash a relay and begin it again with its store and what it kept."""
        relay.machine = relay.made()
        self._hear(relay)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Run for ``seconds`` of virtual time or until ``until``; returns the latter."""
        end = self.now + clock.seconds(seconds)
        while not until() and self._heap and self._heap[0][0] <= end:
            at, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            action()
        if not until():
            self.now = end
        return until()

    def settle(self, seconds: float = 600) -> None:
        """Run until every living relay has heard the news and handed all on."""
        self.run(1)
        assert self.run(
            seconds, lambda: all(r.machine.settled for r in self.directory if r.id not in self.down)
        )

    def holders(self, record: bytes) -> set[bytes]:
        """Return the ids of living relays that keep a record."""
        return {r.id for r in self.directory if r.id not in self.down and record in r.records()}

    def do(self, relay: Relay, events: Sequence[Event]) -> None:
        """Carry out what a relay's machine asks for."""
        for event in events:
            match event:
                case SendFrame(peer, frame):
                    self.frames.append((relay.id, peer, replica_frames.CODEC.decode(frame)))
                    self.bytes[relay.id] += len(frame)
                    if not self.stop(event):
                        self._later(partial(self._arrive, relay, event))
                case Access():
                    self._later(partial(self._access, relay, event))
                case Keep(data):
                    relay.kept = data
                case Spare(items):
                    relay.spare |= set(items)
        self._timers[relay.id] += 1
        mark, due = self._timers[relay.id], relay.machine.next_deadline()
        if due is not None:
            self._at(max(due, self.now), lambda: self._timer(relay, mark))

    def _at(self, when: int, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, action))

    def _later(self, action: Callable[[], None]) -> None:
        self._at(self.now + self.latency, action)

    def _timer(self, relay: Relay, mark: int) -> None:
        if self._timers[relay.id] == mark and relay.id not in self.down:
            self.do(relay, relay.machine.handle_timer(self.now))

    def _arrive(self, source: Relay, event: SendFrame) -> None:
        if event.peer in self.down or source.id in self.down:
            self.do(source, source.machine.failed(event.peer, self.now))
            return
        if event.peer in self.mute:
            return
        target = self.relay(event.peer)
        try:
            self.do(target, target.machine.receive(source.id, event.frame, self.now))
        except RemoteProtocolError as error:
            target.refused[error.reason] += 1

    def _access(self, relay: Relay, access: Access) -> None:
        if relay.id in self.down:
            return
        before = len(relay.store)
        try:
            (outcome,) = relay.store.execute([access.operation], self.now)
        except StoreError:
            self.do(relay, relay.machine.store_failed(access.ticket, self.now))
            return
        if isinstance(access.operation, PutBox | PutEntry):
            relay.puts[access.operation.address] += len(relay.store) - before
        self.do(relay, relay.machine.stored(access.ticket, outcome, self.now))
