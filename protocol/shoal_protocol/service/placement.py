"""Which relays keep what lies at an address: rendezvous hashing (Thaler and Ravishankar 1998).

Everybody with the same directory ranks the relays of an address alike, and a relay that
leaves moves only what lay on it.
"""

from collections.abc import Iterable

from shoal_protocol import crypto


def rank(address: bytes, relays: Iterable[bytes], count: int) -> list[bytes]:
    """Return the ``count`` relay ids (16 bytes each) that rank highest for ``address``."""

    def score(relay: bytes) -> tuple[bytes, bytes]:
        return crypto.digest(relay, size=16, key=address), relay

    return sorted(relays, key=score, reverse=True)[:count]
