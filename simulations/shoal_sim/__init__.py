"""Simulations of the network on the protocol code that the node runs.

::

    import shoal_sim
    asked = shoal_sim.load("question.toml")
    frame = shoal_sim.run(asked)        # polars: a row for each configuration and network

Both are imported when they are used first: they need the extra ``sim``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal_sim.scenario import load
    from shoal_sim.study import run

__all__ = ["load", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from shoal_sim import study

        return getattr(study, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
