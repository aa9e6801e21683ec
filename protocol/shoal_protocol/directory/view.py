"""The relays that this node believes in: verified descriptors with their leases.

::

                     descriptor                  lease
    (nothing) ───────────────────► pending ─────────────────► live ◄─┐ newer descriptor,
        ▲                            │ 30 s                    │  └──┘ newer lease
        ├────────────────────────────┘                         │
        ├── lease ends, or epoch + 2 begins ───────────────────┤
        │                                                      │ same (epoch, serial),
        │                                                      ▼ other bytes
        └── epoch + 2 begins ──────────────────────────────  barred ──► live again by a
                                                                       descriptor of a later epoch

Everything is checked before anything changes: ``check_…`` verifies and mutates nothing,
``accept_…`` takes what was verified. What is merely old, known or out of time is skipped and
counted; only what no honest relay would pass on is an error. Who may mix, store and serve
the DHT is decided here once for all who ask, from ``tenure`` by ``roles``.
spec: directory §5, §7
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import descriptor as descriptors
from shoal_protocol.directory import envelope, roles, subnets
from shoal_protocol.directory import lease as leases
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.lease import Lease
from shoal_protocol.directory.lease_clock import LeaseClock
from shoal_protocol.directory.tenure import SOURCES_MOST, Tenure, Word
from shoal_protocol.directory.tree import DIGEST_LENGTH, BucketTree, Item
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters

MAX_RELAYS: Final = 16_384  # entries; spec: directory §7
PENDING_S: Final = 30  # a descriptor waits so long for its lease; spec: directory §5
LEASE_STEPS: Final = 6  # a lease that extends another by less than this part is not taken


class Need(Enum):
    """What a peer's item says that this view lacks."""

    NOTHING = auto()
    LEASE = auto()
    ALL = auto()


@dataclass(frozen=True, slots=True)
class _Cache:
    """What :meth:`DirectoryView.relays` and its like say at ``revision`` before ``ends`` (ns)."""

    revision: int
    ends: int
    serving: tuple[Descriptor, ...]
    here: tuple[Descriptor, ...]
    leaving: tuple[Descriptor, ...]


@dataclass(slots=True)
class _Entry:
    descriptor: Descriptor
    source: bytes | None  # who alone has told it; None from the second source on
    since: int  # ns
    shown: tuple[bytes, ...] = ()  # sources of this very descriptor, while it is unsettled
    settled: Descriptor | None = None  # the newest that enough sources showed
    lease: Lease | None = None
    rival: bytes | None = None  # another descriptor of the same version: proof to bar it

    @property
    def live(self) -> bool:
        return (
            self.rival is None
            and self.lease is not None
            and self.lease.version <= self.descriptor.version
        )


class DirectoryView:
    """The accepted descriptors and leases of one network.

    Args:
        params: the network's.
        limit: entries that may be held; half of them at most from any one source alone.
        tolerance_s: how far our clock may be off, if leases of five relays say so; 0 for a
            relay, which goes by its own.
        tenure: who has been there since when; without, a book that is begun now.

    ``revision`` grows whenever the set of live descriptors changes; ``skipped`` counts, by
    fixed label, what was neither news nor a fault; ``checks`` counts signatures verified.
    ``judges`` says whether this network has rules about who serves. Every ``now`` is our own
    clock's.
    """

    def __init__(
        self,
        params: NetworkParameters,
        *,
        limit: int = MAX_RELAYS,
        tolerance_s: int = 0,
        tenure: Tenure | None = None,
    ) -> None:
        self.params: Final = params
        self.tenure: Final = Tenure(params) if tenure is None else tenure
        self.judges: Final = bool(params.role_age_s or params.subnet_slots)
        self._next_look: int | None = None
        self._watched_at = 0
        self._judged: frozenset[tuple[bytes, bytes, tuple[str, ...]]] | None = None
        self._chosen: frozenset[bytes] = frozenset()
        self._strict: Final = params.two_sources and self.tenure.told
        self._sources: dict[bytes, frozenset[bytes]] = {}  # networks in which they were dialled
        self._compared: set[bytes] = set()  # sources that were compared with to the end
        self._whole = not self._strict  # whether enough of them were, so that all are known
        self.time: Final = LeaseClock(params, tolerance_s)
        self.tree: Final = BucketTree()
        self.skipped: Final[Counter[str]] = Counter()
        self.revision = 0
        self.checks = 0
        self._limit = limit
        self._from_one = limit // 2
        self._entries: dict[bytes, _Entry] = {}
        self._told: Counter[bytes] = Counter()
        self._next_expiry: int | None = None
        self._cache = _Cache(-1, 0, (), (), ())

    def __len__(self) -> int:
        return len(self._entries)

    def relays(self, now: int) -> tuple[Descriptor, ...]:
        """Return the relays that serve at ``now`` (ns), in order of id: mix, store, and the DHT.

        Those whose leases hold and whose tenure suffices, without those who are leaving.
        """
        return self._at(now).serving

    def listed(self, now: int) -> tuple[Descriptor, ...]:
        """Return the relays that may be spoken to at ``now`` (ns), too young to serve or not."""
        return self._at(now).here

    def leaving(self, now: int) -> tuple[Descriptor, ...]:
        """Return the relays whose leases hold at ``now`` (ns) and who take nothing new."""
        return self._at(now).leaving

    def _at(self, now: int) -> "_Cache":
        now = self.time.now(now)
        cache = self._cache
        if cache.revision == self.revision and now < cache.ends:
            return cache
        live = [
            entry
            for _, entry in sorted(self._entries.items())
            if entry.live and now < self._deadline(entry)
        ]
        times = [self._deadline(entry) for entry in live]
        times += [self._keys_end(entry.settled) for entry in live if entry.settled is not None]
        ends = min((time for time in times if time > now), default=now + SECOND)
        present = [(self._used(entry, now), entry.descriptor.leaving) for entry in live]
        here = tuple(used for used, leaving in present if used is not None and not leaving)
        leaving = tuple(entry.descriptor for entry in live if entry.descriptor.leaving)
        serving = here
        if self.judges:
            unsettled = [
                entry.descriptor
                for entry, (used, goes) in zip(live, present, strict=True)
                if used is None and not goes
            ]
            serving = self._judge(here, leaving, unsettled, now)
        if not self._whole:
            serving = ()
        self._cache = _Cache(self.revision, ends, serving, here, leaving)
        return self._cache

    def _judge(
        self,
        here: tuple[Descriptor, ...],
        leaving: tuple[Descriptor, ...],
        unsettled: Sequence[Descriptor],
        now: int,
    ) -> tuple[Descriptor, ...]:
        """Return who of ``here`` serves; judged anew at each look, and when others are here."""
        everybody = (*here, *unsettled)
        judged = frozenset((each.relay_id, each.nonce, each.addresses) for each in everybody)
        if not 0 <= now - self._watched_at < self.tenure.look:
            self._watched_at, self._judged = now, None
            self.tenure.watch((*here, *leaving), now)
        if judged != self._judged:
            least = 0 if self.tenure.contested else self.params.role_least
            chosen = roles.serving(
                here, self.tenure.steps, self.params, unsettled=unsettled, least=least
            )
            self._chosen = frozenset(each.relay_id for each in chosen)
            self._judged = judged
            self.tenure.serve(self._chosen)
        if not self.tenure.ripe:
            return ()
        return tuple(each for each in here if each.relay_id in self._chosen)

    def hear(self, words: Mapping[bytes, Word], now: int) -> None:
        """Take what sources (relay ids) say of how long relays have been there."""
        for source, word in words.items():
            self.tenure.hear(source, word)
        self._judged = None
        self.review(now)

    @property
    def surveys(self) -> bool:
        """Whether others are to be asked how long relays have been there."""
        return self.judges and self.tenure.told

    def review(self, now: int) -> None:
        """Judge anew who serves; ``revision`` grows if it is others than before."""
        before = self._cache
        self._cache = replace(before, revision=-1)
        after = self._at(now)
        self._next_look = self.time.now(now) + self.tenure.look
        if after.serving != before.serving and before.revision == self.revision:
            self.revision += 1
            self._cache = replace(after, revision=self.revision)

    def serving(self, relay_id: bytes, now: int) -> Descriptor | None:
        """Return the descriptor of a relay if it is one of :meth:`relays` at ``now`` (ns)."""
        relays = self.relays(now)
        place = bisect_left(relays, relay_id, key=lambda relay: relay.relay_id)
        found = relays[place] if place < len(relays) else None
        return found if found is not None and found.relay_id == relay_id else None

    def get(self, relay_id: bytes) -> Descriptor | None:
        """Return the descriptor of a relay, leaving or not, live at the last :meth:`expire`."""
        entry = self._entries.get(relay_id)
        return entry.descriptor if entry and entry.live else None

    def lease_of(self, relay_id: bytes) -> Lease | None:
        """Return the newest lease of a live relay."""
        entry = self._entries.get(relay_id)
        return entry.lease if entry and entry.live else None

    def traffic(self, now: int) -> tuple[int, ...]:
        """Return the class of traffic that each of :meth:`relays` has in its lease."""
        leases_held = (self.lease_of(relay.relay_id) for relay in self.relays(now))
        return tuple(lease.traffic for lease in leases_held if lease is not None)

    def proof_of(self, relay_id: bytes) -> tuple[bytes, bytes] | None:
        """Return the two descriptors of one version by which a relay was barred."""
        entry = self._entries.get(relay_id)
        return (entry.descriptor.data, entry.rival) if entry and entry.rival else None

    def add_descriptor(self, data: bytes, now: int, source: bytes = b"") -> bool:
        """Take a descriptor from ``source`` (16 bytes, or empty for oneself).

        Returns:
            Whether it was news. Without a lease it is held and not yet live.

        Raises:
            RemoteProtocolError: as :func:`descriptor.decode_descriptor`.
        """
        found = self.check_descriptor(data, now, source)
        return found is not None and self.accept_descriptor(found, now, source)

    def add_lease(self, data: bytes, now: int) -> bool:
        """Take a lease; return whether it was news.

        Raises:
            RemoteProtocolError: as :func:`lease.decode_lease`.
        """
        found = self.check_lease(data, now)
        return found is not None and self.accept_lease(found, now)

    def check_descriptor(self, data: bytes, now: int, source: bytes = b"") -> Descriptor | None:
        """Verify a descriptor if it would be news; None, and counted, if not.

        Raises:
            RemoteProtocolError: as :func:`descriptor.decode_descriptor`.
        """
        sealed = envelope.peek(data, descriptors.MAX_DESCRIPTOR)
        if label := self._unwanted(sealed, self.time.now(now), source):
            self.skipped[label] += 1
            return None
        self.checks += 1
        return descriptors.open_descriptor(sealed, self.params)

    def check_lease(self, data: bytes, now: int, *, arriving: bool = False) -> Lease | None:
        """Verify a lease if it would be news; None, and counted, if not.

        Args:
            data: the lease.
            now: ns.
            arriving: the relay's descriptor is about to be accepted.

        Raises:
            RemoteProtocolError: as :func:`lease.decode_lease`.
        """
        sealed, until = leases.peek_lease(data)
        entry = self._entries.get(sealed.relay_id)
        if not leases.in_time(until, self.time.now(now), self.params):
            self.skipped["lease time"] += 1
            if entry is not None or arriving:  # a key that did no work is nobody's word
                self._doubt(data, sealed.relay_id, until, now)
            return None
        if entry is None and not arriving:
            self.skipped["unknown relay"] += 1
            return None
        if entry and not self._renews(sealed.version, until, entry):
            self.skipped["known lease"] += 1
            return None
        self.checks += 1
        decoded = leases.decode_lease(data, self.params)
        self.time.hear(sealed.relay_id, until, now, in_time=True)
        return decoded

    def accept_descriptor(self, found: Descriptor, now: int, source: bytes = b"") -> bool:
        """Hold a descriptor that :meth:`check_descriptor` returned; return whether it is news."""
        entry = self._entries.get(found.relay_id)
        if entry is None:
            self._enter(found, source, self.time.now(now))
        elif found.version < entry.descriptor.version or found.data == entry.descriptor.data:
            return False
        elif found.version == entry.descriptor.version:
            return self.bar(entry.descriptor, found)
        elif entry.rival is not None and found.epoch == entry.descriptor.epoch:
            return False
        else:
            entry.descriptor, entry.rival, entry.since = found, None, self.time.now(now)
            entry.shown = ()
        self._show(self._entries[found.relay_id], source)
        self._note(found.relay_id)
        return True

    def accept_lease(self, found: Lease, now: int) -> bool:
        """Hold a lease that :meth:`check_lease` returned; return whether it is news."""
        entry = self._entries.get(found.relay_id)
        if entry is None or not self._renews(found.version, found.until, entry):
            return False
        entry.lease = found
        self._note(found.relay_id)
        return True

    def check_proof(
        self, first: bytes, second: bytes, now: int, source: bytes = b""
    ) -> tuple[Descriptor, Descriptor] | None:
        """Verify that two descriptors from ``source`` prove equivocation that isn't known yet.

        Raises:
            RemoteProtocolError: "proof", or as :func:`descriptor.decode_descriptor`.
        """
        one = envelope.peek(first, descriptors.MAX_DESCRIPTOR)
        two = envelope.peek(second, descriptors.MAX_DESCRIPTOR)
        if first == second or (one.public_key, one.version) != (two.public_key, two.version):
            raise RemoteProtocolError("proof")
        entry = self._entries.get(one.relay_id)
        if not self._in_epoch(one.version.epoch, self.time.now(now)):
            label = "epoch"
        elif entry is None:
            label = self._room(source) or ""
        else:
            label = "" if self._bars(one.version.epoch, entry) else "barred"
        if label:
            self.skipped[label] += 1
            return None
        self.checks += 2
        return (
            descriptors.open_descriptor(one, self.params),
            descriptors.open_descriptor(two, self.params),
        )

    def bar(self, first: Descriptor, second: Descriptor, source: bytes = b"") -> bool:
        """Bar a relay for the epoch of two verified descriptors of one version.

        What it was seen for so far counts no more: it begins anew.
        """
        entry = self._entries.get(first.relay_id)
        if entry is None:
            entry = self._enter(first, source, 0)
        elif not self._bars(first.epoch, entry):
            return False
        entry.descriptor, entry.rival, entry.lease = first, second.data, None
        entry.shown, entry.settled = (), None
        self.tenure.forget(first.relay_id)
        self._judged = None
        self._note(first.relay_id)
        return True

    def dial_from(self, sources: Mapping[bytes, Sequence[str]]) -> None:
        """Name the sources (relay ids) of a person's node, with the addresses dialled.

        Where they are in two /16s at least, a descriptor is used once two such showed it.
        """
        self._sources = {i: subnets.wide(tuple(those)) for i, those in sources.items()}
        self.tenure.asks(self._sources)

    def witness(self, items: Iterable[Item], source: bytes) -> None:
        """Note that ``source`` holds these, so that nobody has a descriptor made for us alone."""
        if not self._strict:
            return
        for item in items:
            held, entry = self.tree.get(item.relay_id), self._entries.get(item.relay_id)
            if held is not None and entry is not None and held.digest == item.digest:
                self._show(entry, source)

    def compared(self, source: bytes) -> None:
        """Note that a comparison with ``source`` ran to its end: it hid what it hid.

        Until two sources apart are compared with nobody serves: else a source that shows its
        friends first, and then waits, would be alone with them.
        """
        self._compared.add(source)
        if not self._whole and self._enough(tuple(self._compared)):
            self._whole = True
            self.revision += 1

    def _begin_looking(self) -> None:
        self._compared.clear()
        self._whole = not self._strict

    def _show(self, entry: _Entry, source: bytes) -> None:
        if not self._strict or entry.settled is entry.descriptor or source in entry.shown:
            return
        entry.shown = (*entry.shown, source)[-SOURCES_MOST:]
        if self._enough(entry.shown):
            entry.settled, entry.shown = entry.descriptor, ()
            self.revision += 1

    def _enough(self, shown: Sequence[bytes]) -> bool:
        """Whether sources in two networks are among ``shown``, or in one where there is one."""
        if not subnets.two_apart([self._sources[i] for i in self._sources]):
            return any(source in self._sources for source in shown)
        return subnets.two_apart([self._sources[i] for i in shown if i in self._sources])

    def _used(self, entry: _Entry, now: int) -> Descriptor | None:
        """Return the descriptor by which a relay is used: what is settled, while its keys serve."""
        if not self._strict:
            return entry.descriptor
        used = entry.settled
        return used if used is not None and now < self._keys_end(used) else None

    def confirm(self, relay_id: bytes, source: bytes) -> None:
        """Note that ``source`` knows a relay too, so that nobody is its only source."""
        entry = self._entries.get(relay_id)
        if entry and entry.source is not None and entry.source != source:
            self._told[entry.source] -= 1
            entry.source = None

    def compare(self, item: Item, now: int) -> Need:
        """Return what must be had from a peer who holds ``item``."""
        here = self.time.now(now)
        in_time = item.barred or leases.in_time(item.until, here, self.params)
        if not in_time and self.time.wants(item.relay_id, item.until, now):
            return Need.ALL
        if not in_time or not self._in_epoch(item.epoch, here):
            return Need.NOTHING
        if item.relay_id not in self._entries and len(self._entries) >= self._limit:
            return Need.NOTHING
        return self.ahead(item, self.tree.get(item.relay_id))

    def ahead(self, item: Item, behind: Item | None) -> Need:
        """Return what ``item``'s holder has and that of ``behind`` lacks, of one relay."""
        if behind is None or item.rank > behind.rank:
            return Need.ALL
        if item.rank < behind.rank or item.barred:
            return Need.NOTHING
        if item.digest != behind.digest:
            return Need.ALL
        return Need.LEASE if item.until >= behind.until + self._lease_step else Need.NOTHING

    def expire(self, now: int) -> bool:
        """Drop what has ended by ``now``; return whether anything was dropped."""
        own, now = now, self.time.now(now)
        if self.judges and (self._next_look is None or self._next_look <= now):
            self.review(own)
        if self._next_expiry is None or now < self._next_expiry:
            return False
        ended = [i for i, entry in self._entries.items() if self._deadline(entry) <= now]
        for relay_id in ended:
            entry = self._entries.pop(relay_id)
            if entry.source is not None:
                self._told[entry.source] -= 1
            self.revision += entry.live
            self.tree.put(relay_id, None)
        if ended and not any(entry.live for entry in self._entries.values()):
            self._begin_looking()  # asleep or cut off: what comes now is a first look again
        self._told += Counter[bytes]()  # forgets sources at zero
        self._next_expiry = min(map(self._deadline, self._entries.values()), default=None)
        return bool(ended)

    @property
    def next_expiry(self) -> int | None:
        """When :meth:`expire` is next worth calling, ns; None while it is not."""
        times = (self._next_expiry, self._next_look)
        return min((t - self.time.ahead for t in times if t is not None), default=None)

    def _doubt(self, data: bytes, relay_id: bytes, until: int, now: int) -> None:
        """Take a lease that is out of time as a word about the time."""
        if not self.time.wants(relay_id, until, now):
            return
        self.checks += 1
        leases.decode_lease(data, self.params)
        before = self.time.ahead
        self.time.hear(relay_id, until, now, in_time=False)
        if self.time.ahead != before:
            self.skipped["clock"] += 1
            self._begin_looking()
            self.revision += 1  # who is live is another question now
            self.expire(now)

    def _in_epoch(self, epoch: int, now: int) -> bool:
        return abs(epoch - clock.index_of(now, self.params.epoch_s)) <= 1

    def _enter(self, found: Descriptor, source: bytes, since: int) -> _Entry:
        entry = self._entries[found.relay_id] = _Entry(found, source or None, since)
        if source:
            self._told[source] += 1
        return entry

    def _room(self, source: bytes) -> str | None:
        """Return why there is no room for a relay that is new here."""
        if len(self._entries) >= self._limit:
            return "full"
        return "source full" if source and self._told[source] >= self._from_one else None

    def _unwanted(self, sealed: envelope.Envelope, now: int, source: bytes) -> str | None:
        """Return why a descriptor is no news, as far as that shows before its signature."""
        if not self._in_epoch(sealed.version.epoch, now):
            return "epoch"
        entry = self._entries.get(sealed.relay_id)
        if entry is None:
            return self._room(source)
        if sealed.version < entry.descriptor.version:
            return "stale"
        if sealed.data == entry.descriptor.data:
            self.confirm(sealed.relay_id, source)
            return "known"
        barred = entry.rival is not None and sealed.version.epoch == entry.descriptor.epoch
        return "barred" if barred else None

    @property
    def _lease_step(self) -> int:
        return max(1, self.params.lease_s // LEASE_STEPS)

    def _renews(self, version: envelope.Version, until: int, entry: _Entry) -> bool:
        """Return whether a lease adds enough to an entry; a barred version has none."""
        if entry.rival is not None and version.epoch <= entry.descriptor.epoch:
            return False
        held = entry.lease
        if held is None or version != held.version:
            return held is None or version > held.version
        return until >= held.until + self._lease_step

    def _bars(self, epoch: int, entry: _Entry) -> bool:
        held = entry.descriptor.epoch
        return epoch > held or (epoch == held and entry.rival is None)

    def _deadline(self, entry: _Entry) -> int:
        """When the entry goes, ns: its lease ends, or no key of it serves any more."""
        keys_end = self._keys_end(entry.descriptor)
        if entry.rival is not None:
            return keys_end
        if entry.lease is None:
            return min(keys_end, entry.since + PENDING_S * SECOND)
        return min(keys_end, entry.lease.until * SECOND)

    def _keys_end(self, descriptor: Descriptor) -> int:
        """When no key of a descriptor serves any more, ns."""
        return (descriptor.epoch + 2) * self.params.epoch_s * SECOND

    def _note(self, relay_id: bytes) -> None:
        """Bring the tree, the revision and the next expiry up to an entry's change."""
        entry = self._entries[relay_id]
        deadline = self._deadline(entry)
        if self._next_expiry is None or deadline < self._next_expiry:
            self._next_expiry = deadline
        before, held = self.tree.get(relay_id), entry.descriptor
        after: Item | None = None
        if entry.rival is not None:
            after = Item(relay_id, held.epoch, True, 0, 0, bytes(DIGEST_LENGTH))
        elif entry.live and entry.lease:
            digest = crypto.digest(held.data, size=DIGEST_LENGTH)
            after = Item(relay_id, held.epoch, False, held.serial, entry.lease.until, digest)
        self.tree.put(relay_id, after)
        if _served(before) != _served(after):
            self.revision += 1


def _served(item: Item | None) -> tuple[int, int, bytes] | None:
    """Return what of an item decides which descriptor is live: a new lease alone doesn't."""
    return None if item is None or item.barred else (item.epoch, item.serial, item.digest)
