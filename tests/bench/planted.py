"""Nodes with faults planted in them: what the bench must find, or it is worth nothing.

Each does one thing that a driver must not, and the rest as it should.
"""

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shoal_protocol.client import state
from shoal_protocol.client.state import Changes
from shoal_protocol.directory import envelope, sync
from shoal_protocol.directory.descriptor import MAX_DESCRIPTOR, Descriptor
from shoal_protocol.directory.neighbours import Neighbours
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.service.memory_store import MemoryStore
from shoal_sim.exact.gossip import Gossip
from shoal_sim.exact.people import Person
from shoal_sim.exact.relays import Relay

NEVER = 1 << 62  # ns

if TYPE_CHECKING:
    from shoal_sim.exact.world import World


class SendsBeforeCommit(Person):
    """Tells its machine that a batch is durable as soon as it is taken."""

    def take(self) -> None:
        """Take a batch, and believe it written."""
        super().take()
        self.machine.committed(self._taken)


class TellsBeforeCommit(Person):
    """Tells the person what has changed at once."""

    def take(self) -> None:
        """Take a batch, and let what waits for it be told."""
        super().take()
        self._durable = self._taken


class ShowsTwice(Person):
    """Writes what came a second time, under another id."""

    def _land(self, changes: Changes) -> None:
        super()._land(changes)
        again = {
            row.id[::-1]: replace(row, id=row.id[::-1], position=row.position + 1000)
            for row in changes.messages.values()
            if row is not None and not row.outgoing
        }
        if again:
            super()._land(Changes(changes.number, {}, again))


class LosesUploads(Person):
    """Keeps a message with a file and not what its file needs to go up."""

    def _land(self, changes: Changes) -> None:
        rows = {key: data for key, data in changes.rows.items() if key[0] != state.UPLOAD}
        super()._land(replace(changes, rows=rows))


class AnswersBeforeCommit(Relay):
    """Executes and answers at once, and writes later: a crash takes back what was answered."""

    def __init__(self, world: "World", number: int) -> None:
        super().__init__(world, number)
        self._durable: MemoryStore | None = None

    def _write(self) -> None:
        if self._writing or not self._pending or not self.up or self.store.failure:
            super()._write()
            return
        batch, self._pending = self._pending, []
        self._writing = True
        self._durable = self._durable or deepcopy(self.store)
        self.disk.commit(lambda: None, lambda _: self._synced())
        outcomes = self.store.execute([operation for operation, _ in batch], self.now())
        for (operation, answer), outcome in zip(batch, outcomes, strict=True):
            self.world.watcher.executed(self, operation, outcome)
            self.world.watcher.answers(self, operation, outcome)
            answer(outcome)

    def _synced(self) -> None:
        self._durable = None
        self._writing = False
        self._write()

    def keeps(self, record: bytes) -> bool:
        """Look at what is really on the disk."""
        store, self.store = self.store, self._durable or self.store
        try:
            return super().keeps(record)
        finally:
            self.store = store

    def crash(self) -> None:
        """Lose what was not written."""
        super().crash()
        self.store, self._durable = self._durable or self.store, None


class ForgetsAtCrash(Relay):
    """Keeps its store in memory."""

    def crash(self) -> None:
        """Lose the store."""
        super().crash()
        self.store = MemoryStore(self.world.params, self.store.instance)


class ForgetsItsVersion(Relay):
    """Signs every version anew after a start."""

    def start(self) -> None:
        """Begin without what the disk says."""
        self.version = None
        super().start()


class _TakesOlder(DirectoryView):
    def _unwanted(self, sealed: envelope.Envelope, now: int, source: bytes) -> str | None:
        label = super()._unwanted(sealed, now, source)
        return None if label == "stale" else label

    def accept_descriptor(self, found: Descriptor, now: int, source: bytes = b"") -> bool:
        entry = self._entries.get(found.relay_id)
        if entry is None or found.version >= entry.descriptor.version:
            return super().accept_descriptor(found, now, source)
        entry.descriptor, entry.lease = found, None
        self._note(found.relay_id)
        return True

    def _renews(self, version: envelope.Version, until: int, entry: Any) -> bool:
        held = entry.lease
        return (held is not None and version < held.version) or super()._renews(
            version, until, entry
        )


class TakesOlder(Relay):
    """Believes whatever descriptor came last."""

    def empty_view(self) -> DirectoryView:
        """Return a view without order."""
        return _TakesOlder(self.world.params)


class _KeepsForever(DirectoryView):
    def _deadline(self, entry: Any) -> int:
        return NEVER


class KeepsForever(Relay):
    """Forgets that leases end."""

    def empty_view(self) -> DirectoryView:
        """Return a view without time."""
        return _KeepsForever(self.world.params)


class _Believes(DirectoryView):
    def check_descriptor(self, data: bytes, now: int, source: bytes = b"") -> Descriptor | None:
        try:
            return super().check_descriptor(data, now, source)
        except RemoteProtocolError:
            held = self.get(envelope.peek(data, MAX_DESCRIPTOR).relay_id)
            return None if held is None else replace(held, data=data)


class Believes(Relay):
    """Takes a descriptor with a wrong signature for the relay's."""

    def empty_view(self) -> DirectoryView:
        """Return a view that checks no signature of those it knows."""
        return _Believes(self.world.params)


class _GivesUp(Neighbours):
    def ended(self, number: int, now: int) -> None:
        relay_id = self._dials[number].relay_id
        super().ended(number, now)
        self._rests[relay_id].until = NEVER


class GivesUp(Gossip):
    """Nobody dials a relay again."""

    neighbours = _GivesUp


class _NeverPulls(sync.DirectorySync):
    def _schedule(self, now: int) -> None:
        self._next_pull = None


class NeverPulls(Gossip):
    """Nodes pull when they meet, and never again."""

    sync = _NeverPulls


class _Deaf(sync.DirectorySync):
    def _hello(self, peer: bytes, state: sync._Peer, now: int) -> list[sync.Event]:
        super()._hello(peer, state, now)
        return []


class NeverGreets(Gossip):
    """A Hello is answered with nothing: neither one's own entry nor a pull."""

    sync = _Deaf
