"""Contacts: who serves the DHT, where it can be dialled, and where it stands in the key space.

::

    public key 32 ──► peer id 38 ─┬─kdf "dht position"──► position 32 ──XOR──► distance
    its work's nonce, if any ─────┘
    record ──► key ──kdf "dht key"──► its other keys, as many as the network has

A contact that another node names is a rumour. Its position can't be chosen apart from its
key, since it is computed here and never sent. Where identities cost work the position follows
from the work's solution, which the relay signs in its descriptor: each further place that one
looks at costs the work again. Its address can name no other identity, and outside labs no
private host; it is believed for one dial, which authenticates the key. Only contacts that
answered such a dial stand in a routing table. spec: dht §1
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

from shoal_protocol import crypto, identity, wire
from shoal_protocol.directory import addresses
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import NetworkParameters

KEY_LENGTH: Final = 32  # bytes, of DHT keys and positions alike; spec: dht §1
KEY_BITS: Final = 8 * KEY_LENGTH

_POSITIONS_KEPT: Final = 8192  # so that a crawl doesn't hash the same keys again; 1.5 MB


@lru_cache(maxsize=_POSITIONS_KEPT)
def position_of(peer_id: bytes, solution: bytes = b"") -> bytes:
    """Return the 32-byte place in the key space of the node with this 38-byte peer id.

    ``solution`` is the nonce of its identity's work, empty where a network asks for none.
    """
    parts = (peer_id, solution) if solution else (peer_id,)
    return crypto.kdf(b"dht position", *parts, size=KEY_LENGTH)


def place_of(relay: Descriptor, parameters: NetworkParameters) -> bytes:
    """Return the place of a relay by what it signed: its key, and its work if that costs."""
    solution = relay.nonce if parameters.descriptor_work_bits else b""
    return position_of(relay.peer_id, solution)


def keys_of(key: bytes, count: int) -> tuple[bytes, ...]:
    """Return the ``count`` keys of a record whose content gives ``key``: that one, and others."""
    others = (number.to_bytes(1, "big") for number in range(1, count))
    return key, *(crypto.kdf(b"dht key", key, number, size=KEY_LENGTH) for number in others)


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
        """The 32-byte place in the key space of a network in which identities cost no work."""
        return position_of(self.peer_id)

    @property
    def full_address(self) -> str:
        """The address with ``/p2p/<peer id>`` behind, as transports dial it."""
        return self.address + addresses.suffix(self.peer_id)


Place = Callable[[Contact], bytes | None]
"""Where a contact stands; None for one whose work isn't known, who stands nowhere."""


def by_key(contact: Contact) -> bytes:
    """The :data:`Place` of a network in which identities cost no work."""
    return contact.position


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
