"""What drives the person machine: its links, its clock, its store, and who follows it.

::

    bootstrap ─► PersonLinks ─► directory ─► guards ─► packet channel ─► PersonMachine
                                     ▲                                       │
                                     └────────────── SendUp, at once ────────┤
    followers ◄── Message, MessageStatus, Contact ◄── Commits ◄── Changes, Changed ┘

Whatever the API answers, and whatever its events tell, is durable before: see
:mod:`~shoal_protocol.client.state`. Packets never wait for the disk.

The node needs no inbound connection, uses a fresh libp2p identity each run, and links to
nobody but its guards once it has them. It never speaks the DHT's protocol: a relay looks
pseudonyms up for it, through the onion.
"""

import importlib.metadata
import logging
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from shoal_node import (
    clock,
    person_avatars,
    person_files,
    person_links,
    person_settings,
    person_status,
    person_views,
    supervisor,
)
from shoal_node.api import backend
from shoal_node.config import NodeConfig
from shoal_node.store import keys, ledger
from shoal_node.store.commits import Commits
from shoal_node.store.person_store import PersonStore
from shoal_node.transport.interface import Peer, StartTransport, TaskStatus
from shoal_protocol import identity
from shoal_protocol.client import crowd as crowds
from shoal_protocol.client.people import Changed
from shoal_protocol.client.person import Event, PersonMachine, SendUp
from shoal_protocol.rng import Rng

log = logging.getLogger(__name__)

FAILURE_PAUSE_S: Final = 0.1  # after a failed tick, so that a bug can't spin
SETTLE_S: Final = 1.0  # that a read waits at most for what is not durable yet


@dataclass(frozen=True, slots=True)
class _News:
    """What followers are to be told once it is durable, as it was when it happened."""

    changed: Changed
    file: backend.File | None
    known: bool  # they were told of this message before


class PersonDriver:
    """One person's node without its answers.

    Args:
        start_transport: what carries the frames; the in-memory twin in tests.
        store: the open store, closed in the end; opened by what the configuration says if None.
        events: the hub of the process, if it outlives this node.

    Raises:
        UserError: the store does not open.
    """

    def __init__(
        self,
        config: NodeConfig,
        rng: Rng,
        ticking: clock.NodeClock,
        start_transport: StartTransport,
        *,
        store: PersonStore | None = None,
        events: backend.Hub | None = None,
    ) -> None:
        self._config = config
        self._rng = rng
        self._clock = ticking
        self._params = config.network_parameters
        if store is None:
            secret = keys.secret_of(config.data, config.passphrase)
            store = PersonStore.open(config.data / keys.DATABASE, secret)
        self._store: Final = store
        kept = self._store.load()
        seed = rng.bytes(32)
        self._links = person_links.PersonLinks(
            config, seed, rng, ticking, self._packet, start_transport
        )
        self.machine: Final = PersonMachine(
            self._links.peer.relay_id,
            params=self._params,
            preset=config.traffic,
            rng=rng,
            now=ticking.now(),
            kept=kept,
        )
        self._chosen = person_settings.restore(kept)
        self.machine.people.slots = self._chosen.persona_slots
        self._commits: Final = Commits(self._store, self._committed)
        self._files: Final = person_files.PersonFiles(
            self.machine.people, self._params.hash, ticking.now()
        )
        self._avatars: Final = person_avatars.Avatars(self._avatar_ready)
        self._views: Final = person_views.Views(self._files, self._avatars, self._params.hash)
        self._events: backend.Hub = backend.Hub(ticking.now()) if events is None else events
        self._wake = trio.Event()
        self._failures: Counter[str] = Counter()
        self._told = (False, 0)
        self._traffic = person_status.traffic(config.traffic, self._params)
        self._qr_codes: dict[str, str] = {}  # SVG, by invite
        self._ended = False
        self._discarded = False
        self._gone = dict.fromkeys(
            name for kind, name in store.forgotten() if kind == ledger.DELETED
        )

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be a person's node until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._commits.run)
                await nursery.start(self._links.run, self.machine)
                await nursery.start(supervisor.supervise, "clock", self._keep_time)
                await nursery.start(supervisor.supervise, "avatars", self._avatars.run)
                task_status.started(None)
        finally:
            if not self._discarded:
                self._commit()
            self._ended = True
            with trio.CancelScope(shield=True):
                await self._commits.close()

    def discard(self) -> None:
        """Hand nothing more to the store: it is destroyed."""
        self._discarded = True

    async def _keep_time(self, *, task_status: TaskStatus[None]) -> None:
        task_status.started(None)
        while True:
            self._wake = trio.Event()
            if not await supervisor.contain("timer", self._tick, counters=self._failures):
                await trio.sleep(FAILURE_PAUSE_S)
            wait = (self.machine.next_deadline(self._clock.now()) - self._clock.now()) / 1e9
            with trio.move_on_after(max(0.0, wait)):
                await self._wake.wait()
            await trio.lowlevel.checkpoint()

    async def _tick(self) -> None:
        now = self._clock.now()
        self._handle(self.machine.handle_timer(now))
        moved = list(self._files.moved(now))
        if moved:
            self._tell(moved)
        if self.machine.deaf(now):
            await self._links.drop_guard()
        self._tell_network()

    async def _packet(self, packet: bytes) -> None:
        self._handle(self.machine.packet(packet, self._clock.now()))

    def _handle(self, events: Sequence[Event]) -> None:
        changed: list[Changed] = []
        for event in events:
            match event:
                case SendUp(packet):
                    self._links.send(packet)
                case Changed():
                    changed.append(event)
        self._tell(changed)

    def _tell(self, changed: Sequence[Changed]) -> None:
        """Hand what changed to the store, and tell followers once it is durable."""
        now = self._clock.now()
        news: list[_News] = []
        for event in changed:
            message = None if event.removed else event.message
            known = message is not None and (message.outgoing or self._files.follows(message.id))
            file = None if message is None else self._files.show(message)
            news.append(_News(event, file, known))
            self._files.told(event, now)
            if event.removed and event.message is not None:
                self._note_gone(event.message.id)
        self._commit(partial(self._publish, news) if news else None)

    def _note_gone(self, message_id: str) -> None:
        self._gone[ledger.mark(ledger.MESSAGE, message_id.encode())] = None
        while len(self._gone) > ledger.MOST_DELETED:
            del self._gone[next(iter(self._gone))]

    def is_gone(self, message_id: str) -> bool:
        """Whether a message of this id was here, and was deleted or has disappeared."""
        return ledger.mark(ledger.MESSAGE, message_id.encode()) in self._gone

    def _commit(self, then: Callable[[], None] | None = None) -> int:
        """Hand what changed to the store, and call ``then`` once it is durable."""
        return self._commits.submit(self.machine.take_changes(), then)

    async def _durable(self) -> None:
        """Return once everything up to now is durable; raises Locked when the node has ended."""
        if self._ended:
            raise backend.Locked
        number = self._commit()
        self._wake.set()
        await self._commits.durable(number)

    async def settle(self) -> None:
        """Return once everything is durable, or after :data:`SETTLE_S`: the disk may be full."""
        with trio.move_on_after(SETTLE_S):
            while not self.machine.journal.settled:
                await self._durable()

    def _committed(self, number: int) -> None:
        self.machine.committed(number)

    def _publish(self, news: Sequence[_News]) -> None:
        for one in news:
            self._publish_one(one)

    def _publish_one(self, news: _News) -> None:
        changed = news.changed
        if changed.removed:
            self._publish_removed(changed)
            return
        known = self.machine.people.conversation(changed.conversation)
        if known is None:
            return
        persona, correspondence = known
        message = changed.message
        if message is None:
            self._events.publish(self._views.contact(persona, correspondence))
        elif news.known:
            self._events.publish(
                self._views.message_status(persona, correspondence, message, news.file)
            )
        else:
            self._events.publish(self._views.message(persona, correspondence, message, news.file))

    def _publish_removed(self, changed: Changed) -> None:
        """Tell that a message or a conversation is gone; who resumes gets nothing of it."""
        talk = changed.conversation
        if changed.message is None:
            self._events.forget(lambda data: getattr(data, "conversation", None) == talk)
            self._events.publish(backend.Removed(changed.persona, talk, None))
        else:
            name = changed.message.id
            self._events.forget(lambda data: getattr(data, "id", None) == name)
            self._events.amend(partial(person_views.unquoted, name))
            self._events.publish(backend.Removed(changed.persona, talk, name))

    def _avatar_ready(self, avatar: bytes) -> None:
        """Tell of the contacts whose picture can be shown now."""
        for persona in self.machine.people.personas():
            for one in persona.conversations.values():
                if one.profile is not None and one.profile.avatar == avatar:
                    self._events.publish(self._views.contact(persona, one))

    def _tell_network(self) -> None:
        state = (self.machine.ready, self.machine.relays)
        if state != self._told:
            self._told = state
            self._events.publish(
                backend.NetworkState(
                    ready=state[0], relays=state[1], queue=len(self.machine.outbox)
                )
            )

    @property
    def peer(self) -> Peer:
        """Who this node is during this run."""
        return self._links.peer

    @property
    def events(self) -> backend.Hub:
        """The hub of this node's events."""
        return self._events

    def status(self) -> backend.Status:
        """What the node sees now."""
        machine = self.machine
        times = list(machine.lookup_ms)
        crowd = crowds.estimate(
            self._links.traffic(), self._config.traffic, self._params, machine.mixing
        )
        counters = (
            machine.counters + machine.people.counters + self._links.counters + self._failures
        )
        warnings = person_status.warnings(
            self._params.name,
            machine.relays,
            self._links.overlap(),
            crowd,
            self._commits.warning,
            apart=machine.agreement is not None and machine.agreement.low,
        )
        return backend.Status(
            ready=machine.ready,
            packet_bytes=self._params.packet_bytes,
            role="person",
            peer_id=identity.peer_id_text(self.peer.peer_id),
            addrs=self._links.addresses,
            reachable=False,
            relays=machine.relays,
            dht_peers=0,
            crowd=None if crowd is None else max(1, round(crowd.people)),
            preset=self._config.preset,
            queue=len(machine.outbox)
            + sum(c.queued for p in machine.people.personas() for c in p.conversations.values()),
            version=importlib.metadata.version("shoal"),
            network=self._params.name,
            entropy_bits=None if crowd is None else round(crowd.bits, 2),
            expected_latency_ms=self._traffic.latency_ms,
            traffic=self._traffic,
            dht=backend.Dht(
                announcements=sum(
                    p.announcer.kept(self._clock.now()) for p in machine.people.personas()
                ),
                lookups=machine.counters["dht_get"],
                lookup_ms_p50=statistics.median(times) if times else None,
            ),
            warnings=list(warnings.values()),
            warning_codes=list(warnings),
            counters=counters,
        )

    def peers(self) -> Sequence[backend.PeerInfo]:
        """The guards."""
        return self._links.peers()
