"""How a node is named: Ed25519 public key, libp2p peer id, 16-byte relay id.

The peer id is libp2p's identity multihash over the protobuf form of an Ed25519 key
(libp2p specs, peer-ids). The relay id is what packets carry; spec: packet §1.
"""

from functools import lru_cache
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.constants import RELAY_ID_LENGTH
from shoal_protocol.errors import RemoteProtocolError

PEER_ID_PREFIX: Final = bytes.fromhex("002408011220")  # identity multihash, 36 bytes, Ed25519
PEER_ID_LENGTH: Final = len(PEER_ID_PREFIX) + crypto.KEY_LENGTH

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"  # base58btc
_DIGITS: Final = {character: value for value, character in enumerate(_ALPHABET)}
_TEXTS_KEPT: Final = 8192  # so that each contact that a DHT names isn't written anew; 2 MB


def peer_id(public_key: bytes) -> bytes:
    """Return the 38-byte libp2p peer id of a 32-byte Ed25519 public key."""
    return PEER_ID_PREFIX + public_key


def relay_id(peer: bytes) -> bytes:
    """Return the 16-byte id by which packets name the node with this peer id."""
    return crypto.digest(peer, size=RELAY_ID_LENGTH)


@lru_cache(maxsize=_TEXTS_KEPT)
def peer_id_text(peer_id: bytes) -> str:
    """Return the base58btc text of a peer id."""
    number, text = int.from_bytes(peer_id, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(peer_id) - len(peer_id.lstrip(b"\0"))) + text


def peer_id_bytes(text: str) -> bytes:
    """Return the 38 bytes of an Ed25519 peer id.

    Raises:
        RemoteProtocolError: "address", for anything but the canonical text of such an id.
    """
    number = 0
    for character in text if len(text) <= PEER_ID_LENGTH * 2 else "!":
        if character not in _DIGITS:
            raise RemoteProtocolError("address")
        number = number * 58 + _DIGITS[character]
    leading = len(text) - len(text.lstrip("1"))
    peer_id = bytes(leading) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(peer_id) != PEER_ID_LENGTH or not peer_id.startswith(PEER_ID_PREFIX):
        raise RemoteProtocolError("address")
    return peer_id
