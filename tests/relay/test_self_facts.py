"""What a relay gathers about its own place: never one relay's word, or one network's."""

from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from shoal_node import self_facts
from shoal_protocol.clock import SECOND
from shoal_protocol.parameters import MAIN
from support import START
from whole_nodes import eventually, lab

NOW_S = START // SECOND
RIGHT = NOW_S + MAIN.lease_s - MAIN.lease_s // 6  # the end of a lease of middling age
FAR = st.integers(-(10**6), 10**6)


def test_a_clock_is_right_when_leases_are_of_middling_age() -> None:
    assert self_facts.ahead([RIGHT - 100, RIGHT, RIGHT + 100], MAIN, START) == 0


@pytest.mark.parametrize("off", [-300, 300, 450])
def test_a_clock_that_is_off_is_told_by_how_much(off: int) -> None:
    assert self_facts.ahead([RIGHT + off] * 4, MAIN, START) == off


def test_fewer_than_three_networks_tell_nothing() -> None:
    assert self_facts.ahead([RIGHT] * 2, MAIN, START) is None


@given(FAR, FAR)
def test_two_networks_of_five_that_lie_move_nothing(one: int, other: int) -> None:
    assert self_facts.ahead([RIGHT] * 3 + [RIGHT + one, RIGHT + other], MAIN, START) == 0


def test_only_our_own_programs_versions_are_read() -> None:
    assert list(self_facts.version_of("shoal/1.20.3")) == [(1, 20, 3)]
    assert list(self_facts.version_of("heron/9.9.9")) == []


async def test_a_relay_that_is_asked_to_looks_at_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, 3, 0) as made:
        relay = made.relays[0]
        before = relay.self_check()
        assert [one.reachable for one in before.reach] == [None]
        assert (before.others, before.newest, before.clock.ahead_s) == (2, None, None)
        await trio.sleep(20)
        looks = relay.self_check().looks
        relay.check_reach()
        await eventually(1, lambda: relay.self_check().looks == looks + 1)
