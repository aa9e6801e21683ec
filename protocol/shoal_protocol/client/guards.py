"""The few relays that a person's node ever talks to; spec: client §3.

::

    sampled ──► in use ──(link lost, dial failed)──► resting ──(backoff over)──► in use
                  │ ▲
                  │ └──(back in the directory when one is wanted)── in reserve
                  └──(leaving, or fails and is in no directory)────────▲
    any ──(lifetime over)──► dropped

Three guards are sampled once and kept for 60 to 120 days each, so that a watcher who
waits at the relays needs long (Tor's guard specification). Packets cross the first that
works; the directory comes from all. Only a guard that fails gives way to the next. One
that gave way is asked back before a stranger is sampled, and no more than sixteen are
sampled in all while their lives last: else whoever makes guards fail one by one chooses them.
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

SAMPLED_MOST: Final = 16  # guards in use or in reserve; spec: client §3

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
    """Those in use in their order, then those in reserve."""

    guards: Annotated[tuple[KeptGuard, ...], wire.Size(0, SAMPLED_MOST)]


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
        self._reserve: list[KeptGuard] = []  # those that gave way and whose lives last
        if kept is not None:
            try:
                held = _CODEC.decode(kept).guards
            except RemoteProtocolError:
                held = ()  # a damaged file: sample anew rather than fail to start
            self._guards = [_Guard(guard) for guard in held[: params.guards]]
            self._reserve = list(held[params.guards :])

    def dump(self) -> bytes:
        """Return the sample as bytes to keep."""
        return _CODEC.encode(KeptGuards((*self.guards(), *self._reserve)))

    def guards(self) -> list[KeptGuard]:
        """Return those in use, in their order."""
        return [guard.kept for guard in self._guards]

    def current(self, now: int) -> KeptGuard | None:
        """Return the first guard that is not resting, or None."""
        return next((guard.kept for guard in self._guards if guard.rest_until <= now), None)

    def next_deadline(self, now: int) -> int | None:
        """When the next resting guard is back."""
        return min((g.rest_until for g in self._guards if g.rest_until > now), default=None)

    def replenish(self, relays: Sequence[Descriptor], now: int) -> bool:
        """Drop guards whose life is over and find up to the number; True when changed.

        Those in reserve that serve come first, then strangers at random.
        """
        before = (self.guards(), self._reserve)
        self._guards = [guard for guard in self._guards if guard.kept.until > now]
        self._reserve = [kept for kept in self._reserve if kept.until > now]
        by_id = {relay.relay_id: relay for relay in relays}
        for kept in tuple(self._reserve):
            relay = by_id.get(kept.relay_id)
            if relay is not None and self._fits(relay, by_id):
                self._reserve.remove(kept)
                self._guards.append(_Guard(kept))
        for relay in self._rng.sample(relays, len(relays)):
            if len(self._guards) + len(self._reserve) >= SAMPLED_MOST:
                break
            if relay.relay_id in {kept.relay_id for kept in self._reserve}:
                continue
            if not self._fits(relay, by_id):
                continue
            least, most = self._params.guard_life_min_s, self._params.guard_life_max_s
            life = clock.seconds(least + (most - least) * self._rng.uniform())
            kept = KeptGuard(relay.relay_id, tuple(relay.addresses), now + life)
            self._guards.append(_Guard(kept))
        return before != (self.guards(), self._reserve)

    def _fits(self, relay: Descriptor, by_id: dict[bytes, Descriptor]) -> bool:
        return len(self._guards) < self._params.guards and all(
            self._goes_with(relay, guard.kept, by_id) for guard in self._guards
        )

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
        self,
        relays: Sequence[Descriptor],
        now: int,
        *,
        listed: Iterable[Descriptor] = (),
        leaving: Iterable[Descriptor] = (),
    ) -> bool:
        """Let guards give way that fail and are in no directory, or are leaving; True if changed.

        A guard that says it leaves has no more power over whom one turns to than one that fails.

        Args:
            relays: that serve, to take others of.
            now: ns.
            listed: that are there without serving: too young, or out of their slot for a while.
            leaving: that say they leave.
        """
        present = {relay.relay_id for relay in (*relays, *listed)}
        going = {relay.relay_id for relay in leaving}
        stay = [
            guard
            for guard in self._guards
            if guard.kept.relay_id not in going
            and (guard.kept.relay_id in present or not guard.failures)
        ]
        if len(stay) == len(self._guards):
            return False
        gone = [guard.kept for guard in self._guards if guard not in stay]
        self._guards = stay
        self._reserve += gone
        self.replenish([relay for relay in relays if relay.relay_id not in going], now)
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
