"""Records in frames: taken in from a peer all or not at all, and put together for one.

A batch is verified whole before any of it is accepted, so that a frame with one bad record
changes nothing. Records stand in ascending order of relay id, each relay once.
spec: directory §6, §8
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol.directory import envelope, frames
from shoal_protocol.directory.allowance import Allowance
from shoal_protocol.directory.descriptor import MAX_DESCRIPTOR, Descriptor
from shoal_protocol.directory.frames import MAX_FRAME, MAX_PROOFS, MAX_RECORDS, Proof, Record
from shoal_protocol.directory.lease import Lease, peek_lease
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError

_FRAMING: Final = 16  # bytes of msgpack around one record, at most
_ROOM: Final = MAX_FRAME - 64  # bytes for records in a frame


@dataclass(slots=True)
class Batch:
    """A frame's records: ``named`` are all of its relays, the rest is verified and is news."""

    named: set[bytes] = field(default_factory=set[bytes])
    records: list[tuple[Descriptor | None, Lease | None]] = field(
        default_factory=list[tuple[Descriptor | None, Lease | None]]
    )
    proofs: list[tuple[Descriptor, Descriptor]] = field(
        default_factory=list[tuple[Descriptor, Descriptor]]
    )
    cut: bool = False  # the allowance ended before the frame did


@dataclass(frozen=True, slots=True)
class News:
    """Relays about which something was learnt: ``whole`` descriptor or bar, or lease alone."""

    whole: tuple[bytes, ...]
    leases: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return bool(self.whole or self.leases)


def verify(
    view: DirectoryView,
    frame: frames.Records | frames.News,
    now: int,
    source: bytes,
    allowance: Allowance | None = None,
) -> Batch:
    """Verify a frame's records; changes nothing but counters.

    Args:
        view: against which news is told from what is known.
        frame: from the peer.
        now: ns.
        source: the peer's relay id.
        allowance: signature checks that the peer may cost; when they are used up the rest of
            the frame is left out. None for what was asked for.

    Raises:
        RemoteProtocolError: "record order", "record pair", or as the decoders.
    """
    batch, last = Batch(), b""
    for proof in frame.proofs:
        if _spent(allowance, now):
            batch.cut = True
            return batch
        with _charged(view, allowance, now):
            _verify_proof(view, proof, now, source, batch)
    for record in frame.records:
        if _spent(allowance, now):
            batch.cut = True
            return batch
        with _charged(view, allowance, now):
            last = _verify_record(view, record, now, source, last, batch)
    return batch


def _verify_proof(view: DirectoryView, proof: Proof, now: int, source: bytes, batch: Batch) -> None:
    found = view.check_proof(proof.first, proof.second, now, source)
    batch.named.add(envelope.peek(proof.first, MAX_DESCRIPTOR).relay_id)
    if found is not None:
        batch.proofs.append(found)


def _verify_record(
    view: DirectoryView, record: Record, now: int, source: bytes, last: bytes, batch: Batch
) -> bytes:
    """Verify a record that follows the one of relay ``last``; return its relay's id."""
    sealed, _ = peek_lease(record.lease)
    relay_id = sealed.relay_id
    if relay_id <= last:
        raise RemoteProtocolError("record order")
    descriptor = None
    if record.descriptor:
        leading = envelope.peek(record.descriptor, MAX_DESCRIPTOR)
        if leading.public_key != sealed.public_key or leading.version < sealed.version:
            raise RemoteProtocolError("record pair")
        descriptor = view.check_descriptor(record.descriptor, now, source)
    lease = view.check_lease(record.lease, now, arriving=descriptor is not None)
    batch.named.add(relay_id)
    if descriptor or lease:
        batch.records.append((descriptor, lease))
    return relay_id


def accept(view: DirectoryView, batch: Batch, now: int, source: bytes) -> News:
    """Hold what a batch brought and return what of it is news to pass on."""
    whole, leases = list[bytes](), list[bytes]()
    for first, second in batch.proofs:
        if view.bar(first, second, source):
            whole.append(first.relay_id)
    for descriptor, lease in batch.records:
        changed = descriptor is not None and view.accept_descriptor(descriptor, now, source)
        renewed = lease is not None and view.accept_lease(lease, now)
        if changed and descriptor:
            whole.append(descriptor.relay_id)
        elif renewed and lease:
            leases.append(lease.relay_id)
    return News(tuple(whole), tuple(leases))


def gather(
    view: DirectoryView, whole: Iterable[bytes], leases: Iterable[bytes]
) -> tuple[tuple[Record, ...], tuple[Proof, ...]]:
    """Return the records of these relays that are held, as many as one frame takes.

    A relay in both is sent whole. One that is barred is sent as its proof.
    """
    full, room = set(whole), _ROOM
    records, proofs = list[Record](), list[Proof]()
    for relay_id in sorted(full.union(leases)):
        descriptor, lease = view.get(relay_id), view.lease_of(relay_id)
        proof = view.proof_of(relay_id)
        if proof and len(proofs) < MAX_PROOFS:
            room -= len(proof[0]) + len(proof[1]) + _FRAMING
            if room >= 0:
                proofs.append(Proof(*proof))
        elif descriptor and lease and len(records) < MAX_RECORDS:
            record = Record(descriptor.data if relay_id in full else b"", lease.data)
            room -= len(record.descriptor) + len(record.lease) + _FRAMING
            if room >= 0:
                records.append(record)
        if room < 0:
            break
    return tuple(records), tuple(proofs)


def _spent(allowance: Allowance | None, now: int) -> bool:
    return allowance is not None and allowance.left(now) < 1


@contextmanager
def _charged(
    view: DirectoryView, allowance: Allowance | None, now: int
) -> Generator[None, None, None]:
    """Take from the allowance what signatures are checked meanwhile, also if one is wrong."""
    before = view.checks
    try:
        yield
    finally:
        if allowance is not None:
            allowance.spend(view.checks - before, now)
