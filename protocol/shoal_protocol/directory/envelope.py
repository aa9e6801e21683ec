"""The signed envelope around whatever a relay says about itself.

::

    offset  size
         0    64  Ed25519 signature
        64    32  Ed25519 public key of the relay's libp2p identity
        96     4  epoch, big-endian
       100     1  serial within the epoch
       101     …  body: a descriptor's or a lease's

The signature is over BLAKE2b(label, network's hash, everything behind the signature), so that
a descriptor is no lease and no network's records pass in another. Version and key stand in
fixed places, in front of the body: known, stale and unwanted records are dropped before the
signature is checked, and the body is decoded only after it holds. spec: directory §2
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from shoal_protocol import crypto, identity
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters

HEADER_LENGTH: Final = 101  # bytes before the body; spec: directory §2

_KEY_AT: Final = crypto.SIGNATURE_LENGTH
_EPOCH_AT: Final = _KEY_AT + crypto.KEY_LENGTH
_SERIAL_AT: Final = _EPOCH_AT + 4


class Version(NamedTuple):
    """Orders the descriptors of one relay: the highest wins."""

    epoch: int
    serial: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parts of a signed record; nothing in it is to be believed before :func:`verify`."""

    public_key: bytes
    version: Version
    body: bytes
    data: bytes

    @property
    def relay_id(self) -> bytes:
        """The 16-byte id of the relay that claims to have signed this."""
        return identity.relay_id(identity.peer_id(self.public_key))


def peek(data: bytes, limit: int) -> Envelope:
    """Cut ``data`` into its parts without checking the signature.

    Raises:
        RemoteProtocolError: "record size".
    """
    if not HEADER_LENGTH < len(data) <= limit:
        raise RemoteProtocolError("record size")
    return Envelope(
        public_key=data[_KEY_AT:_EPOCH_AT],
        version=Version(int.from_bytes(data[_EPOCH_AT:_SERIAL_AT], "big"), data[_SERIAL_AT]),
        body=data[HEADER_LENGTH:],
        data=data,
    )


def verify(envelope: Envelope, label: bytes, params: NetworkParameters) -> None:
    """Check the signature and that the serial is one that this network allows.

    Raises:
        RemoteProtocolError: "signature", "serial".
    """
    data = envelope.data
    message = crypto.kdf(label, params.hash, data[_KEY_AT:])
    crypto.ed25519_verify(envelope.public_key, message, data[:_KEY_AT])
    if envelope.version.serial >= params.serials_per_epoch:
        raise RemoteProtocolError("serial")


def seal(
    seed: bytes, label: bytes, version: Version, body: bytes, params: NetworkParameters
) -> bytes:
    """Sign ``body`` under the Ed25519 ``seed`` of the relay's identity."""
    signed = b"".join(
        (
            crypto.ed25519_public(seed),
            version.epoch.to_bytes(4, "big"),
            version.serial.to_bytes(1, "big"),
            body,
        )
    )
    return crypto.ed25519_sign(seed, crypto.kdf(label, params.hash, signed)) + signed
