"""Takes relays off the network by turns, and looks which pseudonym falls silent with whom.

::

    stopped: a half of all relays, another half each turn      people behind them pause
    each pseudonym's occasions  ~  Poisson(rate · activity of its owner in that time)

A person whose guard is stopped sends nothing until its node takes another; the answers of its
pseudonyms pause with it. So each turn tells about one bit of who it is, if pauses show. Sources:
Danezis and Serjantov, IH 2004 (intersection by what is seen); Borisov et al., "Denial of Service
or Denial of Security?", CCS 2007 (who stops relays learns).
"""

from typing import Annotated, ClassVar

import numpy
from numpy.typing import NDArray

from shoal_protocol.clock import seconds
from shoal_protocol.errors import UserError
from shoal_sim.adversaries.base import (
    Observation,
    Plan,
    Posterior,
    Question,
    Range,
    Surface,
    from_table,
)


class Churn:
    """Stops relays.

    Args:
        share: of relays that are stopped at once.
        turn_s: how long; then others are.
        idle: rate of occasions of somebody who isn't there, as a part of the mean rate.
    """

    answers: ClassVar = (Question.OWNER,)

    def __init__(
        self,
        share: Annotated[float, Range(0, 1)] = 0.5,
        turn_s: Annotated[float, Range(0, 1e9)] = 60.0,
        idle: Annotated[float, Range(0, 1)] = 0.01,
    ) -> None:
        if not 0 <= share < 1 or turn_s <= 0 or not 0 < idle <= 1:
            raise UserError("Churn stops a share below 1, for turns above 0, with idle in (0, 1].")
        self.share, self.turn_ns, self.idle = share, seconds(turn_s), idle

    def prepare(self, surface: Surface, rng: numpy.random.Generator) -> Plan:
        """Draw who is stopped in each turn."""
        count = round(self.share * surface.relays)
        stopped: list[tuple[int, int, int]] = []
        for begin in range(0, surface.length_ns, self.turn_ns):
            end = min(begin + self.turn_ns, surface.length_ns)
            chosen = sorted(rng.permutation(surface.relays)[:count].tolist())
            stopped += [(relay, begin, end) for relay in chosen]
        return Plan(stopped=tuple(stopped))

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Return which person each pseudonym may be, by likelihood."""
        times, people = observation.events.time_ns, observation.people
        if len(times) == 0:
            return from_table(numpy.zeros((len(observation.targets), people)))
        begin = int(times[0])
        turns = (int(times[-1]) - begin) // self.turn_ns + 1
        shown = self._shown(observation, begin, turns)
        source, _ = observation.ends()
        totals = numpy.bincount(source[source < people], minlength=people)[:people]
        share = totals / max(1, totals.sum())
        likelihood = numpy.zeros((len(observation.targets), people))
        for turn in range(turns):
            low, high = numpy.searchsorted(
                times, [begin + turn * self.turn_ns, begin + (turn + 1) * self.turn_ns]
            )
            who = source[low:high]
            active = numpy.bincount(who[who < people], minlength=people)[:people]
            # How much of its own packets a person sent in this turn, of a mean turn's.
            part = active * turns / numpy.maximum(totals, 1)
            part = numpy.where(totals > 0, part, 0) + self.idle
            rate = shown.sum(axis=1) / turns
            expected = rate[:, None] * part[None, :]
            likelihood += shown[:, turn, None] * numpy.log(numpy.maximum(expected, 1e-300))
            likelihood -= expected
        weight = numpy.exp(likelihood - likelihood.max(axis=1, keepdims=True))
        weight *= (share > 0) & (shown.sum(axis=1) > 0)[:, None]
        return from_table(weight)

    def _shown(self, observation: Observation, begin: int, turns: int) -> NDArray[numpy.int64]:
        """Return (targets, turns): how often each pseudonym was seen."""
        turn = (observation.shown_at - begin) // self.turn_ns
        table = numpy.zeros((len(observation.targets), turns), dtype=numpy.int64)
        for at, pseudonym in enumerate(observation.targets.tolist()):
            mine = turn[(observation.shown == pseudonym) & (turn >= 0) & (turn < turns)]
            table[at] = numpy.bincount(mine, minlength=turns)
        return table
