"""Whole relays with a monthly cap, in virtual time: they leave, and come back by themselves."""

from dataclasses import replace
from pathlib import Path

import trio.testing

from shoal_node.operator import DEFAULT
from shoal_node.relay import RelayNode
from shoal_node.volume import GB
from shoal_protocol.clock import SECOND
from whole_nodes import eventually, lab

TURN = 1_796_083_200 * SECOND  # 1 December 2026, midnight UTC


def capped(relay: RelayNode, bytes_left: int) -> None:
    """Give a relay a cap that lies so far above what it has used."""
    used = relay.volume.volume.used
    relay.set_limits(replace(DEFAULT, month_gb=(used + bytes_left) / GB))


async def test_a_relay_near_its_cap_leaves_and_comes_back_when_the_cap_is_raised_or_the_month_turns(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=0, start=TURN - 90 * SECOND) as made:
        relay, *others = made.relays

        def known() -> set[int]:
            return {other.status().relays for other in others}

        def state() -> str | None:
            month = relay.status().month
            return None if month is None else month.state

        capped(relay, 40_000_000)
        assert state() == "open"
        made.network.node(relay.peer.peer_id).meter.wrote(37_000_000)
        await eventually(10, lambda: known() == {3})
        assert (state(), relay.status().draining) == ("leaving", None)
        assert any("takes nothing new" in warning for warning in relay.status().warnings)
        relay.set_limits(DEFAULT)
        await eventually(10, lambda: known() == {4})
        assert (state(), list(relay.status().warnings)) == ("open", [])

        capped(relay, 40_000_000)
        made.network.node(relay.peer.peer_id).meter.wrote(41_000_000)
        await eventually(10, lambda: known() == {3})
        assert state() == "silent"
        assert made.clock.now() < relay.volume.volume.until == TURN
        await made.clock.sleep_until(TURN)
        assert known() == {3}
        await eventually(10, lambda: known() == {4})
        assert state() == "open"


async def test_a_relay_that_drains_does_not_come_back_with_the_month(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=0, start=TURN - 30 * SECOND) as made:
        relay, *others = made.relays
        capped(relay, 40_000_000)
        made.network.node(relay.peer.peer_id).meter.wrote(41_000_000)
        await eventually(10, lambda: {other.status().relays for other in others} == {3})
        relay.drain()
        await made.clock.sleep_until(TURN + 5 * SECOND)
        assert relay.volume.stage.value == "open"
        assert {other.status().relays for other in others} == {3}


async def test_a_relay_that_used_up_its_days_share_is_back_at_midnight(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    midnight = TURN - 5 * 86_400 * SECOND
    async with lab(tmp_path, relays=4, people=0, start=midnight - 90 * SECOND) as made:
        relay, *others = made.relays
        capped(relay, 100 * GB)
        share = relay.volume.volume.share
        assert 2 * 100 * GB / 6 <= share <= 4 * 100 * GB / 6
        made.network.node(relay.peer.peer_id).meter.wrote(round(share) + 10**6)
        await eventually(10, lambda: {other.status().relays for other in others} == {3})
        month = relay.status().month
        assert month is not None and (month.state, month.resumes) == ("leaving", midnight)
        assert any("one day's share" in warning for warning in relay.status().warnings)
        await made.clock.sleep_until(midnight)
        await eventually(10, lambda: {other.status().relays for other in others} == {4})
        month = relay.status().month
        assert month is not None and (month.state, month.resumes) == ("open", None)
