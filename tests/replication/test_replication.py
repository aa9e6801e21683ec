"""Members leave and join: every record comes to those who should keep it, once."""

from replication.replica_net import PARAMS, TODAY, Net, Relay, box_of, entry_of, keepers
from shoal_protocol import clock
from shoal_protocol.service import replica_frames
from shoal_protocol.service.replica_events import SendFrame
from shoal_protocol.service.replica_frames import Ask, Push
from shoal_protocol.service.storage import PutBox, PutEntry
from support import seeded

Put = PutBox | PutEntry


def filled(count: int = 40, relays: int = 8) -> tuple[Net, list[Put]]:
    """Return a network whose keepers hold ``count`` boxes and as many entries over four."""
    net = Net(relays)
    puts: list[Put] = [box_of(number) for number in range(count)]
    puts += [entry_of(number, bits=number % 2 * 3) for number in range(count // 4)]
    for put in puts:
        for relay in net.among(keepers(put.address, net.directory)):
            relay.put(put)
    return net, puts


def assert_kept(net: Net, puts: list[Put], *, most: int = PARAMS.replicas) -> None:
    """Every record lies with its keepers, and with at most ``most`` relays."""
    for put in puts:
        holders = net.holders(put.record)
        assert set(keepers(put.address, net.directory)) <= holders
        assert len(holders) <= most


def test_when_a_keeper_leaves_the_next_gets_every_record_exactly_once() -> None:
    net, puts = filled()
    gone = net.relays[3]
    lost = gone.records()
    assert lost
    net.leave(gone)
    net.settle()
    assert_kept(net, puts)
    assert sum(sum(relay.puts.values()) for relay in net.directory) == len(lost)
    pushed = [
        record.record
        for _, _, frame in net.frames
        if isinstance(frame, Push)
        for record in frame.records
    ]
    assert sorted(pushed) == sorted(lost)
    assert not any(relay.refused for relay in net.relays)


def test_two_keepers_that_leave_at_once_are_both_replaced() -> None:
    net, puts = filled()
    net.leave(net.relays[1], net.relays[5])
    net.settle()
    assert_kept(net, puts)


def drained(net: Net, *going: Relay) -> None:
    """Have relays leave in good order, and go once each has handed on all it kept."""
    net.drain(*going)
    net.run(1)
    assert net.run(600, lambda: all(relay.machine.handed_on for relay in going))
    net.down |= {relay.id for relay in going}
    net.leaving = [relay for relay in net.leaving if relay not in going]
    net.tell()
    net.settle()


def test_all_keepers_of_a_record_leave_in_good_order_at_once_and_nothing_is_lost() -> None:
    net, puts = filled(relays=12)
    going = net.among(keepers(puts[0].address, net.directory))
    drained(net, *going)
    assert_kept(net, puts)
    assert not any(relay.refused for relay in net.relays)


def test_a_single_copy_goes_on_as_one_when_its_relay_leaves_in_good_order() -> None:
    net, _ = filled(relays=12)
    alone = box_of("fragment")
    (first, *_) = net.among(keepers(alone.address, net.directory))
    first.put(alone)
    drained(net, first)
    assert len(net.holders(alone.record)) == 1


def test_a_relay_that_crashes_while_it_leaves_hands_on_the_rest_when_it_is_back() -> None:
    net, puts = filled(relays=12)
    going = net.among(keepers(puts[0].address, net.directory))
    net.drain(*going)
    net.run(1)
    assert net.run(60, lambda: going[0].machine.walking)
    net.restart(going[0])
    assert not going[0].machine.handed_on
    drained(net)
    assert net.run(600, lambda: all(relay.machine.handed_on for relay in going))
    assert_kept(net, puts)


def test_a_relay_that_leaves_does_not_wait_for_a_keeper_that_is_full() -> None:
    net, puts = filled(relays=12)
    going = net.relays[3]
    full = net.relays[5]
    full.store.capacity = len(full.store)
    began = net.now
    net.drain(going)
    net.run(1)
    assert net.run(600, lambda: going.machine.handed_on)
    assert net.now - began < 120 * clock.SECOND
    net.leave(going)
    assert all(len(net.holders(put.record)) >= PARAMS.replicas - 1 for put in puts)


def all_keepers_of_one(net: Net, puts: list[Put]) -> tuple[Put, list[Relay], Relay]:
    """A record, its keepers, and the first of those who should keep it once they have gone."""
    record = puts[0]
    going = net.among(keepers(record.address, net.directory))
    rest = [relay for relay in net.directory if relay not in going]
    return record, going, net.relay(keepers(record.address, rest)[0])


def gone_without_waiting(net: Net, *going: Relay) -> None:
    """Have relays leave in good order, while others don't get all that they would keep."""
    net.drain(*going)
    net.run(1)
    assert net.run(900, lambda: all(relay.machine.handed_on for relay in going))
    assert not any(relay.machine.left_behind for relay in going)
    net.down |= {relay.id for relay in going}


def test_what_the_first_new_keeper_has_no_room_for_comes_to_the_next() -> None:
    net, puts = filled(relays=12)
    record, going, first = all_keepers_of_one(net, puts)
    first.store.capacity = len(first.store)
    gone_without_waiting(net, *going)
    assert len(net.holders(record.record)) == PARAMS.replicas - 1


def test_what_a_silent_first_new_keeper_does_not_take_comes_to_the_next() -> None:
    net, puts = filled(relays=12)
    record, going, first = all_keepers_of_one(net, puts)
    net.mute.add(first.id)
    gone_without_waiting(net, *going)
    assert len(net.holders(record.record)) >= PARAMS.replicas - 1


def test_what_nobody_takes_is_counted_as_left_behind() -> None:
    net, puts = filled(relays=12)
    record, going, _ = all_keepers_of_one(net, puts)
    going[0].put(box_of("alone"))
    for relay in net.directory:
        relay.store.capacity = len(relay.store)
    net.drain(going[0])
    net.run(1)
    assert net.run(900, lambda: going[0].machine.handed_on)
    assert going[0].machine.left_behind == 1
    assert record.record in going[1].records()


def test_what_nobody_took_is_offered_again_by_a_relay_that_still_leaves_after_a_restart() -> None:
    net, puts = filled(relays=12)
    _, going, _ = all_keepers_of_one(net, puts)
    alone = box_of("alone")
    going[0].put(alone)
    room = [(relay.store, relay.store.capacity) for relay in net.directory]
    for relay in net.directory:
        relay.store.capacity = len(relay.store)
    net.drain(going[0])
    net.run(1)
    assert net.run(900, lambda: going[0].machine.handed_on)
    net.restart(going[0])
    net.run(1)
    assert not going[0].machine.handed_on
    assert net.run(900, lambda: going[0].machine.handed_on)
    assert going[0].machine.left_behind == 1
    for store, capacity in room:
        store.capacity = capacity
    net.restart(going[0])
    assert net.run(900, lambda: going[0].machine.handed_on)
    assert going[0].machine.left_behind == 0
    assert set(net.holders(alone.record)) - {going[0].id}


def test_more_than_half_leave_in_good_order_and_are_not_taken_for_a_cut() -> None:
    net, puts = filled(relays=9)
    began = net.now
    drained(net, *net.relays[:5])
    assert net.now - began < 2 * PARAMS.lease_s * clock.SECOND
    assert_kept(net, puts)


def test_a_relay_that_knows_no_earlier_keepers_hands_on_all_the_same() -> None:
    net, puts = filled(relays=12)
    (first, *_) = net.among(keepers(puts[0].address, net.directory))
    alone = box_of("alone")
    first.put(alone)
    first.kept = b""
    net.restart(first)
    drained(net, first)
    assert net.holders(alone.record)


def test_a_relay_that_stays_has_handed_on_nothing() -> None:
    net, _ = filled()
    assert not any(relay.machine.handed_on for relay in net.relays)


def test_a_relay_that_joins_gets_what_it_should_keep_and_nobody_drops_anything() -> None:
    net, puts = filled(relays=6)
    before = {relay.id: relay.records() for relay in net.relays}
    (fresh,) = net.join()
    net.settle()
    assert fresh.records()
    assert_kept(net, puts, most=PARAMS.replicas + 1)
    for relay in net.relays:
        if relay is not fresh:
            assert relay.records() == before[relay.id]


def test_relays_that_join_and_leave_one_after_another_keep_every_record() -> None:
    net, puts = filled(relays=7)
    for number in range(5):
        net.join()
        net.settle()
        net.leave(net.directory[number % 3])
        net.settle()
    for put in puts:
        assert set(keepers(put.address, net.directory)) <= net.holders(put.record)


def test_a_single_copy_stays_single_while_its_keepers_change() -> None:
    net, _ = filled(count=0, relays=9)
    singles = [box_of(f"fragment {number}") for number in range(40)]
    for put in singles:
        net.relay(keepers(put.address, net.directory)[0]).put(put)
    for _ in range(2):
        net.join()
        net.settle()
    net.leave(net.relays[2])
    net.settle()
    reach = PARAMS.replicas + PARAMS.replica_slack
    alive = 0
    for put in singles:
        holders = net.holders(put.record)
        assert len(holders) <= 1
        alive += len(holders & set(keepers(put.address, net.directory, reach)))
    assert alive >= 30  # the others lay on the relay that left
    assert not any(isinstance(frame, Push) for _, _, frame in net.frames)


def test_a_relay_pushed_out_of_reach_hands_its_single_copy_to_the_first_keeper() -> None:
    net, _ = filled(count=0, relays=4)
    net.latency = clock.MILLISECOND
    puts = [box_of(f"lonely {number}") for number in range(30)]
    for put in puts:
        net.relay(keepers(put.address, net.directory, 4)[3]).put(put)
    net.join(8)
    net.settle()
    moved = 0
    reach = PARAMS.replicas + PARAMS.replica_slack
    for put in puts:
        near = set(keepers(put.address, net.directory, reach)) & net.holders(put.record)
        assert len(near) == 1
        if near == {keepers(put.address, net.directory)[0]}:
            moved += 1
    assert moved > 0


def test_what_all_keepers_hold_and_this_relay_need_not_is_spare_and_stays() -> None:
    net, puts = filled(count=30, relays=4)
    net.join(9)
    net.settle()
    spared = 0
    for relay in net.relays[:4]:
        held = {stored.item for stored in relay.all()}
        assert relay.spare <= held
        spared += len(relay.spare)
        for item in relay.spare:
            reach = PARAMS.replicas + PARAMS.replica_slack
            assert relay.id not in keepers(item.address, net.directory, reach)
    assert spared > 0
    assert_kept(net, puts, most=2 * PARAMS.replicas)


def test_a_tombstone_wins_over_the_box_that_a_late_keeper_hands_on() -> None:
    net, _ = filled(count=0, relays=6)
    live, dead = box_of("taken back"), box_of("taken back", tombstone=True)
    first, second, third = net.among(keepers(live.address, net.directory))
    first.put(live, dead)
    second.put(live)  # was away when the tombstone came
    third.put(live, dead)
    net.leave(third)
    net.settle()
    fourth = net.relay(keepers(live.address, net.directory)[2])
    assert fourth.records() == {dead.record}


def test_entries_keep_their_price_and_their_end() -> None:
    net, _ = filled(count=0, relays=5)
    put = entry_of("paid", bits=5, life_s=3000)
    first, second, third = net.among(keepers(put.address, net.directory))
    for relay in (first, second, third):
        relay.put(put)
    net.leave(second)
    net.settle()
    fourth = net.relay(keepers(put.address, net.directory)[2])
    assert fourth is not second
    (stored,) = fourth.all()
    assert (stored.effort, stored.nonce, stored.expires) == (5, put.nonce, put.expires)


def test_what_is_over_is_not_handed_on() -> None:
    net, _ = filled(count=0, relays=5)
    old, new = box_of("old", TODAY - 15), box_of("new", TODAY - 14)
    over = entry_of("over", life_s=5)
    for put in (old, new, over):
        for relay in net.among(keepers(put.address, net.directory)):
            relay.put(put)
    for relay in net.relays[:2]:
        net.leave(relay)
        net.settle()
    handed = set[bytes]().union(*(relay.puts for relay in net.relays))
    assert handed <= {new.address}


def test_a_crash_in_the_middle_of_a_walk_costs_the_walk_only() -> None:
    net, puts = filled(count=120)
    gone = net.relays[0]
    net.leave(gone)

    def pushing() -> bool:
        return any(isinstance(frame, Push) for _, _, frame in net.frames)

    assert net.run(60, pushing)
    for relay in net.directory:
        assert relay.machine.walking or not relay.machine.settled
        net.restart(relay)
    net.settle()
    assert_kept(net, puts)


def test_a_walk_is_complete_only_when_the_silent_have_answered_or_left() -> None:
    net, puts = filled()
    gone = net.relays[3]
    newcomers = [
        net.relay(r)
        for put in puts
        for r in keepers(put.address, [x for x in net.relays if x is not gone])
        if r not in keepers(put.address, net.relays)
    ]
    silent = newcomers[0]
    net.mute.add(silent.id)
    net.leave(gone)
    net.run(60)
    assert not all(r.machine.settled for r in net.directory)
    others = [relay for relay in net.directory if relay is not silent]
    for put in puts:
        wanted = set(keepers(put.address, net.directory)) - {silent.id}
        assert wanted <= net.holders(put.record)
    assert any(not relay.machine.settled for relay in others)
    net.mute.clear()
    net.settle()
    assert_kept(net, puts)


def test_a_silent_newcomer_that_leaves_owes_nothing() -> None:
    net, puts = filled()
    net.mute.add(net.relays[4].id)
    net.leave(net.relays[3])
    net.run(30)
    net.leave(net.relays[4])
    net.settle(120)
    assert_kept(net, puts)


def test_one_that_stays_silent_is_given_up_after_bounded_tries() -> None:
    net, _ = filled()
    net.mute.add(net.relays[4].id)
    net.leave(net.relays[3])
    living = [relay for relay in net.directory if relay is not net.relays[4]]
    net.run(1)
    assert net.run(3600, lambda: all(relay.machine.settled for relay in living))
    assert sum(relay.machine.counters["silent relays"] for relay in living) > 0


def test_one_that_wants_everything_and_acknowledges_nothing_is_given_up_too() -> None:
    net, _ = filled()
    sink = net.relays[4]

    def unheard(event: SendFrame) -> bool:
        return event.peer == sink.id and isinstance(
            replica_frames.CODEC.decode(event.frame), replica_frames.Push
        )

    net.stop = unheard
    net.leave(net.relays[3])
    net.settle(3600)
    assert sum(relay.machine.counters["silent relays"] for relay in net.directory) > 0
    assert len(net.frames) < 2000


def test_lost_frames_cost_time_and_no_record() -> None:
    net, puts = filled()
    rng = seeded("loss")
    net.stop = lambda event: rng.uniform() < 0.25
    net.leave(net.relays[3])
    net.settle(3600)
    assert_kept(net, puts)


def test_a_store_that_fails_for_a_while_is_tried_again() -> None:
    net, puts = filled()
    full = net.relays[6]
    full.store.capacity = len(full.store)
    net.leave(net.relays[3])
    net.run(30)
    full.store.capacity = 10_000
    net.settle()
    assert_kept(net, puts)


def test_a_relay_cut_off_from_most_others_waits_before_it_believes_it() -> None:
    net, _ = filled(relays=7)
    alone = net.relays[0]
    before = dict(alone.machine.counters)
    net.do(alone, alone.machine.directory_changed([alone.id], net.now))
    net.run(60)
    assert alone.machine.counters["walk"] == before.get("walk", 0)
    assert alone.machine.counters["isolated"] == 1
    net.tell()
    net.settle()
    assert not any(isinstance(frame, Push) for _, _, frame in net.frames)


def test_what_is_put_late_under_an_old_directory_is_found_in_the_next_epoch() -> None:
    net, _ = filled(count=0, relays=6)
    put = box_of("late")
    first, second, third = net.among(keepers(put.address, net.directory))
    net.leave(third)
    net.settle()
    first.put(put)
    second.put(put)
    fourth = net.relay(keepers(put.address, net.directory)[2])
    net.run(600)
    assert put.record not in fourth.records()
    net.run(2 * PARAMS.epoch_s)
    assert put.record in fourth.records()


def test_nothing_is_sent_while_the_directory_stays_the_same() -> None:
    net, _ = filled()
    net.run(3 * PARAMS.epoch_s)
    assert net.frames == []


def test_a_walk_names_what_it_offers_and_pushes_only_what_is_asked_for() -> None:
    net, puts = filled(count=200)
    net.leave(net.relays[3])
    net.settle()
    assert_kept(net, puts)
    asked = sum(len(frame.items) for _, _, frame in net.frames if isinstance(frame, Ask))
    pushed = sum(len(frame.records) for _, _, frame in net.frames if isinstance(frame, Push))
    assert asked <= 2 * pushed
    assert sum(net.bytes.values()) < pushed * (2048 + 600)
    longest = max(len(replica_frames.CODEC.encode(frame)) for _, _, frame in net.frames)
    assert longest <= replica_frames.MAX_FRAME


def test_a_relay_without_memory_of_the_directory_moves_nothing_at_first() -> None:
    net, _ = filled()
    relay: Relay = net.relays[0]
    relay.kept = b"rubbish"
    net.restart(relay)
    net.run(60)
    assert relay.machine.settled
    assert relay.machine.counters["kept unreadable"] == 1
    assert net.frames == []
