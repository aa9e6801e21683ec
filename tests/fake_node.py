"""A small real node in memory for tests of the API: people's texts go nowhere but to history."""

from collections.abc import Sequence
from dataclasses import replace

from shoal_node.api import backend, events, idempotency
from shoal_protocol.clock import SECOND
from shoal_protocol.files import manifest
from support import START

PIECES = 3  # of every file
ECHO = True  # whether people's nodes deliver and answer


TRAFFIC = backend.Traffic(
    preset="fast",
    packets_per_s=10.0,
    mean_delay_ms=30,
    quick_share=0.667,
    waiting_gets=50,
    up_kb_per_s=30.72,
    down_kb_per_s=30.72,
    gb_per_day=5.31,
    link_ms=42.0,
    latency_ms=backend.Latency(630.0, 980.0),
)


class FakeRelay:
    """A relay: status, peers and events."""

    role: backend.Role = "relay"

    def __init__(self) -> None:
        self.events: backend.Hub = events.Hub(START)
        self.now = START

    def status(self) -> backend.Status:
        return backend.Status(
            ready=True,
            packet_bytes=3072,
            role=self.role,
            peer_id="12D3KooWTest",
            addrs=("/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWTest",),
            reachable=self.role == "relay",
            relays=8,
            dht_peers=8,
            crowd=2,
            preset="fast" if self.role == "person" else None,
            queue=0,
            version="0.1.0",
            network="lab",
            entropy_bits=0.58 if self.role == "person" else None,
            expected_latency_ms=backend.Latency(630.0, 980.0),
            traffic=TRAFFIC if self.role == "person" else None,
            traffic_class=14 if self.role == "relay" else None,
            dht=backend.Dht(1, 1, 12.5),
            warnings=("Two people are no crowd.",),
            counters={"replay": 0},
        )

    def peers(self) -> Sequence[backend.PeerInfo]:
        return (
            backend.PeerInfo("ab" * 16, "/ip4/127.0.0.1/tcp/4001", "guard", True, START + 1_000),
        )


class FakePerson(FakeRelay):
    """A person's node that answers every message with its echo, as somebody else."""

    role = "person"

    def __init__(self) -> None:
        super().__init__()
        self._personas: dict[str, backend.Persona] = {}
        self._contacts: dict[str, backend.Contact] = {}
        self._messages: dict[str, list[backend.Message]] = {}
        self._files: dict[str, backend.FileContent] = {}
        self.trusting = False  # whether names of files are left as they are
        self.slow = False  # whether files that come stop half-way until :meth:`finish`
        self._count = 0

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def _tick(self) -> int:
        self.now += SECOND // 1000
        return self.now

    def path(self) -> Sequence[backend.HopInfo]:
        roles: tuple[backend.HopRole, ...] = ("guard", "mix", "mix", "service")
        return [
            backend.HopInfo(place, role, f"{place:032x}", f"/ip4/127.0.0.1/tcp/{place}", 30)
            for place, role in enumerate(roles, 1)
        ]

    def personas(self) -> Sequence[backend.Persona]:
        return tuple(self._personas.values())

    async def create_persona(self, name: str | None, ephemeral: bool) -> backend.Persona:
        made = self._id("persona")
        persona = backend.Persona(made, f"shoal-{made}", self._tick(), name, ephemeral=ephemeral)
        self._personas[made] = persona
        return persona

    def _persona(self, persona_id: str) -> backend.Persona:
        if persona_id not in self._personas:
            raise backend.NotFound("There is no such persona.")
        return self._personas[persona_id]

    async def burn_persona(self, persona_id: str) -> None:
        self._persona(persona_id)
        del self._personas[persona_id]

    def contacts(self, persona_id: str) -> Sequence[backend.Contact]:
        self._persona(persona_id)
        return [c for c in self._contacts.values() if c.persona == persona_id]

    async def add_contact(self, persona_id: str, pseudonym: str) -> backend.Contact:
        self._persona(persona_id)
        if not pseudonym.startswith("shoal-"):
            raise backend.Unprocessable("This is no pseudonym.")
        for known in self.contacts(persona_id):
            if known.pseudonym == pseudonym:
                return known
        contact = backend.Contact(
            self._id("contact"), persona_id, self._id("talk"), pseudonym, "requested", None
        )
        self._contacts[contact.id] = contact
        self._messages[contact.conversation] = []
        self.events.publish(contact)
        return contact

    def conversations(self) -> Sequence[backend.Conversation]:
        return [
            backend.Conversation(c.conversation, c.persona, c.id, c.pseudonym, c.state)
            for c in self._contacts.values()
        ]

    def _history(self, conversation_id: str) -> list[backend.Message]:
        if conversation_id not in self._messages:
            raise backend.NotFound("There is no such conversation.")
        return self._messages[conversation_id]

    def messages(
        self, conversation_id: str, before: str | None, limit: int
    ) -> Sequence[backend.Message]:
        history = self._history(conversation_id)
        if before is not None:
            places = [i for i, message in enumerate(history) if message.id == before]
            if not places:
                raise backend.NotFound("There is no such message.")
            history = history[: places[0]]
        return history[-limit:]

    async def send(
        self, conversation_id: str, text: str, idempotency_key: str | None
    ) -> backend.Message:
        return self._send(conversation_id, text, None, idempotency_key)

    async def send_file(
        self,
        conversation_id: str,
        text: str,
        content: bytes,
        name: str,
        media_type: str,
        idempotency_key: str | None,
    ) -> backend.Message:
        safe = name if self.trusting else manifest.safe_name(name)
        file = backend.File(safe, len(content), media_type, "sending", 0, PIECES)
        sent = backend.FileContent(file, content)
        return self._send(conversation_id, text, sent, idempotency_key)

    async def file(self, conversation_id: str, message_id: str) -> backend.FileContent:
        for message in self._history(conversation_id):
            if message.id == message_id and message.file is not None:
                if not message.outgoing and message.file.state != "whole":
                    raise backend.Conflict("The file has not come yet.")
                return backend.FileContent(message.file, self._files[message_id].content)
        raise backend.NotFound("There is no such file.")

    def finish(self) -> None:
        """Let every file come to its end."""
        for history in self._messages.values():
            for place, message in enumerate(history):
                if message.file is not None:
                    whole = replace(message.file, state="whole", done=PIECES)
                    history[place] = replace(message, file=whole)
                    self._publish_status(history[place])

    def _publish_status(self, message: backend.Message) -> None:
        self.events.publish(
            backend.MessageStatus(
                message.id, message.conversation, message.persona, message.status, message.file
            )
        )

    def _send(
        self,
        conversation_id: str,
        text: str,
        file: backend.FileContent | None,
        idempotency_key: str | None,
    ) -> backend.Message:
        history = self._history(conversation_id)
        made = None if idempotency_key is None else idempotency.message_id(idempotency_key)
        for known in history:
            if known.id == made:
                before = self._files.get(known.id)
                if known.text != text or (before and before.content) != (file and file.content):
                    raise backend.Conflict("This key was used for another message.")
                return known
        contact = next(c for c in self._contacts.values() if c.conversation == conversation_id)
        persona = self._personas[contact.persona]
        sent = backend.Message(
            made or self._id("message"),
            conversation_id,
            persona.id,
            persona.pseudonym,
            outgoing=True,
            text=text,
            status="queued",
            request=not history,
            created=self._tick(),
            received=None,
            file=None if file is None else file.file,
        )
        self._add(sent, file)
        if not ECHO:
            return sent
        if file is not None and not self.slow:
            self.finish()
        states: tuple[backend.MessageState, ...] = ("stored", "fetched", "read")
        for state in states:
            self._publish_status(replace(history[-1], status=state))
        state_of_file: backend.FileState = "fetching" if self.slow else "whole"
        echo = replace(
            sent,
            id=self._id("message"),
            sender=contact.pseudonym,
            outgoing=False,
            status="fetched",
            request=False,
            created=self._tick(),
            received=self._tick(),
            file=None if file is None else replace(file.file, state=state_of_file, done=1),
        )
        self._add(echo, file)
        self.events.publish(echo)
        return sent

    def _add(self, message: backend.Message, file: backend.FileContent | None) -> None:
        self._messages[message.conversation].append(message)
        if file is not None:
            self._files[message.id] = file
