"""Bandwidth and waiting in, a preset out; the node's three come from ``BUDGETS``.

::

    GB a month ──────────► λ at most ─────────────┐
    p95 one way ─────────► mean delay at most ────┼─► preferred numbers within all of them
    GETs keep up with PUTs ► quick share at most ─┤        └─► those of most bits
    GETs that wait at once ► their wait at least ─┘

Bits are those of ``client/crowd``: of a watcher of all links who cannot see into the last two
mixes, one's own packets taken out. They grow with λ·d alike, so bandwidth goes into λ, and into
d what latency leaves. How many slots are quick and how long a GET waits gives no bits of itself:
more quick slots shorten the way, and limits hold them.

1. A box costs its writer a PUT at each of K replicas, and its reader one GET while boxes flow
   and two while each is waited for (client/following), 3/2 in the middle: whoever reads as much
   as they write has (1 − q) / (3/2) ≥ q / K.
2. As many GETs of something real may wait as a person sends packets in five seconds, or as an
   inbox and one conversation take: K and four. A GET waits no longer than that asks for: one
   that was lost leaves its stream deaf in one place for as long.
3. The wait's mean is a third of the network's cap at most, and a delay's a tenth of its own, so
   that hardly any is cut and shows.

A preset is written in preferred numbers (ISO 3, series R″10), ten steps to a power of ten: more
figures would say what the mean of a link, 42 ms, does not hold.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from shoal_protocol.client import active, crowd, latency
from shoal_protocol.client.readings import GETS_OF_STREAM
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import MAIN, PRESETS, NetworkParameters, Preset
from shoal_sim.predictions import gb_per_month
from shoal_sim.theory import mixing

PREFERRED: Final = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)  # ISO 3, R″10
SHARES: Final = tuple(Fraction(n, m) for n, m in ((1, 2), (3, 5), (2, 3), (3, 4), (4, 5)))
GETS_OF_BOX: Final = Fraction(3, 2)  # that a reader asks
AT_ONCE_S: Final = 5  # so many seconds' packets are the GETs that may wait
LATE: Final = 0.95  # of messages take less than what is given
RELAYS: Final = 100
_MOST_RATE: Final = 10_000.0  # packets a second that anybody is advised


@dataclass(frozen=True, slots=True)
class Budget:
    """What a person gives: 10^9 bytes in 30 days, up and down together, and ms of p95 one way."""

    gb_per_month: float
    latency_ms: float


BUDGETS: Final = {
    "saver": Budget(4, 22_000),  # a small mobile contract; a post box that is there
    "balanced": Budget(64, 1_800),  # 2.1 GB a day at home; a chat
    "fast": Budget(160, 1_000),  # a second: what feels like an answer
}


@dataclass(frozen=True, slots=True)
class Tuned:
    """What two budgets buy.

    Args:
        preset: named ``tuned``.
        bits: of who sent a packet, to a watcher of all links.
        gb_per_month: that it takes.
        p50_ms, p95_ms: one way.
        slot_ms, mixes_ms, links_ms: what the mean of it is made of.
        active: relays that mix, guards aside.
        pool: packets in one of them.
    """

    preset: Preset
    bits: float
    gb_per_month: float
    p50_ms: float
    p95_ms: float
    slot_ms: float
    mixes_ms: float
    links_ms: float
    active: int
    pool: float


def tune(
    budget: Budget, people: int, relays: int = RELAYS, params: NetworkParameters = MAIN
) -> Tuned:
    """Return what gives the most bits within a budget; of equals the cheaper, then the quicker.

    Raises:
        UserError: nobody is there to hide among, or nothing is within the budget.
    """
    if people < 2:
        raise UserError("One person has nobody to hide among; give at least two people.")
    found = [(bits(one, people, relays, params)[0], one) for one in candidates(budget, params)]
    if not found:
        raise UserError(_impossible(budget, params))
    _, best = max(
        found,
        key=lambda pair: (round(pair[0], 6), -pair[1].rate, pair[1].quick_share),
    )
    return price(best, people, relays, params)


def candidates(budget: Budget, params: NetworkParameters = MAIN) -> Iterator[Preset]:
    """Yield all presets in preferred numbers within a budget, of the last power of ten in λ."""
    most = _most(budget, params)
    for rate in preferred(most / 10, most):
        for share, wait_ms in _slots(rate, params):
            for delay_ms in _delays(params):
                one = Preset("tuned", rate, delay_ms, share, wait_ms)
                if _within(budget.latency_ms, one, params) < LATE:
                    break
                yield one


def price(
    preset: Preset, people: int, relays: int = RELAYS, params: NetworkParameters = MAIN
) -> Tuned:
    """Return what a preset costs and gives among so many people."""
    way = _slot_ms(preset), 2 * params.path_mixes, float(preset.mean_delay_ms)
    links = links_ms(params)
    known, drawn, pool = bits(preset, people, relays, params)
    return Tuned(
        preset,
        known,
        gb_per_month(preset.rate, params),
        links + mixing.sent_quantile(0.5, *way),
        links + mixing.sent_quantile(LATE, *way),
        way[0],
        way[1] * way[2],
        links,
        drawn,
        pool,
    )


def bits(
    preset: Preset, people: int, relays: int, params: NetworkParameters = MAIN
) -> tuple[float, int, float]:
    """Return the bits of who sent a packet, how many relays mix, and the pool at one of them.

    The active set is the protocol's, with as many relays in each layer as it has in the mean.
    """
    layers = params.path_mixes - 1  # behind the guard, who knows whom it serves
    layer = relays / layers
    if layer < params.active_least:  # all serve in every layer
        each, serving = layers / relays, relays
    else:
        wanted = active.wanted(people * preset.rate, params)
        drawn = max(params.active_least, layer / 2 ** active.halvings(int(layer), wanted))
        each, serving = 1 / drawn, round(layers * drawn)
    pool, known = crowd.among(people * preset.rate, preset, relays, (each,) * layers)
    return known, serving, pool


def nearest(preset: Preset) -> Preset:
    """Return the node's preset that is nearest in rate and delay, in factors."""

    def apart(other: Preset) -> float:
        rate = math.log(other.rate / preset.rate)
        return math.hypot(rate, math.log(other.mean_delay_ms / preset.mean_delay_ms))

    return min(PRESETS.values(), key=apart)


def links_ms(params: NetworkParameters = MAIN) -> float:
    """Return what the links of a request's way and of a reply's take."""
    return 2 * (params.path_mixes + 1) * latency.link_ms(params)


def preferred(least: float, most: float) -> Iterator[float]:
    """Yield the preferred numbers from ``least`` to ``most``, both allowed, going up."""
    power = -9
    while (unit := 10.0**power) <= most:
        for figure in PREFERRED:
            number = float(f"{figure * unit:.2g}")
            if least <= number <= most * (1 + 1e-9):
                yield number
        power += 1


def _slots(rate: float, params: NetworkParameters) -> Iterator[tuple[float, int]]:
    """Yield shares of quick slots with the mean wait of a GET, ms, that go with a rate."""
    needed = max(round(AT_ONCE_S * rate), params.replicas + GETS_OF_STREAM)
    for share in SHARES:
        if (1 - share) / GETS_OF_BOX < share / params.replicas:
            continue
        for wait_s in preferred(1, params.get_wait_cap_ms / 3000):
            wait_ms = round(1000 * wait_s)
            if Preset("", rate, 0, float(share), wait_ms).outstanding_gets >= needed:
                yield float(share), wait_ms
                break


def _delays(params: NetworkParameters) -> Iterator[int]:
    for delay_ms in preferred(1, params.max_hop_delay_ms / 10):
        if delay_ms == int(delay_ms):
            yield int(delay_ms)


def _most(budget: Budget, params: NetworkParameters) -> float:
    """Return the packets a second that a budget pays for."""
    return min(_MOST_RATE, budget.gb_per_month / gb_per_month(1.0, params))


def _slot_ms(preset: Preset) -> float:
    return 1000 / (preset.rate * preset.quick_share)


def _within(latency_ms: float, preset: Preset, params: NetworkParameters) -> float:
    """Return the share of messages that take no longer than ``latency_ms``, one way."""
    left = latency_ms - links_ms(params)
    return mixing.sent_cdf(left, _slot_ms(preset), 2 * params.path_mixes, preset.mean_delay_ms)


def _impossible(budget: Budget, params: NetworkParameters) -> str:
    """Return the sentence that says what a budget lacks, and what would do."""
    links = links_ms(params)
    most = _most(budget, params)
    floor: list[tuple[float, float]] = []  # of each rate the least p95, ms
    for rate in preferred(most / 10, _MOST_RATE):
        quickest = max((share for share, _ in _slots(rate, params)), default=None)
        if quickest is not None:
            one = price(Preset("", rate, 1, quickest), 2, RELAYS, params)
            floor.append((rate, one.p95_ms))
    enough = next((rate for rate, least in floor if least <= budget.latency_ms), None)
    mine = [least for rate, least in floor if rate <= most]
    given = f"{budget.gb_per_month:g} GB a month and {budget.latency_ms:g} ms are too little: "
    more = "" if enough is None else f"{_up(gb_per_month(enough, params)):g} GB a month"
    if not mine:
        need = more or f"{_up(gb_per_month(floor[0][0], params)):g} GB a month"
        return f"{given}too few GETs can wait for an inbox and a conversation; give {need}."
    later = f"{_up(min(mine)):g} ms"
    why = f"links take {links:.0f} ms, and the wait for a slot the rest"
    return f"{given}{why}; give {f'{more} or {later}' if more else later}."


def _up(value: float) -> float:
    """Return a number with two figures that is no less."""
    digits = float(f"{value:.1e}")
    return digits if digits >= value else float(f"{value * 1.05:.1e}")
