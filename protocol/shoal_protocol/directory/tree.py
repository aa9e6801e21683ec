"""What is held, in a form that two peers can compare: items in 256 hashed buckets.

::

    item    id 16 | epoch | barred | serial | until | digest 8     one a relay
    bucket  BLAKE2b-128 over its items in order of id              256, by an id's first byte
    at b bits: 2^b hashes, each over 2^(8−b) buckets in order      what is sent, b by size
    root    the one hash at 0 bits

Hashes are over sorted items and never an XOR of them: with 128 identities of his own a peer
could solve for an XOR that hides an item (linear algebra over GF(2)). spec: directory §6
"""

from dataclasses import dataclass
from typing import Annotated, Final

from shoal_protocol import crypto, wire
from shoal_protocol.constants import RELAY_ID_LENGTH

MAX_BITS: Final = 8
HASH_LENGTH: Final = 16  # bytes; spec: directory §6
DIGEST_LENGTH: Final = 8  # bytes; spec: directory §6

_BUCKETS: Final = 1 << MAX_BITS
_ITEMS_A_BUCKET: Final = 8  # about as many, where size allows


@dataclass(frozen=True, slots=True)
class Item:
    """The version of what is held about one relay; ``until`` in seconds.

    A barred relay's item is the same whichever proof is held: serial, until and digest are 0.
    """

    relay_id: Annotated[bytes, wire.exactly(RELAY_ID_LENGTH)]
    epoch: Annotated[int, wire.U32]
    barred: bool
    serial: Annotated[int, wire.U8]
    until: Annotated[int, wire.U64]
    digest: Annotated[bytes, wire.exactly(DIGEST_LENGTH)]

    @property
    def rank(self) -> tuple[int, bool, int]:
        """Orders what is known of one relay: a proof of equivocation beats every serial."""
        return self.epoch, self.barred, self.serial


def bits_for(count: int) -> int:
    """Return how finely ``count`` items are to be compared: 0 to 8 bits."""
    return min(MAX_BITS, (count // _ITEMS_A_BUCKET).bit_length())


def bucket_of(relay_id: bytes, bits: int) -> int:
    """Return the bucket of an id at ``bits`` bits."""
    return relay_id[0] >> (MAX_BITS - bits)


class BucketTree:
    """Items by relay id, with hashes that are recomputed only where something changed."""

    def __init__(self) -> None:
        self._buckets: list[dict[bytes, Item]] = [{} for _ in range(_BUCKETS)]
        self._hashes: list[bytes | None] = [None] * _BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, relay_id: bytes) -> Item | None:
        """Return the item of a relay, or None."""
        return self._buckets[relay_id[0]].get(relay_id)

    def put(self, relay_id: bytes, item: Item | None) -> None:
        """Replace the item of a relay; None takes it out."""
        bucket = self._buckets[relay_id[0]]
        before = bucket.get(relay_id)
        if before == item:
            return
        self._count += (item is not None) - (before is not None)
        self._hashes[relay_id[0]] = None
        if item is None:
            del bucket[relay_id]
        else:
            bucket[relay_id] = item

    def hashes(self, bits: int) -> list[bytes]:
        """Return the 2^``bits`` hashes of 16 bytes each."""
        fine = [self._hash(number) for number in range(_BUCKETS)]
        width = _BUCKETS >> bits
        if width == 1:
            return fine
        return [
            crypto.digest(b"".join(fine[at : at + width]), size=HASH_LENGTH)
            for at in range(0, _BUCKETS, width)
        ]

    def root(self) -> bytes:
        """Return the hash of everything, 16 bytes."""
        return self.hashes(0)[0]

    def items(self, bucket: int, bits: int) -> list[Item]:
        """Return the items of one bucket at ``bits`` bits in order of their ids."""
        width = _BUCKETS >> bits
        return [
            fine[relay_id]
            for fine in self._buckets[bucket * width : (bucket + 1) * width]
            for relay_id in sorted(fine)
        ]

    def _hash(self, number: int) -> bytes:
        found = self._hashes[number]
        if found is None:
            items = self._buckets[number]
            packed = b"".join(wire.pack(items[relay_id]) for relay_id in sorted(items))
            found = self._hashes[number] = crypto.digest(packed, size=HASH_LENGTH)
        return found
