"""The directory service over the in-memory transport, in virtual time."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from shoal_node.clock import NodeClock
from shoal_node.directory_service import DirectoryService
from shoal_node.transport import framing
from shoal_node.transport.interface import Channel, TaskStatus
from shoal_node.transport.memory import MemoryNetwork, MemoryTransport
from shoal_protocol import clock, crypto, identity
from shoal_protocol.directory import sync
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.own import Identity, OwnEntry
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import LAB
from support import START, seeded

EPOCH = clock.index_of(START, LAB.epoch_s)
KEYS = [(epoch, crypto.digest(b"%d" % epoch)) for epoch in (EPOCH - 1, EPOCH, EPOCH + 1)]


@dataclass
class Peer:
    """One running node."""

    service: DirectoryService
    transport: MemoryTransport
    scope: trio.CancelScope
    now: Callable[[], int]
    durable: list[Version]

    @property
    def relay_id(self) -> bytes:
        return identity.relay_id(self.transport.peer_id)

    @property
    def known(self) -> set[bytes]:
        machine = self.service.machine
        return {relay.relay_id for relay in machine.view.relays(self.now())}


async def start(
    nursery: trio.Nursery,
    net: MemoryNetwork,
    name: object,
    *,
    to: list[str] | None = None,
    serve: bool = True,
) -> Peer:
    """Start a relay, or a person's node, that knows the addresses ``to``."""
    rng, seed = seeded(f"service {name}"), crypto.digest(f"{name}".encode())
    durable: list[Version] = []

    async def persist(version: Version) -> None:
        await trio.sleep(0.01)
        durable.append(version)

    now = NodeClock(START + clock.seconds(trio.current_time())).now
    who = Identity(seed, bytes(8), rng.bytes(16))
    service = DirectoryService(
        sync.DirectorySync(DirectoryView(LAB), rng=rng, serve=serve),
        now=now,
        rng=rng,
        bootstrap=to or [],
        entry=OwnEntry(who, params=LAB, rng=rng, last=None) if serve else None,
        persist=persist,
    )
    scope = trio.CancelScope()
    handlers = {framing.DIRECTORY: service.handler}
    transport: MemoryTransport = await nursery.start(partial(net.run, handlers, seed=seed))

    async def run(*, task_status: TaskStatus[None]) -> None:
        with scope:
            await service.run(transport, task_status=task_status)

    await nursery.start(run)
    if serve:
        await service.refresh(transport.addresses, KEYS)
    return Peer(service, transport, scope, now, durable)


async def agree(peers: list[Peer], ids: set[bytes]) -> None:
    """Wait until all know exactly ``ids``."""
    for peer in peers:
        while peer.known != ids:
            await peer.service.wait_changed()


async def test_relays_find_each_other_and_a_persons_node_sees_them(
    autojump_clock: MockClock,
) -> None:
    net = MemoryNetwork(0.02)
    async with trio.open_nursery() as nursery:
        first = await start(nursery, net, 0)
        address = first.transport.addresses[0]
        relays = [first] + [await start(nursery, net, n, to=[address]) for n in range(1, 10)]
        ids = {peer.relay_id for peer in relays}
        guards = [peer.transport.addresses[0] for peer in relays[3:6]]
        person = await start(nursery, net, "person", to=guards, serve=False)
        with trio.fail_after(10):
            await agree([*relays, person], ids)
        await trio.sleep(5)
        assert all(len(peer.service.peers) >= 6 for peer in relays)
        assert set(person.service.peers) == {peer.relay_id for peer in relays[3:6]}
        assert person.service.machine.overlap() == 1.0
        assert all(peer.durable == [Version(EPOCH, 0)] for peer in relays)

        gone = relays.pop()
        net.kill(gone.transport.peer_id)
        gone.scope.cancel()
        with trio.fail_after(LAB.lease_s + 5):
            await agree([*relays, person], ids - {gone.relay_id})

        guards = [relays[7].transport.addresses[0]]
        person.service.pin(guards)
        await trio.sleep(3)
        assert set(person.service.peers) == {relays[7].relay_id}
        assert person.known == {peer.relay_id for peer in relays}
        nursery.cancel_scope.cancel()


async def test_islands_find_each_other_again_through_a_bootstrap_address(
    autojump_clock: MockClock,
) -> None:
    net = MemoryNetwork(0.02)
    async with trio.open_nursery() as nursery:
        first = await start(nursery, net, 0)
        address = first.transport.addresses[0]
        relays = [first] + [await start(nursery, net, n, to=[address]) for n in range(1, 6)]
        ids = {peer.relay_id for peer in relays}
        await agree(relays, ids)
        net.partition([peer.transport.peer_id for peer in relays[:3]])
        await trio.sleep(90)
        assert relays[5].known == {peer.relay_id for peer in relays[3:]}
        net.heal()
        with trio.fail_after(90):
            await agree(relays, ids)
        nursery.cancel_scope.cancel()


async def test_a_peer_that_sends_garbage_is_cut_off_and_nobody_else(
    autojump_clock: MockClock,
) -> None:
    net = MemoryNetwork(0.02)
    async with trio.open_nursery() as nursery:
        first = await start(nursery, net, 0)
        address = first.transport.addresses[0]
        second = await start(nursery, net, 1, to=[address])
        stranger: MemoryTransport = await nursery.start(
            partial(net.run, {}, seed=crypto.digest(b"stranger"))
        )
        channel = await stranger.open(address, framing.DIRECTORY)
        await channel.receive()
        await channel.send(b"garbage")
        await trio.sleep(1)
        assert first.service.counters["wire"] == 1
        assert first.service.peers == (second.relay_id,)
        nursery.cancel_scope.cancel()


async def test_a_frame_that_was_handed_over_as_its_channel_was_left_is_nobodys(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    net = MemoryNetwork(0.02)
    async with trio.open_nursery() as nursery:
        relay = await start(nursery, net, "relay")
        person = await start(nursery, net, "person", serve=False)
        left = trio.Event()

        @dataclass
        class Overtaken:
            """A transport whose channels' frames come in the very moment of a new choice."""

            peer_id: bytes = person.transport.peer_id

            async def open(self, address: str, protocol: str) -> Channel:
                channel = await person.transport.open(address, protocol)
                receive = channel.receive

                async def overtaken() -> bytes:
                    frame = await receive()
                    person.service.pin([])
                    left.set()
                    return frame

                channel.receive = overtaken  # type: ignore[method-assign]
                return channel

        person.scope.cancel()
        await trio.sleep(1)
        person.service.pin(relay.transport.addresses)
        await nursery.start(person.service.run, Overtaken())
        with trio.fail_after(10):
            await left.wait()
        await trio.sleep(1)
        assert person.service.peers == ()
        assert [one for one in caplog.records if one.levelno > logging.DEBUG] == []
        nursery.cancel_scope.cancel()


async def test_two_relays_that_dial_each_other_at_once_keep_one_channel(
    autojump_clock: MockClock,
) -> None:
    net = MemoryNetwork(0.02)
    async with trio.open_nursery() as nursery:
        one, other = await start(nursery, net, 0), await start(nursery, net, 1)
        one.service.pin(other.transport.addresses)
        other.service.pin(one.transport.addresses)
        with trio.fail_after(10):
            await agree([one, other], {one.relay_id, other.relay_id})
        await trio.sleep(60)
        assert len(one.transport.links) == 1
        assert one.service.peers == (other.relay_id,)
        assert other.service.peers == (one.relay_id,)
        nursery.cancel_scope.cancel()


async def test_a_service_that_is_started_again_goes_on(autojump_clock: MockClock) -> None:
    net = MemoryNetwork(0.02)
    async with trio.open_nursery() as nursery:
        first = await start(nursery, net, 0)
        second = await start(nursery, net, 1, to=[first.transport.addresses[0]])
        ids = {first.relay_id, second.relay_id}
        await agree([first, second], ids)
        second.scope.cancel()
        await trio.sleep(2)
        assert second.service.peers == first.service.peers == ()
        await nursery.start(second.service.run, second.transport)
        await trio.sleep(LAB.lease_s)
        assert first.known == second.known == ids
        nursery.cancel_scope.cancel()


async def test_a_persons_node_takes_no_channels(autojump_clock: MockClock) -> None:
    net = MemoryNetwork(0.02)
    async with trio.open_nursery() as nursery:
        relay = await start(nursery, net, 0)
        person = await start(nursery, net, "person", to=[relay.transport.addresses[0]], serve=False)
        channel = await relay.transport.open(person.transport.addresses[0], framing.DIRECTORY)
        await trio.sleep(1)
        assert not channel.try_send(b"x")
        assert person.service.peers == (relay.relay_id,)
        nursery.cancel_scope.cancel()
