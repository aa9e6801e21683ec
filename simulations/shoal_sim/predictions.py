"""What closed forms say of a scenario, without drawing anything.

::

    scenario ─► predict ─► bits, latency, bandwidth, corrupt paths        formulas of theory/

Bits are those of a watcher of all links while every relay mixes: an upper bound that the
vector tier comes close to where pools are large.
"""

import math
from typing import Any, Final

from shoal_protocol.client import latency
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import MAIN, NetworkParameters
from shoal_sim.scenario import Scenario
from shoal_sim.theory import kademlia, mixing, paths

MONTH_S: Final = 30 * 86_400


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


def _link_s(scenario: Scenario) -> float:
    links = scenario.links
    jitter = links.jitter_ms / 2 if links.model == "fixed" else 0.0
    return (links.latency_ms + jitter) / 1000


def rounded(value: Any) -> Any:
    """Return a number as JSON has it: what is not finite is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
