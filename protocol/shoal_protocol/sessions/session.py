"""Messages between two personas after the handshake: two one-way symmetric ratchets.

::

    root ─┬─ KDF("session id")                          16 bytes, the same on both sides
          └─ KDF("session chain", sender's role) ─┬─ chain key 32
                                                  └─ tag key 32     one pair a direction
    message i:  chain key i+1 ‖ message key i = KDF("session step", chain key i)
                tag key i+1   ‖ tag i         = KDF("session tag", tag key i)

    struct body {                      // 1,987 bytes
        u8 tag[16];                    // finds the session and the message's place in it
        u8 sealed[1971];               // ChaCha20-Poly1305 of the padded text, tag behind
    }                                  // key: message key i, nonce 0, AD: id ‖ tag

Keys are deleted as they are used: a state read later opens nothing that was opened before.
The receiver knows the next :data:`AHEAD` tags and keeps the keys of skipped messages, up to
:data:`BEHIND`; whatever has another tag is refused before any key is derived, so that a
forged or giant skip can't even be said. Refused input changes nothing. There is no
Diffie–Hellman ratchet: a state read once reads on until the next handshake.
"""

from collections.abc import Iterable
from typing import Final, final

from shoal_protocol import crypto
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.sessions import cloak, padding

TAG_LENGTH: Final = 16  # bytes; spec: sessions §3
ID_LENGTH: Final = 16  # bytes
AHEAD: Final = 256  # bodies that may be lost in a row; later tags aren't known yet
BEHIND: Final = 1024  # keys of skipped messages that are kept; the oldest goes first
BODY_LENGTH: Final = cloak.BODY_LENGTH
_PADDED: Final = BODY_LENGTH - TAG_LENGTH - crypto.AEAD_TAG_LENGTH
CAPACITY: Final = _PADDED - padding.OVERHEAD  # 1,953 bytes of text
_ZERO_NONCE: Final = bytes(crypto.AEAD_NONCE_LENGTH)  # a message key seals once


def _step(chain_key: bytes) -> tuple[bytes, bytes]:
    wide = crypto.kdf(b"session step", chain_key, size=64)
    return wide[:32], wide[32:]


def _tag(tag_key: bytes) -> tuple[bytes, bytes]:
    wide = crypto.kdf(b"session tag", tag_key, size=32 + TAG_LENGTH)
    return wide[:32], wide[32:]


def _chain(root: bytes, initiator: bool) -> tuple[bytes, bytes]:
    role = b"initiator" if initiator else b"answerer"
    wide = crypto.kdf(b"session chain", root, role, size=64)
    return wide[:32], wide[32:]


class _Sender:
    __slots__ = ("_chain_key", "_tag_key")

    def __init__(self, chain_key: bytes, tag_key: bytes) -> None:
        self._chain_key = chain_key
        self._tag_key = tag_key

    def next(self) -> tuple[bytes, bytes]:
        """Return (tag, message key) of the next message and forget them."""
        self._chain_key, message_key = _step(self._chain_key)
        self._tag_key, tag = _tag(self._tag_key)
        return tag, message_key


class _Receiver:
    __slots__ = ("_chain_key", "_coming", "_skipped", "_tag_key")

    def __init__(self, chain_key: bytes, tag_key: bytes) -> None:
        self._chain_key = chain_key  # of the first message in _coming
        self._tag_key = tag_key  # of the first message behind _coming
        self._coming: list[bytes] = []  # AHEAD tags, in order
        self._skipped: dict[bytes, bytes] = {}  # tag to message key, oldest first
        self._fill()

    def _fill(self) -> None:
        while len(self._coming) < AHEAD:
            self._tag_key, tag = _tag(self._tag_key)
            self._coming.append(tag)

    def tags(self) -> frozenset[bytes]:
        return frozenset(self._coming) | self._skipped.keys()

    def open(self, tag: bytes, sealed: bytes, ad: bytes) -> bytes:
        """Open what ``tag`` names; commits only once the text is authentic and well padded."""
        known = self._skipped.get(tag)
        if known is not None:
            text = padding.unpad(crypto.aead_open(known, _ZERO_NONCE, sealed, ad))
            del self._skipped[tag]
            return text
        if tag not in self._coming:
            raise RemoteProtocolError("session tag")
        place = self._coming.index(tag)
        chain_key, keys = self._chain_key, list[bytes]()
        for _ in range(place + 1):
            chain_key, message_key = _step(chain_key)
            keys.append(message_key)
        text = padding.unpad(crypto.aead_open(keys[place], _ZERO_NONCE, sealed, ad))
        self._chain_key = chain_key
        self._skipped.update(zip(self._coming[:place], keys[:place], strict=True))
        for old in list(self._skipped)[: max(0, len(self._skipped) - BEHIND)]:
            del self._skipped[old]
        del self._coming[: place + 1]
        self._fill()
        return text


@final
class Session:
    """One side of a session.

    Args:
        root: 32 bytes that the handshake gave both sides.
        initiator: whether this side began it.
    """

    __slots__ = ("_receiver", "_sender", "id")

    def __init__(self, root: bytes, *, initiator: bool) -> None:
        self.id: Final = crypto.kdf(b"session id", root, size=ID_LENGTH)
        self._sender = _Sender(*_chain(root, initiator))
        self._receiver = _Receiver(*_chain(root, not initiator))

    def __repr__(self) -> str:
        return "Session(<redacted>)"

    def seal(self, plaintext: bytes) -> bytes:
        """Return the 1,987-byte body of the next message; ``plaintext`` ≤ :data:`CAPACITY`.

        Fewer than :data:`AHEAD` bodies, acknowledgements included, may be made beyond the
        last that is known to have come: a receiver that misses so many in a row knows no
        later one. A retransmission sends the same body again.
        """
        padded = padding.pad(plaintext, _PADDED)
        tag, message_key = self._sender.next()
        return tag + crypto.aead_seal(message_key, _ZERO_NONCE, padded, self.id + tag)

    def expected_tags(self) -> frozenset[bytes]:
        """Return the tags that :meth:`open` would know now; up to AHEAD + BEHIND."""
        return self._receiver.tags()

    def open(self, body: bytes) -> bytes:
        """Return the text in ``body``, in any order and once.

        Raises:
            RemoteProtocolError: "session body" (length), "session tag" (unknown, replayed
                or skipped too far), "aead" or "padding"; the state is then as before.
        """
        if len(body) != BODY_LENGTH:
            raise RemoteProtocolError("session body")
        tag = body[:TAG_LENGTH]
        return self._receiver.open(tag, body[TAG_LENGTH:], self.id + tag)


@final
class SessionIndex:
    """Finds the session that a body belongs to, among many, in one look-up."""

    __slots__ = ("_sessions", "_tags")

    def __init__(self, sessions: Iterable[Session] = ()) -> None:
        self._sessions: dict[bytes, Session] = {}  # by tag
        self._tags: dict[bytes, frozenset[bytes]] = {}  # what each session has in _sessions, by id
        for session in sessions:
            self.add(session)

    def __len__(self) -> int:
        return len(self._tags)

    def add(self, session: Session) -> None:
        """Index ``session``, or what changed in it since."""
        before = self._tags.get(session.id, frozenset())
        after = session.expected_tags()
        for tag in before - after:
            del self._sessions[tag]
        for tag in after - before:
            self._sessions[tag] = session
        self._tags[session.id] = after

    def remove(self, session: Session) -> None:
        """Forget ``session``; nothing if it isn't there."""
        for tag in self._tags.pop(session.id, frozenset()):
            del self._sessions[tag]

    def find(self, body: bytes) -> Session | None:
        """Return the session that expects ``body``, if one does."""
        return self._sessions.get(body[:TAG_LENGTH])

    def open(self, body: bytes) -> tuple[Session, bytes]:
        """Return the session that ``body`` belongs to, and the text in it.

        Raises:
            RemoteProtocolError: "session tag" when no session expects it, or as
                :meth:`Session.open`.
        """
        session = self.find(body)
        if session is None:
            raise RemoteProtocolError("session tag")
        text = session.open(body)
        self.add(session)
        return session, text
