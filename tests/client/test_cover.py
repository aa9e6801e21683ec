"""Cover: slots come by the schedule alone, and nothing that is sent moves one."""

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest

from client.meeting import personas, texts, welcome, write
from shoal_protocol import clock
from shoal_protocol.client.cover import CoverSchedule, SlotClass
from shoal_protocol.client.person import Event, PersonMachine, SendUp
from shoal_protocol.parameters import PRESETS
from shoal_sim.exact.world import PARAMS, World
from support import START, seeded

QUICK = ("inbox_put", "box_put", "dht_put", "dht_get", "echo")


def slots(preset: str, count: int) -> tuple[list[int], list[SlotClass]]:
    """Return the times and classes of ``count`` slots of a driver that is never late."""
    schedule = CoverSchedule(PRESETS[preset], seeded(preset), START)
    times: list[int] = []
    classes: list[SlotClass] = []
    for _ in range(count):
        times.append(schedule.next_deadline())
        slot = schedule.draw(times[-1])
        assert slot is not None
        classes.append(slot)
    return times, classes


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_gaps_between_slots_are_exponential(preset: str) -> None:
    """Kolmogorov–Smirnov over 10,000 gaps: 1.95/√n is passed by chance once in 1,000 draws."""
    times, _ = slots(preset, 10_000)
    gaps = sorted((b - a) / clock.SECOND for a, b in pairwise([START, *times]))
    rate, count = PRESETS[preset].rate, len(gaps)
    distance = max(
        max((place + 1) / count - value, value - place / count)
        for place, value in enumerate(1 - math.exp(-rate * gap) for gap in gaps)
    )
    assert distance < 1.95 / math.sqrt(count)


def test_two_thirds_of_slots_are_quick() -> None:
    """4 standard deviations of a binomial: passed by chance once in 15,000 draws."""
    _, classes = slots("fast", 10_000)
    quick = sum(slot is SlotClass.QUICK for slot in classes)
    assert abs(quick - 20_000 / 3) < 4 * math.sqrt(10_000 * 2 / 9)


def test_there_is_no_slot_before_its_time() -> None:
    schedule = CoverSchedule(PRESETS["fast"], seeded(), START)
    due = schedule.next_deadline()
    assert schedule.draw(due - 1) is None
    assert schedule.next_deadline() == due


def test_a_driver_a_little_late_keeps_the_rate_and_one_that_slept_makes_no_burst() -> None:
    schedule = CoverSchedule(PRESETS["fast"], seeded(), START)
    now, sent = START, 0
    while now < START + 100 * clock.SECOND:
        now += 250 * clock.MILLISECOND
        while schedule.draw(now) is not None:
            sent += 1
    assert 880 < sent < 1120
    now += 3600 * clock.SECOND
    assert schedule.draw(now) is not None
    assert schedule.next_deadline() > now


@dataclass(frozen=True)
class Sent:
    """One packet up: when, of which size, and of which class its slot was."""

    at: int
    size: int
    quick: bool


class Watched(PersonMachine):
    """A machine with a watcher at its door."""

    def __init__(self, machine: PersonMachine, seen: list[Sent]) -> None:
        self.__dict__.update(machine.__dict__)
        self.seen = seen

    def handle_timer(self, now: int) -> list[Event]:
        before = sum(self.counters[name] for name in QUICK)
        events = super().handle_timer(now)
        quick = sum(self.counters[name] for name in QUICK) > before
        for event in events:
            if isinstance(event, SendUp):
                self.seen.append(Sent(now, len(event.packet), quick))
        return events


def watch(messages: int) -> list[Sent]:
    """Return what one person sent in 40 s, having ``messages`` texts to send in that time."""
    world = World(8, 2, seed="independence")
    alice, bob = world.people
    a, b = personas(world)
    seen: list[Sent] = []
    alice.machine = Watched(alice.machine, seen)
    welcome(bob, b)
    for number in range(messages):
        write(alice, a, b, f"{number} " * 300)
        world.run(20 / messages)
    world.run((START + 40 * clock.SECOND - world.now) / clock.SECOND)
    assert len(texts(b)) == messages
    assert bob.machine.ready
    return seen


def test_idle_and_sending_nodes_send_at_the_same_times_in_the_same_classes() -> None:
    idle, busy = watch(0), watch(30)
    assert len(idle) > 250
    assert idle == busy
    assert {sent.size for sent in idle} == {PARAMS.packet_bytes}
