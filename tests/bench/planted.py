"""Nodes with faults planted in them: what the bench must find, or it is worth nothing.

Each does one thing that a driver must not, and the rest as it should.
"""

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

from shoal_protocol.client.state import Changes
from shoal_protocol.service.memory_store import MemoryStore
from shoal_sim.exact.people import Person
from shoal_sim.exact.relays import Relay

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
