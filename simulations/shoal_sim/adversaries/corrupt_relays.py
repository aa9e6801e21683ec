"""Watches every wire, and holds relays, which tell what came in as what.

::

    share of relays ──► Plan.corrupt ──► their views join events ──► pools of the honest ones
"""

from typing import Annotated

import numpy

from shoal_protocol.errors import UserError
from shoal_sim.adversaries import pools
from shoal_sim.adversaries.base import Observation, Plan, Posterior, Range, Surface, from_table


class CorruptRelays:
    """A part of all relays.

    Args:
        share: of relays, drawn evenly, rounded; or
        count: how many.
    """

    def __init__(
        self,
        share: Annotated[float, Range(0, 1)] = 0.0,
        count: Annotated[int, Range(0, 10_000_000)] = 0,
    ) -> None:
        if not 0 <= share <= 1 or count < 0 or (share > 0 and count > 0):
            raise UserError(
                "Corrupt relays are a share from 0 to 1 or a count, and not both at once."
            )
        self.share, self.count = share, count

    def prepare(self, surface: Surface, rng: numpy.random.Generator) -> Plan:
        """Choose the relays."""
        count = self.count or round(self.share * surface.relays)
        if count > surface.relays:
            raise UserError(f"There are {surface.relays} relays, and {count} can't be corrupt.")
        return Plan(corrupt=tuple(sorted(rng.permutation(surface.relays)[:count].tolist())))

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Return to which people each target went, or from which it came."""
        return from_table(pools.trace(observation))
