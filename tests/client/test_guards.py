"""Guards: sampled once, kept long, changed only by failure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.crowd import WIDE, crowd, relay, spread
from shoal_protocol import clock
from shoal_protocol.client.guards import SAMPLED_MOST, GuardSet
from shoal_protocol.parameters import LAB
from support import START, seeded

DAY = 86_400 * clock.SECOND


def ids(guards: GuardSet) -> list[bytes]:
    return [guard.relay_id for guard in guards.guards()]


def sampled(seed: int | str = 0, kept: bytes | None = None) -> GuardSet:
    guards = GuardSet(WIDE, seeded(seed), kept)
    guards.replenish(spread(seeded("relays"), 20), START)
    return guards


def test_three_are_sampled_once_and_more_relays_change_nothing() -> None:
    guards = GuardSet(WIDE, seeded(), None)
    relays = spread(seeded("relays"), 20)
    assert guards.current(START) is None
    assert guards.replenish(relays, START)
    before = guards.guards()
    assert len(before) == WIDE.guards == 3
    assert not guards.replenish(relays + crowd(seeded("more"), 50), START + DAY)
    assert guards.guards() == before
    assert guards.current(START) == before[0]


def test_guards_are_drawn_evenly() -> None:
    """Chi-square with 9 degrees of freedom: 27.9 is passed by chance once in 1,000 draws."""
    relays = crowd(seeded("relays"), 10)
    drawn = dict.fromkeys((relay.relay_id for relay in relays), 0)
    rng = seeded("draws")
    for _ in range(600):
        guards = GuardSet(LAB, rng)
        guards.replenish(relays, START)
        drawn[ids(guards)[0]] += 1
    assert sum((n - 60) ** 2 / 60 for n in drawn.values()) < 27.9


def test_guards_have_distinct_subnets_and_families() -> None:
    rng = seeded("subnets")
    family = rng.bytes(16)
    relays = [relay(rng, f"/ip4/20.1.{n}.1/tcp/1/p2p/x") for n in range(20)]
    relays += [relay(rng, f"/ip4/20.{n}.0.1/tcp/1/p2p/x", family=family) for n in range(2, 9)]
    for seed in range(20):
        guards = GuardSet(WIDE, seeded(seed))
        guards.replenish(relays, START)
        assert len(ids(guards)) == 2  # one of the subnet, one of the family
        free = GuardSet(LAB, seeded(seed))
        free.replenish(relays, START)
        assert len(set(ids(free))) == 3


def test_a_new_guard_keeps_apart_from_one_that_the_directory_does_not_list_now() -> None:
    rng = seeded("apart")
    first = relay(rng, "/ip4/20.1.0.1/tcp/1/p2p/x")
    guards = GuardSet(WIDE, seeded())
    guards.replenish([first], START)
    guards.replenish([relay(rng, "/ip4/20.1.0.2/tcp/1/p2p/x")], START)
    assert ids(guards) == [first.relay_id]
    guards.replenish([relay(rng, "/ip4/20.2.0.2/tcp/1/p2p/x")], START)
    assert len(ids(guards)) == 2


def test_the_sample_is_kept_over_sessions_in_its_order() -> None:
    guards = sampled()
    again = sampled("other draws", guards.dump())
    assert again.guards() == guards.guards()
    assert again.dump() == guards.dump()


def test_the_longest_addresses_are_kept_too() -> None:
    """Addresses are kept with the peer id, longer than they stand in a descriptor."""
    rng = seeded()
    peer = "/p2p/12D3KooW" + "x" * 44
    hosts = ("2001:db80:1111:2222:3333:4444:5555:666" + digit for digit in "1234")
    relays = [relay(rng, *(f"/ip6/{host}/tcp/65535{peer}" for host in hosts))]
    guards = GuardSet(LAB, rng)
    guards.replenish(relays, START)
    assert GuardSet(LAB, rng, guards.dump()).guards() == guards.guards()


@given(st.binary(max_size=80), st.integers(0, 5000))
@settings(max_examples=60)
def test_a_damaged_file_is_sampled_anew_and_fails_nothing(junk: bytes, place: int) -> None:
    good = bytearray(sampled().dump())
    good[place % len(good)] ^= 0x55
    for kept in (junk, bytes(good), bytes(good)[: place % len(good)]):
        guards = sampled("anew", kept)
        assert len(ids(guards)) == 3


def test_a_guard_that_fails_rests_and_is_back_first_in_its_order() -> None:
    guards = sampled()
    first, second, third = guards.guards()
    guards.failed(first.relay_id, START)
    assert guards.current(START) == second
    guards.failed(second.relay_id, START)
    assert guards.current(START) == third
    guards.failed(third.relay_id, START)
    assert guards.current(START) is None
    back = guards.next_deadline(START)
    assert back is not None
    assert START + 1.5 * clock.SECOND <= back <= START + 2.5 * clock.SECOND
    assert guards.current(back) is not None
    later = START + 3 * clock.SECOND
    assert guards.current(later) == first
    assert guards.next_deadline(later) is None
    assert guards.guards() == [first, second, third]


def test_rests_grow_to_ten_minutes_and_one_success_ends_them() -> None:
    guards = sampled()
    first = guards.guards()[0].relay_id
    rests, now = [], START
    for _ in range(14):
        guards.failed(first, now)
        back = guards.next_deadline(now)
        assert back is not None
        rests.append((back - now) / clock.SECOND)
        now = back
    assert all(0.75 <= rest / min(2 * 2**n, 600) <= 1.25 for n, rest in enumerate(rests))
    guards.failed(first, now)
    guards.works(first)
    assert guards.current(now) == guards.guards()[0]
    guards.failed(first, now)
    back = guards.next_deadline(now)
    assert back is not None
    assert back - now <= 2.5 * clock.SECOND


def test_a_guard_that_left_the_directory_gives_way_only_when_it_fails_too() -> None:
    relays = spread(seeded("relays"), 20)
    guards = sampled()
    first, second, third = guards.guards()
    rest = [r for r in relays if r.relay_id != first.relay_id]
    assert not guards.replace_vanished(rest, START)
    guards.failed(first.relay_id, START)
    assert not guards.replace_vanished(relays, START)  # it fails, and is still listed
    assert guards.replace_vanished(rest, START)
    assert guards.guards()[:2] == [second, third]
    assert len(ids(guards)) == 3
    assert first.relay_id not in ids(guards)


def test_a_guard_that_leaves_gives_way_at_once() -> None:
    relays = spread(seeded("relays"), 20)
    guards = sampled()
    first, second, third = guards.guards()
    going = [r for r in relays if r.relay_id == first.relay_id]
    rest = [r for r in relays if r.relay_id != first.relay_id]
    assert guards.replace_vanished(rest, START, leaving=going)
    assert guards.guards()[:2] == [second, third]
    assert first.relay_id not in ids(guards)
    assert not guards.replace_vanished(rest, START, leaving=going)


def test_a_guard_that_is_listed_and_serves_no_more_stays_when_it_fails() -> None:
    relays = spread(seeded("relays"), 20)
    guards = sampled()
    first = guards.guards()[0]
    serve = [r for r in relays if r.relay_id != first.relay_id]
    guards.failed(first.relay_id, START)
    assert not guards.replace_vanished(serve, START, listed=relays)
    assert ids(guards)[0] == first.relay_id


def test_a_guard_that_gave_way_comes_back_before_a_stranger_is_sampled() -> None:
    relays = spread(seeded("relays"), 20)
    guards = sampled()
    first, second, _ = ids(guards)
    guards.failed(first, START)
    assert guards.replace_vanished([r for r in relays if r.relay_id != first], START)
    assert first not in ids(guards)
    guards = GuardSet(WIDE, seeded(1), guards.dump())
    assert first not in ids(guards)
    guards.failed(second, START)
    assert guards.replace_vanished([r for r in relays if r.relay_id != second], START)
    assert first in ids(guards)


def test_no_more_than_sixteen_guards_are_sampled_while_their_lives_last() -> None:
    relays = spread(seeded("relays"), 60)
    guards, seen = GuardSet(WIDE, seeded()), set[bytes]()
    guards.replenish(relays, START)
    while guards.guards():
        seen |= set(ids(guards))
        for each in ids(guards):
            guards.failed(each, START)
        relays = [r for r in relays if r.relay_id not in seen]
        assert guards.replace_vanished(relays, START)
    assert len(seen) == SAMPLED_MOST
    assert not guards.replenish(relays, START)
    guards = GuardSet(WIDE, seeded(1), guards.dump())
    assert guards.replenish(relays, START + 121 * DAY)
    assert not seen & set(ids(guards))


def test_lives_are_spread_over_sixty_to_a_hundred_and_twenty_days() -> None:
    lives = [(guard.until - START) / DAY for seed in range(100) for guard in sampled(seed).guards()]
    assert 60 <= min(lives) < 62
    assert 118 < max(lives) <= 120
    assert abs(sum(lives) / len(lives) - 90) < 4  # 4 standard errors of a uniform's mean


def test_a_guard_whose_life_is_over_is_replaced_alone() -> None:
    relays = spread(seeded("relays"), 20)
    guards = sampled()
    before = guards.guards()
    first_end = min(guard.until for guard in before)
    assert not guards.replenish(relays, first_end - 1)
    assert guards.replenish(relays, first_end)
    assert guards.guards()[:2] == [guard for guard in before if guard.until > first_end]
    assert len(ids(guards)) == 3


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_relays_make_few_guards_and_later_ones_fill_up(count: int) -> None:
    relays = crowd(seeded("relays"), 5)
    guards = GuardSet(LAB, seeded())
    assert guards.replenish(relays[:count], START) == bool(count)
    before = guards.guards()
    assert len(before) == count
    guards.replenish(relays, START)
    assert guards.guards()[:count] == before
    assert len(ids(guards)) == 3
