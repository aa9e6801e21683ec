"""Stand-in nodes for tests of fleets, demo and commands: real processes with the real API.

People's nodes deliver through a directory beside their homes, a file a message; relays do
nothing but answer. ``run`` is what a fleet starts in place of the daemon.
"""

import json
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from shoal_node import home
from shoal_node.api import backend, events, server
from shoal_node.clock import NodeClock
from shoal_node.config import NodeConfig
from shoal_protocol.errors import UserError

POST = "post"  # the directory of undelivered messages, beside the homes
PAUSE = 0.02  # s between two looks into it


class Relay:
    """A relay that is ready at once."""

    def __init__(self, config: NodeConfig, clock: NodeClock) -> None:
        self._config = config
        self._clock = clock
        self.events: backend.Hub = events.Hub(clock.now())
        self._peer_id = f"12D3KooW{config.data.name}"

    def status(self) -> backend.Status:
        return backend.Status(
            ready=True,
            packet_bytes=3072,
            role=self._config.role,
            peer_id=self._peer_id,
            addrs=(f"/ip4/127.0.0.1/tcp/4001/p2p/{self._peer_id}",),
            reachable=self._config.role == "relay",
            relays=len(self._config.bootstrap),
            dht_peers=0,
            crowd=None,
            preset=self._config.preset,
            queue=0,
            version="0",
            network=self._config.network,
            dht=backend.Dht(1, 1, 10.0),
        )

    def peers(self) -> Sequence[backend.PeerInfo]:
        return ()


class Person(Relay):
    """A person's node with one conversation a pair of pseudonyms."""

    def __init__(self, config: NodeConfig, clock: NodeClock) -> None:
        super().__init__(config, clock)
        self._post = config.data.parent / POST
        self._post.mkdir(exist_ok=True)
        self._personas: dict[str, backend.Persona] = {}
        self._contacts: dict[str, backend.Contact] = {}
        self._history: dict[str, list[backend.Message]] = {}
        self._count = 0

    def path(self) -> Sequence[backend.HopInfo]:
        return [
            backend.HopInfo(place, "mix", f"{place:032x}", "/ip4/127.0.0.1/tcp/1", 30)
            for place in range(1, 5)
        ]

    def personas(self) -> Sequence[backend.Persona]:
        return tuple(self._personas.values())

    async def create_persona(self, name: str | None, ephemeral: bool) -> backend.Persona:
        made = f"persona{len(self._personas) + 1}"
        pseudonym = f"{self._config.data.name}.{made}"
        self._personas[made] = backend.Persona(
            made, pseudonym, self._clock.now(), name, ephemeral=ephemeral
        )
        return self._personas[made]

    async def burn_persona(self, persona_id: str) -> None:
        if self._personas.pop(persona_id, None) is None:
            raise backend.NotFound("There is no such persona.")

    def contacts(self, persona_id: str) -> Sequence[backend.Contact]:
        if persona_id not in self._personas:
            raise backend.NotFound("There is no such persona.")
        return [one for one in self._contacts.values() if one.persona == persona_id]

    async def add_contact(self, persona_id: str, pseudonym: str) -> backend.Contact:
        for known in self.contacts(persona_id):
            if known.pseudonym == pseudonym:
                return known
        name = f"contact{len(self._contacts) + 1}"
        contact = backend.Contact(name, persona_id, f"talk-{name}", pseudonym, "requested", None)
        self._contacts[name] = contact
        self._history[contact.conversation] = []
        return contact

    def conversations(self) -> Sequence[backend.Conversation]:
        return [
            backend.Conversation(c.conversation, c.persona, c.id, c.pseudonym, c.state)
            for c in self._contacts.values()
        ]

    def messages(
        self, conversation_id: str, before: str | None, limit: int
    ) -> Sequence[backend.Message]:
        history = self._history[conversation_id]
        ids = [message.id for message in history]
        return history[: ids.index(before) if before else None][-limit:]

    async def send(
        self, conversation_id: str, text: str, idempotency_key: str | None
    ) -> backend.Message:
        contact = next(c for c in self._contacts.values() if c.conversation == conversation_id)
        sender = self._personas[contact.persona]
        message = self._message(contact, sender.pseudonym, text, self._clock.now(), outgoing=True)
        letter = {"to": contact.pseudonym, "from": sender.pseudonym, "text": text}
        for copy in range(1 if message.request else self.copies(text)):
            name = f"{sender.pseudonym}-{message.id}-{copy}"
            (self._post / f".{name}").write_text(json.dumps(letter))
            (self._post / f".{name}").rename(self._post / name)
        return message

    def copies(self, text: str) -> int:
        """How often a message arrives that is not the first."""
        return 1

    def _message(
        self, contact: backend.Contact, sender: str, text: str, created: int, *, outgoing: bool
    ) -> backend.Message:
        self._count += 1
        history = self._history[contact.conversation]
        message = backend.Message(
            id=f"message{self._count}",
            conversation=contact.conversation,
            persona=contact.persona,
            sender=sender,
            outgoing=outgoing,
            text=text,
            status="queued" if outgoing else "fetched",
            request=not history,
            created=created,
            received=None if outgoing else self._clock.now(),
        )
        history.append(message)
        self.events.publish(message)
        return message

    async def deliver(self) -> None:
        """Take what is addressed to this node's personas, for ever."""
        while True:
            for letter in sorted(self._post.glob("[!.]*")):
                try:
                    content = json.loads(letter.read_text())
                except FileNotFoundError:  # the other person took it just now
                    continue
                for persona in self._personas.values():
                    if persona.pseudonym == content["to"]:
                        letter.unlink()
                        contact = await self.add_contact(persona.id, content["from"])
                        now = self._clock.now()
                        self._message(
                            contact, content["from"], content["text"], now, outgoing=False
                        )
            await trio.sleep(PAUSE)


class Loser(Person):
    """A person's node that loses texts of one byte and sends those of 1,500 twice."""

    def copies(self, text: str) -> int:
        """How often a message arrives that is not the first."""
        return {1: 0, 1500: 2}.get(len(text.encode()), 1)


async def _serve(config: NodeConfig, kind: type[Person]) -> None:
    clock = NodeClock()
    person = kind(config, clock) if config.role == "person" else None
    node = person or Relay(config, clock)
    with home.Home(config.data) as data, trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(server.run_api, node, person, data=data))
            if person is not None:
                nursery.start_soon(person.deliver)
            async for _ in signals:
                nursery.cancel_scope.cancel()


def run(config: NodeConfig) -> None:
    """A well-behaved stand-in."""
    trio.run(_serve, config, Person)


def run_losing(config: NodeConfig) -> None:
    """A stand-in whose people's nodes lose and repeat messages."""
    trio.run(_serve, config, Loser)


def run_failing(config: NodeConfig) -> None:
    """A node that ends at once with a sentence in its log."""
    raise UserError("The port is in use.")


def run_deaf(config: NodeConfig) -> None:
    """A node that never answers and ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(config.data / "started").touch()
    while True:
        signal.pause()
