"""Where a relay can be dialled, as the multiaddr texts that descriptors may hold.

::

    on the wire   /ip4/192.0.2.7/tcp/4001        /ip6/2001:db8::7/tcp/4001     /memory/r7 (labs)
    for dialling  …/p2p/<base58 of the 38-byte peer id>

The peer id is left out on the wire, since the descriptor's key says it: an address can't
point at somebody else's identity. One place has one text: hosts in canonical form, ports
without leading zeros. Outside labs only globally routable hosts pass, so that nobody can
make relays dial into private networks. spec: directory §3
"""

import ipaddress
import re
from typing import Final

from shoal_protocol import identity
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters

MAX_ADDRESS: Final = 96  # bytes on the wire; spec: directory §3
MAX_FULL_ADDRESS: Final = MAX_ADDRESS + 57  # bytes with the peer id; spec: directory §3

_TCP: Final = re.compile(r"/ip([46])/([0-9a-f.:]{2,45})/tcp/([1-9][0-9]{0,4})")
_MEMORY: Final = re.compile(r"/memory/[A-Za-z0-9._-]{1,64}")
_MAX_PORT: Final = 65_535
_UNICAST: Final = ipaddress.ip_network("2000::/3")  # all global unicast so far; RFC 4291 §2.4


def suffix(peer_id: bytes) -> str:
    """Return what turns a wire address into a full one: ``/p2p/<peer id>``."""
    return f"/p2p/{identity.peer_id_text(peer_id)}"


def check(address: str, params: NetworkParameters) -> None:
    """Refuse a wire address that this network's descriptors may not hold.

    Raises:
        RemoteProtocolError: "address form", or "address private" for a host that isn't
            globally routable where the network demands it.
    """
    if len(address) > MAX_ADDRESS:
        raise RemoteProtocolError("address form")
    if params.private_addresses and _MEMORY.fullmatch(address):
        return
    found = _TCP.fullmatch(address)
    if not found or int(found[3]) > _MAX_PORT:
        raise RemoteProtocolError("address form")
    try:
        host = ipaddress.ip_address(found[2])
    except ValueError:
        raise RemoteProtocolError("address form") from None
    if str(host) != found[2] or host.version != int(found[1]):
        raise RemoteProtocolError("address form")
    if not params.private_addresses and not _routable(host):
        raise RemoteProtocolError("address private")


def _routable(host: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(host, ipaddress.IPv6Address) and (
        host not in _UNICAST or host.sixtofour or host.teredo
    ):
        return False  # another family's host in disguise, as NAT64's, or of one site
    return host.is_global and not host.is_multicast
