"""Empties relays of others' packets, so that a target is alone with the adversary's own.

::

    others ──╳ blocked     target ──► relay ──► target + own packets, which it knows again
    own ─────────────────────────────┘

What is blocked only in part leaves others in the pool, and the target hides among these.
Sources: Serjantov, Dingledine and Syverson, "From a Trickle to a Flood", IH 2002; how loops
find it: Loopix, USENIX Security 2017, §4.
"""

from typing import Annotated

import numpy

from shoal_protocol.clock import seconds
from shoal_protocol.errors import UserError
from shoal_sim.adversaries import pools
from shoal_sim.adversaries.base import Observation, Plan, Posterior, Range, Surface, from_table


class NMinusOne:
    """Blocks what others send to some relays.

    Args:
        relays: to how many, drawn evenly; 0 for all.
        share: of others' packets that it holds back.
        begin_s, length_s: for how long; 0 for until the end.
    """

    def __init__(
        self,
        relays: Annotated[int, Range(0, 10_000_000)] = 1,
        share: Annotated[float, Range(0, 1)] = 1.0,
        begin_s: Annotated[float, Range(0, 1e9)] = 0.0,
        length_s: Annotated[float, Range(0, 1e9)] = 0.0,
    ) -> None:
        if relays < 0 or not 0 <= share <= 1 or begin_s < 0 or length_s < 0:
            raise UserError(
                "An n-1 attack has a share from 0 to 1, and times that aren't negative."
            )
        self.relays, self.share = relays, share
        self.begin_ns, self.length_ns = seconds(begin_s), seconds(length_s)

    def prepare(self, surface: Surface, rng: numpy.random.Generator) -> Plan:
        """Choose the relays and the time."""
        count = min(self.relays or surface.relays, surface.relays)
        end = self.begin_ns + self.length_ns if self.length_ns else surface.length_ns
        chosen = sorted(rng.permutation(surface.relays)[:count].tolist())
        return Plan(blocked=tuple((relay, self.begin_ns, end, self.share) for relay in chosen))

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Follow each target among what is not its own."""
        return from_table(pools.trace(observation))
