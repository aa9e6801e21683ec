"""Whole relays with a monthly cap, in virtual time: they leave, fall silent, and come back."""

from dataclasses import replace
from pathlib import Path

import trio.testing

from shoal_node.operator import DEFAULT
from shoal_node.relay import RelayNode
from shoal_node.transport import framing
from shoal_node.volume import GB
from shoal_protocol.clock import SECOND
from whole_nodes import Lab, accept_all, eventually, lab, meet, until_received

TURN = 1_796_083_200 * SECOND  # 1 December 2026, midnight UTC


def capped(relay: RelayNode, bytes_left: int) -> None:
    """Give a relay a cap that lies so far above what it has used."""
    used = relay.volume.volume.used
    relay.set_limits(replace(DEFAULT, month_gb=(used + bytes_left) / GB))


def guard_id(made: Lab) -> str:
    """The relay over which the lab's first person sends; empty while there is none."""
    return next((peer.relay_id for peer in made.people[0].peers() if peer.since is not None), "")


def guard_of(made: Lab) -> RelayNode:
    """The same relay."""
    wanted = guard_id(made)
    return next(relay for relay in made.relays if relay.peer.relay_id.hex() == wanted)


async def test_a_relay_near_its_cap_leaves_serves_on_and_comes_back_when_the_cap_is_raised(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=9, people=2) as made:
        a, b = made.people
        contact, _ = await meet(a, b)
        await a.send(contact.conversation, "before", None)
        await until_received(b, 1, 60)
        await accept_all(b)
        relay = guard_of(made)
        capped(relay, 40_000_000)
        made.network.node(relay.peer.peer_id).meter.wrote(35_000_000)
        others = [other for other in made.relays if other is not relay]
        await eventually(60, lambda: all(other.status().relays == len(others) for other in others))
        status = relay.status()
        assert status.month is not None
        assert (status.month.state, status.draining) == ("leaving", None)
        assert any("takes nothing new" in warning for warning in status.warnings)
        await eventually(120, lambda: guard_id(made) not in ("", relay.peer.relay_id.hex()))
        await a.send(contact.conversation, "while one leaves", None)
        assert "while one leaves" in await until_received(b, 2, 90)
        relay.set_limits(DEFAULT)
        await made.settle(90)
        assert not relay.status().warnings


async def test_a_relay_that_used_up_its_month_is_silent_and_a_turning_month_wakes_it(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=8, people=1, start=TURN - 25 * SECOND) as made:
        relay = guard_of(made)
        capped(relay, 100)
        await eventually(20, lambda: relay.volume.stage.value == "silent")
        await eventually(20, lambda: guard_id(made) not in ("", relay.peer.relay_id.hex()))
        crossed, mine = made.network.record(), relay.peer.peer_id
        assert made.clock.now() < relay.volume.volume.until == TURN
        await made.clock.sleep_until(TURN)
        assert not any(c.source == mine for c in crossed if c.protocol == framing.PACKET)
        await made.settle(60)
        assert relay.volume.stage.value == "open"
        began = len(crossed)
        await eventually(60, lambda: any(c.source == mine for c in crossed[began:]))
