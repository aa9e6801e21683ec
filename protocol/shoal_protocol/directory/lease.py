"""A relay's word that it is still there, signed every third of the time it lasts.

::

    Envelope: signature 64 | public key 32 | epoch 4 | serial 1 | until 8, big-endian | traffic 1

110 bytes. Epoch and serial are those of the descriptor that the relay stands by: one that is
older than its lease has been replaced, and serves nobody until the newer one arrives. A relay
that is gone leaves every view when its last lease ends. ``traffic`` is the class of how much
it is asked, see ``traffic``. spec: directory §5
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from shoal_protocol import identity
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import envelope
from shoal_protocol.directory import traffic as traffics
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters

LEASE_LENGTH: Final = envelope.HEADER_LENGTH + 9  # bytes; spec: directory §5

_LABEL: Final = b"relay lease"
_UNTIL_LENGTH: Final = 8


@dataclass(frozen=True)
class Lease:
    """A verified lease: the relay stands by its descriptor of ``version`` till ``until`` (s).

    ``traffic`` is the class of requests that it says it is asked.
    """

    public_key: bytes
    version: Version
    until: int
    traffic: int
    data: bytes = field(repr=False)

    @cached_property
    def relay_id(self) -> bytes:
        """The 16-byte id of the relay."""
        return identity.relay_id(identity.peer_id(self.public_key))


def sign_lease(
    seed: bytes, *, version: Version, until: int, params: NetworkParameters, traffic: int = 0
) -> bytes:
    """Sign a lease; ``until`` in whole seconds since the Unix epoch, ``traffic`` a class."""
    body = until.to_bytes(_UNTIL_LENGTH, "big") + bytes((traffic,))
    return envelope.seal(seed, _LABEL, version, body, params)


def peek_lease(data: bytes) -> tuple[envelope.Envelope, int]:
    """Return the parts of a lease and its end (s), neither to be believed yet.

    Raises:
        RemoteProtocolError: "record size".
    """
    if len(data) != LEASE_LENGTH:
        raise RemoteProtocolError("record size")
    sealed = envelope.peek(data, LEASE_LENGTH)
    return sealed, int.from_bytes(sealed.body[:_UNTIL_LENGTH], "big")


def decode_lease(data: bytes, params: NetworkParameters) -> Lease:
    """Verify and decode a lease; whether its time is right is :func:`in_time`'s to say.

    Raises:
        RemoteProtocolError: "record size", "signature", "serial", "traffic".
    """
    sealed, until = peek_lease(data)
    envelope.verify(sealed, _LABEL, params)
    traffic = sealed.body[_UNTIL_LENGTH]
    if traffic > traffics.MAX_CLASS:
        raise RemoteProtocolError("traffic")
    return Lease(sealed.public_key, sealed.version, until, traffic, data)


def in_time(until: int, now: int, params: NetworkParameters) -> bool:
    """Return whether a lease that ends at ``until`` (s) may be believed at ``now`` (ns).

    It must not have ended, nor last longer than one lease and the clocks' allowed skew.
    """
    return 0 < until * SECOND - now <= (params.lease_s + params.clock_skew_s) * SECOND
