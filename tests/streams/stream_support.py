"""Streams and boxes for tests, made from seeds."""

from typing import Final

from shoal_protocol import constants, crypto
from shoal_protocol.parameters import LAB
from shoal_protocol.pseudonyms.blinding import BlindedSecret, SigningSecret
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import WriteCapability
from support import seeded

NETWORK: Final = LAB.hash
OTHER_NETWORK: Final = bytes(32)
DAY: Final = 20_833
ORDER: Final = 2**252 + 27742317777372353535851937790883648493  # of the prime-order group
DAY_FIELD: Final = slice(96, 100)
FLAGS: Final = 100
ZERO_FIELD: Final = slice(101, 104)
SEALED: Final = slice(104, constants.RECORD_LENGTH)
REASONS: Final = {"box", "box day", "box address", "signature", "tombstone", "aead"}


def stream(name: int | str = "stream", network: bytes = NETWORK) -> WriteCapability:
    """Return the stream that ``name`` is the seed of."""
    return WriteCapability.create(seeded(name), network)


def filler(name: int | str = "plaintext") -> bytes:
    """Return what fits into a box."""
    return seeded(name).bytes(box.PLAINTEXT_LENGTH)


def signer(name: int | str = "signer") -> BlindedSecret:
    """Return a key that can sign boxes of any form, as a hostile owner of an address can."""
    return SigningSecret(seeded(name).bytes(32)).blind(b"any", 0, network=NETWORK)


def signed(
    secret: BlindedSecret,
    *,
    day: int = DAY,
    flags: int = 0,
    zero: bytes = bytes(3),
    sealed: bytes = bytes(box.SEALED_LENGTH),
    network: bytes = NETWORK,
) -> bytes:
    """Return a record with these fields and a signature that holds, by the letter of the spec."""
    fields = day.to_bytes(4, "big") + bytes([flags])
    message = crypto.kdf(b"box", network, secret.public, fields, crypto.digest(sealed))
    return secret.public + secret.sign(message) + fields + zero + sealed


def with_bit_flipped(data: bytes, bit: int) -> bytes:
    """Return ``data`` with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
