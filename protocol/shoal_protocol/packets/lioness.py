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

from shoal_protocol.crypto import InPlace

KEY_LENGTH: Final = 128  # bytes, k1 ‖ k2 ‖ k3 ‖ k4

_LEFT: Final = 32  # bytes
_from_bytes: Final = int.from_bytes  # XOR of 32 bytes is cheapest on integers


def encrypt(key: bytes, block: bytes) -> bytes:
    """Encrypt ``block`` (over 32 bytes) under ``key`` (128 bytes); same length."""
    left = _from_bytes(block[:_LEFT], "little")
    right = InPlace(block[_LEFT:])
    right.stream_xor((left ^ _from_bytes(key[:32], "little")).to_bytes(_LEFT, "little"))
    left ^= _from_bytes(right.digest(key[32:64]), "little")
    right.stream_xor((left ^ _from_bytes(key[64:96], "little")).to_bytes(_LEFT, "little"))
    left ^= _from_bytes(right.digest(key[96:]), "little")
    return left.to_bytes(_LEFT, "little") + bytes(right)


def decrypt(key: bytes, block: bytes) -> bytes:
    """Undo :func:`encrypt`."""
    left = _from_bytes(block[:_LEFT], "little")
    right = InPlace(block[_LEFT:])
    left ^= _from_bytes(right.digest(key[96:]), "little")
    right.stream_xor((left ^ _from_bytes(key[64:96], "little")).to_bytes(_LEFT, "little"))
    left ^= _from_bytes(right.digest(key[32:64]), "little")
    right.stream_xor((left ^ _from_bytes(key[:32], "little")).to_bytes(_LEFT, "little"))
    return left.to_bytes(_LEFT, "little") + bytes(right)
