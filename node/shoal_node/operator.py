"""What a relay's operator chooses: the tables of config.toml that are a relay's alone; mix §3.

::

    config.toml ─ [limits] ─► OperatorLimits ─┬─► mix: packets a second, in all and of a peer; pool
        ▲ SIGHUP reads it again               ├─► links: clients, in all and from one subnet
        └ `shoal relay --print-config`        ├─► store: the disk
                                              └─► volume: a month's bytes

    ─ [relay] ─► addresses to announce      ─ [metrics] ─► where figures are answered

Every key has a default; a wrong one is a sentence with its name, and on SIGHUP the limits in
force stay. What a change of limits takes away from anybody is only what is new: packets held
are sent on, clients connected stay, and what is stored is kept until it expires.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from shoal_node.links import LinkLimits
from shoal_node.store import relay_store
from shoal_node.usage import UsageError
from shoal_node.volume import Cap
from shoal_protocol.relay.limits import Limits

TABLE: Final = "limits"
METRICS_TABLE: Final = "metrics"
RELAY_TABLE: Final = "[relay]"  # `relay` alone is a person's setting
METRICS_PORT: Final = 9469
_GB: Final = 10**9  # bytes
_MIX: Final = Limits()
_LINKS: Final = LinkLimits()


@dataclass(frozen=True, slots=True)
class OperatorLimits:
    """What one relay gives at most.

    Args:
        packets_per_s: taken from everybody together, lasting.
        peer_packets_per_s: taken from one peer, lasting: a relay, or all clients of a subnet.
        peer_burst: taken at once from a peer that was quiet.
        pool: packets held for their delay.
        clients: people's nodes that are connected.
        clients_per_subnet: of these, from one /24 (IPv4) or /48 (IPv6).
        disk_gb: 10^9 bytes of the store's database.
        month_gb: 10^9 bytes of traffic in a month, both ways; 0 for no limit.
        month_begins: the day of the month on which it begins, at midnight UTC.
    """

    packets_per_s: float = _MIX.rate
    peer_packets_per_s: float = _MIX.peer_rate
    peer_burst: int = _MIX.peer_burst
    pool: int = _MIX.pool
    clients: int = _LINKS.clients
    clients_per_subnet: int = _LINKS.clients_per_host
    disk_gb: float = relay_store.LIMIT / _GB
    month_gb: float = 0.0
    month_begins: int = 1

    @property
    def mix(self) -> Limits:
        """The mix's part."""
        return Limits(
            rate=self.packets_per_s,
            peer_rate=self.peer_packets_per_s,
            peer_burst=self.peer_burst,
            pool=self.pool,
            peer_pool=max(1, self.pool * _MIX.peer_pool // _MIX.pool),
        )

    @property
    def links(self) -> LinkLimits:
        """The links' part."""
        return LinkLimits(clients=self.clients, clients_per_host=self.clients_per_subnet)

    @property
    def disk(self) -> int:
        """The store's part, bytes."""
        return round(self.disk_gb * _GB)

    @property
    def month(self) -> Cap:
        """The volume's part."""
        return Cap(round(self.month_gb * _GB), self.month_begins)


DEFAULT: Final = OperatorLimits()

_RANGES: Final[Mapping[str, tuple[float, float]]] = {  # least and most, both allowed
    "packets_per_s": (1, 1e6),
    "peer_packets_per_s": (1, 1e6),
    "peer_burst": (1, 1_000_000),
    "pool": (16, 1_000_000),
    "clients": (0, 100_000),
    "clients_per_subnet": (1, 100_000),
    "disk_gb": (0.0001, 100_000),
    "month_gb": (0, 10_000_000),
    "month_begins": (1, 28),
}


def parse(table: Any, where: str) -> OperatorLimits:
    """Read the table ``[limits]``.

    Args:
        table: as TOML gives it.
        where: the file, for sentences.

    Raises:
        UsageError: a key is unknown, or its value wrong.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{TABLE} in {where} must be a table: write [limits] above its keys.")
    kinds = {each.name: each.type for each in fields(OperatorLimits)}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in kinds:
            raise UsageError(
                f"limits.{key} in {where}: there is no such limit; there are {', '.join(kinds)}."
            )
        least, most = _RANGES[key]
        whole = kinds[key] is int
        good = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not good or not least <= value <= most:  # what is no number lies nowhere
            raise UsageError(
                f"limits.{key} in {where} must be a {'whole ' if whole else ''}number, "
                f"{least:,.10g} to {most:,.10g}."
            )
        found[key] = value if whole else float(value)
    return OperatorLimits(**found)


def parse_relay(table: dict[str, Any], where: str) -> list[str]:
    """Read the table ``[relay]``: the addresses to announce, as they stand there.

    Args:
        table: as TOML gives it.
        where: the file, for sentences.

    Raises:
        UsageError: a key is unknown, or no list of texts.
    """
    for key in table:
        if key != "announce":
            raise UsageError(f"relay.{key} in {where}: there is no such setting; announce is one.")
    found = table.get("announce", [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise UsageError(f"relay.announce in {where} must be a list of texts.")
    return found


def parse_metrics(table: Any, where: str) -> tuple[str, int] | None:
    """Read the table ``[metrics]``: an IP address and a port, None when nothing is to listen.

    Args:
        table: as TOML gives it.
        where: the file, for sentences.

    Raises:
        UsageError: a key is unknown, or its value wrong.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{METRICS_TABLE} in {where} must be a table: write [metrics] above it.")
    for key in table:
        if key != "listen":
            raise UsageError(f"metrics.{key} in {where}: there is no such setting; listen is one.")
    value = table.get("listen", "")
    if value == "":
        return None
    wrong = UsageError(
        f'metrics.listen in {where} must be "ADDRESS:PORT", such as "127.0.0.1:{METRICS_PORT}".'
    )
    if not isinstance(value, str):
        raise wrong
    host, _, port = value.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65_535:
        raise wrong
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        raise wrong from None


def commented() -> str:
    """Return a commented config.toml with every setting of a relay, all at their defaults."""
    one = DEFAULT
    return f"""\
# A relay's settings: DIR/config.toml, where DIR is what --data names. What begins with # is
# the default. Flags and SHOAL_… variables go before this file.

# Where it listens: every address of the machine, of IPv4 and, where there is one, of IPv6. The
# port must be reachable from outside. With all `bootstrap` relays on this machine: 127.0.0.1 alone.
# listen = ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"]

# Relays to find the network through, each with /p2p/… at its end; none for a first relay.
# bootstrap = ["/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…"]

# Where its API answers on this machine: HOST:PORT, or unix:PATH.
# api = "127.0.0.1:0"

# main, lab, or lab5. Without it: lab when all addresses are loopback or private, else main.
# network = "main"

# Processes that unwrap packets beside the relay's own, each on a core of its own and some 30 MB:
# "auto" is one less than there are cores, at most 2, and none in a network for trying things out.
# workers = "auto"

[relay]
# Where others dial it, instead of where it listens: behind a router that forwards a port, the
# router's public address. Others try it like any other (docs/relay.md, "Reachable?").
# announce = ["/ip4/192.0.2.9/tcp/4001"]

# What it gives at most. A change counts from `kill -HUP` (systemctl reload) on; what stands
# above needs a restart.
[limits]
# Packets a second, of 3,072 bytes each, in and out again: from everybody, from one peer, and at
# once from a peer that was quiet. What goes beyond is dropped before it costs anything. People's
# nodes of one /24 (IPv4) or /48 (IPv6) count as one peer together.
# packets_per_s = {one.packets_per_s:.0f}
# peer_packets_per_s = {one.peer_packets_per_s:.0f}
# peer_burst = {one.peer_burst}

# Packets held for their delay, about 3.4 KB of memory each.
# pool = {one.pool}

# People's nodes connected, in all and from one /24 (IPv4) or /48 (IPv6).
# clients = {one.clients}
# clients_per_subnet = {one.clients_per_subnet}

# Disk for what it stores for others, 10^9 bytes. When it is full nothing new is taken.
# disk_gb = {one.disk_gb:.3f}

# Traffic in a month, both ways, 10^9 bytes as a provider bills them; 0 for no limit. The month
# begins on this day (1 to 28) at midnight UTC. Near the limit the relay takes nothing new and
# hands on what it keeps; it comes back by itself when the month turns. So that a flood does not
# spend the month in hours, a day may use two to four times what is left for each day left.
# month_gb = {one.month_gb:.0f}
# month_begins = {one.month_begins}

# Figures for Prometheus, at http://ADDRESS:PORT/metrics; docs/relay.md has each of them. Without
# listen nothing answers; 127.0.0.1:{METRICS_PORT} is the usual place. A change needs a restart.
[metrics]
# listen = ""
"""
