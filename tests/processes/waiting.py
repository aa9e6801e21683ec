"""Waiting for real processes: ask again until it is so, or fail after a bounded time."""

import threading
import time
from collections.abc import Callable
from typing import Final

Say = Callable[[str], None]
"""Prints one line among pytest's own."""

PAUSE_S: Final = 0.1  # between two questions
_NEVER: Final = threading.Event()


def pause(seconds: float = PAUSE_S) -> None:
    """Let the processes have ``seconds`` to themselves."""
    _NEVER.wait(seconds)


def until(holds: Callable[[], bool], within_s: float, what: str) -> float:
    """Return after how many seconds ``holds`` was true; fail with ``what`` after ``within_s``."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {what}"
        pause()
    return time.monotonic() - began
