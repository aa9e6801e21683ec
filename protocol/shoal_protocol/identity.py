"""How a node is named: Ed25519 public key, libp2p peer id, 16-byte relay id.

The peer id is libp2p's identity multihash over the protobuf form of an Ed25519 key
(libp2p specs, peer-ids). The relay id is what packets carry; spec: packet §1.
"""

from typing import Final

from shoal_protocol import crypto
from shoal_protocol.constants import RELAY_ID_LENGTH

PEER_ID_PREFIX: Final = bytes.fromhex("002408011220")  # identity multihash, 36 bytes, Ed25519
PEER_ID_LENGTH: Final = len(PEER_ID_PREFIX) + crypto.KEY_LENGTH


def peer_id(public_key: bytes) -> bytes:
    """Return the 38-byte libp2p peer id of a 32-byte Ed25519 public key."""
    return PEER_ID_PREFIX + public_key


def relay_id(peer: bytes) -> bytes:
    """Return the 16-byte id by which packets name the node with this peer id."""
    return crypto.digest(peer, size=RELAY_ID_LENGTH)
