"""A person's node: drives the person machine, and answers the local API.

::

    bootstrap ─► PersonLinks ─► directory ─► guards ─► packet channel ─► PersonMachine
                                     ▲                                       │
                                     └────────────── SendUp, at once ────────┤
    API ◄── Message, MessageStatus, Contact ◄── Commits ◄── Changes, Changed ┘

Whatever the API answers, and whatever its events tell, is durable before: see
:mod:`~shoal_protocol.client.state`. Packets never wait for the disk.

The node needs no inbound connection, uses a fresh libp2p identity each run, and links to
nobody but its guards once it has them. It never speaks the DHT's protocol: a relay looks
pseudonyms up for it, through the onion.
"""

import functools
import importlib.metadata
import logging
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from shoal_node import clock, person_files, person_links, person_status, supervisor
from shoal_node.api import backend, idempotency
from shoal_node.config import NodeConfig
from shoal_node.store import keys
from shoal_node.store.commits import Commits
from shoal_node.store.person_store import PersonStore
from shoal_node.transport.interface import Peer, StartTransport, TaskStatus
from shoal_protocol import identity
from shoal_protocol.client import crowd as crowds
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.people import Changed
from shoal_protocol.client.person import Event, PersonMachine, SendUp
from shoal_protocol.client.personas import Persona
from shoal_protocol.errors import StoreError, UserError
from shoal_protocol.files import manifest as manifests
from shoal_protocol.pseudonyms import address
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import safety

log = logging.getLogger(__name__)

FAILURE_PAUSE_S: Final = 0.1  # after a failed tick, so that a bug can't spin


@dataclass(frozen=True, slots=True)
class _News:
    """What followers are to be told once it is durable, as it was when it happened."""

    changed: Changed
    file: backend.File | None
    known: bool  # they were told of this message before


class PersonNode:
    """One person's node; implements ``backend.PersonBackend``.

    Args:
        start_transport: what carries the frames; the in-memory twin in tests.

    Raises:
        UserError: the store does not open.
    """

    def __init__(
        self,
        config: NodeConfig,
        rng: Rng,
        ticking: clock.NodeClock,
        start_transport: StartTransport,
    ) -> None:
        self._config = config
        self._rng = rng
        self._clock = ticking
        self._params = config.network_parameters
        secret = keys.secret_of(config.data, config.passphrase)
        self._store: Final = PersonStore.open(config.data / keys.DATABASE, secret)
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
        self._commits: Final = Commits(self._store, self._committed)
        self._files: Final = person_files.PersonFiles(
            self.machine.people, self._params.hash, ticking.now()
        )
        self._events: backend.Hub = backend.Hub(ticking.now())
        self._wake = trio.Event()
        self._failures: Counter[str] = Counter()
        self._told = (False, 0)
        self._traffic = person_status.traffic(config.traffic, self._params)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be a person's node until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._commits.run)
                await nursery.start(self._links.run, self.machine)
                await nursery.start(supervisor.supervise, "clock", self._keep_time)
                task_status.started(None)
        finally:
            self._commit()
            with trio.CancelScope(shield=True):
                await self._commits.close()

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
            message = event.message
            known = message is not None and (message.outgoing or self._files.follows(message.id))
            file = None if message is None else self._files.show(message)
            news.append(_News(event, file, known))
            self._files.told(event, now)
        self._commit(partial(self._publish, news) if news else None)

    def _commit(self, then: Callable[[], None] | None = None) -> int:
        """Hand what changed to the store, and call ``then`` once it is durable."""
        return self._commits.submit(self.machine.take_changes(), then)

    async def _durable(self) -> None:
        """Return once everything up to now is durable."""
        number = self._commit()
        self._wake.set()
        await self._commits.durable(number)

    def _committed(self, number: int) -> None:
        self.machine.committed(number)

    def _publish(self, news: Sequence[_News]) -> None:
        for one in news:
            self._publish_one(one)

    def _publish_one(self, news: _News) -> None:
        known = self.machine.people.conversation(news.changed.conversation)
        if known is None:
            return
        persona, correspondence = known
        message = news.changed.message
        if message is None:
            self._events.publish(self._contact(persona, correspondence))
        elif news.known:
            self._events.publish(
                backend.MessageStatus(
                    message.id, correspondence.id, persona.id, _STATES[message.state], news.file
                )
            )
        else:
            self._events.publish(self._message(persona, correspondence, message, news.file))

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
        crowd = crowds.estimate(self._links.traffic(), self._config.traffic, self._params)
        counters = (
            machine.counters + machine.people.counters + self._links.counters + self._failures
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
            warnings=person_status.warnings(
                self._params.name,
                machine.relays,
                self._links.overlap(),
                crowd,
                self._commits.warning,
            ),
            counters=counters,
        )

    def peers(self) -> Sequence[backend.PeerInfo]:
        """The guards."""
        return self._links.peers()

    def path(self) -> Sequence[backend.HopInfo]:
        """The hops of the latest envelope that carried something of this person's."""
        return [
            backend.HopInfo(
                position=place,
                role=hop.role,
                relay=hop.relay.relay_id.hex(),
                address=hop.relay.addresses[0],
                delay_ms=hop.delay_ms,
            )
            for place, hop in enumerate(self.machine.trace, start=1)
        ]

    def personas(self) -> Sequence[backend.Persona]:
        """All personas, oldest first."""
        return [self._persona(persona) for persona in self.machine.people.personas()]

    async def create_persona(self, name: str | None, ephemeral: bool) -> backend.Persona:
        """Make a persona and begin to announce it."""
        try:
            persona = self.machine.people.create(
                self._rng.bytes(32), self._clock.now(), name=name, kept=not ephemeral
            )
        except UserError as error:
            raise backend.Conflict(str(error)) from None
        await self._durable()
        return self._persona(persona)

    async def burn_persona(self, persona_id: str) -> None:
        """Forget the persona, its keys and its conversations."""
        self.machine.people.burn(self._find(persona_id))
        self._events.forget(lambda data: getattr(data, "persona", None) == persona_id)
        _safety_code.cache_clear()
        await self._durable()

    def contacts(self, persona_id: str) -> Sequence[backend.Contact]:
        """The persona's contacts, oldest first."""
        persona = self._find(persona_id)
        return [self._contact(persona, c) for c in persona.conversations.values()]

    async def add_contact(self, persona_id: str, pseudonym: str) -> backend.Contact:
        """Add a contact by pseudonym, or return the one there is."""
        persona = self._find(persona_id)
        try:
            public = address.decode(pseudonym)
            correspondence = self.machine.people.open_conversation(
                persona, public, self._clock.now()
            )
        except UserError as error:
            raise backend.Unprocessable(str(error)) from None
        await self._durable()
        return self._contact(persona, correspondence)

    def conversations(self) -> Sequence[backend.Conversation]:
        """All personas' conversations, oldest first."""
        return [
            backend.Conversation(
                id=c.id,
                persona=persona.id,
                contact=c.id,
                pseudonym=address.encode(c.pseudonym),
                state=_contact_state(c),
            )
            for persona in self.machine.people.personas()
            for c in persona.conversations.values()
        ]

    def messages(
        self, conversation_id: str, before: str | None, limit: int
    ) -> Sequence[backend.Message]:
        """At most ``limit`` messages, newest last."""
        persona, correspondence = self._conversation(conversation_id)
        found = list(correspondence.history)
        if before is not None:
            ids = [message.id for message in found]
            if before not in ids:
                raise backend.NotFound("There is no such message in this conversation.")
            found = found[: ids.index(before)]
        return [
            self._message(persona, correspondence, message, self._files.show(message))
            for message in found[-limit:]
        ]

    async def send(
        self, conversation_id: str, text: str, idempotency_key: str | None
    ) -> backend.Message:
        """Queue a message."""
        persona, correspondence = self._conversation(conversation_id)
        message_id, known = self._named(
            idempotency_key, conversation_id, lambda one: one.file is None and one.text == text
        )
        if known is None:
            try:
                known = self.machine.people.send(
                    correspondence, text, self._clock.now(), message_id=message_id
                )
            except UserError as error:
                raise backend.Unprocessable(str(error)) from None
        await self._durable()
        return self._message(persona, correspondence, known, None)

    async def send_file(
        self,
        conversation_id: str,
        text: str,
        content: bytes,
        name: str,
        media_type: str,
        idempotency_key: str | None,
    ) -> backend.Message:
        """Queue a message with a file."""
        persona, correspondence = self._conversation(conversation_id)
        digest = manifests.content_digest(content)
        message_id, message = self._named(
            idempotency_key,
            conversation_id,
            lambda one: one.text == text and self._files.digest(one) == digest,
        )
        if message is None:
            now = self._clock.now()
            try:
                message = self.machine.people.send_file(
                    correspondence, text, content, name, media_type, now, message_id=message_id
                )
            except UserError as error:
                raise backend.Unprocessable(str(error)) from None
            self._files.follow(Changed(persona.id, correspondence.id, message), now)
        await self._durable()
        return self._message(persona, correspondence, message, self._files.show(message))

    async def file(self, conversation_id: str, message_id: str) -> backend.FileContent:
        """Return the file of a message."""
        _, correspondence = self._conversation(conversation_id)
        message = correspondence.history.get(message_id)
        if message is None:
            raise backend.NotFound("There is no such message in this conversation.")
        file = self._files.show(message)
        if file is None:
            raise backend.NotFound("This message has no file.")
        if file.state == "failed" and not message.outgoing:
            raise backend.Conflict("This file cannot be had: the relays do not have all of it.")
        if file.state != "whole" and not message.outgoing:
            raise backend.Conflict(
                f"This file is still on its way: {file.done} of {file.total} pieces are here."
            )
        content = await self._content(message_id)
        if len(content) != file.size:  # it became whole just now
            await self._durable()
            content = await self._content(message_id)
        if len(content) != file.size:
            raise backend.NotFound("This file is no longer on this node.")
        return backend.FileContent(file, content)

    async def _content(self, message_id: str) -> bytes:
        content = self.machine.people.transfers.content(message_id)
        if content is not None:
            return content
        try:
            return await trio.to_thread.run_sync(self._store.file, bytes.fromhex(message_id))
        except StoreError as error:
            raise backend.Unavailable(str(error)) from None

    def _named(
        self, key: str | None, conversation_id: str, same: Callable[[Message], bool]
    ) -> tuple[str | None, Message | None]:
        """Return the id that ``key`` gives a message, and the message that has it already.

        Raises Conflict when that is another one, and Unavailable when nothing new can be kept.
        """
        message_id = None if key is None else idempotency.message_id(key)
        known = None if message_id is None else self._sent(message_id)
        if known is not None:
            if known[1].id != conversation_id or not same(known[2]):
                raise backend.Conflict("This Idempotency-Key was used for another message.")
            return message_id, known[2]
        if self._commits.warning is not None:
            raise backend.Unavailable(self._commits.warning)
        return message_id, None

    def _sent(self, message_id: str) -> tuple[Persona, Correspondence, Message] | None:
        for persona in self.machine.people.personas():
            for correspondence in persona.conversations.values():
                message = correspondence.history.get(message_id)
                if message is not None:
                    return persona, correspondence, message
        return None

    def _find(self, persona_id: str) -> Persona:
        persona = self.machine.people.persona(persona_id)
        if persona is None:
            raise backend.NotFound("There is no such persona on this node.")
        return persona

    def _conversation(self, conversation_id: str) -> tuple[Persona, Correspondence]:
        known = self.machine.people.conversation(conversation_id)
        if known is None:
            raise backend.NotFound("There is no such conversation on this node.")
        return known

    def _persona(self, persona: Persona) -> backend.Persona:
        return backend.Persona(
            id=persona.id,
            pseudonym=address.encode(persona.secrets.pseudonym),
            created=persona.created,
            name=persona.name,
            ephemeral=not persona.kept,
        )

    def _contact(self, persona: Persona, correspondence: Correspondence) -> backend.Contact:
        code = None
        if correspondence.agreed:
            code = _safety_code(
                persona.secrets.pseudonym, correspondence.pseudonym, self._params.hash
            )
        return backend.Contact(
            id=correspondence.id,
            persona=persona.id,
            conversation=correspondence.id,
            pseudonym=address.encode(correspondence.pseudonym),
            state=_contact_state(correspondence),
            safety_code=code,
        )

    def _message(
        self,
        persona: Persona,
        correspondence: Correspondence,
        message: Message,
        file: backend.File | None,
    ) -> backend.Message:
        sender = persona.secrets.pseudonym if message.outgoing else correspondence.pseudonym
        return backend.Message(
            id=message.id,
            conversation=correspondence.id,
            persona=persona.id,
            sender=address.encode(sender),
            outgoing=message.outgoing,
            text=message.text,
            status=_STATES[message.state],
            request=message.request,
            created=message.created,
            received=message.received,
            file=file,
        )


_STATES: Final[dict[MessageState, backend.MessageState]] = {
    MessageState.QUEUED: "queued",
    MessageState.STORED: "stored",
    MessageState.FETCHED: "fetched",
    MessageState.READ: "read",
    MessageState.FAILED: "failed",
}


def _contact_state(correspondence: Correspondence) -> backend.ContactState:
    if correspondence.answered:
        return "accepted"
    return "request" if correspondence.requested_by_them else "requested"


@functools.lru_cache(maxsize=1024)
def _safety_code(one: bytes, other: bytes, network: bytes) -> str:
    return safety.safety_code(one, other, network)
