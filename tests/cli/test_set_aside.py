"""What a node leaves behind is freed soon, however much was imported before it began."""

import gc
from collections import deque
from collections.abc import Iterator

import pytest

from shoal_node import daemon

IMPORTED = 200_000  # objects that are there when a node begins
MADE = 400_000  # objects that it makes, each referring to itself
IN_USE = 1_000  # of these at a time
MOST = 8_000  # that may be there at a time, in use or not


class Circle:
    """Something that only a collection frees; ``there`` counts those in memory."""

    there = 0

    def __init__(self) -> None:
        self.itself = self
        Circle.there += 1

    def __del__(self) -> None:
        Circle.there -= 1


@pytest.fixture
def imported() -> Iterator[list[list[int]]]:
    """As many objects as modules bring, looked through once, as after any while."""
    objects: list[list[int]] = [[] for _ in range(IMPORTED)]
    gc.collect()
    thresholds = gc.get_threshold()
    yield objects
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_refers_to_itself_is_freed_before_it_is_much_beside_what_was_imported(
    imported: list[list[int]],
) -> None:
    daemon.set_aside()
    in_use: deque[Circle] = deque(maxlen=IN_USE)
    most = 0
    for _ in range(MADE):
        in_use.append(Circle())
        most = max(most, Circle.there)
    assert IN_USE < most < MOST
    assert gc.get_freeze_count() > len(imported)
