"""All targets, and what came of them: `shoal sim validate`.

::

    mixing.TARGETS + structures.TARGETS ─► each a task of its own ─► Outcomes, in their order
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shoal_protocol.errors import UserError
from shoal_sim import engines
from shoal_sim.engines import ALONE, Crew
from shoal_sim.validation import mixing, structures
from shoal_sim.validation.target import SEED, Effort, Outcome, Target

TARGETS: Final[tuple[Target, ...]] = (*mixing.TARGETS, *structures.TARGETS)


@dataclass(frozen=True, slots=True)
class _Task:
    """A target by its place in ``TARGETS``, for whoever works."""

    place: int
    effort: Effort
    seed: int


def chosen(ids: Sequence[str] = ()) -> list[int]:
    """Return the places of the targets with these ids; of all for none.

    Raises:
        UserError: an id that no target has.
    """
    known = [target.id for target in TARGETS]
    for one in ids:
        if one not in known:
            raise UserError(f"There is no target {one}; there are {', '.join(known)}.")
    return [place for place, target in enumerate(TARGETS) if not ids or target.id in ids]


def measure(
    effort: Effort,
    *,
    ids: Sequence[str] = (),
    seed: int = SEED,
    crew: Crew = ALONE,
    told: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Measure the targets; ``told`` is called with how many are done."""
    tasks = [_Task(place, effort, seed) for place in chosen(ids)]
    found: list[Outcome] = []
    for done, outcomes in enumerate(_all(tasks, crew), start=1):
        found += outcomes
        if told is not None:
            told(done)
    return found


def _all(tasks: Sequence[_Task], crew: Crew) -> Iterator[list[Outcome]]:
    return engines.each(_measure, tasks, crew)


def _measure(task: _Task) -> list[Outcome]:
    return TARGETS[task.place].measure(task.effort, task.seed)


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return outcomes as the contract has them in JSON."""
    return [
        {
            "id": one.id,
            "what": one.what,
            "expected": one.expected,
            "value": one.value,
            "interval": [_finite(end) for end in one.interval],
            "tolerance": one.tolerance,
            "pass": one.passed,
            "source": one.source,
        }
        for one in outcomes
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
