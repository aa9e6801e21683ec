"""The few relays that a person's node ever talks to; spec: client §3.

::

    sampled ──► primary ──(link lost, dial failed)──► resting ──(backoff over)──► sampled
       └──(lifetime over, leaving, or fails and is in no directory)──► dropped

Three guards are sampled once and kept for 60 to 120 days each, so that a watcher who
waits at the relays needs long (Tor's guard specification). Packets cross the first that
works; the directory comes from all. Only a guard that fails gives way to the next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from shoal_protocol import clock, wire
from shoal_protocol.client import paths
from shoal_protocol.constants import RELAY_ID_LENGTH
from shoal_protocol.directory import subnets
from shoal_protocol.directory.addresses import MAX_FULL_ADDRESS
from shoal_protocol.directory.descriptor import MAX_ADDRESSES, Descriptor
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng

_REST_FIRST: Final = 2 * clock.SECOND
_REST_LONGEST: Final = 600 * clock.SECOND


@dataclass(frozen=True, slots=True)
class KeptGuard:
    """One sampled guard as it is kept between sessions."""

    relay_id: Annotated[bytes, wire.exactly(RELAY_ID_LENGTH)]
    addresses: Annotated[
        tuple[Annotated[str, wire.Size(1, MAX_FULL_ADDRESS)], ...], wire.Size(1, MAX_ADDRESSES)
    ]
    until: Annotated[int, wire.U64]  # ns; when its life ends


@dataclass(frozen=True, slots=True)
class KeptGuards:
    """The sample in its order of use."""

    guards: Annotated[tuple[KeptGuard, ...], wire.Size(0, 16)]


_CODEC: Final = wire.Codec(KeptGuards, limit=16_384)


@dataclass(slots=True)
class _Guard:
    kept: KeptGuard
    rest_until: int = 0
    failures: int = 0


class GuardSet:
    """The guards of one person's node.

    Args:
        kept: what :meth:`dump` gave in an earlier session, or None.
    """

    def __init__(self, params: NetworkParameters, rng: Rng, kept: bytes | None = None) -> None:
        self._params = params
        self._rng = rng
        self._guards: list[_Guard] = []
        if kept is not None:
            try:
                self._guards = [_Guard(guard) for guard in _CODEC.decode(kept).guards]
            except RemoteProtocolError:
                self._guards = []  # a damaged file: sample anew rather than fail to start

    def dump(self) -> bytes:
        """Return the sample as bytes to keep."""
        return _CODEC.encode(KeptGuards(tuple(guard.kept for guard in self._guards)))

    def guards(self) -> list[KeptGuard]:
        """Return the sample in its order of use."""
        return [guard.kept for guard in self._guards]

    def current(self, now: int) -> KeptGuard | None:
        """Return the first guard that is not resting, or None."""
        return next((guard.kept for guard in self._guards if guard.rest_until <= now), None)

    def next_deadline(self, now: int) -> int | None:
        """When the next resting guard is back."""
        return min((g.rest_until for g in self._guards if g.rest_until > now), default=None)

    def replenish(self, relays: Sequence[Descriptor], now: int) -> bool:
        """Drop guards whose life is over and sample up to the number; True when changed."""
        before = [guard.kept for guard in self._guards]
        self._guards = [guard for guard in self._guards if guard.kept.until > now]
        by_id = {relay.relay_id: relay for relay in relays}
        for relay in self._rng.sample(relays, len(relays)):
            if len(self._guards) >= self._params.guards:
                break
            if not all(self._goes_with(relay, guard.kept, by_id) for guard in self._guards):
                continue
            least, most = self._params.guard_life_min_s, self._params.guard_life_max_s
            life = clock.seconds(least + (most - least) * self._rng.uniform())
            kept = KeptGuard(relay.relay_id, tuple(relay.addresses), now + life)
            self._guards.append(_Guard(kept))
        return before != [guard.kept for guard in self._guards]

    def _goes_with(
        self, relay: Descriptor, kept: KeptGuard, by_id: dict[bytes, Descriptor]
    ) -> bool:
        if relay.relay_id == kept.relay_id:
            return False
        other = by_id.get(kept.relay_id)
        if other is not None:
            return not paths.conflict(relay, other, self._params)
        if not self._params.distinct_subnets:
            return True
        return relay.subnets.isdisjoint(subnets.wide(kept.addresses))

    def replace_vanished(
        self, relays: Sequence[Descriptor], now: int, *, leaving: Iterable[Descriptor] = ()
    ) -> bool:
        """Let guards give way that fail and are in no directory, or are leaving; True if changed.

        A guard that says it leaves has no more power over whom one turns to than one that fails.
        """
        present = {relay.relay_id for relay in relays}
        going = {relay.relay_id for relay in leaving}
        stay = [
            guard
            for guard in self._guards
            if guard.kept.relay_id not in going
            and (guard.kept.relay_id in present or not guard.failures)
        ]
        if len(stay) == len(self._guards):
            return False
        self._guards = stay
        self.replenish(relays, now)
        return True

    def failed(self, relay_id: bytes, now: int) -> None:
        """Note that the link to a guard was lost or could not be made."""
        for guard in self._guards:
            if guard.kept.relay_id == relay_id:
                rest = min(_REST_FIRST << min(guard.failures, 16), _REST_LONGEST)
                guard.rest_until = now + round(rest * (0.75 + self._rng.uniform() / 2))
                guard.failures += 1

    def works(self, relay_id: bytes) -> None:
        """Note that a guard carried a packet there and back."""
        for guard in self._guards:
            if guard.kept.relay_id == relay_id:
                guard.failures = 0
                guard.rest_until = 0
