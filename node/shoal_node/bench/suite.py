"""Every benchmark by its name; ``shoal bench [NAME]`` runs one or all of them in this order."""

from collections.abc import Callable
from functools import partial
from typing import Final

from shoal_node.bench import relay, storage, unwrap
from shoal_protocol.errors import UserError

Figures = dict[str, dict[str, float]]  # name → figure → value, as in docs/contract.md

BENCHMARKS: Final[dict[str, Callable[[], Figures]]] = {
    "unwrap": unwrap.measure,
    "build3": unwrap.measure_build3,
    "relay": relay.measure,
    "storage": storage.measure,
}
FULL: Final[dict[str, Callable[[], Figures]]] = {  # the same with more, where there is more
    "storage": partial(storage.measure, full=True),
}


def run(name: str | None = None, *, full: bool = False) -> Figures:
    """Run the benchmark ``name``, or all; raises UserError on an unknown name."""
    if name is not None and name not in BENCHMARKS:
        raise UserError(f"There is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}.")
    figures: Figures = {}
    for known, measure in (BENCHMARKS | FULL if full else BENCHMARKS).items():
        if name in (None, known):
            figures.update(measure())
    return figures
