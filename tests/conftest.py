"""What holds for every test: no log line names anybody (T19), and the same run twice is the same.

::

    the test's run ─► loggers of shoal_*, at DEBUG ─► Listener ─► found something ─► the test fails

Hypothesis draws the same examples at each run of a commit, and trio, which tosses a coin for the
order of tasks that can run at once, tosses the same ones in a test, so that a red test is red for
everybody. ``--hypothesis-profile=explore`` draws new ones, and more, as the release check
``examples`` does. No example has a deadline: what is slow on a busy machine is not wrong.
"""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from trio._core import _run as scheduler

from log_listener import Listener
from threadless import threads_take_no_time

__all__ = ["threads_take_no_time"]

settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", settings.get_profile("steady"), derandomize=False, max_examples=1000, print_blob=True
)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def tasks_take_the_same_turns(request: pytest.FixtureRequest) -> None:
    """Seed trio's coin with the test's name."""
    if settings.default is not None and settings.default.derandomize:
        scheduler._r.seed(request.node.nodeid)


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
