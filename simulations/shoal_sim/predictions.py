"""What closed forms say of a scenario, without drawing anything, and the presets they advise.

::

    scenario ─► predict ─► bits, latency, bandwidth, corrupt paths        formulas of theory/
    bandwidth, latency ─► tune ─► rate λ, mean delay: all of both budgets

Bits are those of a watcher of all links while every relay mixes: an upper bound that the
vector tier comes close to where pools are large.

Tuning needs no search. A watcher lacks log2 Λ + h(Erlang(L, μ))/ln 2 bits (theory/mixing),
which grows with the rate and with the delay alike. So the rate is all that the bandwidth pays
for, and the delay is all that the latency leaves when the wait for a slot, which a higher rate
shortens, and the links have taken their part.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

from shoal_protocol.client import latency
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import MAIN, NetworkParameters, Preset
from shoal_sim.scenario import Scenario
from shoal_sim.theory import kademlia, mixing, paths

MONTH_S: Final = 30 * 86_400
QUICK_SHARE: Final = 2 / 3  # of slots, as in the node's presets


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best that two budgets buy.

    Args:
        rate: packets up a second.
        mean_delay_ms: at each mix.
        bits: of a sender or receiver, at most.
        slot_ms, mixing_ms, links_ms: what the mean latency is made of, one way.
    """

    rate: float
    mean_delay_ms: float
    bits: float
    slot_ms: float
    mixing_ms: float
    links_ms: float


def predict(scenario: Scenario) -> dict[str, float]:
    """Return what formulas say of one configuration, by the names of the vector tier's metrics.

    Raises:
        UserError: nobody sends.
    """
    network, params = scenario.network, scenario.network.protocol
    preset = scenario.traffic.chosen
    people = round(network.people * scenario.traffic.online)
    if people < 1 or not preset.mean_delay_ms:
        raise UserError("Closed forms need somebody online and a mixing delay above 0.")
    delay_s, layered = preset.mean_delay_ms / 1000, network.layout == "layers"
    mixes = network.layers if layered else params.path_mixes
    bits = mixing.person_entropy(people, preset.rate, mixes, delay_s)
    link_s = 0.0 if scenario.links.model in ("file", "coordinates") else _link_s(scenario)
    found = {
        "sender_entropy_bits": bits,
        "receiver_entropy_bits": bits,
        "pool_mean": mixing.pool_mean(people * preset.rate, delay_s)
        * (mixes if layered else 2 * mixes)
        / network.relays,
        "way_p50_ms": 1000 * mixing.latency_quantile(0.5, mixes, delay_s, (mixes + 1) * link_s),
        "way_p95_ms": 1000 * mixing.latency_quantile(0.95, mixes, delay_s, (mixes + 1) * link_s),
        "person_gb_per_month": gb_per_month(preset.rate, params),
        "lookup_hops": kademlia.hops_about(max(2, network.relays), params.dht_k),
    }
    if not layered:
        p50, p95 = latency.floor(preset, params)
        links_ms = 2000 * (mixes + 1) * link_s
        found |= {"latency_p50_ms": p50 + links_ms, "latency_p95_ms": p95 + links_ms}
    share = dict(scenario.adversary.keys).get("share")
    if isinstance(share, int | float) and not isinstance(share, bool):
        corrupt = round(share * network.relays)
        found |= {
            "path_all_corrupt_share": paths.wholly(network.relays, corrupt, mixes + 1),
            "path_both_ends_share": paths.both_ends(network.relays, corrupt),
        }
    return found


def gb_per_month(rate: float, params: NetworkParameters = MAIN) -> float:
    """Return what a person's packets take, up and down, 10^9 bytes in 30 days."""
    return 2 * rate * params.packet_bytes * MONTH_S / 1e9


def tune(
    budget_gb_per_month: float,
    latency_ms: float,
    people: int,
    params: NetworkParameters = MAIN,
    link_ms: float = latency.LINK_MS,
) -> Tuned:
    """Return the rate and delay that give the most bits within two budgets.

    Args:
        budget_gb_per_month: up and down together, 10^9 bytes.
        latency_ms: one way in the mean, from sending to the reader's node having it.

    Raises:
        UserError: the links and the wait for a slot alone take longer.
    """
    rate = budget_gb_per_month / gb_per_month(1.0, params)
    slot = 1000 / (rate * QUICK_SHARE)
    links = 2 * (params.path_mixes + 1) * link_ms
    left = latency_ms - slot - links
    if left < 1:
        raise UserError(
            f"{latency_ms:g} ms are too few: the wait for a slot takes {slot:.0f} ms at "
            f"{rate:.3g} packets/s, and the links take {links:.0f} ms. "
            "Give more bandwidth or more time."
        )
    delay = left / (2 * params.path_mixes)
    bits = mixing.person_entropy(people, rate, params.path_mixes, delay / 1000)
    return Tuned(rate, delay, bits, slot, left, links)


def mean_latency_ms(
    preset: Preset, params: NetworkParameters = MAIN, link_ms: float = latency.LINK_MS
) -> float:
    """Return the mean of what ``tune`` keeps within its budget: slot, mixes, links."""
    slot = 1000 / (preset.rate * preset.quick_share)
    return 2 * params.path_mixes * preset.mean_delay_ms + slot + links_ms(params, link_ms)


def links_ms(params: NetworkParameters, link_ms: float) -> float:
    """Return what all links of a request's and a reply's way take."""
    return 2 * (params.path_mixes + 1) * link_ms


def _link_s(scenario: Scenario) -> float:
    links = scenario.links
    jitter = links.jitter_ms / 2 if links.model == "fixed" else 0.0
    return (links.latency_ms + jitter) / 1000


def rounded(value: Any) -> Any:
    """Return a number as JSON has it: what is not finite is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
