"""Which relays an envelope crosses; protocol.md "Paths, guards and cover"; spec: client §1.

::

    forward  person ─► G ─► A ─► B ─► S          G the guard, S the relay asked
    reply    person ◄─ G ◄─ B′ ◄─ A′ ◄─ S

A and A′ are drawn evenly from the relays of layer 0, B and B′ from those of layer 1
(:mod:`~shoal_protocol.client.active`), one after the other, from all that may stand beside
what is there; where nobody of a layer may, from all active relays, and then from all. No
relay stands twice on a way, and where the network's parameters ask for it no two share a
family or a subnet (/16 of IPv4, /32 of IPv6).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from shoal_protocol import clock
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.packets.keys import Hop
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng
from shoal_protocol.values import value

_DRAWS: Final = 16  # at random before all that may stand at a place are listed


@value
class RoundTrip:
    """The relays of a request and of its reply, each in the order of travel."""

    forward: tuple[Descriptor, ...]
    reply: tuple[Descriptor, ...]


def conflict(a: Descriptor, b: Descriptor, params: NetworkParameters) -> bool:
    """Whether ``a`` and ``b`` may not stand on one way."""
    if params.distinct_subnets:
        return not a.ties.isdisjoint(b.ties)
    return a.relay_id == b.relay_id


def usable(relays: Sequence[Descriptor], now: int, params: NetworkParameters) -> list[Descriptor]:
    """Return the relays whose mix key of the present epoch is known."""
    epoch = clock.index_of(now, params.epoch_s)
    return [relay for relay in relays if relay.mix_key(epoch) is not None]


class PathChooser:
    """Draws ways through ``relays`` (all usable) for a person behind ``guard``.

    Args:
        layers: the active relays by layer, read anew at each draw; all relays without.
    """

    def __init__(
        self,
        relays: Sequence[Descriptor],
        guard: Descriptor,
        *,
        params: NetworkParameters,
        rng: Rng,
        layers: Sequence[Sequence[Descriptor]] | None = None,
    ) -> None:
        self.layers = layers or [relays] * (params.path_mixes - 1)
        self._relays = relays
        self._guard = guard
        self._params = params
        self._rng = rng

    def round_trip(self, service: Descriptor) -> RoundTrip | None:
        """Draw the ways to and from one of ``services``; None when the relays do not suffice."""
        guard = self._guard
        ends = guard.ties | service.ties
        out, back = self._between(ends), self._between(ends)
        if out is None or back is None:
            return None
        return RoundTrip((guard, *out, service), (*back, guard))

    @cached_property
    def services(self) -> list[Descriptor]:
        """The relays that may be asked from behind this guard."""
        return [relay for relay in self._relays if not conflict(self._guard, relay, self._params)]

    def any_service(self) -> Descriptor | None:
        """Draw a relay to ask for something that every relay does."""
        return self._draw(self._guard.ties, self._relays)

    def _between(self, taken: frozenset[bytes]) -> list[Descriptor] | None:
        """Draw a relay of each layer for a way on which the ``ties`` of others are ``taken``."""
        drawn: list[Descriptor] = []
        for layer in self.layers:
            relay = self._draw(taken, layer) or self._stand_in(taken)
            if relay is None:
                return None
            drawn.append(relay)
            taken |= relay.ties
        return drawn

    def _stand_in(self, taken: frozenset[bytes]) -> Descriptor | None:
        """Draw for a layer of which nobody may stand beside who has ``taken``."""
        active = [relay for layer in self.layers for relay in layer]
        return self._draw(taken, active) or self._draw(taken, self._relays)

    def _draw(self, taken: frozenset[bytes], relays: Sequence[Descriptor]) -> Descriptor | None:
        """Draw evenly from what may stand beside ``taken``: by rejection while that is quick."""
        distinct, draw = self._params.distinct_subnets, self._rng.choice
        for _ in range(min(_DRAWS, len(relays))):
            relay = draw(relays)
            if taken.isdisjoint(relay.ties) if distinct else relay.relay_id not in taken:
                return relay
        allowed = [
            relay
            for relay in relays
            if (taken.isdisjoint(relay.ties) if distinct else relay.relay_id not in taken)
        ]
        return draw(allowed) if allowed else None


def hops(
    way: Sequence[Descriptor],
    mixes: int,
    mean_delay_ms: int,
    *,
    now: int,
    params: NetworkParameters,
    rng: Rng,
) -> list[Hop]:
    """Turn a way into hops; the first ``mixes`` delay exponentially, the rest not at all."""
    epoch, cap = clock.index_of(now, params.epoch_s), params.max_hop_delay_ms
    delays = [round(drawn) for drawn in rng.exponentials(mean_delay_ms, min(mixes, len(way)))]
    result: list[Hop] = []
    delays += [0] * (len(way) - mixes)
    for relay, delay in zip(way, delays, strict=True):
        key = relay.mix_key(epoch)
        assert key is not None, "the way holds usable relays only"
        result.append(Hop(relay.relay_id, epoch, key, delay if delay < cap else cap))
    return result
