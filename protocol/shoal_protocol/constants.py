"""Lengths and limits that more than one module shares, each with its unit and its spec section."""

from typing import Final

RELAY_ID_LENGTH: Final = 16  # bytes, BLAKE2b-128 of the peer id; spec: packet §1
RECORD_LENGTH: Final = 2048  # bytes, a box, inbox entry or announcement; spec: service §1
BOX_PLAINTEXT_LENGTH: Final = 1928  # bytes inside a box; spec: streams §1
