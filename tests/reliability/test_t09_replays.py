"""T9: everything that crossed the links of a network is sent again, and nothing comes of it."""

from collections import Counter
from dataclasses import replace
from typing import Final

from client.meeting import incoming, outgoing, personas, write
from shoal_protocol.clock import SECOND
from shoal_protocol.parameters import Preset
from shoal_sim.exact.world import PARAMS, World
from support import START

PACKETS: Final = 4_000  # each, four times over; packets alone: tests/packets
EPOCH_S: Final = 600
EDGE: Final = START // (EPOCH_S * SECOND) * EPOCH_S * SECOND + EPOCH_S * SECOND
BEFORE_S: Final = 140  # that the talk begins before an edge between epochs
QUIET_S: Final = 65  # every GET that waits has ended, every delay has passed
PRESET: Final = Preset("replayed", rate=24.0, mean_delay_ms=20)
STRANGERS: Final = 64  # replay at once, so that no limit of one peer hides what the keys do


class Recorded(World):
    """A world of which somebody records every packet on every link."""

    def __init__(self) -> None:
        self.tape: list[tuple[bytes, bytes, bytes]] = []
        params = replace(PARAMS, name="replays", epoch_s=EPOCH_S)
        start = EDGE - BEFORE_S * SECOND
        super().__init__(6, 2, seed="replays", params=params, preset=PRESET, start=start)

    def send(self, source: bytes, target: bytes, packet: bytes) -> None:
        """Carry a packet, and keep a copy."""
        self.tape.append((source, target, packet))
        super().send(source, target, packet)

    def replay(self, tape: list[tuple[bytes, bytes, bytes]]) -> tuple[int, Counter[str]]:
        """Send the relays' part of a tape to them again, all at one moment.

        Returns:
            how many packets left relays because of it, and why packets were refused.
        """
        sent, before = len(self.tape), self._refusals()
        for number, (_, target, packet) in enumerate(tape):
            self.by_id[target].receive(packet, (number % STRANGERS).to_bytes(16, "big"))
        self.run(QUIET_S)
        return len(self.tape) - sent, self._refusals() - before

    def _refusals(self) -> Counter[str]:
        return sum((relay.machine.mix.counters for relay in self.relays), Counter[str]())


def test_no_recorded_packet_is_ever_taken_again() -> None:
    """T9: at once, over two edges of epochs, and by relays that were started again."""
    world = Recorded()
    ada, bob = world.people
    a, b = personas(world)
    while len(world.tape) < PACKETS * 5 // 4:
        write(ada, a, b, f"ebb {len(world.tape)}")
        write(bob, b, a, f"tide {len(world.tape)}")
        world.run(2)
    world.run(10)
    heard = [message.text for message in (*incoming(a), *incoming(b))]
    assert len(heard) == len(outgoing(a)) + len(outgoing(b)) > 10
    guards = {person.guard for person in world.people}
    to_people = [one for one in world.tape if one[1] not in world.by_id]
    to_relays = [one for one in world.tape if one[1] in world.by_id]
    assert len(to_relays) >= PACKETS
    assert guards <= world.by_id.keys()

    # What came down is known by its SURB, which serves once.
    for person in world.people:
        mine = [packet for _, target, packet in to_people if target == person.id]
        unknown = person.machine.counters["unknown surb"]
        assert [e for packet in mine for e in person.machine.packet(packet, person.now())] == []
        assert person.machine.counters["unknown surb"] - unknown == len(mine) > 200

    for person in world.people:
        person.crash()
    world.run(QUIET_S)
    assert world.now < EDGE
    kept = [len(relay.store) for relay in world.relays]

    everything = len(to_relays)
    assert world.replay(to_relays) == (0, Counter({"replay": everything}))
    world.run((EDGE - world.now) / SECOND + 1)  # the key's last epoch
    assert world.replay(to_relays) == (0, Counter({"replay": everything}))
    for relay in world.relays[:3]:  # new keys, and no memory of what the old ones have seen
        relay.crash()
        relay.start()
    anew = sum(world.by_id[target] in world.relays[:3] for _, target, _ in to_relays)
    sent, refused = world.replay(to_relays)
    assert (sent, refused["replay"]) == (0, everything - anew)
    assert refused["packet mac"] + refused["mix key index"] == anew > 500
    world.run(EPOCH_S)  # the key is gone
    assert world.replay(to_relays) == (0, Counter({"mix key index": everything}))

    assert [len(relay.store) for relay in world.relays] == kept
    for person in world.people:
        person.start()
    world.run(20)
    assert [
        m.text
        for p in world.people
        for persona in p.machine.people.personas()
        for m in incoming(persona)
    ] == heard
