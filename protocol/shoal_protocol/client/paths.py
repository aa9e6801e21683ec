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
    if a is b or a.relay_id == b.relay_id:
        return True
    if not params.distinct_subnets:
        return False
    if a.family and a.family == b.family:
        return True
    return not a.subnets.isdisjoint(b.subnets)


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
        out = self._between(self._guard, service)
        back = self._between(self._guard, service)
        if out is None or back is None:
            return None
        return RoundTrip((self._guard, *out, service), (*back, self._guard))

    @cached_property
    def services(self) -> list[Descriptor]:
        """The relays that may be asked from behind this guard."""
        return [relay for relay in self._relays if not conflict(self._guard, relay, self._params)]

    def any_service(self) -> Descriptor | None:
        """Draw a relay to ask for something that every relay does."""
        return self._draw([self._guard], self._relays)

    def _between(self, *ends: Descriptor) -> list[Descriptor] | None:
        taken = list(ends)
        for layer in self.layers:
            relay = self._draw(taken, layer) or self._stand_in(taken)
            if relay is None:
                return None
            taken.append(relay)
        return taken[len(ends) :]

    def _stand_in(self, taken: list[Descriptor]) -> Descriptor | None:
        """Draw for a layer of which nobody may stand beside ``taken``."""
        active = [relay for layer in self.layers for relay in layer]
        return self._draw(taken, active) or self._draw(taken, self._relays)

    def _draw(self, taken: list[Descriptor], relays: Sequence[Descriptor]) -> Descriptor | None:
        """Draw evenly from what may stand beside ``taken``: by rejection while that is quick."""
        for _ in range(min(_DRAWS, len(relays))):
            relay = self._rng.choice(relays)
            if self._fits(relay, taken):
                return relay
        allowed = [relay for relay in relays if self._fits(relay, taken)]
        return self._rng.choice(allowed) if allowed else None

    def _fits(self, relay: Descriptor, taken: list[Descriptor]) -> bool:
        for other in taken:  # noqa: SIM110  a generator costs twice as much, thrice a packet
            if conflict(relay, other, self._params):
                return False
        return True


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
    epoch = clock.index_of(now, params.epoch_s)
    result: list[Hop] = []
    for place, relay in enumerate(way):
        delay = round(rng.exponential(mean_delay_ms)) if place < mixes else 0
        key = relay.mix_key(epoch)
        assert key is not None, "the way holds usable relays only"
        result.append(Hop(relay.relay_id, epoch, key, min(delay, params.max_hop_delay_ms)))
    return result
