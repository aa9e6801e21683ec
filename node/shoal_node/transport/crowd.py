"""Who gives way when a bound is reached: somebody of the network that holds most.

::

    192.0.2.0/24     a b c d e f      the most crowded: the oldest half-open socket gives way,
    198.51.100.0/24  g h              the newest link
    2001:db8:1::/48  i

One owner's addresses lie in few networks, so that a flood from them displaces itself, and whoever
comes from elsewhere finds room. spec: transport §3
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def network_of(host: str) -> str:
    """Return the /24 or /48 of a remote host, so that one owner's addresses count as one."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


class Crowd(Generic[T]):
    """Members in order of age, each with the network that it comes from."""

    def __init__(self) -> None:
        self._networks: dict[T, str] = {}
        self._sizes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[T]:
        return iter(self._networks)

    def add(self, member: T, host: str) -> None:
        """Take in a member, the youngest from now on."""
        network = network_of(host)
        self._networks[member] = network
        self._sizes[network] += 1

    def discard(self, member: T) -> None:
        """Forget a member; done twice, it does no harm."""
        network = self._networks.pop(member, None)
        if network is not None:
            self._sizes[network] -= 1
            if not self._sizes[network]:
                del self._sizes[network]

    def oldest_of_most(self) -> T:
        """Return the oldest member of the network that has most of them; there is one."""
        return next(iter(self._most()))

    def newest_of_more(self, host: str) -> T | None:
        """Return the newest member of the network that has most, for a newcomer from ``host``.

        None if the newcomer's network would then have as many: two would displace each other
        for ever.
        """
        if max(self._sizes.values(), default=0) <= self._sizes[network_of(host)] + 1:
            return None
        return self._most()[-1]

    def _most(self) -> list[T]:
        network = max(self._sizes, key=self._sizes.__getitem__)
        return [member for member, its in self._networks.items() if its == network]
