"""What contains a failure, so that one peer or one service can't take the node down.

::

    contain    one connection, request or channel: whatever goes wrong ends it and nothing else
    supervise  one service: run ──fails──► wait 1, 2, 4 … 60 s ──► run again
                                  └─ the sixth failure in ten minutes, or a UserError ─► UserError

Here alone stands ``except Exception``. A failure is logged as an event with fixed fields (what
failed, the type of the error, the line of our code) and never with the error's text, which may
hold a peer's bytes, addresses or keys. Errors that peers cause every day are logged at DEBUG,
all others, our own bugs included, at ERROR. A bug inside a contained connection doesn't crash
the node: a peer that found it could otherwise switch nodes off one by one (hypercorn 225).

Cancellation always passes, also out of a group in which other errors lie beside it.
"""

import logging
import traceback
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import trio

from shoal_node.transport.interface import ChannelClosed, DialError, TaskStatus
from shoal_protocol.errors import RemoteProtocolError, UserError

log = logging.getLogger(__name__)

EXPECTED: Final = (
    ChannelClosed,
    DialError,
    OSError,
    RemoteProtocolError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
)
MAX_FAILURES: Final = 5  # within FAILURE_WINDOW_S; one more brings the daemon down
FAILURE_WINDOW_S: Final = 600.0
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class Service(Protocol):
    """A service: calls ``task_status.started`` when it is ready and runs until cancelled."""

    def __call__(self, *, task_status: TaskStatus[Any]) -> Awaitable[None]: ...


def label_of(error: BaseException) -> str:
    """Return a fixed label for an error: its reason if it has one, else the name of its type."""
    if isinstance(error, RemoteProtocolError | ChannelClosed | DialError):
        return error.reason
    return type(error).__name__


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors inside a group, however deep; the error itself if it is none."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def _report(name: str, error: BaseException, *, expected_all: bool = False) -> None:
    for leaf in leaves(error):
        expected = expected_all or isinstance(leaf, EXPECTED)
        frames = traceback.extract_tb(leaf.__traceback__)
        ours = [frame for frame in frames if "shoal_" in frame.filename]
        log.log(
            logging.DEBUG if expected else logging.ERROR,
            "contained failure: in=%s error=%s label=%s at=%s",
            name,
            type(leaf).__name__,
            label_of(leaf) if isinstance(leaf, EXPECTED) else "-",
            "-" if not frames else _place((ours or frames)[-1]),
        )


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"


async def contain(
    name: str,
    fn: Callable[..., Awaitable[object]],
    *args: object,
    counters: Counter[str] | None = None,
    label: str | None = None,
    on_error: Callable[[BaseException], None] | None = None,
) -> bool:
    """Run ``fn(*args)`` and let no failure of it out.

    Args:
        name: what runs, a fixed label for the log.
        counters: where each error is counted under its label; ChannelClosed is no error here.
        label: given where a peer may cause any error at all, as in a library that parses its
            bytes: the failure counts once under this label and is logged at DEBUG.
        on_error: called with the error (perhaps a group) after it has been logged.

    Returns:
        True when ``fn`` returned, False when it failed.
    """
    try:
        await fn(*args)
        return True
    except Exception as error:  # noqa: BLE001  the one place
        failure: BaseException = error
    except BaseExceptionGroup as group:
        mine, others = group.split(Exception)
        if mine is not None:
            _report(name, mine, expected_all=label is not None)
        raise (others or group) from None
    _report(name, failure, expected_all=label is not None)
    if counters is not None and label is not None:
        counters[label] += 1
    elif counters is not None:
        counters.update(
            label_of(leaf) for leaf in leaves(failure) if not isinstance(leaf, ChannelClosed)
        )
    if on_error is not None:
        on_error(failure)
    return False


async def supervise(
    name: str, service: Service, *, task_status: TaskStatus[Any] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a service for as long as the node lives, starting it anew when it fails.

    The value that the service passes to ``started`` reaches the caller the first time only, so
    a service that is supervised must not hand out what dies with it. A service that returns is
    done.

    Raises:
        UserError: the service raised one (the user can mend it), or failed six times within ten
            minutes, or failed before it was ever ready.
    """
    failures: deque[float] = deque()
    pause = FIRST_PAUSE_S
    first = _StartedOnce(task_status)
    while True:
        errors: list[BaseException] = []
        if await contain(name, lambda: service(task_status=first), on_error=errors.append):
            return
        for leaf in leaves(errors[0]):
            if isinstance(leaf, UserError):
                raise leaf
        now = trio.current_time()
        while failures and failures[0] < now - FAILURE_WINDOW_S:
            failures.popleft()
            pause = FIRST_PAUSE_S
        failures.append(now)
        if not first.happened:
            raise UserError(f"The {name} could not start; the log says where it failed.")
        if len(failures) > MAX_FAILURES:
            raise UserError(f"The {name} keeps failing; the log says where. The node stops.")
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


class _StartedOnce:
    """Passes the first ``started`` on and ignores those of later runs."""

    def __init__(self, task_status: TaskStatus[Any]) -> None:
        self._task_status = task_status
        self.happened = False

    def started(self, value: object = None) -> None:
        if not self.happened:
            self.happened = True
            self._task_status.started(value)
