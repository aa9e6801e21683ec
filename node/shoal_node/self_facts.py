"""What a running relay knows of its own place, gathered for ``shoal relay self-check``.

::

    dial-back ── standings ─────────────────────┐
    leases, one of each network ─► median ──────┼─► backend.SelfCheck, over the API alone
    descriptors' software, of two networks ─────┤
    open descriptors, their limit, the need ────┘

Nothing here is believed of one relay, or of many in one network: a clock is said to be off by
the median over networks apart, and a version to be out by two of them. spec: dialback §6
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

from shoal_node.api import backend
from shoal_node.dialback import DialbackService
from shoal_node.transport.interface import TransportLimits
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import subnets
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import NetworkParameters

LEAST: Final = 3  # networks apart that tell the time, for it to be believed
AGREE: Final = 2  # networks apart that run a version, for it to be known
BESIDE: Final = 192  # descriptors beside connections: the API, the store, dial-back's, workers
_LIMITS: Final = TransportLimits()
NEEDED: Final = _LIMITS.connections + _LIMITS.half_open + BESIDE  # descriptors
_SIXTH: Final = 6  # of a lease: half of what lies between a lease and its renewal
_SOFTWARE: Final = re.compile(r"shoal/(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


def gather(
    view: DirectoryView,
    dialback: DialbackService,
    addresses: Sequence[str],
    own_id: bytes,
    now: int,
) -> backend.SelfCheck:
    """Return what is known at ``now`` (ns).

    Args:
        view: the directory, as this relay sees it.
        dialback: what others found.
        addresses: this relay's, with ``/p2p/…``.
        own_id: 16 bytes.
        now: our clock, ns.
    """
    others = [relay for relay in view.listed(now) if relay.relay_id != own_id]
    spread = [
        relay
        for relay in subnets.apart(others, lambda relay: relay.addresses[0])
        if subnets.wide(relay.addresses[:1])  # labs in memory have no networks
    ]
    return backend.SelfCheck(
        reach=[_reach(dialback, address) for address in addresses],
        looking=dialback.looking,
        looks=dialback.looks,
        clock=_evidence(view, spread, now),
        newest=newest(spread),
        others=len(others),
        open_files=_open_files(),
        file_limit=file_limit(),
        files_needed=NEEDED,
    )


def _reach(dialback: DialbackService, address: str) -> backend.Reach:
    standing = dialback.standing(address)
    return backend.Reach(address.rpartition("/p2p/")[0], standing.reachable, standing.misses)


def _evidence(view: DirectoryView, spread: Sequence[Descriptor], now: int) -> backend.ClockEvidence:
    leases = (view.lease_of(relay.relay_id) for relay in spread)
    ends = [lease.until for lease in leases if lease is not None]
    return backend.ClockEvidence(
        ahead_s=ahead(ends, view.params, now),
        within_s=view.params.lease_s / _SIXTH,
        allowed_s=view.params.clock_skew_s,
        networks=len(ends),
        refused=view.skipped["lease time"],
    )


def ahead(ends: Sequence[int], params: NetworkParameters, now: int) -> float | None:
    """Return how far the network's time is ahead of ``now`` (ns), s; None for too few.

    A live relay's newest lease was signed up to a third of ``lease_s`` ago, a sixth in the mean,
    so that the answer is in steps of that sixth.

    Args:
        ends: of one lease of each network, s since the Unix epoch.
    """
    if len(ends) < LEAST:
        return None
    step = params.lease_s / _SIXTH
    says = median(ends) - (params.lease_s - step) - now / SECOND
    return round(says / step) * step


def newest(spread: Sequence[Descriptor]) -> str | None:
    """Return the newest version that relays of two networks run at least."""
    known = sorted((v for relay in spread for v in version_of(relay.software)), reverse=True)
    if len(known) < AGREE:
        return None
    return ".".join(map(str, known[AGREE - 1]))  # all above it is one relay's word


def version_of(software: str) -> Iterator[tuple[int, ...]]:
    """Yield the numbers in ``shoal/1.2.3…``; nothing for another program."""
    if found := _SOFTWARE.match(software):
        yield tuple(map(int, found.groups()))


def _open_files() -> int | None:
    try:
        return len(os.listdir("/dev/fd")) - 1  # but the one that lists them
    except OSError:
        return None


def file_limit() -> int | None:
    """Return how many descriptors this process may have; None where there is no such limit."""
    if sys.platform == "win32":
        return None
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft
