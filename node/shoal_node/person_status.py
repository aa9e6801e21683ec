"""What a person's node says of its own traffic, of the crowd, and of what is wrong.

::

    preset ─► backend.Traffic        packets, bandwidth, waiting: what the preset costs
    directory ─► Crowd ─┬─► crowd, entropy_bits
                        └─► warnings
"""

from collections.abc import Mapping
from typing import Final

from shoal_node.api import backend
from shoal_protocol.client import latency
from shoal_protocol.client.crowd import Crowd
from shoal_protocol.parameters import NetworkParameters, Preset

FEW_RELAYS: Final = 20  # below it the node warns
LOW_OVERLAP: Final = 0.9  # of the guards' views of the directory

_DAY_S: Final = 86_400
_KB: Final = 1_000
_GB: Final = 10**9


def traffic(preset: Preset, params: NetworkParameters) -> backend.Traffic:
    """Return what a preset costs and gives on this network, from the parameters alone."""
    each_way = preset.rate * params.packet_bytes  # bytes a second
    return backend.Traffic(
        preset=preset.name,
        packets_per_s=preset.rate,
        mean_delay_ms=preset.mean_delay_ms,
        quick_share=round(preset.quick_share, 3),
        waiting_gets=preset.outstanding_gets,
        up_kb_per_s=round(each_way / _KB, 2),
        down_kb_per_s=round(each_way / _KB, 2),
        gb_per_day=round(2 * each_way * _DAY_S / _GB, 2),
        link_ms=latency.link_ms(params),
        latency_ms=backend.Latency(*(round(ms, 1) for ms in latency.expected(preset, params))),
    )


def warnings(
    network: str,
    relays: int,
    overlap: float,
    crowd: Crowd | None,
    store: str | None,
    *,
    apart: bool = False,
) -> Mapping[str, str]:
    """Return whole sentences for the person by a fixed code, the gravest first.

    Args:
        network: its name.
        relays: how many are known.
        overlap: the share of them that all guards' directories hold.
        crowd: the estimate, if there is one.
        store: the store's own warning.
        apart: whether relays asked through the onion know others than this node does.
    """
    found: dict[str, str] = {} if store is None else {"store": store}
    if network.startswith("lab"):
        found["lab"] = (
            "This is a lab network: whoever runs it sees everything, and it hides nobody."
        )
    if crowd is not None and crowd.warning is not None:
        found["crowd"] = crowd.warning
    if not relays:
        found["no_relay"] = (
            "No relay has answered yet: check that the addresses given by --bootstrap are "
            "right and that one of those relays runs."
        )
    elif relays < FEW_RELAYS:
        known = "relay is" if relays == 1 else "relays are"
        found["few_relays"] = f"Only {relays} {known} known: a crowd this small hides nobody."
    if overlap < LOW_OVERLAP:
        found["guards"] = (
            "The guards show different directories: one of them may be lying to this node."
        )
    if apart:
        found["views"] = (
            "Relays asked at random know other relays than this node's guards show: the guards "
            "may be leading it to relays of their own."
        )
    return found
