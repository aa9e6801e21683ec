"""Addresses as text: the few multiaddr forms that Shoal uses.

::

    /ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…      /ip6/2001:db8::7/tcp/4001/p2p/…
    /dns/example.org/tcp/4001/p2p/…  (also dns4, dns6)
    /memory/7/p2p/…                            the in-memory twin

A peer id is written in base58btc, as everywhere in libp2p (libp2p specs: peer-ids, addressing).
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

from shoal_protocol import identity
from shoal_protocol.errors import RemoteProtocolError

MAX_ADDRESS: Final = 320  # characters: a DNS name of 253 and the rest
HOST_KINDS: Final = ("ip4", "ip6", "dns", "dns4", "dns6")


@dataclass(frozen=True, slots=True)
class Address:
    """One parsed address.

    ``kind`` is ip4, ip6, dns, dns4, dns6 or memory; ``host`` its text; ``port`` the TCP port (0
    for memory); ``peer_id`` 38 bytes, or None where the address names nobody.
    """

    kind: str
    host: str
    port: int
    peer_id: bytes | None

    def __str__(self) -> str:
        where = f"/{self.kind}/{self.host}" + ("" if self.kind == "memory" else f"/tcp/{self.port}")
        return (
            where if self.peer_id is None else f"{where}/p2p/{identity.peer_id_text(self.peer_id)}"
        )


def parse(text: str) -> Address:
    """Parse an address, with or without a peer id at its end.

    Raises:
        RemoteProtocolError: "address", for every other form.
    """
    parts = text.split("/") if len(text) <= MAX_ADDRESS else []
    if len(parts) < 3 or parts[0] != "":
        raise RemoteProtocolError("address")
    kind, host, rest = parts[1], parts[2], parts[3:]
    port = 0
    if kind in HOST_KINDS:
        if len(rest) < 2 or rest[0] != "tcp":
            raise RemoteProtocolError("address")
        port, rest = _number(rest[1], 65_535), rest[2:]
        host = _host(kind, host)
    elif kind == "memory":
        host = str(_number(host, 2**32 - 1))
    else:
        raise RemoteProtocolError("address")
    if not rest:
        return Address(kind, host, port, None)
    if len(rest) != 2 or rest[0] != "p2p":
        raise RemoteProtocolError("address")
    return Address(kind, host, port, identity.peer_id_bytes(rest[1]))


def plain(host: str) -> str:
    """Return a socket's remote host, one of IPv4 in IPv6 clothes (::ffff:…) without them."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(getattr(found, "ipv4_mapped", None) or found)


def _number(text: str, limit: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10) or int(text) > limit:
        raise RemoteProtocolError("address")
    return int(text)


def _host(kind: str, host: str) -> str:
    try:
        if kind == "ip4":
            return str(ipaddress.IPv4Address(host))
        if kind == "ip6":
            return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise RemoteProtocolError("address") from None
    allowed = host.isascii() and host.replace("-", "a").replace(".", "a").isalnum()
    if not allowed or len(host) > 253:
        raise RemoteProtocolError("address")
    return host
