"""Who gives way when a bound is reached: somebody of the network that holds most.

::

    2001:db8::/32   2001:db8:1::/48  a b c      the most crowded wide network, and in it
                    2001:db8:2::/48  d          the most crowded narrow one: the oldest
    192.0.0.0/16    192.0.2.0/24     e f        half-open socket gives way, the newest link
    198.51.0.0/16   198.51.100.0/24  g

One owner's addresses lie in few networks, so that a flood from them displaces itself, and whoever
comes from elsewhere finds room. Wide ones come first: who has an IPv6 /32 has 65,536 /48s, and
one member in each would be no crowd anywhere. spec: transport §3
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def network_of(host: str) -> str:
    """Return the /24 or /48 of a remote host, so that one owner's addresses count as one."""
    return _network(host, 24, 48)


def wide_network_of(host: str) -> str:
    """Return the /16 or /32 of a remote host: what one owner of IPv6 has at the least."""
    return _network(host, 16, 32)


def _network(host: str, ipv4: int, ipv6: int) -> str:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ipaddress.ip_network((ip, ipv4 if ip.version == 4 else ipv6), strict=False))


K = TypeVar("K")


def _take_one(sizes: Counter[K], network: K) -> None:
    sizes[network] -= 1
    if not sizes[network]:
        del sizes[network]


class Crowd(Generic[T]):
    """Members in order of age, each with the networks that it comes from."""

    def __init__(self) -> None:
        self._networks: dict[T, tuple[str, str]] = {}  # of each member: wide, narrow
        self._wide: Counter[str] = Counter()
        self._narrow: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[T]:
        return iter(self._networks)

    def add(self, member: T, host: str) -> None:
        """Take in a member, the youngest from now on."""
        self.discard(member)
        network = wide_network_of(host), network_of(host)
        self._networks[member] = network
        self._wide[network[0]] += 1
        self._narrow[network] += 1

    def discard(self, member: T) -> None:
        """Forget a member; done twice, it does no harm."""
        network = self._networks.pop(member, None)
        if network is not None:
            _take_one(self._wide, network[0])
            _take_one(self._narrow, network)

    def oldest_of_most(self) -> T:
        """Return the oldest member of the network that has most of them; there is one."""
        return self._most(max(self._wide, key=self._wide.__getitem__), newest=False)[0]

    def newest_of_more(self, host: str, spare: Callable[[T], bool] | None = None) -> T | None:
        """Return who gives way to a newcomer from ``host``.

        That is the newest of the narrow network that has most in the wide one that has most, or
        in the newcomer's own wide one where no other has more than it would have then. None if
        none has more there, either: two would displace each other for ever.

        Args:
            spare: who would not be missed much: such a one gives way before the newest; and
                where none has more, if it is of the newcomer's wide network or of a fuller one.
        """
        wide = wide_network_of(host)
        most = max(self._wide, key=self._wide.__getitem__, default=wide)
        own = self._narrow[wide, network_of(host)]
        crowded = self._wide[most] > self._wide[wide] + 1
        group = self._most(most if crowded else wide)
        if not crowded and (not group or self._narrow[self._networks[group[0]]] <= own + 1):
            return None if spare is None else self._spare(wide, spare)
        return next(filter(spare, group), group[-1]) if spare is not None else group[-1]

    def _most(self, wide: str, *, newest: bool = True) -> list[T]:
        """Return the members of the narrow network that has most in a wide one.

        Of equals it is the one that came last, or first.
        """
        there = [network for network in self._narrow if network[0] == wide]
        if newest:
            there.reverse()
        network = max(there, key=self._narrow.__getitem__, default=None)
        return [member for member, its in self._networks.items() if its == network]

    def _spare(self, wide: str, spare: Callable[[T], bool]) -> T | None:
        """Return a spare member, but none of a network that is emptier than ``wide``."""
        for member, (its, _) in self._networks.items():
            if (its == wide or self._wide[its] > self._wide[wide]) and spare(member):
                return member
        return None
