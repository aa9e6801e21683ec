"""Unwrapping workers in memory and virtual time: exact, in order, nothing lost, keys forgotten."""

from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from packet_support import EPOCH, NETWORK, flipped, relays
from shoal_node import unwrap_pool
from shoal_node.unwrap_intake import Intake
from shoal_node.unwrap_process import MOST, workers_of
from shoal_node.unwrap_records import REPLY_LENGTH, key_record, open_packet, read_key, read_reply
from shoal_node.unwrap_worker import Opener
from shoal_protocol import parameters
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.packets import build, geometry, keys, surb, unwrap
from shoal_protocol.relay import machine, mix
from shoal_protocol.relay.limits import Limits
from shoal_protocol.service.desk import ServiceDesk
from support import START, seeded

BODY = bytes(geometry.BODY_LENGTH)
OWN_ID = b"the relay itself"
OTHER_ID = b"some other relay"
PEER = b"the peer's id 16"
SOON_S = unwrap_pool.LATE_S / 2


@dataclass(eq=False)
class Twin:
    """A worker in this process, and the relay's end of what leads to it."""

    opener: Opener = field(default_factory=Opener)
    answers: deque[bytes] = field(default_factory=lambda: deque([b"R"]))
    asked: int = 0  # records with packets
    stuck: bool = False  # it reads and says nothing
    gone: bool = False
    slow_s: float = 0.0
    asked_at: float = 0.0  # trio time
    event: trio.Event = field(default_factory=trio.Event)

    def write(self, data: bytes | bytearray) -> None:
        if self.gone:
            raise BrokenPipeError
        replies = self.opener.feed(data)
        self.asked_at = trio.current_time()
        self.asked += bool(replies)
        if replies and not self.stuck:
            self.answers += [replies[:1000], replies[1000:]]  # in two pieces
            self.event.set()

    async def read(self) -> bytes:
        while not self.answers and not self.gone:
            self.event = trio.Event()
            await self.event.wait()
        await trio.sleep_until(self.asked_at + self.slow_s)
        return b"" if self.gone else self.answers.popleft()

    async def flush(self) -> None:
        await trio.sleep_forever()

    def die(self) -> None:
        self.gone = True
        self.event.set()


class World:
    """A mix, workers beside it, and packets for it."""

    def __init__(self, workers: int = 1, limits: Limits | None = None) -> None:
        self.rng = seeded("workers")
        self.now = START
        mixer = mix.MixMachine(
            keys.MixKeyring(NETWORK),
            OWN_ID,
            parameters.LAB,
            now=START,
            rng=self.rng,
            limits=limits or Limits(rate=1e6, peer_rate=1e6, peer_burst=10**6),
        )
        desk = ServiceDesk(OWN_ID, params=parameters.LAB, relays=list, instance=bytes(8))
        self.machine = machine.RelayMachine(mixer, desk)
        self.counters = mixer.counters
        self.twins: list[Twin] = []
        self.prepare: Callable[[Twin], None] = lambda twin: None
        self.sent: list[bytes] = []
        self.failures: Counter[str] = Counter()
        self.fault: Exception | None = None
        self.push, received = trio.open_memory_channel[tuple[bytes, bytes]](1024)
        self.intake = Intake(
            received,
            self.machine,
            self._handle,
            now=lambda: self.now,
            woken=lambda: None,
            failures=self.failures,
            workers=workers,
            start=self._start,
        )
        assert self.intake.pool is not None
        self.pool = self.intake.pool

    @asynccontextmanager
    async def _start(self) -> AsyncIterator[Twin]:
        twin = Twin()
        self.prepare(twin)
        self.twins.append(twin)
        yield twin
        twin.gone = True

    def _handle(self, events: Sequence[machine.Event]) -> None:
        if events and self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        for event in events:
            assert isinstance(event, mix.SendPacket)
            self.sent.append(event.next_id)

    def packet(self, number: int, delay_ms: int = 0, epoch: int = EPOCH) -> bytes:
        """Return a packet that goes on to the relay ``number``."""
        key = dict(self.machine.mix.public_keys())[epoch]
        path = [
            keys.Hop(OWN_ID, epoch, key, delay_ms),
            keys.Hop(number.to_bytes(16, "big"), epoch, key, 0),
        ]
        return build.forward(path, BODY, network=NETWORK, rng=self.rng)

    def come(self, packets: Sequence[bytes], peer: bytes = PEER) -> None:
        for packet in packets:
            self.push.send_nowait((peer, packet))


def warned(world: World) -> bool:
    return world.intake.warning is not None


def numbers(sent: Sequence[bytes]) -> list[int]:
    return [int.from_bytes(each, "big") for each in sent]


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


@given(st.integers(0, 7), st.integers(0, 8 * geometry.PACKET_LENGTH - 1), st.booleans())
@settings(max_examples=60)
def test_a_worker_finds_in_any_packet_what_the_relay_finds(
    kind: int, bit: int, flip_header: bool
) -> None:
    here, there = relays(2, seeded("exact"))
    rng = seeded(kind)
    path = [here.hop(kind), there.hop()][: 1 + kind % 2]
    packet = build.forward(path, rng.bytes(geometry.BODY_LENGTH), network=NETWORK, rng=rng)
    if kind % 3 == 0:
        block, _ = surb.create([here.hop(kind)], OTHER_ID, network=NETWORK, rng=rng)
        packet = surb.use(block, BODY)[1]
    if kind > 1:
        packet = flipped(packet, bit % (8 * geometry.HEADER_LENGTH) if flip_header else bit)
    twin = relays(2, seeded("exact"))[0]  # the same keys, nothing seen
    held = {keys.index_of(key.epoch): read_key(key_record(key), 4) for key in twin.keyring.held()}
    for _ in range(2):  # the second time it is a replay
        found: list[unwrap.Unwrapped | str] = []
        try:
            found.append(unwrap.unwrap(packet, here.keyring))
        except RemoteProtocolError as error:
            found.append(error.reason)
        try:
            key = unwrap.check(packet, twin.keyring)
            opened = read_reply(open_packet(packet, held), 0)
            if isinstance(opened, RemoteProtocolError):
                raise opened
            found.append(unwrap.accept(opened, key))
        except RemoteProtocolError as error:
            found.append(error.reason)
        assert found[0] == found[1]
        assert len(here.key().replay_filter) == len(twin.key().replay_filter)


async def test_packets_leave_in_the_order_in_which_they_came_whoever_opens_them(
    clock: trio.testing.MockClock,
) -> None:
    world = World(workers=2)
    world.prepare = lambda twin: setattr(twin, "slow_s", 0.0 if world.twins else 1.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(3)
        world.come([world.packet(number) for number in range(100)])
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert [twin.asked > 0 for twin in world.twins] == [True, True]
    assert numbers(world.sent) == list(range(100))
    assert world.pool.counters["unwrapped by workers"] == 100


@pytest.mark.parametrize("apart", [False, True])
async def test_of_two_copies_of_a_packet_one_is_taken_in_one_batch_or_in_two_workers(
    clock: trio.testing.MockClock, apart: bool
) -> None:
    world = World(workers=2)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(1)
        packets = [world.packet(number) for number in range(32)]
        world.come([*packets, *packets] if apart else [p for p in packets for _ in range(2)])
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert all(twin.asked for twin in world.twins)
    assert numbers(world.sent) == list(range(32))
    assert world.counters["replay"] == 32


async def test_a_worker_that_dies_with_packets_loses_none_and_another_one_starts_later(
    clock: trio.testing.MockClock,
) -> None:
    world = World()
    world.prepare = lambda twin: setattr(twin, "stuck", not world.twins)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(1)
        world.come([world.packet(number) for number in range(90)])
        await trio.sleep(SOON_S)
        assert world.sent == [] and world.machine.mix.pool_size > 60
        world.twins[0].die()
        await trio.sleep(0.5)
        assert numbers(world.sent) == list(range(90))
        assert warned(world)
        world.come([world.packet(number) for number in range(90, 100)])
        await trio.sleep(0.1)
        assert numbers(world.sent) == list(range(100))  # with no worker at all
        await trio.sleep(unwrap_pool.FIRST_PAUSE_S)
        assert world.pool.running == 1 and not warned(world)
        world.come([world.packet(number) for number in range(100, 120)])
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert numbers(world.sent) == list(range(120))
    assert world.twins[1].asked == 2
    assert world.intake.counters["workers lost"] == 1
    assert world.intake.counters["unwrapped for lost workers"] == 32


async def test_a_worker_whose_core_is_busy_holds_nothing_up(clock: trio.testing.MockClock) -> None:
    world = World()
    world.prepare = lambda twin: setattr(twin, "slow_s", 0.0 if world.twins else 1.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(2)
        world.come([world.packet(number) for number in range(20)])
        await trio.sleep(SOON_S)
        assert world.sent == []
        await trio.sleep(2 * unwrap_pool.PULSE_S)
        assert numbers(world.sent) == list(range(20))
        await trio.sleep(10)
        assert numbers(world.sent) == list(range(20))  # what it says later is too late
        assert len(world.twins) == 1  # and no reason to end it
        nursery.cancel_scope.cancel()
    assert world.pool.counters["unwrapped for late workers"] > 0


async def test_a_worker_that_falls_silent_is_given_up(clock: trio.testing.MockClock) -> None:
    world = World()
    world.prepare = lambda twin: setattr(twin, "stuck", not world.twins)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(1)
        world.come([world.packet(number) for number in range(10)])
        await trio.sleep(2 * unwrap_pool.PATIENCE_S + 2)
        assert world.twins[0].gone
        nursery.cancel_scope.cancel()
    assert numbers(world.sent) == list(range(10))


async def test_a_worker_that_talks_nonsense_is_given_up(clock: trio.testing.MockClock) -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(1)
        world.twins[0].stuck = True
        world.come([world.packet(number) for number in range(4)])
        await trio.sleep(SOON_S)
        world.twins[0].answers.append(b"\xff" * 4 * REPLY_LENGTH)
        world.twins[0].event.set()
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert numbers(world.sent) == list(range(4))
    assert world.pool.counters["LocalProtocolError"] == 1


async def test_a_bug_in_handling_costs_one_packet_and_no_place_in_the_pool(
    clock: trio.testing.MockClock,
) -> None:
    world = World()
    world.fault = ZeroDivisionError()
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(1)
        world.come([world.packet(number) for number in range(20)])
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert numbers(world.sent) == list(range(1, 20))
    assert world.pool.counters["ZeroDivisionError"] == 1
    assert world.machine.mix.pool_size == 0


async def test_few_packets_are_opened_by_the_relay_itself(clock: trio.testing.MockClock) -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(1)
        world.come([world.packet(number) for number in range(3)])
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert numbers(world.sent) == [0, 1, 2]
    assert world.twins[0].asked == 0


async def test_a_packet_is_held_from_when_it_came_not_from_when_it_was_opened(
    clock: trio.testing.MockClock,
) -> None:
    world = World()
    world.prepare = lambda twin: setattr(twin, "slow_s", 1.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(2)
        world.come([world.packet(number, 500 + number) for number in range(8)])
        await trio.sleep(0.1)
        world.now += 400 * MILLISECOND
        await trio.sleep(5)
        assert world.sent == []
        assert world.machine.mix.next_deadline() == START + 500 * MILLISECOND
        nursery.cancel_scope.cancel()


async def test_a_worker_has_the_relays_keys_and_loses_them_with_their_epoch(
    clock: trio.testing.MockClock,
) -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        await nursery.start(world.intake.run)
        await trio.sleep(1)
        (twin,) = world.twins
        assert {key.epoch for key in twin.opener.keys.values()} == {EPOCH, EPOCH + 1}
        packets = [world.packet(number) for number in range(8)]
        twin.stuck = True
        world.come(packets)
        await trio.sleep(SOON_S)
        world.now += 2 * parameters.LAB.epoch_s * SECOND
        world.machine.handle_timer(world.now)
        world.intake.rekey()
        held = {key.epoch for key in twin.opener.keys.values()}
        assert held == {EPOCH + 1, EPOCH + 2, EPOCH + 3}
        twin.die()
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert world.sent == []
    assert world.counters["mix key index"] == 8  # opened with a key that was gone by then
    assert world.machine.mix.pool_size == 0


def test_a_worker_overwrites_the_bytes_of_a_key_and_holds_none_but_the_librarys() -> None:
    (relay,) = relays(1, seeded("keys"))
    record = key_record(relay.key())
    private = relay.key().private()
    opener = Opener()
    opener.feed(bytes(record) + b"\x03\x00")  # and half a record more
    assert private not in opener._buffer
    assert opener.keys[keys.index_of(EPOCH)].public == relay.key().public


@pytest.mark.parametrize("record", [b"\x00\x00\x00\x00", b"\x03\x00\xff\xff", b"\x03\x00\x00\x00"])
def test_a_worker_takes_nothing_but_a_relays_records(record: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        Opener().feed(record)


def test_packets_being_opened_have_their_place_in_the_pool_and_in_their_peers_share() -> None:
    world = World(limits=Limits(pool=6, peer_pool=4))
    mixer = world.machine.mix
    let_in = [mixer.admit(world.packet(number), PEER, START) for number in range(5)]
    assert [each is not None for each in let_in] == [True] * 4 + [False]
    more = [mixer.admit(world.packet(number), b"somebody else 16", START) for number in range(3)]
    assert [each is not None for each in more] == [True] * 2 + [False]
    assert world.counters == {"peer's share of the pool full": 1, "pool full": 1}
    for each in (*let_in[:4], *more[:2]):
        assert each is not None
        mixer.opened(each, unwrap.open_checked(each.packet, each.key), START)
    assert mixer.pool_size == 0
    assert mixer.admit(world.packet(9), PEER, START) is not None


def _cores(count: int, pid: int) -> set[int]:
    return set(range(count))


def test_auto_leaves_a_core_to_the_relay_and_starts_nothing_in_a_lab(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for cores, wanted in ((1, 0), (2, 1), (3, 2), (64, 2)):
        affinity = partial(_cores, cores)
        monkeypatch.setattr("os.sched_getaffinity", affinity, raising=False)
        assert workers_of("auto", "main") == wanted
        assert workers_of("auto", "lab") == 0
    assert workers_of("0", "main") == 0
    assert workers_of(str(MOST), "lab") == MOST
    for wrong in ("many", "-1", "1.5", str(MOST + 1), "9" * 400, ""):
        with pytest.raises(ValueError, match="whole number"):
            workers_of(wrong, "main")
