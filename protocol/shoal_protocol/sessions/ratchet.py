"""The double ratchet with header encryption: one body of 1,928 bytes a message.

::

    struct body {                      // 1,928 bytes
        u8 nonce[12];                  // random
        u8 header[56];                 // AEAD of struct header under the chain's header key
        u8 sealed[1860];               // AEAD of the padded text under the message key
    }                                  // both: that nonce; AD: session id (‖ nonce ‖ header)
    struct header { u8 ratchet_public[32]; u32 previous; u32 number; }       // big-endian

    root ─ start ─► root key 0, chain key, next header key   (initiator's first chain, key EK)
                    header keys of both sides' first chains
    root key' , chain key, next header key = step(root key, DH(own ratchet key, the other's))
    chain key' ‖ message key = KDF("ratchet message", chain key)

    open: header key of ─┬─ this chain ─────► its keys up to number ────────┐
                         ├─ the next chain ─► rest of this chain, DH step ──┼─► text ─► commit
                         └─ a skipped one ──► the message's kept key ───────┘

Signal, "The Double Ratchet Algorithm" revision 1, §4; limits as in its §8.4. Three things
differ. The session's root already holds DH(EK, prekey), so EK is the initiator's first
ratchet key, the answerer steps when it accepts, and no prekey is needed after that. The
nonce of a body is its header's random one, so that a sender who was set back to an older
state does not seal two texts under one key and nonce. And a header that contradicts what
was opened before (another key in the same chain, a chain shorter than what came of it) is
refused: only a sender that was set back or doubled makes one.

Limits are checked before any key is derived, and nothing is changed before a text opened. A
reader opens boxes only up to 64 beyond the first that is missing (client §6), so honest
messages leap over 64 at most; :data:`MAX_SKIP` is twice that, for boxes whose content was taken
back and so never opened, and :data:`MAX_STORED` twice again. Strangers can fill no more.
"""

import itertools
from dataclasses import dataclass
from typing import Annotated, Final, final

from shoal_protocol import crypto, wire
from shoal_protocol.constants import BOX_PLAINTEXT_LENGTH
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import padding

BODY_LENGTH: Final = BOX_PLAINTEXT_LENGTH  # bytes; spec: sessions §3
ID_LENGTH: Final = 16  # bytes
MAX_SKIP: Final = 128  # messages that one message may leap over
MAX_STORED: Final = 256  # keys of skipped messages kept in all; the oldest goes first
MAX_CHAINS: Final = 64  # chains that these keys may come from; the oldest goes first
_NUMBER_LENGTH: Final = 4  # bytes
_LONGEST_CHAIN: Final = 2**32 - 1  # messages, so that a header can say it
_PLAIN_HEADER: Final = crypto.KEY_LENGTH + 2 * _NUMBER_LENGTH
_NONCE_END: Final = crypto.AEAD_NONCE_LENGTH
HEADER_LENGTH: Final = _NONCE_END + _PLAIN_HEADER + crypto.AEAD_TAG_LENGTH  # 68 bytes, with nonce
_PADDED: Final = BODY_LENGTH - HEADER_LENGTH - crypto.AEAD_TAG_LENGTH
CAPACITY: Final = _PADDED - padding.OVERHEAD  # 1,842 bytes of text
_STORED_KEY: Final = _NUMBER_LENGTH + crypto.KEY_LENGTH  # bytes of a skipped key in a dump

_Key = Annotated[bytes, wire.exactly(crypto.KEY_LENGTH)]
_Number = Annotated[int, wire.U32]


@dataclass(frozen=True, slots=True, repr=False)
class _Sending:
    """``number`` is the next message's; ``previous`` is the length of the chain before."""

    private: _Key
    key: _Key
    header_key: _Key
    next_header_key: _Key
    number: _Number
    previous: _Number


@dataclass(frozen=True, slots=True, repr=False)
class _Receiving:
    """``number`` is that of the first message beyond those opened or skipped."""

    remote: _Key
    key: _Key
    header_key: _Key
    number: _Number


@dataclass(frozen=True, slots=True, repr=False)
class _Skipped:
    """Message keys of one chain: u32 number ‖ key each, by number."""

    header_key: _Key
    keys: Annotated[bytes, wire.Size(_STORED_KEY, MAX_STORED * _STORED_KEY)]


@dataclass(frozen=True, slots=True, repr=False)
class _State:
    """What :meth:`Ratchet.dump` writes."""

    id: Annotated[bytes, wire.exactly(ID_LENGTH)]
    root_key: _Key
    sending: _Sending
    receiving: _Receiving | None
    next_header_key: _Key
    skipped: Annotated[tuple[_Skipped, ...], wire.Size(0, MAX_CHAINS)]


DUMP_LIMIT: Final = 1024 + MAX_CHAINS * 48 + MAX_STORED * _STORED_KEY  # bytes
_CODEC: Final = wire.Codec(_State, limit=DUMP_LIMIT)


@dataclass(frozen=True, slots=True)
class _Header:
    public: bytes
    previous: int
    number: int


def _root_step(root_key: bytes, shared: bytes) -> tuple[bytes, bytes, bytes]:
    """Return (root key, chain key, next header key)."""
    wide = crypto.kdf(b"ratchet root", root_key, shared, size=64)
    chain = crypto.kdf(b"ratchet chain", wide[32:], size=64)
    return wide[:32], chain[:32], chain[32:]


def _chain_step(key: bytes) -> tuple[bytes, bytes]:
    """Return (chain key, message key)."""
    wide = crypto.kdf(b"ratchet message", key, size=64)
    return wide[:32], wide[32:]


def _advance(key: bytes, number: int, until: int) -> tuple[bytes, dict[int, bytes]]:
    """Return the chain key of message ``until`` and the message keys of those before it."""
    keys = dict[int, bytes]()
    for i in range(number, until):
        key, keys[i] = _chain_step(key)
    return key, keys


def _start(root: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Return (root key, chain key, next header key, first header keys of both sides)."""
    headers = crypto.kdf(b"ratchet headers", root, size=64)
    return *_root_step(root, b""), headers[:32], headers[32:]


@final
class Ratchet:
    """One side of a double ratchet; made by :meth:`initiator`, :meth:`answerer`, :meth:`load`."""

    __slots__ = (
        "_next_header_key",
        "_public",
        "_receiving",
        "_root_key",
        "_sending",
        "_skipped",
        "_stored",
        "id",
    )

    def __init__(
        self,
        ratchet_id: bytes,
        root_key: bytes,
        sending: _Sending,
        receiving: _Receiving | None,
        next_header_key: bytes,
    ) -> None:
        self.id: Final = ratchet_id
        self._root_key = root_key
        self._sending = sending
        self._public = crypto.x25519_public(sending.private)
        self._receiving = receiving
        self._next_header_key = next_header_key
        self._skipped: dict[bytes, dict[int, bytes]] = {}  # by header key and number, oldest first
        self._stored = 0  # keys in _skipped

    def __repr__(self) -> str:
        return "Ratchet(<redacted>)"

    @property
    def stored(self) -> int:
        """How many keys of skipped messages are kept, at most :data:`MAX_STORED`."""
        return self._stored

    @classmethod
    def initiator(cls, root: bytes, ephemeral_private: bytes) -> "Ratchet":
        """Return the side that began the session.

        Args:
            root: 32 bytes that the handshake gave both sides, bound to the network.
            ephemeral_private: the handshake's X25519 key EK, the first ratchet key.
        """
        root_key, chain_key, next_header, mine, theirs = _start(root)
        sending = _Sending(ephemeral_private, chain_key, mine, next_header, 0, 0)
        return cls(_id(root), root_key, sending, None, theirs)

    @classmethod
    def answerer(cls, root: bytes, ephemeral_public: bytes, rng: Rng) -> "Ratchet":
        """Return the side that was written to; ``rng`` draws its first ratchet key.

        Raises:
            RemoteProtocolError: "low-order point", for such an ``ephemeral_public``.
        """
        root_key, chain_key, next_header, theirs, mine = _start(root)
        receiving = _Receiving(ephemeral_public, chain_key, theirs, 0)
        private = rng.bytes(crypto.KEY_LENGTH)
        shared = crypto.x25519(private, ephemeral_public)
        root_key, chain_key, following = _root_step(root_key, shared)
        sending = _Sending(private, chain_key, mine, following, 0, 0)
        return cls(_id(root), root_key, sending, receiving, next_header)

    def seal(self, plaintext: bytes, rng: Rng) -> bytes:
        """Return the 1,928-byte body of the next message.

        Args:
            plaintext: up to :data:`CAPACITY` bytes.
            rng: draws the nonce.
        """
        padded = padding.pad(plaintext, _PADDED)
        at = self._sending
        if at.number >= _LONGEST_CHAIN:
            raise LocalProtocolError("a chain has no number left")
        chain_key, message_key = _chain_step(at.key)
        nonce = rng.bytes(crypto.AEAD_NONCE_LENGTH)
        plain = (
            self._public
            + at.previous.to_bytes(_NUMBER_LENGTH, "big")
            + at.number.to_bytes(_NUMBER_LENGTH, "big")
        )
        header = nonce + crypto.aead_seal(at.header_key, nonce, plain, self.id)
        sealed = crypto.aead_seal(message_key, nonce, padded, self.id + header)
        self._sending = _Sending(
            at.private, chain_key, at.header_key, at.next_header_key, at.number + 1, at.previous
        )
        return header + sealed

    def open(self, body: bytes, rng: Rng) -> bytes:
        """Return the text in ``body``, in any order and once.

        Args:
            body: what :meth:`seal` of the other side made, or anything.
            rng: draws a new ratchet key when the other side has stepped.

        Raises:
            RemoteProtocolError: "ratchet body" (length), "ratchet header" (no known chain's:
                forged, long past, or made for or by another state), "ratchet number"
                (opened before, its key dropped, or a contradiction), "ratchet key" (a second
                one in a chain), "ratchet skip" (more than :data:`MAX_SKIP`), "low-order
                point", "aead" or "padding"; the state is then as before.
        """
        if len(body) != BODY_LENGTH:
            raise RemoteProtocolError("ratchet body")
        at = self._receiving
        if at is not None and (header := self._header(at.header_key, body)) is not None:
            if header.public != at.remote:
                raise RemoteProtocolError("ratchet key")
            if header.number < at.number:
                return self._open_skipped(at.header_key, header.number, body)
            return self._open_chain(at, header, body)
        if (header := self._header(self._next_header_key, body)) is not None:
            return self._open_step(header, body, rng)
        for header_key in self._skipped:
            if (header := self._header(header_key, body)) is not None:
                return self._open_skipped(header_key, header.number, body)
        raise RemoteProtocolError("ratchet header")

    def _header(self, header_key: bytes, body: bytes) -> _Header | None:
        nonce, sealed = body[:_NONCE_END], body[_NONCE_END:HEADER_LENGTH]
        try:
            plain = crypto.aead_open(header_key, nonce, sealed, self.id)
        except RemoteProtocolError:
            return None
        split = crypto.KEY_LENGTH + _NUMBER_LENGTH
        previous = int.from_bytes(plain[crypto.KEY_LENGTH : split], "big")
        return _Header(plain[: crypto.KEY_LENGTH], previous, int.from_bytes(plain[split:], "big"))

    def _text(self, message_key: bytes, body: bytes) -> bytes:
        nonce, sealed = body[:_NONCE_END], body[HEADER_LENGTH:]
        ad = self.id + body[:HEADER_LENGTH]
        return padding.unpad(crypto.aead_open(message_key, nonce, sealed, ad))

    def _open_skipped(self, header_key: bytes, number: int, body: bytes) -> bytes:
        keys = self._skipped.get(header_key, {})
        message_key = keys.get(number)
        if message_key is None:
            raise RemoteProtocolError("ratchet number")
        text = self._text(message_key, body)
        del keys[number]
        self._stored -= 1
        if not keys:
            del self._skipped[header_key]
        return text

    def _open_chain(self, at: _Receiving, header: _Header, body: bytes) -> bytes:
        if header.number - at.number > MAX_SKIP:
            raise RemoteProtocolError("ratchet skip")
        chain_key, skipped = _advance(at.key, at.number, header.number)
        chain_key, message_key = _chain_step(chain_key)
        text = self._text(message_key, body)
        self._receiving = _Receiving(at.remote, chain_key, at.header_key, header.number + 1)
        self._keep(at.header_key, skipped)
        return text

    def _open_step(self, header: _Header, body: bytes, rng: Rng) -> bytes:
        old, mine = self._receiving, self._sending
        reached = 0 if old is None else old.number
        if header.previous < reached or (old is None and header.previous):
            raise RemoteProtocolError("ratchet number")
        if header.previous - reached + header.number > MAX_SKIP:
            raise RemoteProtocolError("ratchet skip")
        shared = crypto.x25519(mine.private, header.public)
        root_key, chain_key, next_header = _root_step(self._root_key, shared)
        chain_key, skipped = _advance(chain_key, 0, header.number)
        chain_key, message_key = _chain_step(chain_key)
        text = self._text(message_key, body)
        private = rng.bytes(crypto.KEY_LENGTH)
        public = crypto.x25519_public(private)
        shared = crypto.x25519(private, header.public)
        root_key, sending_key, following = _root_step(root_key, shared)
        header_key = self._next_header_key
        if old is not None:
            self._keep(old.header_key, _advance(old.key, reached, header.previous)[1])
        self._keep(header_key, skipped)
        self._root_key = root_key
        self._receiving = _Receiving(header.public, chain_key, header_key, header.number + 1)
        self._next_header_key = next_header
        self._sending = _Sending(
            private, sending_key, mine.next_header_key, following, 0, mine.number
        )
        self._public = public
        return text

    def _keep(self, header_key: bytes, keys: dict[int, bytes]) -> None:
        if not keys:
            return
        self._skipped.setdefault(header_key, {}).update(keys)
        self._stored += len(keys)
        while len(self._skipped) > MAX_CHAINS:
            self._stored -= len(self._skipped.pop(next(iter(self._skipped))))
        while self._stored > MAX_STORED:
            oldest = next(iter(self._skipped))
            chain = self._skipped[oldest]
            del chain[next(iter(chain))]
            self._stored -= 1
            if not chain:
                del self._skipped[oldest]

    def dump(self) -> bytes:
        """Return the state in canonical form, at most :data:`DUMP_LIMIT` bytes, all secret."""
        skipped = [
            _Skipped(
                header_key, b"".join(n.to_bytes(_NUMBER_LENGTH, "big") + keys[n] for n in keys)
            )
            for header_key, keys in self._skipped.items()
        ]
        return _CODEC.encode(
            _State(
                self.id,
                self._root_key,
                self._sending,
                self._receiving,
                self._next_header_key,
                tuple(skipped),
            )
        )

    @classmethod
    def load(cls, data: bytes) -> "Ratchet":
        """Return what :meth:`dump` wrote; raises RemoteProtocolError "wire" on anything else."""
        state = _CODEC.decode(data)
        ratchet = cls(
            state.id, state.root_key, state.sending, state.receiving, state.next_header_key
        )
        for chain in state.skipped:
            size = len(chain.keys)
            starts = range(0, size, _STORED_KEY)
            numbers = [int.from_bytes(chain.keys[i : i + _NUMBER_LENGTH], "big") for i in starts]
            keys = [chain.keys[i + _NUMBER_LENGTH : i + _STORED_KEY] for i in starts]
            ascending = all(a < b for a, b in itertools.pairwise(numbers))
            if size % _STORED_KEY or not ascending or chain.header_key in ratchet._skipped:
                raise RemoteProtocolError("wire")
            ratchet._skipped[chain.header_key] = dict(zip(numbers, keys, strict=True))
            ratchet._stored += len(numbers)
        if ratchet._stored > MAX_STORED:
            raise RemoteProtocolError("wire")
        return ratchet


def _id(root: bytes) -> bytes:
    return crypto.kdf(b"session id", root, size=ID_LENGTH)
