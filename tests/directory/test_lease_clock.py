"""The network's time, told by leases: believed of five relays, by a person, up to an epoch."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from directory.world import Author
from shoal_protocol import clock
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import sync
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.lease import sign_lease
from shoal_protocol.directory.lease_clock import LEAST
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import MAIN
from support import START, seeded

OPEN = replace(MAIN, name="open", descriptor_work_bits=4, subnet_slots=0)  # main's times, less work
AUTHORS = [Author(f"author {number}", OPEN) for number in range(9)]
FREE = replace(OPEN, name="free", descriptor_work_bits=0, role_age_s=0, role_least=0)
MANY = [Author(f"one of many {number}", FREE) for number in range(65)]
EPOCH_S = OPEN.epoch_s
RANDOM = seeded("keys that no relay paid for")
BESIDE_S = OPEN.lease_s // 6  # what leases leave open


def of_a_person() -> DirectoryView:
    return DirectoryView(OPEN, tolerance_s=EPOCH_S)


def hear(view: DirectoryView, authors: Sequence[Author], then: int, own: int) -> int:
    """Let a view whose clock says ``own`` hear what was said at ``then``; returns who is live."""
    for author in authors:
        view.add_descriptor(author.descriptor(now=then), own)
        view.add_lease(author.lease(then), own)
    return len(view.relays(own))


@pytest.mark.parametrize("off_s", [-EPOCH_S, -EPOCH_S // 2, EPOCH_S // 2, EPOCH_S])
def test_a_person_whose_clock_is_off_goes_by_what_five_relays_sign(off_s: int) -> None:
    view, own = of_a_person(), START + off_s * SECOND
    assert hear(view, AUTHORS[: LEAST - 1], START, own) == 0
    assert view.time.ahead == 0
    hear(view, AUTHORS, START, own)
    assert abs(view.time.ahead // SECOND + off_s) <= BESIDE_S
    assert hear(view, AUTHORS, START + SECOND, own + SECOND) == len(AUTHORS)
    gone = own + (OPEN.lease_s + BESIDE_S + 1) * SECOND
    assert view.relays(gone) == ()


def test_a_clock_that_is_right_within_the_skew_is_its_own() -> None:
    for off_s in (-OPEN.clock_skew_s, 0, 100):
        view, own = of_a_person(), START + off_s * SECOND
        assert hear(view, AUTHORS, START, own) == len(AUTHORS)
        assert view.time.ahead == 0


@pytest.mark.parametrize("off_s", [-86_400, -2 * EPOCH_S, 2 * EPOCH_S, 86_400])
def test_a_clock_that_is_off_by_more_than_an_epoch_finds_nobody(off_s: int) -> None:
    view, own = of_a_person(), START + off_s * SECOND
    for _ in range(2):
        assert hear(view, AUTHORS, START, own) == 0
    assert view.time.ahead == 0


def test_a_relay_goes_by_its_own_clock_whatever_leases_say() -> None:
    view = DirectoryView(OPEN)
    for _ in range(2):
        assert hear(view, AUTHORS, START, START + EPOCH_S * SECOND) == 0
    assert view.time.ahead == 0


def test_fewer_than_half_of_the_relays_move_nothing() -> None:
    view = of_a_person()
    hear(view, AUTHORS[:5], START, START)
    for author in AUTHORS[5:]:  # four sign for an hour ahead
        view.add_descriptor(author.descriptor(), START)
        view.add_lease(author.lease(START + EPOCH_S * SECOND), START)
    assert view.time.ahead == 0
    assert len(view.relays(START)) == 5


@pytest.mark.parametrize("ahead_s", [-EPOCH_S, EPOCH_S])
def test_keys_that_no_relay_paid_for_say_nothing_of_the_time(ahead_s: int) -> None:
    view = of_a_person()
    hear(view, AUTHORS[:5], START, START)
    then = START + ahead_s * SECOND
    end = then // SECOND + OPEN.lease_s
    version = Version(clock.index_of(then, EPOCH_S), 0)
    for _ in range(2 * len(AUTHORS)):  # a key costs nothing, a descriptor work
        seed = RANDOM.bytes(32)
        assert not view.add_lease(sign_lease(seed, version=version, until=end, params=OPEN), START)
    assert view.time.ahead == 0
    assert len(view.relays(START)) == 5


def test_an_old_directory_is_left_as_soon_as_somebody_shows_the_present_one() -> None:
    view, old = of_a_person(), START - EPOCH_S // 2 * SECOND
    hear(view, AUTHORS, old, START)
    assert hear(view, AUTHORS, old + SECOND, START) == len(AUTHORS)
    hear(view, AUTHORS, START, START)
    assert view.time.ahead == 0
    assert hear(view, AUTHORS, START, START) == len(AUTHORS)


def test_the_same_leases_again_are_verified_no_more() -> None:
    view = of_a_person()
    for _ in range(3):
        hear(view, AUTHORS[: LEAST - 1], START, START + EPOCH_S * SECOND)
    assert view.skipped["lease time"] == 3 * (LEAST - 1)
    assert view.checks == 2 * (LEAST - 1)  # a descriptor and a lease of each


def test_a_person_an_hour_off_has_the_directory_with_the_second_pull() -> None:
    guard = sync.DirectorySync(DirectoryView(OPEN), rng=seeded("guard"), serve=True)
    hear(guard.view, AUTHORS, START, START)
    own = START + EPOCH_S * SECOND
    person = sync.DirectorySync(of_a_person(), rng=seeded("person"), serve=False)
    guard.connected(b"p" * 16, START)
    events = person.connected(b"g" * 16, own)
    for _ in range(2):
        while frames := [event for event in events if isinstance(event, sync.SendFrame)]:
            answers = guard.receive(b"p" * 16, frames[0].frame, START)
            answer = next(event for event in answers if isinstance(event, sync.SendFrame))
            events = person.receive(b"g" * 16, answer.frame, own)
        own += 3 * OPEN.lease_s // sync.CLIENT_PULLS * SECOND // 2  # the longest pause
        events = person.handle_timer(own)
    assert len(person.view.relays(own)) == len(AUTHORS)


def test_a_node_that_slept_for_half_an_hour_finds_a_network_of_any_size_again() -> None:
    view, slept = DirectoryView(FREE, tolerance_s=EPOCH_S), 1800 * SECOND
    assert hear(view, MANY, START, START) == len(MANY)
    for minute in (0, 20):  # the leases of before are over by then
        own = START + minute * 60 * SECOND
        view.expire(own)
        live = hear(view, MANY, own + slept, own)
    assert live == len(MANY)
