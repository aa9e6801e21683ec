"""A person's node finds out that its guards show it a directory of their own."""

from dataclasses import replace

import pytest

from shoal_protocol.client.agreement import COMPARED, ENOUGH, Agreement
from shoal_protocol.clock import SECOND
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.service import sample
from shoal_sim.exact.world import PARAMS, World
from support import START, seeded

RNG = seeded("agreement")
IDS = [RNG.bytes(16) for _ in range(300)]
OWN = [RNG.bytes(16) for _ in range(200)]  # of a liar's
HOUR = 3600 * SECOND


class Asking:
    """One node's comparisons with relays that hold what a test says."""

    def __init__(self, own: list[bytes]) -> None:
        self.agreement = Agreement(seeded("asks"), START)
        self.own = own
        self.now = START

    def hear(self, *views: list[bytes]) -> bool:
        """Ask a relay for each of ``views``; return whether the node warns."""
        for place, view in enumerate(views):
            self.now += HOUR
            point = self.agreement.ask(self.now)
            assert point is not None
            record = sample.encode(sample.draw(view, point))
            self.agreement.answered(bytes([place]) * 16, point, record, self.own)
        return self.agreement.low


def test_views_that_differ_by_news_on_its_way_are_one() -> None:
    asking = Asking(IDS)
    assert not asking.hear(*[IDS[:-6]] * COMPARED)
    assert not asking.hear(*[[*IDS, *OWN[:9]]] * COMPARED)
    assert asking.agreement.share > 0.9


def test_a_directory_with_many_others_in_it_or_many_missing_is_told_of() -> None:
    for own in ([*IDS, *OWN], IDS[:150], OWN):
        asking = Asking(own)
        assert not asking.hear(*[IDS] * (ENOUGH - 1))
        assert asking.hear(*[IDS] * COMPARED)


def test_two_liars_of_five_raise_no_alarm_and_silence_none() -> None:
    assert not Asking(IDS).hear(OWN, IDS, OWN, IDS, IDS)
    assert Asking([*IDS, *OWN]).hear(IDS, [*IDS, *OWN], IDS, [*IDS, *OWN], IDS)


def test_a_small_network_may_differ_by_two() -> None:
    assert not Asking(IDS[:5]).hear(*[IDS[:7]] * COMPARED)
    assert Asking(IDS[:5]).hear(*[IDS[:9]] * COMPARED)


def test_a_relay_counts_once_and_garbage_counts_against_agreement() -> None:
    asking = Asking(IDS)
    for _ in range(2 * COMPARED):
        asking.hear(OWN)
    assert not asking.agreement.low, "one relay, however often"
    for place in range(2):
        with pytest.raises(RemoteProtocolError, match="view sample"):
            asking.agreement.answered(bytes([9 + place]) * 16, bytes(16), b"\1" * 2048, IDS)
    assert asking.agreement.low


def test_questions_are_minutes_apart_once_five_have_answered() -> None:
    agreement, now, asked = Agreement(seeded("pace"), START), START, 0
    for number in range(COMPARED):
        agreement.answered(bytes([number]) * 16, bytes(16), sample.encode([]), [])
    for _ in range(24 * 3600):
        now += SECOND
        asked += agreement.ask(now) is not None
    assert 80 < asked < 180


def test_a_person_asks_relays_through_the_onion_in_the_place_of_decoys() -> None:
    rules = replace(PARAMS, two_sources=True, name="compares")
    world = World(6, 1, seed="compares", params=rules, preset="saver")
    world.run(240)
    (person,) = world.people
    agreement = person.machine.agreement
    assert agreement is not None
    asked = sum(relay.machine.desk.counters["view"] for relay in world.relays)
    assert asked >= ENOUGH
    assert person.machine.counters["view"] == asked
    assert (agreement.share, agreement.low) == (1.0, False)


def test_in_a_lab_nothing_is_compared_and_no_packet_differs() -> None:
    world = World(6, 1, seed="lab", preset="saver")
    world.run(120)
    assert world.people[0].machine.agreement is None
    assert not any(relay.machine.desk.counters["view"] for relay in world.relays)
