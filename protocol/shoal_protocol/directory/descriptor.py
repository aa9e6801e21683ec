"""What a relay says about itself once an epoch, signed by its libp2p identity.

::

    Envelope: signature 64 | public key 32 | epoch 4 | serial 1 | body
    body:     msgpack [0, addresses, mix keys, instance, capacity, family, software, nonce]

(epoch, serial) orders a relay's descriptors and the highest wins; the same pair with other
bytes is equivocation. A descriptor of epoch e carries the mix keys that its relay accepts, of
epochs e−1 to e+1, and serves until epoch e+1 ends: whoever has it before e+1 begins never
lacks a key at the turn. The work is a hashcash over the identity alone, done once in its
life. spec: directory §2–4
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Final

from shoal_protocol import crypto, identity, wire
from shoal_protocol.directory import addresses as multiaddr
from shoal_protocol.directory import envelope
from shoal_protocol.directory import subnets as networks
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import work
from shoal_protocol.rng import Rng

MAX_DESCRIPTOR: Final = 640  # bytes, signature included; spec: directory §3
MAX_ADDRESSES: Final = 4
MAX_MIX_KEYS: Final = 3
INSTANCE_LENGTH: Final = 16  # bytes; random, one a storage; spec: directory §3
MAX_SOFTWARE: Final = 24  # bytes
LEAVING: Final = 255  # the class of capacity of who takes nothing new; spec: directory §5.3

_LABEL: Final = b"relay descriptor"
_WORK_LABEL: Final = b"relay identity work"
_FAMILY: Final = b"family "
_SOFTWARE: Final = re.compile(r"[A-Za-z0-9._+/-]*")


@dataclass(frozen=True, slots=True)
class _MixKey:
    epoch: Annotated[int, wire.U32]
    key: Annotated[bytes, wire.exactly(crypto.KEY_LENGTH)]


@dataclass(frozen=True, slots=True)
class _Body:
    addresses: Annotated[
        tuple[Annotated[str, wire.Size(1, multiaddr.MAX_ADDRESS)], ...],
        wire.Size(1, MAX_ADDRESSES),
    ]
    mix_keys: Annotated[tuple[_MixKey, ...], wire.Size(1, MAX_MIX_KEYS)]
    instance: Annotated[bytes, wire.exactly(INSTANCE_LENGTH)]
    capacity: Annotated[int, wire.U8]
    family: Annotated[bytes, wire.Size(0, INSTANCE_LENGTH)]
    software: Annotated[str, wire.Size(0, MAX_SOFTWARE)]
    nonce: Annotated[bytes, wire.exactly(work.NONCE_LENGTH)]


_CODEC: Final = wire.Codec(_Body, limit=MAX_DESCRIPTOR - envelope.HEADER_LENGTH)


@dataclass(frozen=True)
class Descriptor:
    """A relay's verified word about itself.

    ``addresses`` are full, ending in ``/p2p/<peer id>``, ready to be dialled. ``mix_keys``
    are pairs of an epoch and its 32-byte X25519 key. ``instance`` names the relay's present
    storage: requests that are signed for it mean nothing elsewhere. ``family`` is empty or
    16 bytes that relays of one owner share. ``data`` is the signed form.
    """

    public_key: bytes
    epoch: int
    serial: int
    addresses: tuple[str, ...]
    mix_keys: tuple[tuple[int, bytes], ...]
    instance: bytes
    capacity: int
    family: bytes
    software: str
    nonce: bytes
    signature: bytes
    data: bytes = field(repr=False)

    @cached_property
    def peer_id(self) -> bytes:
        """The relay's 38-byte libp2p peer id."""
        return identity.peer_id(self.public_key)

    @cached_property
    def relay_id(self) -> bytes:
        """The 16-byte id by which packets name the relay."""
        return identity.relay_id(self.peer_id)

    @cached_property
    def subnets(self) -> frozenset[bytes]:
        """The /16 (IPv4) and /32 (IPv6) prefixes of its addresses."""
        return networks.wide(self.addresses)

    @cached_property
    def ties(self) -> frozenset[bytes]:
        """What it may share with another: its id, family and subnets, each of other lengths."""
        family = (_FAMILY + self.family,) if self.family else ()
        return self.subnets.union((self.relay_id,), family)

    @property
    def version(self) -> Version:
        """(epoch, serial): the highest of a relay wins."""
        return Version(self.epoch, self.serial)

    @property
    def leaving(self) -> bool:
        """Whether the relay asks to be given nothing new: it goes, or its month is used up."""
        return self.capacity == LEAVING

    def mix_key(self, epoch: int) -> bytes | None:
        """Return the relay's X25519 mix key of ``epoch``, or None if it isn't published."""
        for at, key in self.mix_keys:
            if at == epoch:
                return key
        return None


def sign(
    seed: bytes,
    *,
    version: Version,
    addresses: Sequence[str],
    mix_keys: Sequence[tuple[int, bytes]],
    instance: bytes,
    nonce: bytes,
    params: NetworkParameters,
    capacity: int = 0,
    family: bytes = b"",
    software: str = "",
) -> bytes:
    """Make and sign a descriptor; the caller has made ``version`` durable before.

    Args:
        seed: the 32-byte Ed25519 seed of the relay's identity.
        version: epoch and serial.
        addresses: 1 to 4, with or without the trailing ``/p2p/<peer id>``.
        mix_keys: 1 to 3 pairs (epoch, X25519 key), ascending, within an epoch of ``version``.
        instance: 16 bytes, random for each storage.
        nonce: of the work, from :func:`solve_work`.
        params: the network's.
        capacity: class of capacity, 0 to 255; 0 says nothing, LEAVING takes nothing new.
        family: empty or 16 bytes.
        software: at most 24 bytes of ``[A-Za-z0-9._+/-]``.

    Raises:
        LocalProtocolError: nobody would take it, and why.
    """
    suffix = multiaddr.suffix(identity.peer_id(crypto.ed25519_public(seed)))
    body = _Body(
        addresses=tuple(address.removesuffix(suffix) for address in addresses),
        mix_keys=tuple(_MixKey(epoch, key) for epoch, key in mix_keys),
        instance=instance,
        capacity=capacity,
        family=family,
        software=software,
        nonce=nonce,
    )
    try:
        data = envelope.seal(seed, _LABEL, version, _CODEC.encode(body), params)
        decode_descriptor(data, params)
    except (RemoteProtocolError, ValueError) as error:
        raise LocalProtocolError(f"a descriptor that nobody would take: {error}") from error
    return data


def decode_descriptor(data: bytes, params: NetworkParameters) -> Descriptor:
    """Verify and decode a descriptor: size, signature, form, addresses, keys, work.

    Raises:
        RemoteProtocolError: "record size", "signature", "serial", "wire", "address form",
            "address private", "address repeated", "mix keys", "low-order
            point", "family", "software", "work".
    """
    return open_descriptor(envelope.peek(data, MAX_DESCRIPTOR), params)


def open_descriptor(sealed: envelope.Envelope, params: NetworkParameters) -> Descriptor:
    """Do as :func:`decode_descriptor` with an envelope already cut."""
    envelope.verify(sealed, _LABEL, params)
    body = _CODEC.decode(sealed.body)
    for address in body.addresses:
        multiaddr.check(address, params)
    if len(set(body.addresses)) != len(body.addresses):
        raise RemoteProtocolError("address repeated")
    epoch = sealed.version.epoch
    epochs = [key.epoch for key in body.mix_keys]
    if sorted(set(epochs)) != epochs or epochs[0] < epoch - 1 or epochs[-1] > epoch + 1:
        raise RemoteProtocolError("mix keys")
    for mix_key in body.mix_keys:
        crypto.x25519_check(mix_key.key)
    if len(body.family) not in (0, INSTANCE_LENGTH):
        raise RemoteProtocolError("family")
    if not _SOFTWARE.fullmatch(body.software):
        raise RemoteProtocolError("software")
    challenge = work_challenge(sealed.public_key, params)
    work.check(challenge, body.nonce, params.descriptor_work_bits)
    suffix = multiaddr.suffix(identity.peer_id(sealed.public_key))
    return Descriptor(
        public_key=sealed.public_key,
        epoch=epoch,
        serial=sealed.version.serial,
        addresses=tuple(address + suffix for address in body.addresses),
        mix_keys=tuple((key.epoch, key.key) for key in body.mix_keys),
        instance=body.instance,
        capacity=body.capacity,
        family=body.family,
        software=body.software,
        nonce=body.nonce,
        signature=sealed.data[: crypto.SIGNATURE_LENGTH],
        data=sealed.data,
    )


def work_challenge(public_key: bytes, params: NetworkParameters) -> bytes:
    """Return the challenge of an identity's work, for :class:`pseudonyms.work.Solver`."""
    return work.challenge(_WORK_LABEL, params.hash, public_key)


def solve_work(public_key: bytes, params: NetworkParameters, rng: Rng) -> bytes:
    """Return the 8-byte nonce of an identity's work; blocks until it is found.

    Done once for an identity and kept with it: 2^``descriptor_work_bits`` hashes on average,
    about a second on the main network.
    """
    start = int.from_bytes(rng.bytes(work.NONCE_LENGTH), "big")
    return work.solve(work_challenge(public_key, params), params.descriptor_work_bits, start=start)
