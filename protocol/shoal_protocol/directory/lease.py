"""A relay's word that it is still there, signed every third of the time it lasts.

::

    Envelope: signature 64 | public key 32 | epoch 4 | serial 1 | until 8, big-endian

109 bytes. Epoch and serial are those of the descriptor that the relay stands by: one that is
older than its lease has been replaced, and serves nobody until the newer one arrives. A relay
that is gone leaves every view when its last lease ends. spec: directory §5
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from shoal_protocol import identity
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import envelope
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters

LEASE_LENGTH: Final = envelope.HEADER_LENGTH + 8  # bytes; spec: directory §5

_LABEL: Final = b"relay lease"


@dataclass(frozen=True)
class Lease:
    """A verified lease: the relay stands by its descriptor of ``version`` till ``until`` (s)."""

    public_key: bytes
    version: Version
    until: int
    data: bytes = field(repr=False)

    @cached_property
    def relay_id(self) -> bytes:
        """The 16-byte id of the relay."""
        return identity.relay_id(identity.peer_id(self.public_key))


def sign_lease(seed: bytes, *, version: Version, until: int, params: NetworkParameters) -> bytes:
    """Sign a lease; ``until`` in whole seconds since the Unix epoch."""
    return envelope.seal(seed, _LABEL, version, until.to_bytes(8, "big"), params)


def peek_lease(data: bytes) -> tuple[envelope.Envelope, int]:
    """Return the parts of a lease and its end (s), neither to be believed yet.

    Raises:
        RemoteProtocolError: "record size".
    """
    if len(data) != LEASE_LENGTH:
        raise RemoteProtocolError("record size")
    sealed = envelope.peek(data, LEASE_LENGTH)
    return sealed, int.from_bytes(sealed.body, "big")


def decode_lease(data: bytes, params: NetworkParameters) -> Lease:
    """Verify and decode a lease; whether its time is right is :func:`in_time`'s to say.

    Raises:
        RemoteProtocolError: "record size", "signature", "serial".
    """
    sealed, until = peek_lease(data)
    envelope.verify(sealed, _LABEL, params)
    return Lease(sealed.public_key, sealed.version, until, data)


def in_time(until: int, now: int, params: NetworkParameters) -> bool:
    """Return whether a lease that ends at ``until`` (s) may be believed at ``now`` (ns).

    It must not have ended, nor last longer than one lease and the clocks' allowed skew.
    """
    return 0 < until * SECOND - now <= (params.lease_s + params.clock_skew_s) * SECOND
