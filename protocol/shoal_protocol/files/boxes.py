"""Which box of a file's stream holds which fragment: fragment i is box i.

A stream's chain goes one way, a step a box. Fragments are asked for in no strict order
(retries, parity, a second try), so capabilities are kept at every 64th box:

::

    0 ──64──► 64 ──64──► 128 ──► …          at(150) = kept 128 and 22 steps
"""

from typing import Final, Generic, TypeVar

from shoal_protocol.streams.capability import ReadCapability, WriteCapability

C = TypeVar("C", ReadCapability, WriteCapability)

STRIDE: Final = 64  # boxes between kept capabilities: a look-up is at most 63 hashes


class Boxes(Generic[C]):
    """The capabilities of a stream from ``first`` on, by the number of the box."""

    def __init__(self, first: C) -> None:
        self._kept: list[C] = [first]
        self._start: Final[int] = first.index

    def __repr__(self) -> str:
        return "Boxes(…)"

    def at(self, index: int) -> C:
        """Return the capability of box ``index`` ≥ 0, counted from the first."""
        near = index // STRIDE
        while len(self._kept) <= near:
            self._kept.append(self._kept[-1].at(self._start + len(self._kept) * STRIDE))
        return self._kept[near].at(self._start + index)
