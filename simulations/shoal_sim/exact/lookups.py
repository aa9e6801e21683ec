"""The DHT alone: its very machines under virtual time, with identities in it that lie.

::

    directory, the same for all ─► Member: DhtNode of the protocol ── Calls ──► Members, Liars
                                └► Liar: answers, names its like alone, keeps nothing
    join ─► records put by members ─► upkeep, time ─► each record looked for by members
                                                         └─► found, calls, rounds, seconds

Liars are there from the beginning, in every table that takes them, and stand together: each
knows all. Those that are ground have looked at many positions, and joined with those nearest to
the keys that they are after. Everybody has been seen for long enough; which of them serve is the
protocol's rule, so an attacker joins with as many as his subnets have slots. Records are
stand-ins: a checksum in place of a signature, as nobody here could forge one.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy
import polars

from shoal_protocol import clock, crypto, identity
from shoal_protocol.clock import SECOND
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.dht import contacts, messages
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.dht.lookup import Found
from shoal_protocol.dht.messages import Status
from shoal_protocol.directory import addresses, roles, subnets
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.tenure import STEPS
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng
from shoal_sim.adversaries import planning
from shoal_sim.adversaries.base import Plan
from shoal_sim.exact.chance import FastRng
from shoal_sim.exact.engine import Engine
from shoal_sim.exact.kademlia import DhtNode, Host
from shoal_sim.exact.links import Links
from shoal_sim.results import Results
from shoal_sim.seeds import START

STAGE: Final = planning.Stage("exact", ("corrupt", "added", "ground"), ())
JOIN_S: Final = 900.0  # virtual: until tables are full
PUTS_S: Final = 60.0  # in which records are put
RECORDS: Final = 50
LOOKUPS: Final = 4  # of each record
LOOKUPS_OF_ONE: Final = 50  # of the record that is eclipsed
LOOKUPS_S: Final = 120.0  # in which they begin
END_S: Final = 120.0  # for those that take long
GHOSTS: Final = 64  # keys that a liar looks at before it names the nearest: it dials none of them


@dataclass(frozen=True, slots=True)
class Checked:
    """What is said of a stand-in record."""

    key: bytes
    period: int
    revision: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of one lookup; ``key`` is the number of its record."""

    key: int
    found: Found | None
    took_s: float


def record_of(key: bytes) -> bytes:
    """Return a stand-in record under ``key``."""
    body = key + bytes(RECORD_LENGTH - len(key) - 32)
    return body + crypto.digest(body)


def validate(record: bytes, now: int, day_s: int) -> Checked:
    """Check a stand-in record. Raises RemoteProtocolError."""
    if len(record) != RECORD_LENGTH or crypto.digest(record[:-32]) != record[-32:]:
        raise RemoteProtocolError("signature")
    return Checked(record[:32], clock.index_of(now, day_s), 1)


class Listed(DirectoryView):
    """A directory that everybody has, and that does not change."""

    def __init__(self, params: NetworkParameters, relays: Sequence[Descriptor]) -> None:
        super().__init__(params)
        self._listed = tuple(relays)
        self._by_id = {relay.relay_id: relay for relay in relays}

    def relays(self, now: int) -> tuple[Descriptor, ...]:
        """Return all."""
        return self._listed

    def serving(self, relay_id: bytes, now: int) -> Descriptor | None:
        """Return the relay of this id."""
        return self._by_id.get(relay_id)


@dataclass(frozen=True, slots=True)
class Place:
    """An identity: its key, the nonce of its work, and where it is dialled."""

    public: bytes
    nonce: bytes
    address: str

    @property
    def descriptor(self) -> Descriptor:
        """What the directory says of it."""
        peer = identity.peer_id(self.public)
        return Descriptor(
            public_key=self.public,
            epoch=0,
            serial=0,
            addresses=(self.address + addresses.suffix(peer),),
            mix_keys=(),
            instance=peer[-16:],
            capacity=0,
            family=b"",
            software="",
            nonce=self.nonce,
            signature=bytes(64),
            data=b"",
        )


class _Node:
    """Who can be dialled: name, identity, links."""

    def __init__(self, net: "DhtNet", name: str, place: Place) -> None:
        self._net: Final = net
        self.name: Final = name
        self.public: Final = place.public
        self.nonce: Final = place.nonce
        self.address: Final = place.address
        self.peer_id: Final = identity.peer_id(place.public)
        self.view: Final[DirectoryView] = net.view

    def now(self) -> int:
        """Return the network's time, ns."""
        return self._net.engine.now

    def later(self, delay: int, name: str, action: Callable[[], None]) -> None:
        """Do ``action`` after ``delay`` ns."""
        self._net.engine.after(delay, name, action)

    def reach(self, peer_id: bytes) -> Host | None:
        """Return who answers a dial to this id."""
        return self._net.by_peer.get(peer_id)

    def way(self, other: Host) -> int:
        """Draw how long a message takes to ``other``, ns."""
        return self._net.links.latency(self.name, other.name)


class Member(_Node):
    """An honest relay."""

    def __init__(self, net: "DhtNet", name: str, place: Place, rng: Rng) -> None:
        super().__init__(net, name, place)
        params = net.params
        self.dht: Final = DhtNode(
            self, rng, lambda record, now: validate(record, now, params.day_s)
        )

    def serve(self, peer_id: bytes, message: bytes) -> bytes:
        """Answer as the protocol does."""
        return self.dht.server.answer(peer_id, message, self.now())


class Liar(_Node):
    """One of those that stand together: lives, names its like, hides what it is given."""

    def __init__(self, net: "DhtNet", name: str, place: Place, rng: Rng, *, ghosts: bool) -> None:
        super().__init__(net, name, place)
        self._rng: Final = rng
        self._ghosts: Final = ghosts

    def serve(self, peer_id: bytes, message: bytes) -> bytes:
        """Say that records are kept, and that the nearest are those who lie."""
        request = messages.decode_request(message)
        reply: messages.Reply
        match request:
            case messages.Ping():
                reply = messages.Pong()
            case messages.Store():
                reply = messages.Stored(int(Status.STORED))
            case messages.FindNode(target) | messages.FindValue(target):
                reply = messages.Nodes(tuple(self._named(target, peer_id)))
        return messages.encode_reply(reply)

    def _named(self, target: bytes, asker: bytes) -> list[Contact]:
        most = messages.CONTACTS_LIMIT
        if not self._ghosts:
            return self._net.liars_near(target, most)
        rng, drawn = self._rng, list[Contact]()
        for _ in range(GHOSTS):
            host = f"{rng.below(100) + 100}.{rng.below(250) + 1}.{rng.below(250)}.7"
            drawn.append(Contact(rng.bytes(32), f"/ip4/{host}/tcp/4001"))
        return heapq.nsmallest(most, drawn, key=lambda one: contacts.distance(one.position, target))


class DhtNet:
    """Members and liars of one network.

    Args:
        relays: honest, but for those that the plan corrupts; each in a /16 of its own.
        plan: ``corrupt`` relays, identities ``added`` or ``ground``, in ``subnets`` /16s.
    """

    def __init__(self, relays: int, plan: Plan, params: NetworkParameters, seed: int) -> None:
        self.params: Final = params
        records = 1 if plan.ground else RECORDS
        self.engine: Final = Engine(START, traced=False, most=10**10)
        self.links: Final = Links(self.engine, str(seed), {})
        self._rng: Final = FastRng(f"{seed} dht")
        self.keys: Final = [self._rng.bytes(contacts.KEY_LENGTH) for _ in range(records)]
        honest = [self._place(f"/ip4/{_wide(20, number)}.7.1/tcp/4001") for number in range(relays)]
        hosts = _hosts(plan, params)
        joined = [self._place(host) for host in hosts[: plan.added]]
        joined += self._ground(plan, hosts[plan.added :])
        everybody = [one.descriptor for one in (*honest, *joined)]
        listed = roles.serving(everybody, lambda relay_id: STEPS, params)
        self.view: Final = Listed(params, listed)
        self.by_peer: Final[dict[bytes, Host]] = {}
        self.members: Final[list[Member]] = []
        self._liars: Final[list[tuple[bytes, Contact]]] = []
        held = set(plan.corrupt) | set(range(relays, relays + len(joined)))
        for number, place in enumerate((*honest, *joined)):
            name, rng = f"relay{number}", FastRng(f"{seed} relay {number}")
            node: Member | Liar
            if number in held:
                node = Liar(self, name, place, rng, ghosts=plan.ghosts)
                liar = Contact(place.public, place.address)
                self._liars.append((self._position(place), liar))
            else:
                node = Member(self, name, place, rng)
                self.members.append(node)
            self.by_peer[node.peer_id] = node
        self.names: Final = [node.name for node in self.by_peer.values()]
        self.looked: Final[list[Looked]] = []

    def liars_near(self, target: bytes, most: int) -> list[Contact]:
        """Return those nearest to ``target``, as far as they count for whoever asks."""
        ordered = sorted(self._liars, key=lambda one: contacts.distance(one[0], target))
        if self.params.distinct_subnets:
            return [one for _, one in subnets.apart(ordered, lambda one: one[1].address)][:most]
        return [one for _, one in ordered[:most]]

    def run(self, length_s: float, lookups: int) -> None:
        """Join, put, let ``length_s`` pass, and look for every record from many sides."""
        rng = self._rng
        for member in self.members:
            member.later(rng.below(SECOND), "joins", member.dht.follow)
        self.engine.run(JOIN_S)
        for key in self.keys:
            member = rng.choice(self.members)
            member.later(rng.below(round(PUTS_S * SECOND)), "puts", partial(self._put, member, key))
        self.engine.run(PUTS_S + length_s)
        for number in range(lookups):
            member = rng.choice(self.members)
            begin = partial(self._look, member, number % len(self.keys))
            member.later(rng.below(round(LOOKUPS_S * SECOND)), "looks", begin)
        self.engine.run(LOOKUPS_S + END_S)

    def look(self, length_s: float) -> Results:
        """Run the network for so long after its records were put, and tell of its lookups."""
        if not self.members:
            raise UserError("Who looks for records is honest: leave somebody who is.")
        each = LOOKUPS_OF_ONE if len(self.keys) == 1 else LOOKUPS
        lookups = each * len(self.keys)
        self.run(length_s, lookups)
        keepers = [self.keepers(key) for key in self.keys]
        found = [one.found for one in self.looked if one.found is not None]
        metrics = {
            "relays": float(len(self.by_peer)),
            "corrupt_relays": float(len(self._liars)),
            "lookup_found_share": len(found) / lookups,
            "lookup_calls": _mean([one.calls for one in found]),
            "lookup_rounds": _mean([one.rounds for one in found]),
            "lookup_s": _mean([one.took_s for one in self.looked]),
            "record_keepers": _mean(keepers),
            "eclipsed_share": sum(not one for one in keepers) / len(keepers),
        }
        table = polars.DataFrame(
            {
                "key": [one.key for one in self.looked],
                "found": [one.found is not None for one in self.looked],
                "took_s": [one.took_s for one in self.looked],
            },
            schema={"key": polars.Int64, "found": polars.Boolean, "took_s": polars.Float64},
        )
        return Results(metrics, {"lookups": table})

    def keepers(self, key: bytes) -> int:
        """Return how many members hold the record of a key."""
        now = self.engine.now
        return sum(member.dht.store.get(key, now) is not None for member in self.members)

    def _put(self, member: Member, key: bytes) -> None:
        member.dht.spawn(member.dht.lookups.put(record_of(key), member.now()), lambda kept: None)

    def _look(self, member: Member, key: int) -> None:
        began = member.now()

        def looked(found: Found | None) -> None:
            self.looked.append(Looked(key, found, (member.now() - began) / SECOND))

        member.dht.spawn(member.dht.lookups.get(self.keys[key], began), looked)

    def _place(self, address: str) -> Place:
        return Place(self._rng.bytes(32), self._rng.bytes(8), address)

    def _position(self, place: Place) -> bytes:
        solution = place.nonce if self.params.descriptor_work_bits else b""
        return contacts.position_of(identity.peer_id(place.public), solution)

    def _ground(self, plan: Plan, hosts: Sequence[str]) -> list[Place]:
        """Return identities for these hosts: of all that were tried those nearest to the keys.

        Each place at which a record is put gets as many; neighbours of one place are of
        different subnets while there are any, as ``hosts`` are in turn.
        """
        places = [
            place for key in self.keys for place in contacts.keys_of(key, self.params.dht_keys)
        ]
        tried = [self._place("") for _ in range(plan.ground)] if hosts else []
        stand = [self._position(one) for one in tried]
        found: list[Place] = []
        taken: set[int] = set()
        each = math.ceil(len(hosts) / len(places))
        for turn, place in enumerate(places):
            mine = hosts[turn * each : (turn + 1) * each]
            away = [contacts.distance(one, place) for one in stand]
            free = (at for at in range(len(tried)) if at not in taken)
            near = heapq.nsmallest(len(mine), free, key=away.__getitem__)
            taken.update(near)
            found += [
                Place(tried[at].public, tried[at].nonce, host)
                for at, host in zip(near, mine, strict=False)
            ]
        return found


def _mean(values: Sequence[float]) -> float:
    return float(numpy.mean(values)) if values else float("nan")


def _wide(first: int, number: int) -> str:
    """Return the first two numbers of the address of a /16 of its own."""
    return f"{first + number // 250}.{number % 250 + 1}"


def _hosts(plan: Plan, params: NetworkParameters) -> list[str]:
    """Return addresses of what an attacker joins with, in turn of his /16s, a /24 each."""
    ground = planning.joined(plan, params) * params.dht_keys if plan.ground else 0
    count = planning.inside(plan, plan.added + ground, params)
    wide = plan.subnets or count
    return [
        f"/ip4/{_wide(80, number % wide)}.{number // wide % 250 + 1}.{number // wide // 250 + 1}"
        "/tcp/4001"
        for number in range(count)
    ]
