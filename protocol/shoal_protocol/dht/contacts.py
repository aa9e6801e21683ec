"""Contacts: who serves the DHT, where it can be dialled, and where it stands in the key space.

::

    public key 32 ──► peer id 38 ──kdf "dht position"──► position 32 ──XOR──► distance

A contact that another node names is a rumour. Its position can't be chosen apart from its
key, since it is computed here and never sent; its address can name no other identity, and
outside labs no private host; it is believed for one dial, which authenticates the key. Only
contacts that answered such a dial stand in a routing table. spec: dht §1
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

from shoal_protocol import crypto, identity, wire
from shoal_protocol.directory import addresses
from shoal_protocol.parameters import NetworkParameters

KEY_LENGTH: Final = 32  # bytes, of DHT keys and positions alike; spec: dht §1
KEY_BITS: Final = 8 * KEY_LENGTH

_POSITIONS_KEPT: Final = 8192  # so that a crawl doesn't hash the same keys again; 1.5 MB


@lru_cache(maxsize=_POSITIONS_KEPT)
def position_of(peer_id: bytes) -> bytes:
    """Return the 32-byte place in the key space of the node with this 38-byte peer id."""
    return crypto.kdf(b"dht position", peer_id, size=KEY_LENGTH)


def distance(a: bytes, b: bytes) -> int:
    """Return the XOR distance of two keys or positions of 32 bytes (Kademlia §2)."""
    return int.from_bytes(a, "big") ^ int.from_bytes(b, "big")


@dataclass(frozen=True, slots=True)
class Contact:
    """A node that serves the DHT: its Ed25519 key and where to dial it.

    ``address`` has no ``/p2p/<peer id>``, since the key says it: see ``directory.addresses``.
    """

    public_key: Annotated[bytes, wire.exactly(crypto.KEY_LENGTH)]
    address: Annotated[str, wire.Size(1, addresses.MAX_ADDRESS)]

    @property
    def peer_id(self) -> bytes:
        """The 38-byte libp2p peer id, which a dial has to authenticate."""
        return identity.peer_id(self.public_key)

    @property
    def position(self) -> bytes:
        """The 32-byte place in the key space."""
        return position_of(self.peer_id)

    @property
    def full_address(self) -> str:
        """The address with ``/p2p/<peer id>`` behind, as transports dial it."""
        return self.address + addresses.suffix(self.peer_id)


def contact_at(peer_id: bytes, address: str) -> Contact:
    """Return the contact of an Ed25519 peer id (38 bytes) at a full or a wire address."""
    public_key = peer_id[len(identity.PEER_ID_PREFIX) :]
    return Contact(public_key, address.removesuffix(addresses.suffix(peer_id)))


def check(contact: Contact, parameters: NetworkParameters) -> None:
    """Refuse an address that this network's relays may not have: above all, private hosts.

    Raises:
        RemoteProtocolError: "address form" or "address private".
    """
    addresses.check(contact.address, parameters)
