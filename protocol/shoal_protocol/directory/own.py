"""A relay's own entry: its descriptor, made anew when something changes, and its lease.

::

    refresh ──► due ── timer ──► Persist(version) ── persisted ──► Publish(descriptor, lease)
                 ▲                                                     │
                 │ next epoch's keys, other addresses                  ├─ every lease_s/3 ──┐
                 └──────────────── refresh ────────────────────────────┴◄── Publish ────────┘

A version is durable before anything is signed under it: a crash between the two costs a
serial, never an equivocation. What a new epoch brings is published at a random time in the
epoch's first eighth, lest all relays speak at once; the descriptor before it holds that
epoch's key already. When an epoch's serials are used up, the next epoch is waited for.
spec: directory §5
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from shoal_protocol import clock
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import descriptor as descriptors
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.lease import sign_lease
from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng

RENEWALS: Final = 3  # of a lease while it lasts; spec: directory §5
RETRY_S: Final = 5  # before a version is asked for again
SPREAD: Final = 8  # a new epoch's descriptors come within this part of it; spec: directory §5


@dataclass(frozen=True, slots=True)
class Persist:
    """Make ``version`` durable, then call :meth:`OwnEntry.persisted`; asked again if it fails."""

    version: Version


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand both to :meth:`DirectorySync.publish`."""

    descriptor: bytes
    lease: bytes


Event = Persist | Publish


@dataclass(frozen=True, slots=True)
class Identity:
    """What stays the same about a relay.

    ``seed`` is its Ed25519 seed, ``nonce`` its identity's work, ``instance`` 16 random bytes
    made with its present storage; the rest as in :func:`descriptor.sign`.
    """

    seed: bytes
    nonce: bytes
    instance: bytes
    capacity: int = 0
    family: bytes = b""
    software: str = ""

    def __repr__(self) -> str:
        return "Identity(…)"


@dataclass(frozen=True, slots=True)
class _Content:
    addresses: tuple[str, ...]
    mix_keys: tuple[tuple[int, bytes], ...]
    capacity: int


class OwnEntry:
    """Makes one relay's descriptors and leases.

    Args:
        identity: what stays.
        params: the network's.
        rng: for when to publish.
        last: the version that was last made durable, or None in a new home.
        traffic: returns the class of the relay's traffic at an instant (ns).

    ``counters`` counts waits: "serials used up", "clock behind".
    """

    def __init__(
        self,
        identity: Identity,
        *,
        params: NetworkParameters,
        rng: Rng,
        last: Version | None,
        traffic: Callable[[int], int] = lambda _now: 0,
    ) -> None:
        self.counters: Final[Counter[str]] = Counter()
        self._identity = identity
        self._params = params
        self._rng = rng
        self._last = last
        self._traffic = traffic
        self._pending: Version | None = None
        self._content: _Content | None = None
        self._said: _Content | None = None
        self._descriptor = b""
        self._leaving = False
        self._due: int | None = None
        self._renew: int | None = None

    def refresh(
        self, addresses: Sequence[str], mix_keys: Sequence[tuple[int, bytes]], now: int
    ) -> list[Event]:
        """Say where the relay listens and which mix keys it accepts; call it when either changes.

        Args:
            addresses: 1 to 4.
            mix_keys: pairs (epoch, X25519 key), ascending, as the keyring gives them.
            now: ns.
        """
        capacity = descriptors.LEAVING if self._leaving else self._identity.capacity
        return self._say(_Content(tuple(addresses), tuple(mix_keys), capacity), now)

    def leave(self, now: int, *, leaving: bool = True) -> list[Event]:
        """Ask everybody to give this relay nothing new, or with ``leaving`` False to do so again.

        Before the first :meth:`refresh` it is only noted.
        """
        self._leaving = leaving
        if self._content is None:
            return []
        return self.refresh(self._content.addresses, self._content.mix_keys, now)

    def persisted(self, version: Version, now: int) -> list[Event]:
        """Sign and publish under ``version``, which is durable now."""
        if version != self._pending or self._content is None:
            raise LocalProtocolError("a version that wasn't asked for")
        self._pending, self._last, self._said, self._due = None, version, self._content, None
        if clock.index_of(now, self._params.epoch_s) > version.epoch:
            self._due = now + self._spread()  # the version's epoch has no room for the newest key
        identity = self._identity
        self._descriptor = descriptors.sign(
            identity.seed,
            version=version,
            addresses=self._said.addresses,
            mix_keys=[pair for pair in self._said.mix_keys if abs(pair[0] - version.epoch) <= 1],
            instance=identity.instance,
            nonce=identity.nonce,
            params=self._params,
            capacity=self._said.capacity,
            family=identity.family,
            software=identity.software,
        )
        return [self._publish(version, now)]

    def handle_timer(self, now: int) -> list[Event]:
        """Do what is due; harmless when called early."""
        events = list[Event]()
        if self._due is not None and self._due <= now:
            events += self._begin(now)
        if self._renew is not None and self._renew <= now and self._last is not None:
            events.append(self._publish(self._last, now))
        return events

    def next_deadline(self) -> int | None:
        """When :meth:`handle_timer` is next due, ns."""
        return min((time for time in (self._due, self._renew) if time is not None), default=None)

    def _say(self, content: _Content, now: int) -> list[Event]:
        if content == self._content:
            return []
        said, self._content = self._said, content
        if self._pending is None:
            self._due = now
            if said is not None and self._serves(said, now):
                self._due = now + self._spread()
        return self.handle_timer(now)

    def _begin(self, now: int) -> list[Event]:
        """Ask for a version; again after a while, if nobody says that it is durable."""
        self._due = now + RETRY_S * SECOND
        if self._pending is not None:
            return [Persist(self._pending)]
        epoch, last = clock.index_of(now, self._params.epoch_s), self._last
        if last is None or epoch > last.epoch:
            version = Version(epoch, 0)
        elif last.epoch > epoch + 1:
            return self._wait("clock behind", last.epoch - 1)
        elif last.serial + 1 >= self._params.serials_per_epoch:
            return self._wait("serials used up", last.epoch + 1)
        else:
            version = Version(last.epoch, last.serial + 1)
        self._pending = version
        return [Persist(version)]

    def _wait(self, label: str, epoch: int) -> list[Event]:
        self.counters[label] += 1
        self._due = epoch * self._params.epoch_s * SECOND
        return []

    def _publish(self, version: Version, now: int) -> Publish:
        params = self._params
        until = now // SECOND + params.lease_s
        third = params.lease_s * SECOND // RENEWALS
        self._renew = now + int(third * (0.9 + 0.1 * self._rng.uniform()))
        lease = sign_lease(
            self._identity.seed,
            version=version,
            until=until,
            params=params,
            traffic=self._traffic(now),
        )
        return Publish(self._descriptor, lease)

    def _spread(self) -> int:
        """Return how long what a new epoch brings waits, ns."""
        return int(self._rng.uniform() * (self._params.epoch_s * SECOND // SPREAD))

    def _serves(self, said: _Content, now: int) -> bool:
        """Return whether what was said is still right for the present epoch, so nobody waits."""
        content = self._content or said
        if (said.addresses, said.capacity) != (content.addresses, content.capacity):
            return False
        epoch = clock.index_of(now, self._params.epoch_s)
        kept = dict(said.mix_keys).get(epoch)
        return kept is not None and (epoch, kept) in content.mix_keys
