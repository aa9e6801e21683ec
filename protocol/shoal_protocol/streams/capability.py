"""What lets one read or write a stream: a chain of boxes from one index on.

::

    c_0 ──► c_1 ──► … ──► c_i ──► c_{i+1} ──►        c_{i+1} = KDF("box chain", c_i)
                           │
                           ├──► label_i = "box" ‖ KDF("box label", c_i)
                           │       address of day d = S blinded for (label_i, d)
                           └──► key of day d = KDF("box key", c_i, S, d, network)

    struct capability { u8 public_or_seed[32]; u64 index; u8 chain_key[32]; };     72 bytes

A read capability holds S's public key and c_i, so it knows addresses and keys from i on, and
signs nothing; a write capability holds S's seed. Neither finds c_{i−1}. Whoever lacks c_i
sees addresses that are uniform and independent keys. The model is Katzenpost's BACAP
(Echomix, arXiv 2501.02933, §4); the blinding is that of pseudonyms (Tor rend-spec-v3,
appendix A.2); spec: streams §2.
"""

from dataclasses import dataclass
from typing import Final, Self, final

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms import blinding
from shoal_protocol.pseudonyms.blinding import SEED_LENGTH, SigningSecret
from shoal_protocol.rng import Rng
from shoal_protocol.streams import box

CAPABILITY_LENGTH: Final = 72  # bytes; spec: streams §2
MAX_AHEAD: Final = 65_536  # steps of the chain in one call, about 0.1 s
INDEX_LIMIT: Final = 2**48  # indices are below; no stream is so long, and sums stay small

_LABEL: Final = b"box"
_INDEX: Final = slice(crypto.KEY_LENGTH, crypto.KEY_LENGTH + 8)


def _walk(chain: bytes, start: int, index: int) -> bytes:
    """Return the chain key of ``index`` from that of ``start``."""
    if not start <= index <= start + MAX_AHEAD or index >= INDEX_LIMIT:
        raise LocalProtocolError("this index is behind the capability, or too far ahead")
    for _ in range(index - start):
        chain = crypto.kdf(b"box chain", chain)
    return chain


def _label(chain: bytes) -> bytes:
    return _LABEL + crypto.kdf(b"box label", chain)


def _key(chain: bytes, public: bytes, day: int, network: bytes) -> bytes:
    return crypto.kdf(b"box key", chain, public, day.to_bytes(4, "big"), network)


def _split(data: bytes) -> tuple[bytes, int, bytes]:
    """Return (public or seed, index, chain key); raises RemoteProtocolError("capability")."""
    index = int.from_bytes(data[_INDEX], "big")
    if len(data) != CAPABILITY_LENGTH or index >= INDEX_LIMIT:
        raise RemoteProtocolError("capability")
    return data[: _INDEX.start], index, data[_INDEX.stop :]


def _check_day(day: int) -> None:
    if not 0 <= day <= box.MAX_DAY:
        raise LocalProtocolError("no box can be of this day")


@final
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ReadCapability:
    """Addresses and contents of a stream's boxes from :attr:`index` on.

    Made by :meth:`parse` or :meth:`WriteCapability.read`. It is a secret: whoever has it reads.
    It names a writer, no content: where all readers must see the same bytes, their digest
    travels with the capability.
    """

    public: bytes
    index: int
    _chain: bytes
    _network: bytes

    def __repr__(self) -> str:
        return "ReadCapability(<redacted>)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReadCapability):
            return NotImplemented
        return crypto.equal(self.pack() + self._network, other.pack() + other._network)

    def __hash__(self) -> int:
        return hash((self.public, self.index))

    def pack(self) -> bytes:
        """Return CAPABILITY_LENGTH bytes, to be sent inside a sealed message only."""
        return self.public + self.index.to_bytes(8, "big") + self._chain

    @classmethod
    def parse(cls, data: bytes, network: bytes) -> Self:
        """Return the capability that ``data`` is.

        Args:
            data: what came, any bytes.
            network: the network parameters' hash, 32 bytes; boxes of other networks don't open.

        Raises:
            RemoteProtocolError: "capability" on another length or an index of INDEX_LIMIT or
                more, "point" on a public key outside the prime-order group.
        """
        public, index, chain = _split(data)
        crypto.ed25519_check_point(public)
        return cls(public, index, chain, network)

    def at(self, index: int) -> "ReadCapability":
        """Return the capability from ``index`` on, which no longer knows what is before.

        Raises:
            LocalProtocolError: ``index`` below one's own, more than MAX_AHEAD beyond it, or
                INDEX_LIMIT or more; callers bound what a peer names.
        """
        chain = _walk(self._chain, self.index, index)
        return ReadCapability(self.public, index, chain, self._network)

    def address(self, day: int) -> bytes:
        """Return the 32-byte address of box :attr:`index` if it was written on UTC ``day``."""
        _check_day(day)
        return blinding.blind_public(self.public, _label(self._chain), day, network=self._network)

    def open(self, record: bytes, day: int) -> bytes:
        """Return the 1,928 bytes in box :attr:`index` of ``day``.

        Args:
            record: what a relay answered, any bytes.
            day: the UTC day whose address was asked.

        Raises:
            RemoteProtocolError: "box" on the form, "box day" and "box address" on another
                than was asked, "signature", "tombstone" when the writer took it back, "aead"
                when the writer sealed it under another key.
        """
        head = box.header(record)
        if head.day != day:
            raise RemoteProtocolError("box day")
        if head.address != self.address(day):
            raise RemoteProtocolError("box address")
        box.verify(record, head, self._network)
        key = _key(self._chain, self.public, day, self._network)
        return box.open_sealed(record, head, key)


@final
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class WriteCapability:
    """Boxes of a stream from :attr:`index` on, with the key that signs them.

    Made by :meth:`from_root`, :meth:`create` or :meth:`load`.
    """

    index: int
    _seed: bytes
    _secret: SigningSecret
    _chain: bytes
    _network: bytes

    def __repr__(self) -> str:
        return "WriteCapability(<redacted>)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WriteCapability):
            return NotImplemented
        return crypto.equal(self.dump() + self._network, other.dump() + other._network)

    def __hash__(self) -> int:
        return hash((self._secret.public, self.index))

    @classmethod
    def from_root(cls, root: bytes, network: bytes, label: bytes) -> Self:
        """Return the capability at index 0 that all who know ``root`` make.

        As they can all write, a box proves to nobody else which of them did.

        Args:
            root: 32 secret bytes, for instance a session's root of one direction.
            network: the network parameters' hash, 32 bytes.
            label: what the stream is for; other labels give unrelated streams.

        Raises:
            LocalProtocolError: a root of another length.
        """
        if len(root) != crypto.KEY_LENGTH:
            raise LocalProtocolError("a stream's root has 32 bytes")
        seed = crypto.kdf(b"stream seed", root, label, network)
        chain = crypto.kdf(b"stream chain", root, label, network)
        return cls(0, seed, SigningSecret(seed), chain, network)

    @classmethod
    def create(cls, rng: Rng, network: bytes) -> Self:
        """Return the capability at index 0 of a stream that nobody else can write."""
        seed, chain = rng.bytes(SEED_LENGTH), rng.bytes(crypto.KEY_LENGTH)
        return cls(0, seed, SigningSecret(seed), chain, network)

    @classmethod
    def load(cls, data: bytes, network: bytes) -> Self:
        """Return the capability that :meth:`dump` gave.

        Raises:
            RemoteProtocolError: "capability" on another length or an index of INDEX_LIMIT or
                more.
        """
        seed, index, chain = _split(data)
        return cls(index, seed, SigningSecret(seed), chain, network)

    def dump(self) -> bytes:
        """Return CAPABILITY_LENGTH secret bytes, for one's own store only."""
        return self._seed + self.index.to_bytes(8, "big") + self._chain

    def at(self, index: int) -> "WriteCapability":
        """Return the capability from ``index`` on; raises as :meth:`ReadCapability.at`."""
        chain = _walk(self._chain, self.index, index)
        return WriteCapability(index, self._seed, self._secret, chain, self._network)

    def read(self) -> ReadCapability:
        """Return what reads the same boxes."""
        return ReadCapability(self._secret.public, self.index, self._chain, self._network)

    def _signer(self, day: int) -> blinding.BlindedSecret:
        _check_day(day)
        return self._secret.blind(_label(self._chain), day, network=self._network)

    def address(self, day: int) -> bytes:
        """Return the 32-byte address of box :attr:`index` written on UTC ``day``."""
        return self._signer(day).public

    def seal(self, day: int, plaintext: bytes) -> bytes:
        """Return box :attr:`index` of ``day`` with ``plaintext``; the same input, the same bytes.

        One plaintext for one index and day: relays keep the first and refuse another, and two
        under one key would give each other away. A retry sends the same record again.

        Args:
            day: UTC day number, 0 to 2^32 − 1.
            plaintext: 1,928 bytes.

        Raises:
            LocalProtocolError: another length, or a day that no box can have.
        """
        signer = self._signer(day)
        key = _key(self._chain, self._secret.public, day, self._network)
        return box.seal(signer, key, day, plaintext, self._network)

    def tombstone(self, day: int) -> bytes:
        """Return the record that takes back box :attr:`index`, sealed for UTC ``day``.

        Raises:
            LocalProtocolError: a day that no box can have.
        """
        return box.tombstone(self._signer(day), day, self._network)
