"""Padding inside every AEAD: all plaintexts of a place have one length.

::

    struct padded { u16 length; u8 text[length]; u8 zero[…]; }     // big-endian
"""

from typing import Final

from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError

OVERHEAD: Final = 2  # bytes; spec: sessions §1


def pad(text: bytes, size: int) -> bytes:
    """Return ``text`` (up to ``size`` − 2 bytes) as exactly ``size`` bytes."""
    if len(text) > size - OVERHEAD:
        raise LocalProtocolError("a text longer than its place; fragment it")
    return (len(text).to_bytes(OVERHEAD, "big") + text).ljust(size, b"\0")


def unpad(padded: bytes) -> bytes:
    """Return the text in ``padded``; raises RemoteProtocolError("padding")."""
    end = OVERHEAD + int.from_bytes(padded[:OVERHEAD], "big")
    if len(padded) < OVERHEAD or end > len(padded) or any(padded[end:]):
        raise RemoteProtocolError("padding")
    return padded[OVERHEAD:end]
