"""The one importer of ciphers: every primitive that the protocol uses, by its own name.

libsodium through PyNaCl for the curve, OpenSSL through ``cryptography`` for ChaCha20 and
ML-KEM-768, hashlib for BLAKE2b. Failures that a peer can cause are
:class:`~shoal_protocol.errors.RemoteProtocolError`; wrong sizes from our own side are
whatever the library raises. Costs a call are in ``docs/spec/parameters.md``.
"""

import hmac
from collections.abc import Callable
from hashlib import blake2b as blake2b
from typing import Final

import nacl.bindings as sodium
import nacl.exceptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from shoal_protocol.errors import RemoteProtocolError

KEY_LENGTH: Final = 32  # bytes: X25519, Ed25519, ChaCha20 and hash keys alike
AEAD_NONCE_LENGTH: Final = 12  # bytes, RFC 8439
AEAD_TAG_LENGTH: Final = 16  # bytes, RFC 8439
SIGNATURE_LENGTH: Final = 64  # bytes, RFC 8032
MLKEM_PUBLIC_LENGTH: Final = 1184  # bytes, FIPS 203
MLKEM_CIPHERTEXT_LENGTH: Final = 1088  # bytes, FIPS 203
MLKEM_SEED_LENGTH: Final = 64  # bytes, FIPS 203 (d ‖ z)

_ZERO_NONCE: Final = bytes(16)  # 32-bit counter 0 ‖ 96-bit nonce 0; keys are used once
_PERSON: Final = b"shoal"


def equal(a: bytes, b: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(a, b)


def digest(data: bytes, *, size: int = 32, key: bytes = b"") -> bytes:
    """BLAKE2b of ``data`` (RFC 7693), ``size`` 1 to 64 bytes, ``key`` up to 64 bytes."""
    return blake2b(data, digest_size=size, key=key).digest()


def kdf(label: bytes, *parts: bytes, size: int = 32) -> bytes:
    """Derive ``size`` (1 to 64) bytes from ``parts``, apart from every other ``label``.

    Each part and the label are framed by their lengths, so that no two inputs collide:
    BLAKE2b over u32 ‖ label ‖ u32 ‖ part ‖ …, personalised "shoal".
    """
    state = blake2b(digest_size=size, person=_PERSON)
    for part in (label, *parts):
        state.update(len(part).to_bytes(4, "little"))
        state.update(part)
    return state.digest()


def stream_xor(key: bytes, data: bytes) -> bytes:
    """XOR ``data`` with ChaCha20 under ``key`` and a zero nonce: one key, one use."""
    return Cipher(algorithms.ChaCha20(key, _ZERO_NONCE), None).encryptor().update(data)


def keystream(key: bytes, size: int) -> bytes:
    """Return the first ``size`` bytes of the ChaCha20 stream of ``key``."""
    return stream_xor(key, bytes(size))


def seeded_source(seed: bytes) -> Callable[[int], bytes]:
    """Return a deterministic byte source for :class:`~shoal_protocol.rng.Rng`.

    One running ChaCha20 stream keyed by the hash of ``seed``; for tests, vectors and
    simulations. The node passes the operating system's source instead.
    """
    stream = Cipher(algorithms.ChaCha20(digest(seed), _ZERO_NONCE), None).encryptor()
    return lambda size: stream.update(bytes(size))


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """ChaCha20-Poly1305 (RFC 8439): ciphertext with its 16-byte tag behind."""
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, ad)


def aead_open(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    """Open :func:`aead_seal`; raises RemoteProtocolError("aead")."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, ad)
    except (InvalidTag, ValueError):
        raise RemoteProtocolError("aead") from None


def x25519_public(private: bytes) -> bytes:
    """Return the public key of a 32-byte X25519 private key (RFC 7748)."""
    return sodium.crypto_scalarmult_base(private)


def x25519(private: bytes, public: bytes) -> bytes:
    """X25519 (RFC 7748); a low-order point raises RemoteProtocolError("low-order point")."""
    try:
        return sodium.crypto_scalarmult(private, public)
    except nacl.exceptions.RuntimeError:
        raise RemoteProtocolError("low-order point") from None


def ed25519_public(seed: bytes) -> bytes:
    """Return the Ed25519 public key of a 32-byte seed (RFC 8032)."""
    return sodium.crypto_sign_seed_keypair(seed)[0]


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """Sign ``message``: 64 bytes (RFC 8032)."""
    secret = sodium.crypto_sign_seed_keypair(seed)[1]
    return sodium.crypto_sign(message, secret)[:SIGNATURE_LENGTH]


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Verify (RFC 8032, libsodium's strict checks); raises RemoteProtocolError("signature")."""
    try:
        sodium.crypto_sign_open(signature + message, public)
    except (nacl.exceptions.CryptoError, ValueError):
        raise RemoteProtocolError("signature") from None


def mlkem_public(seed: bytes) -> bytes:
    """Return the ML-KEM-768 encapsulation key, 1,184 bytes, of a 64-byte seed (FIPS 203)."""
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def mlkem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """Encapsulate to ``public``: (shared secret 32, ciphertext 1,088), drawn by OpenSSL.

    Raises RemoteProtocolError("kem key"). FIPS 203 gives no deterministic form to
    applications, so builders that call this take it as an argument and vectors record it.
    """
    try:
        return mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError:
        raise RemoteProtocolError("kem key") from None


def mlkem_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """Return the shared secret of ``ciphertext`` (implicit rejection: never fails on content).

    Raises RemoteProtocolError("kem ciphertext") on a wrong length.
    """
    if len(ciphertext) != MLKEM_CIPHERTEXT_LENGTH:
        raise RemoteProtocolError("kem ciphertext")
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)
