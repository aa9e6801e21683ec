"""Stand-in nodes for tests of fleets, demo and commands: real processes with the real API.

People's nodes deliver through a directory beside their homes, a file a message, and keep what
they know in their homes; relays do nothing but answer. ``run`` is what a fleet starts in place
of the daemon.
"""

import contextlib
import json
import pickle
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import trio

from shoal_node import home
from shoal_node.api import backend, events, server
from shoal_node.clock import NodeClock
from shoal_node.config import NodeConfig
from shoal_protocol.errors import UserError

POST = "post"  # the directory of undelivered messages, beside the homes
PAUSE = 0.02  # s between two looks into it
KEPT = "kept"  # the file in which a person's node keeps what it knows


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

    def drain(self) -> None:
        raise backend.NotFound("Nothing here drains.")

    def cancel_drain(self) -> None:
        self.drain()

    def self_check(self) -> backend.SelfCheck:
        raise backend.NotFound("Nothing here checks itself.")

    def check_reach(self) -> None:
        self.self_check()


class Person(Relay):
    """A person's node with one conversation a pair of pseudonyms."""

    def __init__(self, config: NodeConfig, clock: NodeClock) -> None:
        super().__init__(config, clock)
        self._post = config.data.parent / POST
        self._post.mkdir(exist_ok=True)
        self._personas: dict[str, backend.Persona] = {}
        self._contacts: dict[str, backend.Contact] = {}
        self._history: dict[str, list[backend.Message]] = {}
        self._files: dict[str, bytes] = {}
        self._count = 0
        self._kept = config.data / KEPT
        if self._kept.exists():
            known = pickle.loads(self._kept.read_bytes())
            self._personas, self._contacts, self._history, self._files, self._count = known

    def keep(self) -> None:
        """Keep what is known for the next run."""
        known = (self._personas, self._contacts, self._history, self._files, self._count)
        self._kept.write_bytes(pickle.dumps(known))

    def path(self) -> Sequence[backend.HopInfo]:
        return [
            backend.HopInfo(place, "mix", f"{place:032x}", "/ip4/127.0.0.1/tcp/1", 30)
            for place in range(1, 5)
        ]

    @property
    def person(self) -> "Person":
        """It is never locked."""
        return self

    async def settle(self) -> None:
        """Everything is where it is."""

    def personas(self) -> Sequence[backend.Persona]:
        return tuple(self._personas.values())

    async def create_persona(
        self, name: str | None, ephemeral: bool, *, random: bool = False
    ) -> backend.Persona:
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
            backend.Conversation(c.conversation, c.persona, c.id, c.pseudonym, c.state, c)
            for c in self._contacts.values()
        ]

    def messages(
        self, conversation_id: str, before: str | None, limit: int
    ) -> Sequence[backend.Message]:
        history = self._history[conversation_id]
        ids = [message.id for message in history]
        page = history[: ids.index(before) if before else None][-limit:]
        return [self._seen(message) for message in page]

    async def send(
        self, conversation_id: str, draft: backend.Draft, idempotency_key: str | None
    ) -> backend.Message:
        return self._send(conversation_id, draft.text, None, b"")

    async def send_file(
        self,
        conversation_id: str,
        draft: backend.Draft,
        content: bytes,
        name: str,
        media_type: str,
        idempotency_key: str | None,
    ) -> backend.Message:
        file = backend.File(name, len(content), media_type, "whole", 2, 2)
        return self._send(conversation_id, draft.text, file, content)

    async def file(self, conversation_id: str, message_id: str) -> backend.FileContent:
        message = next(m for m in self._history[conversation_id] if m.id == message_id)
        assert message.file is not None
        return backend.FileContent(message.file, self._files[message_id])

    def _send(
        self, conversation_id: str, text: str, file: backend.File | None, content: bytes
    ) -> backend.Message:
        contact = next(c for c in self._contacts.values() if c.conversation == conversation_id)
        sender = self._personas[contact.persona]
        message = self._message(contact, sender.pseudonym, text, self._clock.now(), outgoing=True)
        message = self._with_file(message, file, content)
        letter = {
            "to": contact.pseudonym,
            "from": sender.pseudonym,
            "text": text,
            "name": None if file is None else file.name,
            "content": self.spoilt(content).hex(),
        }
        for copy in range(1 if message.request else self.copies(text)):
            name = f"{self._clock.now():020d}-{sender.pseudonym}-{message.id}-{copy}"
            (self._post / f".{name}").write_text(json.dumps(letter))
            (self._post / f".{name}").rename(self._post / name)
        return message

    def _seen(self, message: backend.Message) -> backend.Message:
        """The message as it stands now: fetched once nothing of it lies undelivered."""
        if not message.outgoing:
            return message
        lies = any(self._post.glob(f"*-{message.sender}-{message.id}-*"))
        return replace(message, status="stored" if lies and self.honest else "fetched")

    honest = True  # whether it says so of a message that nobody has

    def spoilt(self, content: bytes) -> bytes:
        """What arrives of a file."""
        return content

    def _with_file(
        self, message: backend.Message, file: backend.File | None, content: bytes
    ) -> backend.Message:
        if file is None:
            return message
        self._files[message.id] = content
        history = self._history[message.conversation]
        history[-1] = replace(message, file=file)
        return history[-1]

    def copies(self, text: str) -> int:
        """How often a message arrives that is not the first."""
        return 1

    def _message(
        self,
        contact: backend.Contact,
        sender: str,
        text: str,
        created: int,
        *,
        outgoing: bool,
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
                        message = self._message(
                            contact, content["from"], content["text"], now, outgoing=False
                        )
                        if content["name"] is not None:
                            came = bytes.fromhex(content["content"])
                            kind = "application/octet-stream"
                            file = backend.File(content["name"], len(came), kind, "whole", 1, 1)
                            self._with_file(message, file, came)
            await trio.sleep(PAUSE)


class Loser(Person):
    """A person's node that loses texts of one byte and sends those of 1,500 twice."""

    def copies(self, text: str) -> int:
        """How often a message arrives that is not the first."""
        return {1: 0, 1500: 2}.get(len(text.encode()), 1)

    def spoilt(self, content: bytes) -> bytes:
        """What arrives of a file: its last byte is another."""
        return content[:-1] + bytes([content[-1] ^ 1]) if content else content


def _ending() -> contextlib.AbstractContextManager[AsyncIterator[int]]:
    return trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT)


class Liar(Person):
    """A person's node that says at once that everything was fetched."""

    honest = False


async def _serve(config: NodeConfig, kind: type[Person], *, ends: bool = True) -> None:
    clock = NodeClock()
    person = kind(config, clock) if config.role == "person" else None
    node = person or Relay(config, clock)
    with home.Home(config.data) as data, _ending() as signals:
        async with trio.open_nursery() as nursery:
            house = cast(backend.Household | None, person)  # it does what commands ask for
            await nursery.start(partial(server.run_api, node, house, data=data))
            if person is not None:
                nursery.start_soon(person.deliver)
            async for _ in signals:
                if ends:
                    nursery.cancel_scope.cancel()
        if person is not None:
            person.keep()


def run(config: NodeConfig) -> None:
    """A well-behaved stand-in."""
    trio.run(_serve, config, Person)


def run_losing(config: NodeConfig) -> None:
    """A stand-in whose people's nodes lose and repeat messages."""
    trio.run(_serve, config, Loser)


def run_lying(config: NodeConfig) -> None:
    """A stand-in whose people's nodes say of every message that it was fetched."""
    trio.run(_serve, config, Liar)


def run_failing(config: NodeConfig) -> None:
    """A node that ends at once with a sentence in its log."""
    raise UserError("The port is in use.")


def run_stubborn(config: NodeConfig) -> None:
    """A stand-in that answers, and does not end when it is asked to."""
    trio.run(partial(_serve, ends=False), config, Person)


def run_deaf(config: NodeConfig) -> None:
    """A node that never answers and ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(config.data / "started").touch()
    while True:
        signal.pause()
