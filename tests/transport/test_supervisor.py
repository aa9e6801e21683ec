"""Failures are contained, counted and told without secrets; cancellation always passes."""

import logging
from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from shoal_node import supervisor
from shoal_node.transport.interface import ChannelClosed, TaskStatus
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError, UserError


async def fail(error: BaseException) -> None:
    raise error


async def test_a_failure_is_contained_counted_and_logged_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    counters: Counter[str] = Counter()
    assert not await supervisor.contain(
        "x", fail, KeyError("/ip4/10.9.8.7/tcp/1"), counters=counters
    )
    assert not await supervisor.contain("x", fail, RemoteProtocolError("mac"), counters=counters)
    assert not await supervisor.contain("x", fail, ChannelClosed(), counters=counters)
    assert not await supervisor.contain(
        "x", fail, KeyError("secret"), counters=counters, label="garbage"
    )
    assert counters == {"KeyError": 1, "mac": 1, "garbage": 1}
    assert [record.levelname for record in caplog.records] == ["ERROR", "DEBUG", "DEBUG", "DEBUG"]
    assert "10.9.8.7" not in caplog.text
    assert "secret" not in caplog.text
    assert "KeyError" in caplog.text


async def test_our_own_bug_in_a_connection_is_contained_too() -> None:
    assert not await supervisor.contain("x", fail, LocalProtocolError("a bug"))


async def test_success_is_told() -> None:
    assert await supervisor.contain("x", trio.lowlevel.checkpoint)


async def test_a_group_of_failures_is_counted_leaf_by_leaf() -> None:
    counters: Counter[str] = Counter()
    group = ExceptionGroup("", [KeyError(), ExceptionGroup("", [ValueError(), ValueError()])])
    assert not await supervisor.contain("x", fail, group, counters=counters)
    assert counters == {"KeyError": 1, "ValueError": 2}


async def test_cancellation_passes_even_beside_an_error() -> None:
    async def fail_while_cancelled() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_in_the_end)
            nursery.start_soon(trio.sleep_forever)

    async def fail_in_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.contain, "x", fail_while_cancelled)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught


class Service:
    """Fails ``failures`` times after it is ready, then runs on."""

    def __init__(self, failures: int, *, ready: bool = True, error: Exception | None = None):
        self.failures = failures
        self.ready = ready
        self.error = error or KeyError()
        self.starts: list[float] = []

    async def __call__(self, *, task_status: TaskStatus[Any]) -> None:
        self.starts.append(trio.current_time())
        if self.ready:
            task_status.started(len(self.starts))
        if len(self.starts) <= self.failures:
            raise self.error
        await trio.sleep_forever()


async def test_a_failed_service_is_started_anew_after_growing_pauses(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    service = Service(failures=3)
    assert await nursery.start(supervisor.supervise, "service", service) == 1
    await trio.sleep(30)
    pauses = [b - a for a, b in zip(service.starts, service.starts[1:], strict=False)]
    assert pauses == pytest.approx([1, 2, 4])


async def test_a_service_that_keeps_failing_stops_the_node_with_one_sentence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    service = Service(failures=100)
    with pytest.raises(UserError, match="The mailbox keeps failing"):
        await supervisor.supervise("mailbox", service)
    assert len(service.starts) == 6


async def test_a_service_that_never_was_ready_stops_the_node_at_once() -> None:
    with pytest.raises(UserError, match="The mailbox could not start"):
        await supervisor.supervise("mailbox", Service(failures=1, ready=False))


async def test_what_the_user_can_mend_reaches_the_user() -> None:
    with pytest.raises(UserError, match="port"):
        await supervisor.supervise("x", Service(1, error=UserError("the port is taken")))


async def test_a_service_that_returns_is_done() -> None:
    async def done(*, task_status: TaskStatus[Any]) -> None:
        task_status.started(None)

    await supervisor.supervise("x", done)
