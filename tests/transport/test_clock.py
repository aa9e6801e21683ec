"""The node's clock starts at the wall clock, counts with trio's and never runs backward."""

import time

import trio
import trio.testing

from shoal_node.clock import NodeClock
from shoal_protocol.clock import SECOND
from support import START


async def test_it_starts_at_the_wall_clock() -> None:
    before = time.time_ns()
    now = NodeClock().now()
    assert before <= now <= time.time_ns() + SECOND


async def test_it_follows_virtual_time(autojump_clock: trio.testing.MockClock) -> None:
    clock = NodeClock(START)
    await trio.sleep(3_600)
    assert abs(clock.now() - START - 3_600 * SECOND) < 1_000


async def test_it_never_runs_backward() -> None:
    clock = NodeClock(START)
    readings = [clock.now() for _ in range(1_000)]
    assert readings == sorted(readings)


async def test_it_sleeps_until_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    clock = NodeClock(START)
    await clock.sleep_until(START + 90 * SECOND)
    assert abs(clock.now() - START - 90 * SECOND) < 1_000
    await clock.sleep_until(START)
    assert abs(clock.now() - START - 90 * SECOND) < 1_000
