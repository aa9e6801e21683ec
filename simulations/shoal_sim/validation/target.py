"""A figure that is known from elsewhere, and how ours compares.

::

    Target ── measure(effort) ─► Outcome: expected, ours, its interval, pass or fail, source

An outcome passes when the expected figure, with the tolerance that the target states, meets
the interval of ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Effort(Enum):
    """How much is drawn: ``FULL`` within five minutes on two cores, ``REDUCED`` within two."""

    FULL = "full"
    REDUCED = "reduced"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table.

    Args:
        id: as "2.L3", the target of simulation.md and its case.
        what: in words, with its unit.
        expected: the figure from the source.
        value: ours.
        interval: ours, 99 % unless ``what`` says otherwise.
        tolerance: how far from ``expected`` the interval may lie: the error of the source, or
            of the formula as an approximation.
        source: paper and equation, or program and version.
    """

    id: str
    what: str
    expected: float
    value: float
    interval: tuple[float, float]
    source: str
    tolerance: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the two agree."""
        low, high = self.interval
        return low - self.tolerance <= self.expected <= high + self.tolerance


@dataclass(frozen=True, slots=True)
class Target:
    """A figure, or a few of one source; ``measure`` takes the effort and a seed."""

    id: str
    measure: Callable[[Effort, int], list[Outcome]]


SEED: Final = 20_040_526  # of `shoal sim validate` unless it is told another
