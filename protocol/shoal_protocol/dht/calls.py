"""How the DHT's coroutines speak to the world: they yield calls and are resumed with answers.

::

    coroutine ── Calls(call, …) ──► driver: asks every contact at once, waits for all
        ▲                              │    (trio in the node, a heap in the simulator)
        └── Answers(now, replies) ─────┘    a reply for each call in order, None: no answer

The coroutines await nothing else, so that whoever steps them decides about time, links and
time-outs, and time reaches them only with the answers. An empty batch asks for the time.
"""

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from shoal_protocol.dht import messages
from shoal_protocol.dht.contacts import Contact

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one contact."""

    contact: Contact
    request: messages.Request

    @property
    def message(self) -> bytes:
        """The request's bytes, as ``messages.join`` takes them."""
        return messages.encode_request(self.request)


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of a batch.

    ``replies`` are messages as ``messages.split`` gives them, from the peer whose id the dial
    authenticated, or None. ``now`` is nanoseconds since the Unix epoch.
    """

    now: int
    replies: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Calls:
    """A batch of calls to make at once; awaiting it gives its :class:`Answers`."""

    batch: tuple[Call, ...] = ()

    def __await__(self) -> "Generator[Calls, Answers, Answers]":
        """Hand this batch to the driver; it resumes the coroutine with the answers."""
        return (yield self)


Task = Coroutine[Calls, Answers, T]
"""What the DHT's ``async def`` methods return: to be stepped by a driver."""


def drive(task: Coroutine[Any, Any, T], perform: Callable[[Calls], Answers]) -> T:
    """Step ``task`` to its end and return its result; ``perform`` makes the calls."""
    answers: Answers | None = None
    try:
        while True:
            answers = perform(task.send(answers))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        task.close()
