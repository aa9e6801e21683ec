"""Virtual time for whole nodes: what they do in threads takes none of it.

The clock jumps as soon as every task waits, and doesn't know of threads: a commit of a
millisecond would else seem to take whole seconds now and then, and answers to be lost.
"""

from collections.abc import Callable
from typing import Any

import pytest
import trio


async def at_once(work: Callable[..., Any], *args: Any, **_: Any) -> Any:
    """Run what is meant for a thread right here."""
    await trio.lowlevel.checkpoint()
    return work(*args)


@pytest.fixture(autouse=True)
def threads_take_no_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what is meant for a thread right here, where the clock jumps.

    Not in a test marked ``threads``, which is about what comes while a thread works.
    """
    jumps = "autojump_clock" in request.fixturenames
    if jumps and request.node.get_closest_marker("threads") is None:
        monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
