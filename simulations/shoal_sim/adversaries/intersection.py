"""Who was there whenever a pseudonym was seen to act.

::

    occasion of a pseudonym ──► people whose wire carried a packet within a time before ──► misses
    weight of a person: mistakes^misses

Sources: Raymond, 2000; Danezis and Serjantov, "Statistical Disclosure or Intersection Attacks
on Anonymity Systems", IH 2004.
"""

from typing import Annotated, ClassVar

import numpy
from numpy.typing import NDArray

from shoal_protocol.clock import seconds
from shoal_protocol.errors import UserError
from shoal_sim.adversaries.base import Observation, Posterior, Question, Range, Watcher, from_table


class Intersection(Watcher):
    """Keeps who was there each time.

    Args:
        window_s: how long before an occasion a person's wire must have carried something up.
        mistakes: how likely an occasion shows a person who was not there: answers that wait,
            clocks; 0 rules out whoever was missing once.
    """

    answers: ClassVar = (Question.OWNER,)

    def __init__(
        self,
        window_s: Annotated[float, Range(0, 1e9)] = 60.0,
        mistakes: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        if window_s <= 0 or not 0 <= mistakes < 1:
            raise UserError("An intersection has a window above 0 and mistakes from 0 to below 1.")
        self.window_ns, self.mistakes = seconds(window_s), mistakes

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Return which person each pseudonym may be."""
        table = numpy.zeros((len(observation.targets), observation.people))
        for at, pseudonym in enumerate(observation.targets.tolist()):
            missed = self._missed(observation, observation.shown_at[observation.shown == pseudonym])
            if missed is not None:
                table[at] = numpy.power(self.mistakes, missed - missed.min())
                if self.mistakes == 0 and missed.min() > 0:
                    table[at] = 0  # nobody was there each time: somebody is wrong
        return from_table(table)

    def _missed(
        self, observation: Observation, occasions: NDArray[numpy.int64]
    ) -> NDArray[numpy.int64] | None:
        """Return how often each person was missing, or nothing without occasions."""
        if len(occasions) == 0:
            return None
        source, _ = observation.ends()
        times = observation.events.time_ns
        missed = numpy.full(observation.people, len(occasions), dtype=numpy.int64)
        for when in occasions.tolist():
            low = int(numpy.searchsorted(times, when - self.window_ns))
            high = int(numpy.searchsorted(times, when, side="right"))
            who = source[low:high]
            missed[numpy.unique(who[who < observation.people])] -= 1
        return missed
