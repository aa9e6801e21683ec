"""Grinds positions nearest to keys, and sees who asks for them.

::

    key of a pseudonym ◄── k nearest positions, ground ──► requests end at the adversary
    request ── traced back through pools ──► people

Its views have, at their ends, the number of the pseudonym whose key was asked for. Who asks is
a relay, for a person behind three mixes; so each request is followed back, and what several
show of one pseudonym is put together evenly. Source: theory/eclipse.py.
"""

import math
from typing import Annotated, ClassVar

import numpy

from shoal_protocol.errors import UserError
from shoal_sim.adversaries import pools
from shoal_sim.adversaries.base import (
    NOBODY,
    Observation,
    Plan,
    Posterior,
    Question,
    Range,
    Surface,
    from_table,
)
from shoal_sim.theory import eclipse


class EclipseDht:
    """Identities in the DHT.

    Args:
        ground: how many positions it looks at; or
        chance: that all of a key's k nearest are its own.
        joined: how many of them join, those nearest to the key; 0 for twice as many as keep a
            record.
        subnets: in how many /16s they are hosted; 0 for one each.
        ghosts: whether they name keys that nobody has, in place of each other.
    """

    answers: ClassVar = (Question.OWNER,)

    def __init__(
        self,
        ground: Annotated[int, Range(0, 10**9)] = 0,
        chance: Annotated[float, Range(0, 1)] = 0.5,
        joined: Annotated[int, Range(0, 10**6)] = 0,
        subnets: Annotated[int, Range(0, 60_000)] = 0,
        ghosts: bool = False,
    ) -> None:
        if ground < 0 or not 0 < chance < 1:
            raise UserError("An eclipse grinds 0 or more, for a chance between 0 and 1.")
        self.ground, self.chance = ground, chance
        self.joined, self.subnets, self.ghosts = joined, subnets, ghosts

    def prepare(self, surface: Surface, rng: numpy.random.Generator) -> Plan:
        """Grind what the chance takes."""
        needed = eclipse.ground_needed(surface.relays, surface.dht_k, self.chance)
        return Plan(
            ground=self.ground or math.ceil(needed),
            joined=self.joined,
            subnets=self.subnets,
            ghosts=self.ghosts,
        )

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Return which people asked for each pseudonym."""
        table = numpy.zeros((len(observation.targets), observation.people))
        for at, pseudonym in enumerate(observation.targets.tolist()):
            asked = [view.arrived[view.label == pseudonym] for view in observation.views]
            requests = numpy.concatenate(asked) if asked else numpy.empty(0, numpy.int64)
            requests = requests[requests != NOBODY]
            if len(requests):
                traced = pools.trace(observation, requests, backward=True)
                table[at] = traced[:, : observation.people].sum(axis=0)
        return from_table(table)
