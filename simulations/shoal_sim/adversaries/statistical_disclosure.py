"""Over many rounds: who gets more whenever a person sends.

::

    time cut into rounds ─► sent[round, person], received[round, person]
    StatisticalDisclosure   rounds in which the target sent − all other rounds
    LeastSquares            all people at once: received ≈ sent · profiles

What is believed of a target is its estimated profile: to whom its next message goes. Sources:
Danezis, SEC 2003; Pérez-González and Troncoso, PETS 2012; both are in vector/disclosure.py.
"""

from typing import Annotated, ClassVar, Final

import numpy
from numpy.typing import NDArray

from shoal_protocol.clock import seconds
from shoal_protocol.errors import UserError
from shoal_sim.adversaries.base import (
    Ints,
    Observation,
    Posterior,
    Question,
    Range,
    Watcher,
    from_table,
)
from shoal_sim.vector import disclosure

MOST_CELLS: Final = 1 << 27  # rounds · people: a gigabyte of counts
MOST_PEOPLE: Final = 4_000  # of least squares, whose work is their cube


class _Rounds(Watcher):
    """Counts what people send and get, round by round.

    Args:
        round_s: length of a round.
        lag_s: how much later than what is sent what is received is counted: about what a
            packet is on its way.
    """

    answers: ClassVar = (Question.PARTNERS,)

    def __init__(
        self,
        round_s: Annotated[float, Range(1e-6, 1e9)] = 10.0,
        lag_s: Annotated[float, Range(0, 1e9)] = 0.0,
    ) -> None:
        if round_s <= 0 or lag_s < 0:
            raise UserError("A round is longer than nothing, and its lag is not negative.")
        self.round_ns, self.lag_ns = seconds(round_s), seconds(lag_s)

    def rounds(self, observation: Observation) -> disclosure.Rounds:
        """Return the counts of all rounds that were watched whole."""
        people, events = observation.people, observation.events
        source, target = observation.ends()
        begin = int(events.time_ns[0]) if len(events) else 0
        end = int(events.time_ns[-1]) if len(events) else 0
        count = (end - begin - self.lag_ns) // self.round_ns
        if count < 1:
            raise UserError("Disclosure needs a round at least; the run was shorter.")
        if count * people > MOST_CELLS:
            raise UserError(
                f"{count} rounds of {people} people are too many to count; make rounds longer."
            )
        up = source < people
        sent = self._counts(events.time_ns[up] - begin, source[up], int(count), people)
        down = target < people
        times = observation.arrivals()[down] - begin - self.lag_ns
        return disclosure.Rounds(sent, self._counts(times, target[down], int(count), people))

    def _counts(
        self, times: Ints, who: NDArray[numpy.int32], rounds: int, people: int
    ) -> NDArray[numpy.int64]:
        number = times // self.round_ns
        inside = (times >= 0) & (number < rounds)
        cells = number[inside] * people + who[inside]
        return numpy.bincount(cells, minlength=rounds * people).reshape(rounds, people)


class StatisticalDisclosure(_Rounds):
    """Compares rounds in which the target sent with those in which it didn't."""

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Return to whom each target, a person, writes."""
        rounds = self.rounds(observation)
        table = numpy.zeros((len(observation.targets), observation.people))
        for at, person in enumerate(observation.targets.tolist()):
            table[at] = disclosure.disclose(rounds, person, disclosure.background(rounds, person))
            table[at, person] = 0
        return from_table(numpy.maximum(table, 0))


class LeastSquares(_Rounds):
    """Explains what everybody gets by what everybody sends."""

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Return to whom each target, a person, writes."""
        if observation.people > MOST_PEOPLE:
            raise UserError(
                f"Least squares of {observation.people} people takes too long; up to {MOST_PEOPLE} "
                "are possible, and statistical_disclosure for more."
            )
        profiles = disclosure.least_squares(self.rounds(observation))
        table = numpy.maximum(profiles[observation.targets], 0)
        table[numpy.arange(len(table)), observation.targets] = 0
        return from_table(table)
