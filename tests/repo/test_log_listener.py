"""The listener under every test finds what a log line may not hold, and nothing else."""

import logging

import pytest

from log_listener import Listener
from support import seeded

ID = seeded("an id").bytes(16)


def _found(text: object, *arguments: object) -> list[str]:
    listener = Listener()
    listener.emit(logging.LogRecord("shoal", logging.DEBUG, "", 0, text, arguments, None))
    return listener.found


@pytest.mark.parametrize(
    "planted",
    [
        "shoal1" + "q" * 52,
        "shoal-invite1" + "q" * 80,
        "/ip4/192.0.2.7/tcp/4001",
        "192.0.2.7",
        "12D3KooWQzDRsdr6ZvGqz8k",
        ID.hex(),
        ID,
        "a planted text",
    ],
)
def test_a_log_line_that_names_somebody_is_found(planted: object) -> None:
    assert len(_found("a peer said %r", planted)) == 1
    assert len(_found("a peer said %s", planted)) == 1


def test_labels_counts_and_places_are_no_finding() -> None:
    line = "contained failure: in=%s error=%s label=%s at=%s"
    assert _found(line, "timer", "KeyError", "-", "person.py:120") == []
    assert _found("node started: role=%s network=%s", "person", "lab") == []
    assert _found("view: relays=%d in %d ms", 12_000, 3) == []


def test_a_trace_is_looked_at_too() -> None:
    listener = Listener()
    try:
        raise ValueError(ID.hex())
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    listener.emit(logging.LogRecord("shoal", logging.DEBUG, "", 0, "failed", (), info))
    assert len(listener.found) == 1
