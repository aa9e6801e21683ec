"""Changes become durable in order, together, and before anybody hears of them."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from shoal_node.store import commits
from shoal_node.store.commits import Commits
from shoal_node.transport.interface import TaskStatus
from shoal_protocol.client.state import Changes
from shoal_protocol.errors import StoreFailed, StoreFull, UserError


class Recorded:
    """A store in memory that notes what is done to it, and fails when told to."""

    def __init__(self) -> None:
        self.transactions: list[list[int]] = []
        self.attempts = 0
        self.tidied = 0
        self.closed = False
        self.error: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.kept: dict[tuple[str, bytes], bytes | None] = {}
        self.room_to_tidy = [True]  # the answers to come; the last one stays

    def commit(self, batches: Sequence[Changes]) -> None:
        self.attempts += 1
        assert self.go_on.wait(10)
        if self.error is not None:
            raise self.error
        for batch in batches:
            self.kept.update(batch.rows)
        self.transactions.append([batch.number for batch in batches])

    def tidy(self) -> bool:
        self.tidied += 1
        return self.room_to_tidy.pop(0) if len(self.room_to_tidy) > 1 else self.room_to_tidy[0]

    def close(self) -> None:
        self.closed = True


def changes(number: int) -> Changes:
    return Changes(number, {("record", bytes(16)): number.to_bytes(4, "big")}, {})


class Desk:
    """Commits over a recorded store, with a list of what was heard."""

    def __init__(self) -> None:
        self.store = Recorded()
        self.heard: list[Any] = []
        self.commits = Commits(self.store, lambda number: self.heard.append(("committed", number)))

    def hear(self, what: str) -> Callable[[], None]:
        return partial(self.heard.append, what)

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():  # noqa: ASYNC110  what it looks at changes in a thread
            await trio.sleep(0.5)


async def run_in_scope(
    desk: Commits, *, task_status: TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run, and give the scope that ends it."""
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await desk.run()


async def test_what_is_submitted_becomes_durable_and_then_is_heard_of(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.commits.run)
        number = desk.commits.submit(changes(1), desk.hear("one"))
        assert number == 1 and desk.heard == []
        await desk.commits.durable(number)
        assert desk.heard == [("committed", 1), "one"]
        assert desk.store.transactions == [[1]]
        nursery.cancel_scope.cancel()


@pytest.mark.threads
async def test_what_comes_during_a_transaction_goes_into_the_next_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    desk.store.go_on.clear()
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.commits.run)
        desk.commits.submit(changes(1), desk.hear("one"))
        await trio.testing.wait_all_tasks_blocked()
        for number in (2, 3, 4):
            desk.commits.submit(changes(number), desk.hear(f"after {number}"))
        desk.commits.submit(None, desk.hear("no change"))
        assert desk.heard == []
        desk.store.go_on.set()
        await desk.commits.durable(4)
        assert desk.store.transactions == [[1], [2, 3, 4]]
        assert desk.heard == [
            ("committed", 1),
            "one",
            ("committed", 4),
            "after 2",
            "after 3",
            "after 4",
            "no change",
        ]
        nursery.cancel_scope.cancel()


async def test_what_changed_nothing_waits_for_what_came_before_it_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    assert desk.commits.submit(None, desk.hear("at once")) == 0
    await desk.commits.durable(0)
    assert desk.heard == ["at once"]
    desk.commits.submit(changes(1))
    assert desk.commits.submit(None, desk.hear("later")) == 1
    assert desk.heard == ["at once"]
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.commits.run)
        await desk.commits.durable(1)
        assert desk.heard == ["at once", ("committed", 1), "later"]
        nursery.cancel_scope.cancel()


async def test_a_full_disk_is_tried_again_with_pauses_and_nothing_is_dropped_or_acknowledged(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    desk.store.error = StoreFull("full")
    warnings = [desk.commits.warning]
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.commits.run)
        began = trio.current_time()
        desk.commits.submit(changes(1), desk.hear("one"))
        await desk.until(lambda: desk.store.attempts >= 2)
        desk.commits.submit(changes(2), desk.hear("two"))
        await desk.until(lambda: desk.store.attempts >= 20)
        assert trio.current_time() - began >= 18 * commits.FULL_PAUSE_S
        assert desk.heard == [] and desk.store.transactions == []
        warnings.append(desk.commits.warning)
        desk.store.error = None
        await desk.commits.durable(2)
        assert desk.store.transactions == [[1, 2]]
        assert desk.heard == [("committed", 2), "one", "two"]
        assert [*warnings, desk.commits.warning] == [None, commits.FULL, None]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [StoreFailed("It failed."), UserError("It failed.")])
async def test_a_store_that_fails_otherwise_ends_the_node_with_its_sentence(
    autojump_clock: trio.testing.MockClock, error: Exception
) -> None:
    desk = Desk()
    desk.store.error = error
    desk.commits.submit(changes(1), desk.hear("one"))
    with pytest.raises(UserError, match=r"^It failed\.$"):
        await desk.commits.run()
    assert desk.heard == []


@pytest.mark.threads
async def test_a_cancelled_commit_is_finished_and_the_close_commits_the_rest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    desk.store.go_on.clear()
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.commits.run)
        desk.commits.submit(changes(1), desk.hear("one"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        desk.commits.submit(changes(2), desk.hear("two"))
        desk.store.go_on.set()
    assert desk.store.transactions == [[1]]
    assert desk.heard == [("committed", 1), "one"]
    await desk.commits.close()
    assert desk.store.transactions == [[1], [2]]
    assert desk.heard[2:] == [("committed", 2), "two"]
    assert desk.store.closed


@pytest.mark.parametrize("error", [StoreFull("full"), StoreFailed("It failed.")])
async def test_a_close_that_cannot_commit_ends_without_acknowledging(
    autojump_clock: trio.testing.MockClock, error: Exception
) -> None:
    desk = Desk()
    desk.store.error = error
    desk.commits.submit(changes(1), desk.hear("one"))
    if isinstance(error, StoreFull):
        await desk.commits.close()
    else:
        with pytest.raises(UserError):
            await desk.commits.close()
    assert desk.heard == [] and desk.store.closed


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(StoreFull("no room"), commits.FULL), (StoreFailed("The disk failed."), "The disk failed.")],
)
async def test_whoever_waits_for_what_a_close_could_not_commit_gets_the_error(
    autojump_clock: trio.testing.MockClock, error: Exception, sentence: str
) -> None:
    desk = Desk()
    told: list[str] = []

    async def wait(number: int) -> None:
        try:
            await desk.commits.durable(number)
        except UserError as refused:
            told.append(str(refused))
        else:
            told.append(f"{number} is durable")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, desk.commits.submit(changes(1)))
            running: trio.CancelScope = await nursery.start(run_in_scope, desk.commits)
            await desk.until(lambda: told != [])
            desk.store.error = StoreFull("no room")
            nursery.start_soon(wait, desk.commits.submit(changes(2)))
            nursery.start_soon(wait, desk.commits.submit(changes(3)))
            await trio.testing.wait_all_tasks_blocked()
            running.cancel()
            await desk.until(lambda: desk.store.attempts > 1)
            desk.store.error = error
            try:
                await desk.commits.close()
            except UserError as failed:
                assert str(failed) == sentence
    assert told == ["1 is durable", sentence, sentence]
    with pytest.raises(UserError):
        await desk.commits.durable(3)
    await desk.commits.durable(1)
    assert desk.store.closed


async def test_a_run_that_is_begun_anew_goes_on_where_the_last_one_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()

    def fail() -> None:
        raise ArithmeticError

    desk.commits.submit(changes(1), desk.hear("one"))
    desk.commits.submit(changes(2), fail)
    desk.commits.submit(changes(3), desk.hear("three"))
    with pytest.raises(ArithmeticError):
        await desk.commits.run()
    await desk.commits.durable(3)
    desk.commits.submit(changes(4), desk.hear("four"))
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.commits.run)
        await desk.commits.durable(4)
        nursery.cancel_scope.cancel()
    assert desk.heard == [("committed", 3), "one", ("committed", 4), "three", "four"]
    assert desk.store.kept == {("record", bytes(16)): bytes([0, 0, 0, 4])}


async def test_what_was_deleted_or_replaced_is_tidied_within_a_minute_and_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.commits.run)
        await trio.sleep(10 * commits.TIDY_S)
        assert desk.store.tidied == 0
        desk.store.room_to_tidy = [False, False, True]
        began = trio.current_time()
        await desk.commits.durable(desk.commits.submit(changes(1)))
        await desk.until(lambda: desk.store.tidied >= 3)
        assert trio.current_time() - began >= 3 * commits.TIDY_S
        await trio.sleep(10 * commits.TIDY_S)
        assert desk.store.tidied == 3
        nursery.cancel_scope.cancel()


async def test_a_busy_node_is_tidied_as_well(autojump_clock: trio.testing.MockClock) -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.commits.run)
        for number in range(1, 400):
            await desk.commits.durable(desk.commits.submit(changes(number)))
            await trio.sleep(1)
        assert 5 <= desk.store.tidied <= 7
        nursery.cancel_scope.cancel()
