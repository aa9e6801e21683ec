"""One run of a scenario in the tier of structures: paths, directory, DHT, storage, occasions.

::

    scenario, seed ─► plan: corrupt and added relays, ground positions
        ├─► paths      shares corrupt, people who met a corrupt path        path_…, followed_…
        ├─► lookups    found, calls, rounds; keys eclipsed                  lookup_…, eclipsed_…
        ├─► storage    lost, unreadable, copies handed on                   storage_…
        ├─► occasions  who is still suspect after all of them               suspects_…
        └─► the plug-in, of occasions or of whole packets on wires          adversary_…

No packet is mixed here; ``time.length_s`` is how long records are kept and people watched. What
``[churn]`` says is of relays, which are away as long as they stay unless it says more. Relays
that leave come back with their disks, for what is unreadable; or never, and others come, for
what is lost.
"""

import math
from typing import Final

import numpy
from numpy.typing import NDArray

from shoal_protocol.errors import UserError
from shoal_protocol.service.replica_events import Limits
from shoal_sim import metrics
from shoal_sim.adversaries import planning
from shoal_sim.adversaries.base import Adversary, Plan, Question
from shoal_sim.adversaries.judging import judge, named
from shoal_sim.results import Results
from shoal_sim.scenario import Scenario
from shoal_sim.seeds import numbers
from shoal_sim.traces import sessions
from shoal_sim.vector import disclosure, eclipse, occasions, paths, storage, walks

STAGE: Final = planning.Stage(
    "structures",
    ("corrupt", "added", "ground", "stopped"),
    (Question.OWNER, Question.PARTNERS),
)
PATHS: Final = 100_000
WALKS: Final = 1_000
RECORDS: Final = 2_000
KEEPERS: Final = 500  # relays of the storage model, at most: a record knows K of them anyway
SPREAD: Final = 0.3
REPUBLISH_NS: Final = 60 * sessions.MINUTE  # spec: dht §4, 3,600 s
DAY_S: Final = 86_400


def simulate(scenario: Scenario, seed: int) -> Results:
    """Run one network of a scenario.

    Raises:
        UserError: what the scenario asks is not of this tier.
    """
    adversary, plan = planning.cast(scenario, seed, STAGE)
    relays = scenario.network.relays + plan.added
    params = scenario.network.protocol
    least = max(params.path_mixes + 1, params.replicas)
    if relays < least:
        raise UserError(f"Paths and replicas need {least} relays; network.relays is {relays}.")
    held = numpy.zeros(relays, dtype=numpy.bool_)
    held[list(plan.corrupt)] = True
    held[scenario.network.relays :] = True
    return Results(
        {
            "relays": float(relays),
            "corrupt_relays": float(held.sum()),
            **_paths(scenario, held, seed),
            **_lookups(scenario, plan, int(held.sum()), seed),
            **_storage(scenario, relays, seed),
            **_occasions(scenario, plan, seed),
            **_judged(scenario, adversary, plan, seed),
        }
    )


def _paths(scenario: Scenario, held: NDArray[numpy.bool_], seed: int) -> dict[str, float]:
    """Return shares of paths, and of people whom a path betrayed within the time."""
    params, traffic = scenario.network.protocol, scenario.traffic
    drawn = paths.shares(held, params.path_mixes + 1, PATHS, numbers(seed, "paths"))
    days = scenario.time.length_s / DAY_S
    first = paths.first_bad_day(
        held,
        max(1, min(scenario.network.people, 10_000)),
        days,
        traffic.chosen.rate * DAY_S,
        numbers(seed, "guards"),
        mixes=params.path_mixes,
        guard_days=(params.guard_life_min_s / DAY_S, params.guard_life_max_s / DAY_S),
    )
    return {
        "path_all_corrupt_share": drawn.wholly,
        "path_both_ends_share": drawn.both_ends,
        "path_mixes_corrupt_share": drawn.mixes,
        "followed_people_share": float(numpy.isfinite(first).mean()),
    }


def _lookups(scenario: Scenario, plan: Plan, held: int, seed: int) -> dict[str, float]:
    """Return how lookups fare, an hour after records were put the last time."""
    params = scenario.network.protocol
    k, alpha, apart = params.dht_k, params.dht_alpha, params.distinct_subnets
    honest = max(1, scenario.network.relays - len(plan.corrupt))
    fit = _fit(scenario)
    left = 0.0
    if fit is not None:
        left = float((fit.rest(100_000, numbers(seed, "left")) < REPUBLISH_NS).mean())
    # Entries of tables are as old as records are, and as many of them are dead.
    there = walks.population(
        honest,
        numbers(seed, "dht"),
        hostile=held,
        dead=left if fit else 0.0,
        left=left,
        subnets=plan.subnets,
    )
    found = {"lookup_found_share": 0.0, "lookup_calls": math.nan, "lookup_rounds": math.nan}
    if (there.alive & ~there.hostile).any():
        ran = walks.gets(
            there,
            WALKS,
            numbers(seed, "gets"),
            k=k,
            alpha=alpha,
            apart=apart,
            places=params.dht_keys,
        )
        found = {
            "lookup_found_share": float(ran.found.mean()),
            "lookup_calls": float(ran.calls.mean()),
            "lookup_rounds": float(ran.rounds.mean()),
        }
    most = planning.joined(plan, params) if plan.ground else k
    if apart and plan.subnets:
        most = min(most, plan.subnets)
    rng = numbers(seed, "eclipse")
    drawn = [
        eclipse.keepers(honest, held + plan.ground, k, 10_000, rng, most).ground == k
        for _ in range(params.dht_keys)
    ]
    return {**found, "eclipsed_share": float(numpy.logical_and.reduce(drawn).mean())}


def _storage(scenario: Scenario, relays: int, seed: int) -> dict[str, float]:
    """Return what becomes of mail within the time, or the life of its box if that is shorter.

    It is handed on when a lease has ended and the directory has settled, as relays do it.
    """
    params, churn = scenario.network.protocol, scenario.churn
    if churn.model == "none":
        return {"storage_lost_share": 0.0, "storage_unreadable_share": 0.0, "storage_made": 0.0}
    repair = storage.Repair(
        params.replicas,
        params.replica_slack,
        params.lease_s,
        params.lease_s * Limits().settle_leases,
    )
    hours = min(scenario.time.length_s, params.box_days * params.day_s) / 3600
    stay, away = churn.scale_min / 60, (churn.away_scale_min or churn.scale_min) / 60
    shape = churn.shape if churn.model == "weibull" else 1.0
    few = min(relays, KEEPERS)
    returns = storage.network(
        few,
        RECORDS,
        hours,
        storage.Sessions(stay, away, shape),
        repair,
        numbers(seed, "storage", "return"),
    )
    leaves = storage.network(
        few,
        RECORDS,
        hours,
        storage.Sessions(stay, away, shape, forgets=1.0),
        repair,
        numbers(seed, "storage", "leave"),
    )
    return {
        "storage_lost_share": leaves.lost,
        "storage_unreadable_share": returns.unreadable,
        "storage_made": leaves.handed_on,
    }


def _presence(
    scenario: Scenario, plan: Plan, spread: float, rng: numpy.random.Generator
) -> occasions.Presence:
    """Return who is there when: alike, or each in a share of the time of their own (Beta)."""
    people, traffic, network = scenario.network.people, scenario.traffic, scenario.network
    return occasions.Presence(
        disclosure.shares_online(people, traffic.online, rng, spread=spread),
        rng.uniform(0, occasions.DAY_H, people),
        traffic.hours,
        paths.draw(
            network.relays, min(network.protocol.guards, network.relays), people, rng
        ).astype(numpy.int64),
        occasions.stops(plan.stopped, network.relays),
    )


def _count(scenario: Scenario) -> int:
    return round(scenario.traffic.messages_per_hour * scenario.time.length_s / 3600)


def _occasions(scenario: Scenario, plan: Plan, seed: int) -> dict[str, float]:
    """Return how many are suspect after all occasions at which a pseudonym acted.

    Everybody is there alike, or each in a share of the time of their own (``SPREAD`` of the
    greatest variance), as people are of whom some are there nearly always.
    """
    people, count = scenario.network.people, _count(scenario)
    if people < 2 or count < 1:
        return {"occasions": 0.0, "suspects_alike": float(people), "suspects_spread": float(people)}
    found = {"occasions": float(count)}
    for name, spread in (("alike", 0.0), ("spread", SPREAD)):
        rng = numbers(seed, "occasions", name)
        there = _presence(scenario, plan, spread, rng)
        left = occasions.suspects(there, count, round(scenario.time.length_s * 1e9), rng)
        found[f"suspects_{name}"] = float(left.mean())
        found[f"alone_{name}_share"] = float((left == 1).mean())
    return found


def _judged(
    scenario: Scenario, adversary: Adversary | None, plan: Plan, seed: int
) -> dict[str, float]:
    """Return how well the plug-in does at what this tier asks it, of people who are there alike.

    Requests that end at ground positions are traced through mixes, which are not of this tier.
    """
    question = planning.asked(adversary, STAGE)
    people, count = scenario.network.people, _count(scenario)
    if adversary is None or question is None or plan.ground or people < 2 or count < 1:
        return {}
    rng, traffic = numbers(seed, "judged"), scenario.traffic
    there, length = _presence(scenario, plan, 0.0, rng), round(scenario.time.length_s * 1e9)
    rate = traffic.chosen.rate
    if question is Question.OWNER:
        watched = occasions.owners(there, scenario.network.relays, count, length, rate, rng)
    else:
        hidden = rate if traffic.cover == "full" else 0.0
        watched = occasions.partners(there, scenario.network.relays, count, length, hidden, rng)
    who = "adversary_owner" if question is Question.OWNER else "adversary_partner"
    if watched is None:
        return named(who, metrics.guess(numpy.zeros((1, 1))))
    return named(who, judge(adversary, watched, rng))


def _fit(scenario: Scenario) -> sessions.Weibull | None:
    churn = scenario.churn
    if churn.model == "none":
        return None
    shape = churn.shape if churn.model == "weibull" else 1.0
    return sessions.Weibull(shape, churn.scale_min * sessions.MINUTE)
