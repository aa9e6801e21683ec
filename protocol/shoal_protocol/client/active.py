"""The active set: which relays mix in an epoch, so that packets meet; spec: client §1.1.

::

    H(network, epoch, relay) = lot ─┬─► low 32 bits mod layers ─► its layer
                                    └─► high 32 bits < 2^(32−j) ─► whether it is active
    classes of traffic ─► R requests a second ─► wanted = max(1, ⌊R·d/pool⌋) ─► j of each layer

A pool, packets a second times delay, is what hides: relays beyond what traffic fills take
anonymity away. Every way crosses layer 0 (A, A′) once and layer 1 (B, B′) once, as does every
reply: of R requests a second R·d wait in a layer on their way up, and as many replies beside.
Sets are nested in j and never chosen by rank: who counts more traffic than another, or knows
a relay more, uses the same relays and some besides, or some less.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.directory import traffic
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import NetworkParameters

MOST_OF_MEDIAN: Final = 2.0  # times the median of all relays, that one counts for at most
LOT_BITS: Final = 64

_HALF: Final = 32  # bits of a lot that say the layer, and as many that say who is active
_LABEL: Final = b"active relay"


@dataclass(frozen=True, slots=True)
class ActiveSet:
    """The relays of an epoch.

    Args:
        layers: those of which A and A′, B and B′ … are drawn; all relays in each when there
            are too few for layers.
        apart: whether no relay is of two layers.
    """

    layers: tuple[Sequence[Descriptor], ...]
    apart: bool

    @property
    def shares(self) -> tuple[float, ...]:
        """What a mix of each layer gets of the packets that go one way, at all its places."""
        places = 1 if self.apart else len(self.layers)
        return tuple(places / len(layer) if layer else 0.0 for layer in self.layers)


def draw(
    relays: Sequence[Descriptor], classes: Sequence[int], epoch: int, params: NetworkParameters
) -> ActiveSet:
    """Draw the active set of ``epoch`` from the ``relays`` that are usable.

    Args:
        classes: of traffic, one for each live relay, in any order.
    """
    lots = [lot(params.hash, epoch, relay.relay_id) for relay in relays]
    chosen = pick(lots, wanted(requests(classes), params), params)
    if chosen is None:
        return ActiveSet((relays,) * (params.path_mixes - 1), apart=False)
    layers = tuple([relays[place] for place in layer] for layer in chosen)
    return ActiveSet(layers, apart=True)


def requests(classes: Sequence[int]) -> float:
    """Return the requests a second of all relays, none counted beyond twice the median."""
    if not classes:
        return 0.0
    rates = [traffic.per_second(each) for each in classes]
    most = MOST_OF_MEDIAN * statistics.median(rates)
    return sum(min(rate, most) for rate in rates)


def wanted(rate: float, params: NetworkParameters) -> int:
    """Return how many mixes of a layer ``rate`` requests a second fill; one for none.

    While no relay says that it is asked anything the set is the smallest: who knows less
    traffic than others then mixes among them, where the others' larger set would be all
    one's own.
    """
    return max(1, int(rate * params.active_delay_ms / 1000 / params.active_pool))


@lru_cache(maxsize=16_384)
def lot(network: bytes, epoch: int, relay_id: bytes) -> int:
    """Return the 64 bits that decide a relay's layer and membership in an epoch."""
    return int.from_bytes(crypto.kdf(_LABEL, network, epoch.to_bytes(8), relay_id, size=8))


def layer_of(lot: int, layers: int) -> int:
    """Return the layer of a relay with this lot."""
    return (lot & (1 << _HALF) - 1) % layers


def member(lot: int, halvings: int) -> bool:
    """Whether a relay with this lot is active when the set is halved ``halvings`` times."""
    return lot >> _HALF < 1 << (_HALF - halvings)


def halvings(count: int, wanted: int) -> int:
    """Return the largest j ≥ 0 with count · 2^−j ≥ wanted; 0 when there is none."""
    return min(_HALF, max(0, (count // wanted).bit_length() - 1))


def pick(lots: Sequence[int], wanted: int, params: NetworkParameters) -> list[list[int]] | None:
    """Return the places in ``lots`` of each layer's active relays, in order.

    Where fewer than ``active_least`` of a layer qualify, its j falls until they do.

    Returns:
        None when a layer has too few relays at all: then all serve in every layer.
    """
    count = params.path_mixes - 1
    everybody: list[list[int]] = [[] for _ in range(count)]
    for place, one in enumerate(lots):
        everybody[layer_of(one, count)].append(place)
    if any(len(layer) < params.active_least for layer in everybody):
        return None
    return [_active(lots, layer, wanted, params.active_least) for layer in everybody]


def _active(lots: Sequence[int], layer: Sequence[int], wanted: int, least: int) -> list[int]:
    j = halvings(len(layer), wanted)
    while True:
        found = [place for place in layer if member(lots[place], j)]
        if len(found) >= least or j == 0:
            return found
        j -= 1
