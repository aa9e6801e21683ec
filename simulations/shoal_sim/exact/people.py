"""A person's node of a world: the machine, its guards, its disk, and who sits before it.

::

    PersonMachine ─┬─ SendUp ──► link of the guard, at once
                   ├─ Changes ─► disk ─(commit)─► committed(n) ─► what waited for n is told
                   └─ Changed, answers to the person: held until the batch of their call is durable
    durable: rows, messages, the sample of guards

The link to a guard is made, lost and made again as ``person_links`` of the node does it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from shoal_protocol.client import state
from shoal_protocol.client.guards import GuardSet
from shoal_protocol.client.people import Changed
from shoal_protocol.client.person import Event, PersonMachine, SendUp
from shoal_protocol.client.state import Changes, Kept, Key, MessageRow
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import Preset
from shoal_protocol.rng import Rng
from shoal_sim.exact.nodes import Node

if TYPE_CHECKING:
    from shoal_sim.exact.relays import Relay
    from shoal_sim.exact.world import World

T = TypeVar("T")
PAUSE: Final = SECOND // 4  # between two looks for a guard
DIAL: Final = 3 * SECOND  # before a dial is given up
DISK_AGAIN: Final = SECOND  # before a commit that failed is tried again
LOST_LATEST_MS: Final = 2000  # until the loss of a link is noticed, when the other end died
WALL_NOTICED: Final = 12 * SECOND  # and when nothing comes through any more


class Person(Node):
    """One person's node."""

    machine: PersonMachine
    guards: GuardSet

    def __init__(self, world: "World", number: int, preset: Preset) -> None:
        super().__init__(world, f"person{number}")
        self.preset: Final = preset
        self.id = b""  # of the session
        self.rows: dict[Key, bytes] = {}
        self.messages: dict[str, MessageRow] = {}
        self.guards_kept: bytes | None = None
        self.guard: bytes | None = None
        self.changes: list[Changed] = []
        self.begun: Callable[[], None] = lambda: None  # called after each start
        self.told: Callable[[Changed], None] = lambda change: None  # called with durable news
        self.rows_written = 0
        self._pending: list[Changes] = []
        self._writing = False
        self._taken = 0
        self._durable = 0
        self._held: deque[tuple[int, Callable[[], None]]] = deque()
        self._dials = 0

    def empty_view(self) -> DirectoryView:
        """A person's clock may be off by an epoch: leases say so."""
        return DirectoryView(self.world.params, tolerance_s=self.world.params.epoch_s)

    def kept(self) -> Kept:
        """Return what the disk holds."""
        messages = sorted(self.messages.values(), key=lambda m: (m.conversation, m.position))
        rows = {key: data for key, data in self.rows.items() if key[0] != state.FILE}
        return Kept(rows, tuple(messages), self.file)

    def file(self, message: bytes) -> bytes:
        """Return what the disk holds of a message's file; ``message`` is its id, 12 bytes."""
        pieces = sorted(
            (key[1], data)
            for key, data in self.rows.items()
            if key[0] == state.FILE and key[1].startswith(message)
        )
        return b"".join(data for _, data in pieces)

    def start(self) -> None:
        """Begin from what is durable, as another client of another guard perhaps."""
        rng = self.begin()
        self.rng = rng
        self.id = rng.bytes(16)
        self.guard = None
        self._pending, self._writing, self._taken, self._durable = [], False, 0, 0
        self._held.clear()
        self.guards = GuardSet(self.world.params, rng, self.guards_kept)
        self.machine = self.make(rng)
        self.world.client_begins(self)
        self.world.board.join(self)
        self._seek()
        self._arm()
        self.begun()

    def make(self, rng: Rng) -> PersonMachine:
        """Return the machine of a run."""
        return PersonMachine(
            self.id,
            params=self.world.params,
            preset=self.preset,
            rng=rng,
            now=self.now(),
            kept=self.kept(),
            packets=self.world.packets,
        )

    def do(self, call: Callable[[], T], then: Callable[[T], None]) -> None:
        """Call into the machine as the API does; ``then`` gets the result once it is durable."""
        result = call()
        self._after([], lambda: then(result))

    def followed(self) -> None:
        """Use the directory: guards first, then paths."""
        relays = self.view.relays(self.now())
        changed = self.guards.replenish(relays, self.now()) if relays else False
        leaving, listed = self.view.leaving(self.now()), self.view.listed(self.now())
        if relays and self.guards.replace_vanished(
            relays, self.now(), listed=listed, leaving=leaving
        ):
            changed = True
        if changed:
            self.guards_kept = self.guards.dump()
        self.machine.directory_changed(relays, self.view.traffic(self.now()), self.now())

    def receive(self, packet: bytes, guard: bytes, client: bytes) -> None:
        """Take what a guard sent to this session."""
        if self.up and self.guard == guard and self.id == client:
            events = self.machine.packet(packet, self.now())
            self.guards.works(guard)
            self._after(events)

    def connect(self, relay: "Relay") -> None:
        """Let the link to a guard be there."""
        if self.guard is not None:
            self.machine.guard_down(self.now())
        self.guard = relay.id
        self.machine.guard_up(relay.id, self.now())
        self._after([])

    def lose_guard(self) -> None:
        """Let the link be gone; another guard is sought."""
        if self.guard is None or not self.up:
            return
        self.world.engine.note(f"{self.name} loses its guard")
        self.guards.failed(self.guard, self.now())
        self.guard = None
        self.machine.guard_down(self.now())
        self._after([])
        self.later(PAUSE, "seeks a guard", self._seek)

    def link_broke(self, *, wall: bool) -> None:
        """Notice after a while that nothing comes through to the guard."""
        guard = self.guard
        wait = WALL_NOTICED if wall else self.world.rng.below(LOST_LATEST_MS * MILLISECOND)

        def noticed() -> None:
            if self.guard == guard and not self.world.reaches(self, guard):
                self.lose_guard()

        self.later(wait, "link is dead", noticed)

    def _seek(self) -> None:
        if self.guard is not None:
            return
        kept = self.guards.current(self.now())
        relay = None if kept is None else self.world.by_id[kept.relay_id]
        if relay is None:
            self.later(PAUSE, "seeks a guard", self._seek)
            return
        self._dials += 1
        dial = self._dials
        reached = self.world.reaches(self, relay.id)
        wait = 2 * self.world.links.latency(self.name, relay.name) if reached else DIAL

        def dialled() -> None:
            if dial != self._dials or self.guard is not None:
                return
            if reached and self.world.reaches(self, relay.id):
                self.connect(relay)
            else:
                self.guards.failed(relay.id, self.now())
                self._seek()

        if self.world.calm:
            dialled()
        else:
            self.later(wait, "dials a guard", dialled)

    def _tick(self) -> None:
        events = self.machine.handle_timer(self.now())
        deaf = self.machine.deaf(self.now())
        self._after(events)
        if deaf and self.up:
            self.lose_guard()

    def _arm(self) -> None:
        if self.up:
            self.wake_at(self.machine.next_deadline(self.now()), self._tick)

    def _after(self, events: Sequence[Event], then: Callable[[], None] | None = None) -> None:
        """Carry out what a call brought: packets at once, news when they are durable."""
        self.take()
        for event in events:
            match event:
                case SendUp(packet):
                    if self.step("packet goes"):
                        return
                    if self.guard is not None:
                        self.world.send(self.id, self.guard, packet)
                    if self._writing and self.step("packet went before a commit"):
                        return
                case Changed():
                    self._hold(lambda event=event: self._show(event))  # type: ignore[misc]
        if then is not None:
            self._hold(then)
        self._write()
        self._release()
        self._arm()

    def take(self) -> None:
        """Take the batch of changes that a call brought, to be written."""
        changes = self.machine.take_changes()
        if changes is not None:
            self._taken = changes.number
            self._pending.append(changes)

    def _hold(self, tell: Callable[[], None]) -> None:
        self._held.append((self._taken, tell))

    def _show(self, event: Changed) -> None:
        self.changes.append(event)
        self.told(event)
        self.world.watcher.shown(self, event)

    def _write(self) -> None:
        if self._writing or not self._pending or not self.up:
            return
        batch, self._pending = self._pending, []
        self._writing = True

        def land() -> None:
            for changes in batch:
                self._land(changes)

        self.disk.commit(land, lambda done: self._written(batch, done))

    def _land(self, changes: Changes) -> None:
        self.world.watcher.lands(self, changes)
        self.rows_written += len(changes.rows) + len(changes.messages)
        for key, data in changes.rows.items():
            if data is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = data
        for message_id, row in changes.messages.items():
            if row is None:
                self.messages.pop(message_id, None)
            else:
                self.messages[message_id] = row
        self.world.watcher.landed(self, changes)

    def _written(self, batch: list[Changes], done: bool) -> None:
        self._writing = False
        if not done:
            self._pending = batch + self._pending
            self.later(DISK_AGAIN, "writes again", self._write)
            return
        self._durable = batch[-1].number
        self.machine.committed(self._durable)
        self._after([])

    def _release(self) -> None:
        while self.up and self._held and self._held[0][0] <= self._durable:
            self._held.popleft()[1]()
