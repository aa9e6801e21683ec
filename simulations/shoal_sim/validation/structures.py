"""Targets 5 to 10: paths, Kademlia, disclosure, eclipse, storage, lookups under churn.

::

    5  paths all corrupt           vector/paths.py       theory/paths.py
    6  bits and hops of Kademlia   vector/kademlia.py    theory/kademlia.py
    7  statistical disclosure      vector/disclosure.py  theory/disclosure.py
    8  eclipse of a key            vector/eclipse.py     theory/eclipse.py
    9  storage under churn         vector/storage.py     theory/storage.py
    10 lookups that fail           vector/kademlia.py    theory/kademlia.py, theory/hops.py

The models know nothing of the closed forms: they draw networks. Where networks differ, the
interval is Student's over ``NETWORKS`` of them; where trials are independent it is Wilson's.
"""

import math
from typing import Final

import numpy
from numpy.typing import NDArray

from shoal_sim import metrics
from shoal_sim.seeds import numbers
from shoal_sim.theory import disclosure as disclosure_theory
from shoal_sim.theory import eclipse as eclipse_theory
from shoal_sim.theory import hops as hops_theory
from shoal_sim.theory import kademlia as kademlia_theory
from shoal_sim.theory import paths as paths_theory
from shoal_sim.theory import storage as storage_theory
from shoal_sim.validation.target import Effort, Outcome, Target
from shoal_sim.vector import disclosure, eclipse, kademlia, paths, storage

NETWORKS: Final = 40
STUDENT: Final = 2.708  # 99.5 % quantile of Student's t, 39 degrees of freedom
NORMAL: Final = 2.576  # 99.5 % quantile
MILLION: Final = 1_000_000
LARGE: Final = 1_000  # contacts of a bucket, where the formula for large k is right to 0.001
RECURSION: Final = (
    "recursion over the nodes of a range (theory/hops.py), after IPTPS 2002, section 2"
)


def of_networks(values: NDArray[numpy.float64]) -> tuple[float, tuple[float, float]]:
    """Return the mean of ``NETWORKS`` networks and its interval."""
    mean = float(values.mean())
    half = STUDENT * float(values.std(ddof=1)) / math.sqrt(len(values))
    return mean, (mean - half, mean + half)


def outcome(
    case: str, what: str, expected: float, values: list[float], source: str, tolerance: float = 0.0
) -> Outcome:
    """Return the line of a figure of which each network gave one value."""
    mean = float(numpy.mean(values))
    return Outcome(case, what, expected, mean, metrics.interval(values, 0.99), source, tolerance)


def of_trials(hits: int, trials: int) -> tuple[float, tuple[float, float]]:
    """Return a share of independent trials and Wilson's interval."""
    share, z = hits / trials, NORMAL
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    half /= 1 + z * z / trials
    return share, (middle - half, middle + half)


def paths_all_corrupt(effort: Effort, seed: int) -> list[Outcome]:
    """Target 5: 100 relays, 20 corrupt, paths of four."""
    relays, corrupt, length = 100, 20, 4
    each = 200_000 if effort is Effort.FULL else 50_000
    wholly, ends = numpy.empty(NETWORKS), numpy.empty(NETWORKS)
    for i in range(NETWORKS):
        rng = numbers(seed, 5, i)
        drawn = paths.shares(paths.some_corrupt(relays, corrupt, rng), length, each, rng)
        wholly[i], ends[i] = drawn.wholly, drawn.both_ends
    value, interval = of_networks(wholly)
    end_value, end_interval = of_networks(ends)
    return [
        Outcome(
            "5.all",
            "probability that all 4 relays of a path are corrupt, 20 of 100",
            paths_theory.wholly(relays, corrupt, length),
            value,
            interval,
            "product of (B-i)/(N-i), draws without replacement",
        ),
        Outcome(
            "5.ends",
            "probability that the first and the last relay are corrupt, 20 of 100",
            paths_theory.both_ends(relays, corrupt),
            end_value,
            end_interval,
            "c(c-1)/(n(n-1)): (c/n)^2 of Syverson et al., Towards an Analysis of Onion Routing "
            "Security, 2000, 0.04 here, where no relay is twice on a path",
        ),
    ]


def kademlia_hops(effort: Effort, seed: int) -> list[Outcome]:
    """Target 6: networks of a million nodes, buckets of 20 and of 8; of 1,000 for large k."""
    count = 60_000 if effort is Effort.FULL else 10_000
    source = "Stutzbach and Rejaie, INFOCOM 2006"
    cases = ((20, 3.69), (8, 4.62))
    gains: dict[int, list[float]] = {k: [] for k, _ in (*cases, (LARGE, 0))}
    simple: dict[int, list[float]] = {k: [] for k, _ in cases}
    hops: dict[int, list[float]] = {k: [] for k, _ in cases}
    for i in range(million_networks(effort)):
        net = kademlia.network(MILLION, numbers(seed, 6, i))
        for k, _ in cases:
            ran = kademlia.lookups(net, count, k, numbers(seed, 6, i, k))
            gains[k].append(float(ran.first_gain.mean()))
            hops[k].append(float(ran.hops.mean()))
            again = kademlia.lookups(net, count, k, numbers(seed, 6, i, k, "again"), repeats=True)
            simple[k].append(float(again.hops.mean()))
        ran = kademlia.lookups(net, count // 20, LARGE, numbers(seed, 6, i, LARGE), repeats=True)
        gains[LARGE].append(float(ran.first_gain.mean()))
    outcomes = [
        outcome(
            f"6.bits{LARGE}",
            f"bits gained by a hop, k={LARGE}, by the formula for large k",
            kademlia_theory.bits_a_hop_about(LARGE),
            gains[LARGE],
            f"1.3327+log2 k: {source}",
        )
    ]
    for k, printed in cases:
        outcomes += [
            outcome(
                f"6.bits{k}",
                f"bits gained by a hop, k={k}",
                kademlia_theory.bits_a_hop(k),
                gains[k],
                f"1 + sum of 1-(1-2^-j)^k, the series behind 1.3327+log2 k of {source}",
            ),
            outcome(
                f"6.hops{k}",
                f"mean hops at 10^6 nodes, k={k}, contacts drawn with repetition",
                printed,
                simple[k],
                "simulated by an earlier prototype",
                tolerance=0.005,  # given to two digits
            ),
            outcome(
                f"6.hops{k}.buckets",
                f"mean hops at 10^6 nodes, k={k}, no contact twice in a bucket",
                hops_theory.expected(MILLION, k).hops,
                hops[k],
                RECURSION,
            ),
        ]
    return outcomes


def million_networks(effort: Effort) -> int:
    """Return how many networks of a million nodes are drawn."""
    return 10 if effort is Effort.FULL else 5


def disclosure_rounds(effort: Effort, seed: int) -> list[Outcome]:
    """Target 7: 20,000 receivers, batches of 1,000, 20 partners, three standard deviations."""
    receivers, batch, partners, deviations = 20_000, 1_000, 20, 3.0
    needed = math.ceil(disclosure_theory.rounds_needed(receivers, batch, partners, deviations))
    strangers, friends = [], []
    recalls = numpy.empty(NETWORKS)
    for i in range(NETWORKS):
        rng = numbers(seed, 7, i)
        recalls[i] = disclosure.recall(receivers, batch, partners, needed, rng)
        known = rng.permutation(receivers)[:partners]
        counts = disclosure.received_by(receivers, batch, known, needed, rng)
        friends.append(counts[known])
        strangers.append(numpy.delete(counts, known)[:2_000])
    apart = numpy.array(
        [
            (friend.mean() - stranger.mean())
            / (numpy.concatenate(friends).std() + numpy.concatenate(strangers).std())
            for friend, stranger in zip(friends, strangers, strict=True)
        ]
    )
    gap, gap_interval = of_networks(apart)
    recall, recall_interval = of_networks(recalls)
    source = "Danezis, Statistical Disclosure Attacks, SEC 2003, section 3"
    return [
        Outcome(
            "7.rounds",
            "rounds until partners stand out, N=20000, b=1000, m=20, l=3",
            1033.0,
            float(needed),
            (float(needed), float(needed)),
            source,
        ),
        Outcome(
            "7.apart",
            f"standard deviations between partners and strangers after {needed} rounds",
            deviations,
            gap,
            gap_interval,
            source,
        ),
        Outcome(
            "7.recall",
            f"share of partners among the 20 counted most often after {needed} rounds",
            0.98,
            recall,
            recall_interval,
            "simulated by an earlier prototype; normal approximation 0.985",
            tolerance=0.005,  # the figure is given to two digits
        ),
    ]


def eclipse_by_grinding(effort: Effort, seed: int) -> list[Outcome]:
    """Target 8: so many ground identities that half of the keys are hidden."""
    nodes, k = 1_000, 20
    ground = round(eclipse_theory.ground_needed(nodes, k))
    keys = 100_000 if effort is Effort.FULL else 20_000
    drawn = eclipse.keepers(nodes, ground, k, keys, numbers(seed, 8))
    value, interval = of_trials(int((drawn.ground == k).sum()), keys)
    source = "order of uniform positions; Singh et al., INFOCOM 2006"
    return [
        Outcome(
            "8.half",
            f"probability that a key is eclipsed, k=20, G={ground} ground against n={nodes}",
            eclipse_theory.eclipsed(nodes, ground, k),
            value,
            interval,
            f"product of (G-i)/(G+n-i), about [G/(G+n)]^k: {source}",
        ),
        Outcome(
            "8.identities",
            "identities to grind for a half, as a multiple of the honest, k=20",
            28.0,
            ground / nodes,
            (ground / nodes, ground / nodes),
            f"[G/(G+n)]^k = 1/2: {source}",
            tolerance=0.5,  # the figure is given as about 28
        ),
    ]


def storage_losses(effort: Effort, seed: int) -> list[Outcome]:
    """Target 9: copies that live 8 h in the mean, over 24 h."""
    records = 1_000_000 if effort is Effort.FULL else 300_000
    cases = (("none", 3, 24.0), ("hourly", 3, 1.0), ("hourly5", 5, 1.0))
    words = {"none": "no repair", "hourly": "hourly repair", "hourly5": "hourly repair"}
    outcomes = []
    for case, (name, copies, interval) in enumerate(cases):
        share = storage.simple(records, copies, 8.0, interval, 24.0, numbers(seed, 9, case))
        value, bounds = of_trials(round(share * records), records)
        outcomes.append(
            Outcome(
                f"9.{name}",
                f"share of records lost in 24 h, lives of 8 h, {copies} copies, {words[name]}",
                storage_theory.lost(copies, 8.0, interval, 24.0),
                value,
                bounds,
                "1-(1-(1-e^(-D/tau))^r)^(T/D): independent exponential lives, Bhagwan et al., "
                "NSDI 2004",
            )
        )
    return outcomes


def lookups_under_churn(effort: Effort, seed: int) -> list[Outcome]:
    """Target 10: half of all contacts dead, buckets of 8, networks of a million nodes.

    Contacts that each node has found dead for itself are stale, those of nodes that are dead for
    everybody come back in the next range: two questions, and two answers.
    """
    count = 100_000 if effort is Effort.FULL else 20_000
    k, dead = 8, 0.5
    stale_fails: list[float] = []
    stale_hops: list[float] = []
    fails: list[float] = []
    hops: list[float] = []
    for i in range(million_networks(effort)):
        net = kademlia.network(MILLION, numbers(seed, 10, i))
        ran = kademlia.lookups(net, count, k, numbers(seed, 10, i, "stale"), stale=dead)
        stale_fails.append(float(1 - ran.found.mean()))
        stale_hops.append(float(ran.hops[ran.found].mean()))
        answers = numbers(seed, 10, i, "dead").random(MILLION, dtype=numpy.float32) >= dead
        net = kademlia.at(net.positions, answers)
        ran = kademlia.lookups(net, count, k, numbers(seed, 10, i, "lookups"))
        fails.append(float(1 - ran.found.mean()))
        hops.append(float(ran.hops[ran.found].mean()))
    mean = float(numpy.mean(hops))
    said = hops_theory.expected(MILLION, k, dead)
    return [
        outcome(
            "10.stale",
            "share of lookups that fail, k=8, half of all contacts stale, of each node others",
            0.0190,
            stale_fails,
            "simulated by an earlier prototype; 1-(1-p^k)^hops at the 4.62 hops of a network "
            "where everybody lives: 0.0179",
            tolerance=0.000_05,  # given to four digits
        ),
        outcome("10.stale.recursion", "the same", said.fails, stale_fails, RECURSION),
        outcome("10.stale.hops", "mean hops of those that find", said.hops, stale_hops, RECURSION),
        outcome(
            "10.dead",
            f"share of lookups that fail, k=8, half of all nodes dead for all, {mean:.2f} hops",
            kademlia_theory.lookup_fails(dead, k, mean),
            fails,
            "1-(1-p^k)^hops, k independent contacts a hop",
        ),
    ]


TARGETS: Final = (
    Target("5", paths_all_corrupt),
    Target("6", kademlia_hops),
    Target("7", disclosure_rounds),
    Target("8", eclipse_by_grinding),
    Target("9", storage_losses),
    Target("10", lookups_under_churn),
)
