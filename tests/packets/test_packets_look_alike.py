"""What a relay sees says nothing about its place, the path's length or the packet's purpose.

Chi-square over bytes that should be uniform: of ``n`` bytes, 255 degrees of freedom. The bound
on the tail (Laurent and Massart 2000, lemma 1) at x = 25 makes a false alarm less likely than
e^-25 = 1.4e-11 each, under 1e-9 in all; the draws are fixed, so a run is reproducible too.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from packet_support import CLIENT, EPOCH, NETWORK, Relay, relays
from shoal_protocol.packets import build, geometry, keys, surb, unwrap
from shoal_protocol.rng import Rng
from support import seeded

BODY = bytes(geometry.BODY_LENGTH)
SLOT = geometry.GEOMETRY.slot
FREEDOM = 255
BOUND = FREEDOM + 2 * math.sqrt(FREEDOM * 25) + 2 * 25
SAMPLES = 150


def chi_square(samples: Iterable[bytes]) -> float:
    """Return the statistic of all bytes in ``samples`` against the uniform distribution."""
    counts: Counter[int] = Counter()
    for sample in samples:
        counts.update(sample)
    expected = counts.total() / 256
    return sum((counts[value] - expected) ** 2 / expected for value in range(256))


def slots_seen(packet: bytes, relay: Relay) -> bytes:
    """Return the slots behind its own as ``relay`` decrypts them: five, 360 bytes."""
    key = relay.key()
    stream = keys.derive(key.agree(packet[8:40]), packet[8:40], key.binding)
    slots = packet[56 : geometry.HEADER_LENGTH] + bytes(SLOT)
    opened = bytes(a ^ b for a, b in zip(slots, stream[keys.SLOTS_STREAM], strict=True))
    return opened[SLOT:]


def views(
    packet: bytes, along: list[Relay]
) -> list[tuple[bytes, bytes, bytes]]:  # header, slots behind its own, payload; a row a hop
    """Return what each relay of the path sees of ``packet``."""
    rows = []
    for relay in along:
        rows.append((packet, slots_seen(packet, relay), packet[geometry.HEADER_LENGTH :]))
        step = unwrap.unwrap(packet, relay.keyring)
        if not isinstance(step, unwrap.Exit):
            packet = step.packet
    return rows


def forward(along: list[Relay], rng: Rng) -> bytes:
    return build.forward([relay.hop(9) for relay in along], BODY, network=NETWORK, rng=rng)


def reply(along: list[Relay], rng: Rng) -> bytes:
    path = [relay.hop(9) for relay in along]
    return surb.use(surb.create(path, CLIENT, network=NETWORK, rng=rng)[0], BODY)[1]


def loop(along: list[Relay], rng: Rng) -> bytes:
    path = [relay.hop(9) for relay in along]
    return surb.loop(path, CLIENT, network=NETWORK, rng=rng)[0]


@pytest.mark.parametrize("make", [forward, reply, loop])
@pytest.mark.parametrize("length", [1, 3, 5])
def test_slots_and_payload_are_uniform_at_every_place_of_every_path(
    make: Callable[[list[Relay], Rng], bytes], length: int
) -> None:
    along = relays(length, seeded("alike"))
    rng = seeded(f"alike {length}")
    by_hop: list[list[tuple[bytes, bytes, bytes]]] = [[] for _ in along]
    for _ in range(SAMPLES):
        for hop, row in enumerate(views(make(along, rng), along)):
            by_hop[hop].append(row)
    for rows in by_hop:
        assert {(len(packet), packet[:8]) for packet, _, _ in rows} == {
            (geometry.PACKET_LENGTH, build.clear(EPOCH))
        }
        assert all(packet[39] < 0x80 for packet, _, _ in rows)
        assert chi_square(packet[40:] for packet, _, _ in rows) < BOUND
        assert chi_square(payload for _, _, payload in rows) < BOUND
        for start in range(0, geometry.GEOMETRY.slots, SLOT):
            assert chi_square(slots[start : start + SLOT] for _, slots, _ in rows) < BOUND


def test_the_test_would_notice_unused_slots_of_zeros() -> None:
    (relay,) = relays(1, seeded("planted"))
    rng = seeded("planted draws")

    def lazy(size: int) -> bytes:
        return bytes(size) if size == 4 * SLOT else rng.bytes(size)

    packets = [forward([relay], Rng(lazy)) for _ in range(20)]
    assert chi_square(slots_seen(packet, relay)[:SLOT] for packet in packets) > BOUND


def test_the_packet_from_guard_to_client_has_the_shape_of_every_other() -> None:
    along = relays(3, seeded("client"))
    rng = seeded("client draws")
    arrived = []
    for _ in range(SAMPLES):
        packet = reply(along, rng)
        for relay in along:
            step = unwrap.unwrap(packet, relay.keyring)
            assert not isinstance(step, unwrap.Exit)
            packet = step.packet
        arrived.append(packet)
    assert {packet[:8] for packet in arrived} == {build.clear(EPOCH)}
    assert all(packet[39] < 0x80 for packet in arrived)
    assert len({surb.id_of(packet) for packet in arrived}) == SAMPLES
    assert chi_square(packet[8:39] for packet in arrived) < BOUND
    assert chi_square(packet[40:] for packet in arrived) < BOUND
