"""Which networks an address lies in: what a relay's owner has to pay for, unlike keys.

::

    /ip4/192.0.2.7/tcp/4001     wide 192.0    (/16)     narrow 192.0.2         (/24)
    /ip6/2001:db8:1::7/tcp/…    wide 2001:db8 (/32)     narrow 2001:db8:1      (/48)
    /memory/r7                  neither: labs have no networks

spec: client §1, directory §7
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Final, TypeVar

T = TypeVar("T")

_WIDE: Final = {4: 2, 16: 4}  # bytes of a prefix, by those of an address
_NARROW: Final = {4: 3, 16: 6}


@lru_cache(maxsize=16_384)
def wide(addresses: tuple[str, ...]) -> frozenset[bytes]:
    """Return the /16 (IPv4) and /32 (IPv6) prefixes of a relay's addresses."""
    return frozenset(_prefixes(addresses, _WIDE))


@lru_cache(maxsize=16_384)
def narrow(addresses: tuple[str, ...]) -> frozenset[bytes]:
    """Return the /24 (IPv4) and /48 (IPv6) prefixes of a relay's addresses."""
    return frozenset(_prefixes(addresses, _NARROW))


def apart(nodes: Iterable[T], address_of: Callable[[T], str]) -> Iterator[T]:
    """Yield of ``nodes``, in their order, those whose /16 or /32 nobody before them is in."""
    taken: set[bytes] = set()
    for node in nodes:
        subnets = wide((address_of(node),))
        if taken.isdisjoint(subnets):
            taken.update(subnets)
            yield node


def _prefixes(addresses: tuple[str, ...], lengths: dict[int, int]) -> Iterator[bytes]:
    for address in addresses:
        parts = address.split("/")
        if len(parts) > 2 and parts[1] in ("ip4", "ip6"):
            packed = ipaddress.ip_address(parts[2]).packed
            yield packed[: lengths[len(packed)]]


def two_apart(networks: Sequence[frozenset[bytes]]) -> bool:
    """Whether two of these are in different networks throughout."""
    return any(one.isdisjoint(other) for one, other in combinations(networks, 2))
