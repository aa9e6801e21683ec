"""An adversary's answer beside the truth.

::

    Watched ─┬─ observation ──► infer ──► Posterior ─┐
             └─ answers ─────────────────────────────┴─► Guess: bits, right guesses, surprise
"""

import numpy

from shoal_protocol.errors import UserError
from shoal_sim import metrics
from shoal_sim.adversaries.base import Adversary, Observation, Posterior, Question
from shoal_sim.adversaries.watching import Watched


def judge(adversary: Adversary, watched: Watched, rng: numpy.random.Generator) -> metrics.Guess:
    """Return how well the adversary does, the mean over targets.

    Raises:
        UserError: it answered something else than it was asked.
    """
    observation = watched.observation
    believed = adversary.infer(observation, rng)
    candidates = candidates_of(observation)
    _check(believed, len(observation.targets), candidates)
    return metrics.guess(believed.dense(len(observation.targets), candidates), watched.answers)


def named(who: str, guess: metrics.Guess) -> dict[str, float]:
    """Return a judgement by the names of metrics, ``who`` before each."""
    return {
        f"{who}_entropy_bits": guess.entropy_bits,
        f"{who}_min_entropy_bits": guess.min_entropy_bits,
        f"{who}_guess_share": guess.guess_share,
        f"{who}_hit_share": guess.hit_share,
        f"{who}_surprise_bits": guess.surprise_bits,
    }


def candidates_of(observation: Observation) -> int:
    """Return how many nodes may be the answer: people, and relays where these are asked for."""
    nodes = observation.question in (Question.RECEIVER, Question.SENDER) and observation.views
    return observation.people + (observation.relays if nodes else 0)


def _check(believed: Posterior, targets: int, candidates: int) -> None:
    for column, most, what in (
        (believed.target, targets, "targets"),
        (believed.candidate, candidates, "candidates"),
    ):
        if len(column) and not (column.min() >= 0 and column.max() < most):
            raise UserError(f"The adversary names {what} that there aren't: there are {most}.")
