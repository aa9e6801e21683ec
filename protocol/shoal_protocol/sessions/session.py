"""What a first contact gives both sides: a double ratchet, and a stream for each direction.

::

    session root ─┬─ KDF("session id")                              16 bytes, the ratchet's too
                  ├─ KDF("session stream", sender's role)           root of the sender's stream
                  └─ ratchet                                        seals what goes into boxes

The boxes of a stream say who may write and read them, the ratchet what is in them. Both
sides can derive both streams' roots, so that no signature of a box proves to others who
wrote it. A dump does not hold these roots: the capabilities made of them forget the boxes
that have passed, and a root that stayed would give their addresses back.
"""

from dataclasses import dataclass
from typing import Annotated, Final, final

from shoal_protocol import crypto, wire
from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import ratchet
from shoal_protocol.sessions.ratchet import Ratchet


@dataclass(frozen=True, slots=True, repr=False)
class _State:
    initiator: bool
    ratchet: Annotated[bytes, wire.Size(0, ratchet.DUMP_LIMIT)]


DUMP_LIMIT: Final = ratchet.DUMP_LIMIT + 16  # bytes
_CODEC: Final = wire.Codec(_State, limit=DUMP_LIMIT)


def _stream_root(root: bytes, initiator: bool) -> bytes:
    role = b"initiator" if initiator else b"answerer"
    return crypto.kdf(b"session stream", root, role)


@final
class Session:
    """One side of a session; made by :meth:`begun`, :meth:`answered` or :meth:`load`.

    Args:
        ratchet: this side's.
        initiator: whether this side began it.
        root: the session's, unless it is loaded.
    """

    __slots__ = ("_stream_roots", "initiator", "ratchet")

    def __init__(self, ratchet: Ratchet, *, initiator: bool, root: bytes | None) -> None:
        self.ratchet: Final = ratchet
        self.initiator: Final = initiator
        self._stream_roots = (
            None
            if root is None
            else (_stream_root(root, initiator), _stream_root(root, not initiator))
        )

    def __repr__(self) -> str:
        return "Session(<redacted>)"

    @classmethod
    def begun(cls, root: bytes, ephemeral_private: bytes) -> "Session":
        """Return the initiator's side; arguments as of :meth:`Ratchet.initiator`."""
        return cls(Ratchet.initiator(root, ephemeral_private), initiator=True, root=root)

    @classmethod
    def answered(cls, root: bytes, ephemeral_public: bytes, rng: Rng) -> "Session":
        """Return the answerer's side; arguments and errors as of :meth:`Ratchet.answerer`."""
        return cls(Ratchet.answerer(root, ephemeral_public, rng), initiator=False, root=root)

    @property
    def id(self) -> bytes:
        """16 bytes, the same on both sides."""
        return self.ratchet.id

    @property
    def outgoing_root(self) -> bytes:
        """Root of the stream that this side writes, 32 bytes; not of a loaded session."""
        return self._roots()[0]

    @property
    def incoming_root(self) -> bytes:
        """Root of the stream that this side reads, 32 bytes; not of a loaded session."""
        return self._roots()[1]

    def _roots(self) -> tuple[bytes, bytes]:
        if self._stream_roots is None:
            raise LocalProtocolError("a loaded session has no stream roots; keep capabilities")
        return self._stream_roots

    def seal(self, plaintext: bytes, rng: Rng) -> bytes:
        """Return a body of 1,928 bytes; as :meth:`Ratchet.seal`."""
        return self.ratchet.seal(plaintext, rng)

    def open(self, body: bytes, rng: Rng) -> bytes:
        """Return the text in ``body``; as :meth:`Ratchet.open`."""
        return self.ratchet.open(body, rng)

    def dump(self) -> bytes:
        """Return role and ratchet in canonical form, at most :data:`DUMP_LIMIT` bytes."""
        return _CODEC.encode(_State(self.initiator, self.ratchet.dump()))

    @classmethod
    def load(cls, data: bytes) -> "Session":
        """Return what :meth:`dump` wrote; raises RemoteProtocolError "wire" on anything else."""
        state = _CODEC.decode(data)
        return cls(Ratchet.load(state.ratchet), initiator=state.initiator, root=None)
