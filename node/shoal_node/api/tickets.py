"""One-time tickets for the token, so that it stands on no command line.

::

    issue() ──> open ──redeem()──> the token, once
                  ├── its time is over, or MAX_OPEN newer ones ──> gone
                  └── MAX_WRONG wrong ones were tried ──> all gone

    redeem()    BURST at once, then one a REFILL

A browser is started with an address as its argument, which every user of the machine can read,
and keeps what it opened in its history; a terminal keeps what it showed. A ticket there is of no
use once the page has redeemed it, or when its time is over. Where the system tells whose a
connection is (Linux), only one of this process's user, or of root, can redeem it: another user
who is quicker than the page gets nothing.
"""

import ipaddress
import math
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from shoal_protocol import crypto

LIFE: Final = 60  # s, of one that a browser is started with
PRINTED_LIFE: Final = 600  # s, of one that a person has to click
MAX_LIFE: Final = 3600  # s, as for the people of a lab
MAX_OPEN: Final = 8
BURST: Final = 8  # tries at once
REFILL: Final = 1.0  # s until one more may be tried
MAX_WRONG: Final = 16  # tries with no ticket that is open, since the last that was issued
TICKET_LENGTH: Final = 32  # bytes of randomness
CONNECTIONS: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))  # Linux: with their users
_LOCAL_AT, _STATE_AT, _USER_AT = 1, 3, 7  # fields of its lines
_ESTABLISHED: Final = "01"  # an end that was closed has no user any more, and is listed as root's


class Tickets:
    """The open tickets of one API.

    Args:
        token: what a ticket is redeemed for.
        clock: seconds, monotonic.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._clock = clock
        self._open: dict[str, float] = {}  # until when, oldest first
        self._wrong = 0
        self._free_at = -math.inf  # when all BURST tries are there again

    def issue(self, life: int = LIFE) -> str:
        """Return a new ticket, good for once and for ``life`` (s, at most :data:`MAX_LIFE`)."""
        while len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        ticket = secrets.token_urlsafe(TICKET_LENGTH)
        self._open[ticket] = self._clock() + min(life, MAX_LIFE)
        self._wrong = 0
        return ticket

    def try_once(self) -> float:
        """Take one try, or return how long (s) to wait for the next."""
        now = self._clock()
        free_at = max(self._free_at, now) + REFILL
        if free_at - now > BURST * REFILL:
            return free_at - now - BURST * REFILL
        self._free_at = free_at
        return 0.0

    def redeem(self, ticket: str) -> str | None:
        """Return the token for a ticket that is open, which it is no more; else None."""
        now, given = self._clock(), ticket.encode()
        found = [one for one in self._open if crypto.equal(one.encode(), given)]
        for one in found:
            if now < self._open.pop(one):
                return self._token
        self._wrong += 1
        if self._wrong >= MAX_WRONG:
            self._open.clear()
        return None


def is_ours(client: tuple[str, int] | None, tables: Sequence[Path] = CONNECTIONS) -> bool:
    """Whether a connection's other end is this user's, or root's; True where no table tells.

    Args:
        client: address and port of the other end, on this machine.
        tables: the system's lists of connections; an IPv4 one can stand in both.
    """
    found = [table.read_text().splitlines()[1:] for table in tables if table.is_file()]
    if not found or client is None:
        return True
    ends = {_printed(client[0], client[1], version) for version in (4, 6)}
    users = [
        int(fields[_USER_AT])
        for lines in found
        for line in lines
        if (fields := line.split())[_LOCAL_AT] in ends and fields[_STATE_AT] == _ESTABLISHED
    ]
    return bool(users) and all(user in (os.getuid(), 0) for user in users)


def _printed(host: str, port: int, version: int) -> str:
    """Return an end as the tables print it: each 32 bits of the address as a native number."""
    address = ipaddress.ip_address(host)
    if version == 6 and address.version == 4:
        address = ipaddress.ip_address(f"::ffff:{host}")
    packed = address.packed
    numbers = [packed[place : place + 4] for place in range(0, len(packed), 4)]
    words = (int.from_bytes(number, sys.byteorder) for number in numbers)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
