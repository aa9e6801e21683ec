"""Whole relays that drain, in virtual time: a restart does not end it, its operator can."""

from pathlib import Path

import pytest
import trio.testing

from shoal_node import draining
from shoal_node.draining import Stage
from shoal_node.relay import RelayNode
from whole_nodes import Lab, eventually, lab


def known(others: list[RelayNode]) -> set[int]:
    """How many relays each of the others would give something new."""
    return {other.status().relays for other in others}


async def started_again(made: Lab, relay: RelayNode) -> RelayNode:
    """End the first relay, and start it again on its home."""
    await made.stop(relay)
    return await made.relay(name="relay-0")


async def test_a_drain_goes_on_after_a_restart_until_it_is_done_and_then_the_relay_is_fresh(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    word = tmp_path / "relay-0" / draining.FILE
    async with lab(tmp_path, relays=5, people=0) as made:
        first, *others = made.relays
        assert not word.exists()
        first.drain()
        await eventually(10, lambda: known(others) == {4})
        assert word.read_bytes() == draining.WORD
        assert draining.GOES_ON not in first.status().warnings  # its operator has just asked

        again = await started_again(made, first)
        assert again.draining.resumed and draining.GOES_ON in again.status().warnings
        for _ in range(100):  # nobody is told, even for a moment, that it takes work
            assert known(others) == {4}
            await trio.sleep(0.1)
        assert draining.GOES_ON in caplog.text
        again = await started_again(made, again)
        await eventually(3_600, again.draining.done.is_set)
        assert again.draining.complete and again.status().draining == "done"
        assert not word.exists()

        fresh = await started_again(made, again)
        await eventually(60, lambda: known(others) == {5})
        assert fresh.status().draining is None
        assert draining.GOES_ON not in fresh.status().warnings


async def test_a_drain_that_is_cancelled_is_taken_back_and_not_begun_by_a_restart(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    word = tmp_path / "relay-0" / draining.FILE
    async with lab(tmp_path, relays=5, people=0) as made:
        first, *others = made.relays
        first.cancel_drain()  # nothing to cancel
        first.drain()
        await eventually(10, lambda: known(others) == {4})
        again = await started_again(made, first)
        again.cancel_drain()
        await eventually(60, lambda: known(others) == {5})
        assert again.status().draining is None and not word.exists()
        assert draining.GOES_ON not in again.status().warnings
        fresh = await started_again(made, again)
        await trio.sleep(30)
        assert known(others) == {5}
        fresh.drain()
        fresh.cancel_drain()
        fresh.drain()  # the last word holds
        await eventually(60, lambda: known(others) == {4})
        assert word.exists()


async def test_a_drain_goes_on_where_the_disk_takes_no_word_of_it(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def announced() -> None:
        pass

    gone = tmp_path / "gone"
    one = draining.Draining(
        gone,
        announce=announced,
        leaving=lambda: True,
        handed_on=lambda: True,
        left_behind=lambda: 0,
        crossed=lambda: 0,
        held=lambda: 0,
    )
    one.begin()
    with trio.fail_after(60):
        await one.run()
    assert one.complete and one.stage is Stage.DONE
    assert "a restart would end it" in caplog.text
