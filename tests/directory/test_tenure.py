"""Who has been there since when: breaks, restarts, clocks, others' word, and lies about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.world import Author
from shoal_protocol.clock import SECOND
from shoal_protocol.directory.descriptor import Descriptor, decode_descriptor
from shoal_protocol.directory.tenure import BREAK_COST, STEPS, Tenure, Word
from shoal_protocol.parameters import LAB, MAIN
from support import START

HOUR = 3600 * SECOND
LOOK = MAIN.lease_s * SECOND // 3
RELAYS: list[Descriptor] = [decode_descriptor(Author(i).descriptor(), LAB) for i in range(9)]
ALICE, *OTHERS = RELAYS


class Watch:
    """A book under virtual time, whose looks are a third of a lease apart."""

    def __init__(self, *, told: bool = False) -> None:
        self.book = Tenure(MAIN, told=told)
        self.now = START

    def see(self, hours: float, present: list[Descriptor]) -> None:
        """Let ``hours`` pass with these there."""
        until = self.now + int(hours * HOUR)
        while self.now < until:
            self.now += LOOK
            self.book.watch(present, self.now)

    def age(self, relay: Descriptor = ALICE) -> int:
        """A relay's age, hours."""
        return self.book.steps(relay.relay_id)

    def restart(self, off_hours: float, kept: bytes | None = None) -> None:
        """End and begin anew, ``off_hours`` later."""
        self.now += int(off_hours * HOUR)
        self.book = Tenure(MAIN, self.book.dump() if kept is None else kept, told=self.book.told)


def test_a_step_of_the_main_network_is_an_hour_and_72_of_them_suffice() -> None:
    watch = Watch()
    watch.see(73, RELAYS)
    assert STEPS <= watch.age() <= STEPS + 1


def test_a_short_break_costs_its_multiple_and_a_long_one_everything() -> None:
    watch = Watch()
    watch.see(100, RELAYS)
    watch.see(1, OTHERS)
    watch.see(0.2, RELAYS)
    assert 101 - BREAK_COST - 2 <= watch.age() <= 101 - BREAK_COST
    watch.see(9, OTHERS)
    watch.see(0.2, RELAYS)
    assert watch.age() == 0


def test_whoever_is_there_a_twelfth_of_the_time_grows_no_older() -> None:
    watch = Watch()
    for _ in range(60):
        watch.see(1, RELAYS)
        watch.see(11, OTHERS)
    assert watch.age() <= 1


def test_an_old_relay_that_is_flooded_for_an_hour_stays_old_enough() -> None:
    watch = Watch()
    watch.see(24 * 30, RELAYS)
    watch.see(1, OTHERS)
    watch.see(0.2, RELAYS)
    assert watch.age() > 24 * 29


def test_time_when_this_node_was_off_counts_for_nobody_and_against_nobody() -> None:
    watch = Watch()
    watch.see(50, RELAYS)
    watch.restart(1000)
    watch.see(1, RELAYS)
    assert 50 <= watch.age() <= 52


def test_a_restarted_node_that_knows_nobody_yet_takes_nobodys_age() -> None:
    watch = Watch()
    watch.see(50, RELAYS)
    watch.restart(1)
    watch.see(2, [])
    watch.see(0.2, RELAYS)
    assert all(watch.age(relay) >= 50 for relay in RELAYS)


def test_a_node_that_is_cut_off_blames_itself_for_a_while_and_no_longer() -> None:
    watch = Watch()
    watch.see(200, RELAYS)
    watch.see(5, RELAYS[:4])
    assert watch.age(RELAYS[8]) >= 199
    watch.see(30, RELAYS[:4])
    assert watch.age(RELAYS[8]) == 0
    assert watch.age() > 200


def test_identities_that_come_and_go_stop_nobodys_clock() -> None:
    honest, blinking = RELAYS[:3], RELAYS[4:]
    watch = Watch()
    watch.see(100, honest)
    for _ in range(80):
        watch.see(0.1, [*honest, RELAYS[3], *blinking])
        watch.see(0.9, [*honest, RELAYS[3]])
    assert watch.age(RELAYS[3]) >= STEPS


def test_many_old_relays_that_do_not_serve_take_no_blame_off_a_partition() -> None:
    honest, others = RELAYS[:3], RELAYS[4:]
    watch = Watch()
    watch.see(80, RELAYS)
    watch.book.serve(frozenset(relay.relay_id for relay in honest))
    watch.see(3, others)
    watch.book.serve(frozenset())  # whoever is left while one is cut off judges nobody
    watch.see(2, others)
    watch.see(0.2, RELAYS)
    assert watch.age() >= STEPS


def test_a_clock_that_jumps_makes_nobody_older_than_a_lease_at_once() -> None:
    watch = Watch()
    watch.see(1, RELAYS)
    for jump in (10_000 * HOUR, -20_000 * HOUR, 5_000 * HOUR):
        watch.now += jump
        watch.book.watch(RELAYS, watch.now)
    assert watch.age() <= 2


def test_another_solution_of_the_work_is_another_relay() -> None:
    watch = Watch()
    watch.see(100, RELAYS)
    author = Author(0)
    author.nonce = bytes(7) + b"x"
    watch.see(0.2, [decode_descriptor(author.descriptor(), LAB), *OTHERS])
    assert watch.age() == 0


def test_a_damaged_file_is_a_new_book() -> None:
    watch = Watch()
    watch.see(100, RELAYS)
    good = watch.book.dump()
    watch.restart(0, good[:-1])
    watch.see(0.2, RELAYS)
    assert watch.age() == 0
    watch.restart(0, good)
    watch.see(0.2, RELAYS)
    assert watch.age() >= 100


@pytest.mark.parametrize(
    ("said", "taken"),
    [((90,), 90), ((90, 5), 5), ((90, 80, 0), 80), ((90, 80, 60_000), 90), ((0, 0, 90), 0)],
)
def test_of_what_guards_say_the_median_counts(said: tuple[int, ...], taken: int) -> None:
    watch = Watch(told=True)
    watch.see(0.2, RELAYS)
    ripe = watch.book.ripe
    assert not ripe
    for place, steps in enumerate(said):
        watch.book.hear(bytes([place]), Word(STEPS, {ALICE.relay_id: steps}))
    assert watch.book.ripe
    assert watch.age() == taken


def test_a_guard_that_has_watched_for_an_hour_says_nothing_beside_two_that_have_long() -> None:
    watch = Watch(told=True)
    watch.see(0.2, RELAYS)
    for place in range(2):
        watch.book.hear(bytes([place]), Word(1, {ALICE.relay_id: 1}))
    watch.book.hear(b"old", Word(STEPS, {ALICE.relay_id: 500}))
    watch.book.hear(b"old too", Word(STEPS, {ALICE.relay_id: 500}))
    assert watch.age() == 500
    same = frozenset({b"/16"})
    watch.book.asks({b"old": same, b"old too": same})
    assert watch.age() == 1


def test_one_guard_that_claims_to_have_watched_for_long_makes_nobody_old_in_a_young_network() -> (
    None
):
    watch = Watch(told=True)
    watch.see(0.2, RELAYS)
    for place in range(2):
        watch.book.hear(bytes([place]), Word(71, {ALICE.relay_id: 71}))
    watch.book.hear(b"liar", Word(65_535, {OTHERS[0].relay_id: 65_535}))
    assert watch.age() == 71
    assert watch.age(OTHERS[0]) <= 2


def test_what_a_person_has_seen_nobody_can_talk_away_and_relays_listen_to_nobody() -> None:
    for told in (True, False):
        watch = Watch(told=told)
        watch.see(80, RELAYS)
        for place in range(3):
            watch.book.hear(bytes([place]), Word(STEPS, {}))
            watch.book.hear(bytes([place]), Word(STEPS, {OTHERS[0].relay_id: 999}))
        assert watch.age() >= 79
        assert watch.age(OTHERS[0]) == (999 if told else watch.age())


@given(st.lists(st.tuples(st.booleans(), st.integers(-100, 100)), max_size=60))
def test_no_order_of_looks_makes_a_relay_older_than_it_was_there(
    looks: list[tuple[bool, int]],
) -> None:
    book, now, there = Tenure(MAIN), START, 0
    before = False
    for here, minutes in looks:
        now += minutes * 60 * SECOND
        book.watch(RELAYS if here else OTHERS, now)
        if here and before:
            there += max(0, minutes * 60)
        before = here
        age = book.steps(ALICE.relay_id)
        assert 0 <= age * 3600 <= there + 3600
        assert Tenure(MAIN, book.dump()).steps(ALICE.relay_id) == age
