"""Watches every wire and follows targets through the pools of relays.

::

    target ──► pool of its first relay ──► whatever leaves it, each alike likely ──► … ──► people

Exact where delays are exponential and each relay is one place on the way, as in layers; where
relays stand at several places a watcher of wires knows no more than this (pools.py). Sources:
Serjantov and Danezis, PET 2002; Danezis, PET 2004.
"""

import numpy

from shoal_sim.adversaries import pools
from shoal_sim.adversaries.base import Observation, Posterior, Watcher, from_table


class GlobalPassive(Watcher):
    """All links, no relay."""

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Return to which people each target went, or from which it came."""
        return from_table(pools.trace(observation))
