"""People who talk while every relay notes what it sees, and who knows the truth.

::

    Town ─┬─ World of bench, relays over the real RelayStore ─► rows: what a disk holds
          ├─ SeeingDesk ─► sights: (ns, hop before, what, address, wait) as the process sees it
          └─ People ─► truth: address ─► stream, index, when made

Traffic is drawn beforehand. *Even*: all conversations talk all the time. *Turns*: each talks
while the others are silent. The truth comes from the outboxes, which no relay sees.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from shoal_node.store import relay_store
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.parameters import Preset
from shoal_protocol.relay.machine import RelayMachine
from shoal_protocol.service import messages
from shoal_protocol.service.desk import Event, ServiceDesk
from shoal_protocol.service.messages import RequestType
from shoal_sim.exact import kem
from shoal_sim.exact.people import Person
from shoal_sim.exact.relays import Relay
from shoal_sim.exact.world import World
from support import seeded

PRESET: Final = Preset("town", rate=4.0, mean_delay_ms=20)
FLAGS_AT: Final = 32 + 64 + 4  # of a box's flags and zero bytes


class Place(NamedTuple):
    """Whose box it is: a stream (one direction of a session), a conversation, its index."""

    stream: bytes
    conversation: bytes
    number: int


class Row(NamedTuple):
    """One box as the database of a relay has it; ``order`` is where it came in."""

    order: int
    day: int
    tombstone: int
    effort: int
    nonce: bytes
    record: bytes

    @property
    def address(self) -> bytes:
        """Where it lies."""
        return self.record[:32]


@dataclass(slots=True)
class Sight:
    """What the process of a relay sees of one address: ns, and the hop before."""

    asked: list[tuple[int, bytes, int]] = field(default_factory=list[tuple[int, bytes, int]])
    put: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    given: list[int] = field(default_factory=list[int])


class SeeingDesk(ServiceDesk):
    """A desk whose relay notes what it is asked, by whom next to it, and what it answers."""

    relay: "SeeingRelay"

    def request(self, body: bytes, now: int) -> list[Event]:
        """Note a request for a box, and serve it."""
        asked = messages.decode_request(body)
        hop = self.relay.hop
        sight = self.relay.sight(asked.record[:32])
        if asked.type is RequestType.BOX_PUT:
            sight.put.append((now, hop))
        elif asked.type is RequestType.BOX_GET:
            sight.asked.append((now, hop, asked.wait_ms))
            self.relay.blocks[asked.surb] = asked.record[:32]
        return super().request(body, now)

    def _answer(self, surb: bytes | None, reply: messages.Reply) -> list[Event]:
        """Note when a box is handed out."""
        address = self.relay.blocks.pop(surb, None) if surb else None
        if address is not None and any(reply.record):
            self.relay.sight(address).given.append(self.relay.now())
        return super()._answer(surb, reply)


class SeeingRelay(Relay):
    """A relay over a database on disk that remembers everything."""

    folder: Path

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.hop = b""
        self.sights: dict[bytes, Sight] = {}
        self.blocks: dict[bytes, bytes] = {}
        self.path = self.folder / f"{self.name}.db"
        self.disk_store = relay_store.RelayStore(
            self.path, world.params, seeded(f"{world.seed} {self.name} store")
        )
        self.store = self.disk_store  # type: ignore[assignment]

    def start(self) -> None:
        """Begin with a desk that notes."""
        super().start()
        desk = SeeingDesk(
            self.id,
            params=self.world.params,
            relays=self._relay_ids,
            instance=self.store.instance,
        )
        desk.relay = self
        self.machine = RelayMachine(self.machine.mix, desk)
        self._arm()

    def receive(self, packet: bytes, peer: bytes) -> None:
        """Take a packet, knowing who is next to this relay."""
        self.hop = peer
        super().receive(packet, peer)

    def sight(self, address: bytes) -> Sight:
        """Return what was seen of an address so far."""
        return self.sights.setdefault(address, Sight())


class KnownPerson(Person):
    """A person whose boxes are written down for those who check."""

    truth: dict[bytes, Place]

    def settle(self) -> None:
        """Carry out what a call into the machine from outside has brought."""
        self._after([])

    def take(self) -> None:
        """Write down the records that this call made."""
        for outgoing in self.machine.outbox.records():
            if outgoing.session and outgoing.address not in self.truth:
                stream = self.name.encode() + outgoing.session
                self.truth[outgoing.address] = Place(stream, outgoing.session, outgoing.index)
        super().take()


@dataclass(frozen=True, slots=True)
class Talk:
    """How people talk.

    Args:
        people: 2 or more; everybody is in one conversation with the next, two by two, and
            every second pair is joined to its neighbour by one more.
        messages: in all, first contacts left out.
        every_s: mean time between two messages of the whole town.
        turns: how many conversations talk at a time, the others being silent; 0 all.
        turn_s: how long a turn lasts.
    """

    people: int = 6
    relays: int = 6
    messages: int = 204
    every_s: float = 0.3
    turns: int = 0
    turn_s: float = 15.0
    preset: Preset = PRESET
    seed: str = "town"


class Town:
    """One town's talk, from beginning to end, and what its relays know of it."""

    def __init__(self, talk: Talk, folder: Path) -> None:
        self.talk: Final = talk
        self.truth: Final[dict[bytes, Place]] = {}
        self._rng: Final = seeded(f"{talk.seed} talk")
        relay = type("TownRelay", (SeeingRelay,), {"folder": folder})
        person = type("TownPerson", (KnownPerson,), {"truth": self.truth})
        self.world: Final = World(
            talk.relays,
            talk.people,
            seed=talk.seed,
            preset=talk.preset,
            relay=relay,
            person=person,
        )
        self.relays: Final = [one for one in self.world.relays if isinstance(one, SeeingRelay)]
        self.people: Final = [one for one in self.world.people if isinstance(one, KnownPerson)]
        with kem.drawn_from(seeded(f"{talk.seed} encapsulation").bytes):
            self._pairs = self._meet()
            self._speak()

    def close(self) -> None:
        """Close the relays' databases, so that others can open them."""
        for relay in self.relays:
            relay.disk_store.close()

    def rows(self, relay: SeeingRelay) -> list[Row]:
        """Return the boxes of conversations in a closed database, in the order they came."""
        return [row for row in rows_of(relay.path) if row.address in self.truth]

    def stream(self, address: bytes) -> bytes:
        """Return the name of the stream of a box."""
        return self.truth[address].stream

    def conversation(self, address: bytes) -> bytes:
        """Return the name of the conversation of a box."""
        return self.truth[address].conversation

    def _meet(self) -> list[tuple[int, int]]:
        """Let everybody have a persona, and every conversation be answered."""
        people, world = self.people, self.world
        personas = [one.machine.people.create(one.rng.bytes(32), world.now) for one in people]
        for one in people:
            one.settle()
        assert world.run(120, until=lambda: all(p.announcer.kept(world.now) for p in personas))
        count = len(people)
        pairs = [(i, i + 1) for i in range(0, count - 1, 2)]
        pairs += [(i + 1, (i + 2) % count) for i in range(0, count - 1, 4) if count > 2]
        self._conversations: dict[tuple[int, int], Correspondence] = {}
        for a, b in pairs:
            self._conversations[a, b] = people[a].machine.people.open_conversation(
                personas[a], personas[b].secrets.pseudonym, world.now
            )
            self._say((a, b), "hello")
        mine = [persona.secrets.pseudonym for persona in personas]
        assert world.run(300, until=lambda: all(self._met(pair, mine) for pair in pairs))
        for a, b in pairs:
            self._say((b, a), "hello to you")
        assert world.run(300, until=lambda: all(c.answered for c in self._conversations.values()))
        world.run(5)
        return pairs

    def _met(self, pair: tuple[int, int], pseudonyms: Sequence[bytes]) -> bool:
        """Whether the second of a pair has heard from the first."""
        a, b = pair
        (persona,) = self.people[b].machine.people.personas()
        for one in persona.conversations.values():
            if one.pseudonym == pseudonyms[a]:
                self._conversations[b, a] = one
                return True
        return False

    def _speak(self) -> None:
        """Say all messages, one at a time and at random moments."""
        for number in range(self.talk.messages):
            pair = self._rng.choice(self._talking(number * self.talk.every_s))
            first, second = pair
            way = pair if self._rng.below(2) else (second, first)
            self._say(way, f"message {number}")
            self.world.run(self._rng.exponential(self.talk.every_s))
        self.world.run(8)

    def _talking(self, at_s: float) -> list[tuple[int, int]]:
        """Return the pairs whose turn it is."""
        if not self.talk.turns:
            return self._pairs
        turn = int(at_s / self.talk.turn_s) * self.talk.turns
        return [self._pairs[(turn + i) % len(self._pairs)] for i in range(self.talk.turns)]

    def _say(self, pair: tuple[int, int], text: str) -> None:
        speaker = self.people[pair[0]]
        speaker.machine.people.send(self._conversations[pair], text, self.world.now)
        speaker.settle()


def rows_of(path: Path) -> list[Row]:
    """Return all boxes that a relay's database has, in the order in which they came."""
    database = sqlite3.connect(path)
    try:
        found = database.execute(
            "SELECT number, day, tombstone, effort, nonce, address, record"
            " FROM box JOIN box_record USING (number) ORDER BY number"
        ).fetchall()
    finally:
        database.close()
    return [
        Row(number, day, tombstone, effort, nonce, (address + record)[-RECORD_LENGTH:])
        for number, day, tombstone, effort, nonce, address, record in found
    ]
