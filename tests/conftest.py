"""What holds for every test: no log line names anybody (T19 of the threat model).

::

    the test's run ─► loggers of shoal_*, at DEBUG ─► Listener ─► found something ─► the test fails
"""

import logging
from collections.abc import Iterator

import pytest

from log_listener import Listener


@pytest.fixture(autouse=True)
def no_log_line_names_anybody() -> Iterator[None]:
    """Fail a test during which our code logged what names a person, a peer, a key or a place."""
    listener = Listener()
    loggers = [logging.getLogger(name) for name in ("shoal_node", "shoal_protocol")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.setLevel(logging.DEBUG)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(listener)
        logger.setLevel(level)
    assert listener.found == []
