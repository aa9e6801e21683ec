"""Casts the adversary of a scenario in a tier: makes it, asks for its plan, refuses what can't be.

::

    [adversary] ─► registry ─► adversary ─ prepare ─► Plan ─► what of it the tier plays
                                   └─ answers ─► the question that the tier asks it, if any
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from shoal_protocol.errors import UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_sim.adversaries import registry
from shoal_sim.adversaries.base import Adversary, Plan, Question, Surface, Watcher
from shoal_sim.scenario import Scenario
from shoal_sim.seeds import numbers

JOINED_PER_K: Final = 2  # ground identities that join, at each place, as a multiple of k
_DOES: Final = {
    "corrupt": "corrupts relays",
    "added": "adds relays",
    "ground": "grinds positions in the DHT",
    "blocked": "blocks packets",
    "stopped": "stops relays",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """What a tier can do with adversaries.

    Args:
        tier: its name.
        plays: the fields of a plan that it plays.
        asks: questions of which it has observations.
    """

    tier: str
    plays: tuple[str, ...]
    asks: tuple[Question, ...]


def cast(scenario: Scenario, seed: int, stage: Stage) -> tuple[Adversary | None, Plan]:
    """Return the scenario's adversary, none if it has none, and what it does in this network.

    Raises:
        UserError: it does what the tier can't play, or only looks at what the tier doesn't show.
    """
    named, network = scenario.adversary, scenario.network
    if named.name == "none":
        return None, Plan()
    made = registry.make(named.name, **dict(named.keys))
    surface = Surface(
        network.people,
        network.relays,
        round(scenario.time.length_s * 1e9),
        scenario.traffic.chosen.mean_delay_ms * 1e6,
        network.protocol.dht_k,
    )
    plan = made.prepare(surface, numbers(seed, "adversary"))
    plan = replace(plan, added=inside(plan, plan.added, network.protocol))
    for field, what in _DOES.items():
        if getattr(plan, field) and field not in stage.plays:
            raise UserError(
                f"{named.name} {what}, and the tier {stage.tier} doesn't play that; "
                "docs/adversaries.md says which adversary is of which tier."
            )
    looks = getattr(type(made), "prepare", None) is Watcher.prepare
    if looks and asked(made, stage) is None:
        answers = ", ".join(question.value for question in registry.questions(made))
        raise UserError(f"{named.name} answers {answers}, which the tier {stage.tier} doesn't ask.")
    return made, plan


def inside(plan: Plan, count: int, params: NetworkParameters) -> int:
    """Return how many of ``count`` identities find a slot in the directory: a few of each /16."""
    if not params.subnet_slots or not plan.subnets:
        return count
    return min(count, plan.subnets * params.subnet_slots)


def joined(plan: Plan, params: NetworkParameters) -> int:
    """Return how many identities join at each place of the key that the plan grinds for."""
    asked = plan.joined or JOINED_PER_K * params.dht_k * params.dht_keys
    return math.ceil(inside(plan, asked, params) / params.dht_keys)


def asked(adversary: Adversary | None, stage: Stage) -> Question | None:
    """Return the first question that the tier asks and the adversary answers."""
    answers = registry.questions(adversary) if adversary is not None else ()
    return next((question for question in stage.asks if question in answers), None)
