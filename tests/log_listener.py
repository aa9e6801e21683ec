"""Finds log lines that name somebody: what T19 of the threat model forbids.

A log line may hold labels, counts, types of errors and lines of our code. Whatever tests
plant in people's lives is of one of these forms: keys and ids are long hex or escaped bytes,
pseudonyms and invites begin with their prefix, addresses are multiaddrs or dotted, peers are
base58 of a multihash.
"""

import logging
import re
from typing import Final

FORBIDDEN: Final = re.compile(
    r"shoal1[a-z0-9]{8}"  # a pseudonym
    r"|shoal-invite1"
    r"|/(?:ip4|ip6|dns\w*|tcp|p2p)/"  # a multiaddr
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"  # an address
    r"|\b12D3Koo\w+|\bQm[1-9A-HJ-NP-Za-km-z]{20}"  # a peer
    r"|\b[0-9a-fA-F]{16,}\b"  # a key or an id
    r"|(?:\\x[0-9a-f]{2}){3}"  # bytes
    r"|\bplanted\b"  # what tests call what must not be seen
)


class Listener(logging.Handler):
    """Keeps what log lines may not hold."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line, its trace included."""
        text = logging.Formatter("%(name)s %(message)s").format(record)
        if FORBIDDEN.search(text):
            self.found.append(text)
