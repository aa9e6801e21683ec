"""An inbox entry: what everyone but holders of the pseudonym sees as random bytes.

::

    struct entry {                     // 2,048 bytes
        u8 address[32];                // the inbox's, of the day
        u8 nonce[12];                  // random
        u8 sealed[2004];               // ChaCha20-Poly1305 of the struct below, tag behind
    }

    struct plaintext {                 // 1,988 bytes
        u8 kind;                       // 1 first contact
        u8 body[1987];                 // what the kind says, always full
    }

    cloak key = KDF("cloak", network, pseudonym, address);  AD = address

Every holder of the pseudonym can make the key, so the cloak is no secrecy among them: it
makes entries look random to the relay, which keys and ciphertexts of a first contact do
not, and keeps unauthenticated bytes from being parsed. What must be secret is sealed again,
and padded, inside. The address is bound, and with it the day and the inbox root that it was
blinded from.
"""

from typing import Final

from shoal_protocol import crypto
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms import persona
from shoal_protocol.rng import Rng

ADDRESS_LENGTH: Final = 32  # bytes; spec: sessions §1
FIRST_CONTACT: Final = 1  # kind of a plaintext; its body is handshake's
_SEALED_AT: Final = ADDRESS_LENGTH + crypto.AEAD_NONCE_LENGTH
CAPACITY: Final = RECORD_LENGTH - _SEALED_AT - crypto.AEAD_TAG_LENGTH  # 1,988 bytes, kind and body
BODY_LENGTH: Final = CAPACITY - 1  # bytes


def _key(pseudonym: bytes, address: bytes, network: bytes) -> bytes:
    return crypto.kdf(b"cloak", network, pseudonym, address)


def seal(
    pseudonym: bytes, inbox_root: bytes, day: int, plaintext: bytes, rng: Rng, network: bytes
) -> bytes:
    """Return the 2,048 bytes to put into an inbox.

    Args:
        pseudonym: the recipient's, 32 bytes.
        inbox_root: the recipient's, 32 bytes.
        day: UTC day number of the inbox.
        plaintext: exactly :data:`CAPACITY` bytes, a kind and its body.
        rng: draws the nonce.
        network: the network parameters' hash.

    Raises:
        RemoteProtocolError: "point", when the inbox root is no usable key.
    """
    if len(plaintext) != CAPACITY:
        raise LocalProtocolError(f"a cloaked plaintext has {CAPACITY} bytes")
    address = persona.inbox_address(inbox_root, day, network)
    nonce = rng.bytes(crypto.AEAD_NONCE_LENGTH)
    key = _key(pseudonym, address, network)
    return address + nonce + crypto.aead_seal(key, nonce, plaintext, address)


def open(pseudonym: bytes, inbox_root: bytes, day: int, record: bytes, network: bytes) -> bytes:
    """Return the :data:`CAPACITY` bytes in ``record``: a known kind, and its body.

    Raises:
        RemoteProtocolError: "entry length", "entry address" (another inbox's or day's),
            "aead" or "entry kind".
    """
    if len(record) != RECORD_LENGTH:
        raise RemoteProtocolError("entry length")
    address = record[:ADDRESS_LENGTH]
    if address != persona.inbox_address(inbox_root, day, network):
        raise RemoteProtocolError("entry address")
    nonce, sealed = record[ADDRESS_LENGTH:_SEALED_AT], record[_SEALED_AT:]
    plaintext = crypto.aead_open(_key(pseudonym, address, network), nonce, sealed, address)
    if plaintext[0] != FIRST_CONTACT:
        raise RemoteProtocolError("entry kind")
    return plaintext
