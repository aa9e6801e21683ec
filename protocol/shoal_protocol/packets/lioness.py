"""LIONESS: a block cipher as wide as the payload, so that any change destroys all of it.

::

    block = left 32 ‖ right (the rest)          S: ChaCha20, H: keyed BLAKE2b-256

    encrypt   right ⊕= S(left ⊕ k1)    left ⊕= H(k2, right)
              right ⊕= S(left ⊕ k3)    left ⊕= H(k4, right)
    decrypt   the same four rounds backward

Anderson and Biham, "Two practical and provably secure block ciphers: BEAR and LION"
(1996), §5. A key serves one block only: each hop of each packet has its own.
"""

from typing import Final

from shoal_protocol.crypto import blake2b, stream_xor

KEY_LENGTH: Final = 128  # bytes, k1 ‖ k2 ‖ k3 ‖ k4

_from_bytes: Final = int.from_bytes  # XOR of 32 bytes is cheapest on integers


def encrypt(key: bytes, block: bytes) -> bytes:
    """Encrypt ``block`` (over 32 bytes) under ``key`` (128 bytes); same length."""
    left = _from_bytes(block[:32], "little")
    right = block[32:]
    right = stream_xor((left ^ _from_bytes(key[:32], "little")).to_bytes(32, "little"), right)
    left ^= _from_bytes(blake2b(right, digest_size=32, key=key[32:64]).digest(), "little")
    right = stream_xor((left ^ _from_bytes(key[64:96], "little")).to_bytes(32, "little"), right)
    left ^= _from_bytes(blake2b(right, digest_size=32, key=key[96:]).digest(), "little")
    return left.to_bytes(32, "little") + right


def decrypt(key: bytes, block: bytes) -> bytes:
    """Undo :func:`encrypt`."""
    left = _from_bytes(block[:32], "little")
    right = block[32:]
    left ^= _from_bytes(blake2b(right, digest_size=32, key=key[96:]).digest(), "little")
    right = stream_xor((left ^ _from_bytes(key[64:96], "little")).to_bytes(32, "little"), right)
    left ^= _from_bytes(blake2b(right, digest_size=32, key=key[32:64]).digest(), "little")
    right = stream_xor((left ^ _from_bytes(key[:32], "little")).to_bytes(32, "little"), right)
    return left.to_bytes(32, "little") + right
