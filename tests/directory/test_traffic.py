"""Classes of traffic: how they are measured, signed, renewed and read from the view."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.world import Author
from shoal_protocol import clock
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import lease as leases
from shoal_protocol.directory import traffic
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.own import Identity, OwnEntry, Persist, Publish
from shoal_protocol.directory.traffic import MAX_CLASS, PERIODS, TrafficMeter
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import LAB, MAIN
from support import START, seeded

EPOCH = clock.index_of(START, LAB.epoch_s)
MINUTE = 60 * SECOND
ALICE, BOB = Author("alice"), Author("bob")


def asked(meter: TrafficMeter, per_minute: int, minutes: int, begin: int = START) -> int:
    """Count requests at even gaps; return when the last minute ends."""
    for minute in range(minutes):
        for number in range(per_minute):
            meter.count(begin + minute * MINUTE + number * MINUTE // per_minute)
    return begin + minutes * MINUTE


@given(st.floats(0.5, 1_000_000))
def test_the_middle_of_a_class_is_within_a_fifth_of_what_was_counted(per_minute: float) -> None:
    middle = 60 * traffic.per_second(traffic.class_of(per_minute))
    assert middle + 1 == pytest.approx(per_minute + 1, rel=0.2)


def test_classes_grow_with_what_is_counted_up_to_the_last() -> None:
    assert [traffic.class_of(x) for x in (0, 0.4, 0.5, 1, 3, 60, 1e6, 1e9)] == [
        0, 0, 1, 2, 4, 11, 39, MAX_CLASS,
    ]  # fmt: skip
    assert traffic.per_second(0) == 0


def test_a_meter_says_nothing_before_its_first_full_minute() -> None:
    meter = TrafficMeter(MAIN.lease_s, START)
    assert meter.level(START) == 0
    end = asked(meter, 100, 1)
    assert meter.level(end - 1) == 0
    assert meter.level(end) == traffic.class_of(100)


def test_the_minute_that_runs_is_left_out() -> None:
    meter = TrafficMeter(MAIN.lease_s, START)
    end = asked(meter, 100, 3)
    for _ in range(5_000):
        meter.count(end)
    assert meter.level(end + MINUTE - 1) == traffic.class_of(100)


def test_the_mean_is_over_one_lease() -> None:
    meter = TrafficMeter(MAIN.lease_s, START)
    end = asked(meter, 200, 40)
    assert meter.level(end) == traffic.class_of(200)
    third = end + MAIN.lease_s * SECOND // 3
    assert meter.level(third) == traffic.class_of(200 * 2 / 3)
    assert meter.level(end + PERIODS * MINUTE) == 0


def test_a_long_silence_and_a_clock_that_went_back_leave_nothing_behind() -> None:
    meter = TrafficMeter(MAIN.lease_s, START)
    end = asked(meter, 200, 20)
    assert meter.level(end + 10**6 * MINUTE) == 0
    assert meter.level(START) == 0
    assert meter.level(asked(meter, 50, 2)) == traffic.class_of(50)


def test_a_lease_carries_its_relays_class_and_none_beyond_the_last() -> None:
    assert leases.decode_lease(ALICE.lease(traffic=MAX_CLASS), LAB).traffic == MAX_CLASS
    with pytest.raises(RemoteProtocolError, match="traffic"):
        leases.decode_lease(ALICE.lease(traffic=MAX_CLASS + 1), LAB)


def test_the_view_gives_the_class_of_each_live_relay_in_their_order() -> None:
    view = DirectoryView(LAB)
    for author, level in ((ALICE, 7), (BOB, 9)):
        view.add_descriptor(author.descriptor(), START)
        view.add_lease(author.lease(traffic=level), START)
    expected = [level for _, level in sorted(((ALICE.relay_id, 7), (BOB.relay_id, 9)))]
    assert list(view.traffic(START)) == expected
    assert view.traffic(START + LAB.lease_s * SECOND) == ()


def test_every_renewal_says_the_class_of_its_time_under_the_same_version() -> None:
    who = Identity(ALICE.seed, ALICE.nonce, ALICE.instance)
    said = {START: 3}
    entry = OwnEntry(who, params=LAB, rng=seeded(), last=None, traffic=lambda now: said.get(now, 5))
    keys = [(epoch, epoch.to_bytes(32, "big")) for epoch in (EPOCH - 1, EPOCH, EPOCH + 1)]
    assert entry.refresh(["/memory/1"], keys, START) == [Persist(Version(EPOCH, 0))]
    (first,) = entry.persisted(Version(EPOCH, 0), START)
    (second,) = entry.handle_timer(entry.next_deadline() or 0)
    found = []
    for event in (first, second):
        assert isinstance(event, Publish)
        lease = leases.decode_lease(event.lease, LAB)
        found.append((lease.version, lease.traffic))
    assert found == [((EPOCH, 0), 3), ((EPOCH, 0), 5)]
