"""Replication over the in-memory transport: services with stores in memory, and whole relays."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from replication.replica_net import PARAMS, box_of
from shoal_node import replica_service
from shoal_node.clock import NodeClock
from shoal_node.config import NodeConfig
from shoal_node.relay import RelayNode
from shoal_node.replica_service import ReplicaService
from shoal_node.store import relay_store
from shoal_node.store.group_commit import Done
from shoal_node.store.relay_store import RelayStore
from shoal_node.transport import framing
from shoal_node.transport.interface import ChannelClosed, TaskStatus
from shoal_node.transport.memory import MemoryNetwork, MemoryTransport
from shoal_protocol import crypto, identity
from shoal_protocol.errors import StoreError
from shoal_protocol.parameters import LAB
from shoal_protocol.service import placement, replica_frames
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.replica_frames import Ask, Offer
from shoal_protocol.service.storage import GetBox, Operation, Outcome, PutBox, PutEntry
from support import START, seeded


def seed_of(number: int) -> bytes:
    return crypto.digest(b"replica %d" % number)


def id_of(seed: bytes) -> bytes:
    return identity.relay_id(identity.peer_id(crypto.ed25519_public(seed)))


@dataclass
class Member:
    """One relay of a test: its service, store and transport."""

    id: bytes
    service: ReplicaService
    store: MemoryStore
    transport: MemoryTransport
    scope: trio.CancelScope
    arrived: list[tuple[PutBox | PutEntry, Outcome]]


@dataclass
class World:
    """Members over one in-memory network, and the directory that they share."""

    nursery: trio.Nursery
    home: Path
    net: MemoryNetwork = field(default_factory=lambda: MemoryNetwork(0.01))
    clock: NodeClock = field(default_factory=lambda: NodeClock(START))
    members: list[Member] = field(default_factory=list)

    def ids(self) -> list[bytes]:
        return [member.id for member in self.members]

    def address_of(self, relay_id: bytes) -> tuple[str, ...]:
        return next((m.transport.addresses for m in self.members if m.id == relay_id), ())

    async def start(self, number: int, store: MemoryStore | None = None) -> Member:
        """Put a relay on the network; the others aren't told yet."""
        store = store or MemoryStore(PARAMS, bytes(16))
        seed = seed_of(number)
        home = self.home / str(number)
        home.mkdir(exist_ok=True)
        arrived: list[tuple[PutBox | PutEntry, Outcome]] = []

        def submit(operation: Operation, done: Done) -> None:
            try:
                (outcome,) = store.execute([operation], self.clock.now())
            except StoreError as error:
                done(error)
            else:
                done(outcome)

        service = ReplicaService(
            id_of(seed),
            PARAMS,
            seeded(f"service {number}"),
            self.clock.now,
            home=home,
            relays=self.ids,
            resolve=self.address_of,
            submit=submit,
            arrived=lambda put, outcome: arrived.append((put, outcome)),
        )
        scope = trio.CancelScope()
        transport: MemoryTransport = await self.nursery.start(
            partial(self.net.run, {framing.REPLICA: service.handler}, seed=seed)
        )
        member = Member(id_of(seed), service, store, transport, scope, arrived)

        async def run(*, task_status: TaskStatus[None]) -> None:
            with scope:
                await service.run(transport, task_status=task_status)

        await self.nursery.start(run)
        return member

    def tell(self) -> None:
        for member in self.members:
            member.service.directory_changed()

    def kill(self, gone: Member) -> None:
        """Make a relay vanish, and leave the directory."""
        gone.scope.cancel()
        self.net.kill(gone.transport.peer_id)
        self.members.remove(gone)
        self.tell()

    def put(self, put: PutBox) -> list[Member]:
        """Keep a box where a client would have put it."""
        ranked = placement.rank(put.address, self.ids(), PARAMS.replicas)
        chosen = [member for member in self.members if member.id in ranked]
        for member in chosen:
            member.store.execute([put], START)
        return chosen

    def holders(self, put: PutBox) -> set[bytes]:
        found = set[bytes]()
        for member in self.members:
            (record,) = member.store.execute([GetBox(put.address)], START)
            if record == put.record:
                found.add(member.id)
        return found

    async def settle(self) -> None:
        """Wait until all have handed on what they should."""
        with trio.fail_after(600):
            await trio.sleep(1)
            while not all(m.service.machine.settled for m in self.members):  # noqa: ASYNC110
                await trio.sleep(1)


@contextlib.asynccontextmanager
async def world(home: Path, count: int) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        made = World(nursery, home)
        for number in range(count):
            made.members.append(await made.start(number))
        made.tell()
        await made.settle()
        yield made
        nursery.cancel_scope.cancel()


async def test_a_relay_that_dies_is_replaced_for_each_of_its_boxes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, 6) as made:
        puts = [box_of(f"node {number}") for number in range(40)]
        for put in puts:
            made.put(put)
        made.kill(made.members[2])
        await made.settle()
        for put in puts:
            ranked = placement.rank(put.address, made.ids(), PARAMS.replicas)
            assert made.holders(put) == set(ranked)
        came = [put.address for member in made.members for put, _ in member.arrived]
        assert len(came) == len(set(came)) > 0


async def test_a_relay_that_is_dead_but_still_listed_holds_nobody_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, 7) as made:
        puts = [box_of(f"listed {number}") for number in range(20)]
        for put in puts:
            made.put(put)
        dead = made.members[0]
        dead.scope.cancel()
        made.net.kill(dead.transport.peer_id)
        made.kill(made.members[3])
        await trio.sleep(30)
        for put in puts:
            ranked = placement.rank(put.address, made.ids(), PARAMS.replicas)
            if dead.id not in ranked:
                assert made.holders(put) >= set(ranked)
        made.members.remove(dead)
        made.tell()
        await made.settle()
        for put in puts:
            ranked = placement.rank(put.address, made.ids(), PARAMS.replicas)
            assert made.holders(put) >= set(ranked)


async def test_a_newcomer_that_resets_every_channel_is_tried_again_and_served_once_well(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, 5) as made:
        puts = [box_of(f"reset {number}") for number in range(20)]
        for put in puts:
            made.put(put)
        late = await made.start(5)
        late.scope.cancel()  # its handler closes what comes
        await trio.sleep(1)
        made.members.append(late)
        made.tell()
        await trio.sleep(20)
        assert len(late.store) == 0
        with trio.CancelScope() as late.scope:
            made.nursery.start_soon(late.service.run, late.transport)
            await made.settle()
        for put in puts:
            if late.id in placement.rank(put.address, made.ids(), PARAMS.replicas):
                assert late.id in made.holders(put)
        assert len(late.store) > 0


async def test_strangers_and_garbage_are_closed_and_the_service_serves_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, 3) as made:
        target = made.members[0]
        item = replica_frames.Named(0, bytes(32), bytes(16))
        ask = replica_frames.CODEC.encode(Ask(1, (item,)))
        stranger: MemoryTransport = await made.nursery.start(
            partial(made.net.run, {}, seed=seed_of(99), listen=())
        )
        for frame in (ask, b"", b"\xff" * 100):
            channel = await stranger.open(target.transport.addresses[0], framing.REPLICA)
            with pytest.raises(ChannelClosed), trio.fail_after(5):
                await channel.send(frame)
                await channel.receive()
            await channel.aclose()
        assert target.service.counters["replica channel refused"] == 3
        known = made.members[1].transport
        channel = await known.open(target.transport.addresses[0], framing.REPLICA)
        await channel.send(b"\xff")
        with pytest.raises(ChannelClosed), trio.fail_after(5):
            await channel.receive()
        channel = await known.open(target.transport.addresses[0], framing.REPLICA)
        await channel.send(ask)
        answer = replica_frames.CODEC.decode(await channel.receive())
        assert answer == replica_frames.Answer(1, bytes([replica_frames.State.ABSENT]))
        await channel.aclose()


async def test_a_flood_is_read_slowly_and_not_answered_beyond_its_allowance(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, 3) as made:
        target, peer = made.members[:2]
        channel = await peer.transport.open(target.transport.addresses[0], framing.REPLICA)
        began = trio.current_time()
        items = tuple(
            replica_frames.Named(0, crypto.digest(b"%d" % number), bytes(16))
            for number in range(replica_frames.MAX_ITEMS)
        )

        async def drain() -> None:
            with contextlib.suppress(ChannelClosed):
                while True:
                    await channel.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            for number in range(700):
                await channel.send(replica_frames.CODEC.encode(Offer(number, items)))
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began > 1
        assert target.service.counters["refused flood"] > 0
        await channel.aclose()


async def test_memberships_outlast_the_process_in_one_private_file(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, 5) as made:
        gone = made.members[4]
        await trio.sleep(1)  # virtual: whoever settled in this instant writes it, too
        files = [tmp_path / str(number) / replica_service.FILE for number in range(5)]
        assert {path.stat().st_mode & 0o077 for path in files} == {0}
        puts = [box_of(f"kept {number}") for number in range(20)]
        for put in puts:
            made.put(put)
        for other in made.members:
            other.scope.cancel()
            made.net.kill(other.transport.peer_id)
        made.members = [await made.start(n, made.members[n].store) for n in range(4)]
        made.tell()
        await made.settle()
        assert gone.id not in made.ids()
        for put in puts:
            ranked = placement.rank(put.address, made.ids(), PARAMS.replicas)
            assert made.holders(put) >= set(ranked)


async def until(condition: Callable[[], bool]) -> None:
    """Let virtual time pass until ``condition``."""
    while not condition():  # noqa: ASYNC110  what is waited for has no event of its own
        await trio.sleep(0.5)


async def test_whole_relays_keep_every_box_on_k_of_them_when_one_dies(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    net, clock = MemoryNetwork(0.001), NodeClock(START)
    nodes, scopes = list[RelayNode](), list[trio.CancelScope]()

    def living() -> list[RelayNode]:
        return [n for n, scope in zip(nodes, scopes, strict=True) if not scope.cancel_called]

    def kept() -> int:
        return sum(node.status().counters["boxes kept"] for node in living())

    def quiet(count: int) -> bool:
        return all(
            node.status().relays == count and node._replicas.machine.settled for node in living()
        )

    async def start(nursery: trio.Nursery, number: int) -> None:
        home = tmp_path / f"relay-{number}"
        home.mkdir()
        config = NodeConfig(
            role="relay",
            data=home,
            listen=("/memory/0",),
            bootstrap=tuple(address for node in nodes[:1] for address in node.status().addrs[:1]),
            network="lab",
            preset="fast",
        )
        node, scope = RelayNode(config, seeded(home.name), clock, net.run), trio.CancelScope()

        async def run(*, task_status: TaskStatus[None]) -> None:
            with scope:
                await node.run(task_status=task_status)

        await nursery.start(run)
        nodes.append(node)
        scopes.append(scope)

    puts = [box_of(f"whole {number}", params=LAB) for number in range(12)]
    async with trio.open_nursery() as nursery:
        for number in range(5):
            await start(nursery, number)
        await until(lambda: quiet(5))
        for put in puts:
            ranked = placement.rank(put.address, [n.peer.relay_id for n in nodes], LAB.replicas)
            for node in nodes:
                if node.peer.relay_id in ranked:
                    node._commits.submit(put, lambda outcome: None)
        await until(lambda: kept() >= len(puts) * LAB.replicas)
        scopes[2].cancel()
        await until(lambda: quiet(4) and kept() >= len(puts) * LAB.replicas)
        rest = living()
        nursery.cancel_scope.cancel()
    for number, node in enumerate(nodes):
        store = RelayStore(tmp_path / f"relay-{number}" / relay_store.FILE, LAB, seeded())
        for put in puts:
            ranked = placement.rank(put.address, [n.peer.relay_id for n in rest], LAB.replicas)
            if node in rest and node.peer.relay_id in ranked:
                assert store.execute([GetBox(put.address)], START) == [put.record]
        store.close()
