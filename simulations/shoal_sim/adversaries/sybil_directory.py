"""Adds relays of its own to the directory, and so stands on a part of all paths.

::

    honest relays R, added A ──► A/(R + A) of each place on a path ──► views, as corrupt relays

Source: Douceur, "The Sybil Attack", IPTPS 2002; what admission costs: theory/eclipse.py.
"""

from typing import Annotated

import numpy

from shoal_protocol.errors import UserError
from shoal_sim.adversaries import pools
from shoal_sim.adversaries.base import Observation, Plan, Posterior, Range, Surface, from_table


class SybilDirectory:
    """Identities made for the purpose.

    Args:
        added: how many it makes; or
        share: of the directory that they shall be, before admission.
        admitted: part of them that passes admission (tenure, work).
        subnets: in how many /16s they are hosted; 0 for one each.
        ghosts: whether in the DHT they name keys that nobody has, in place of each other.
    """

    def __init__(
        self,
        added: Annotated[int, Range(0, 10_000_000)] = 0,
        share: Annotated[float, Range(0, 1)] = 0.0,
        admitted: Annotated[float, Range(0, 1)] = 1.0,
        subnets: Annotated[int, Range(0, 60_000)] = 0,
        ghosts: bool = False,
    ) -> None:
        if added < 0 or not 0 <= share < 1 or not 0 <= admitted <= 1:
            raise UserError("A Sybil attack adds 0 or more, a share below 1, of which 0 to 1 pass.")
        self.added, self.share, self.admitted = added, share, admitted
        self.subnets, self.ghosts = subnets, ghosts

    def prepare(self, surface: Surface, rng: numpy.random.Generator) -> Plan:
        """Make the identities."""
        made = self.added or round(surface.relays * self.share / (1 - self.share))
        return Plan(added=round(made * self.admitted), subnets=self.subnets, ghosts=self.ghosts)

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Follow each target through what the added relays tell."""
        return from_table(pools.trace(observation))
