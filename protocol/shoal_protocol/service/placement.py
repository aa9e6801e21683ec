"""Which relays keep what lies at an address: rendezvous hashing (Thaler and Ravishankar 1998).

Everybody with the same directory ranks the relays of an address alike, and a relay that
leaves moves only what lay on it.
"""

from collections.abc import Iterable

from shoal_protocol import crypto


def rank(address: bytes, relays: Iterable[bytes], count: int) -> list[bytes]:
    """Return the ``count`` relay ids (16 bytes each) that rank highest for ``address``."""

    return sorted(relays, key=lambda relay: _score(relay, address), reverse=True)[:count]


def ranks(relay: bytes, address: bytes, relays: Iterable[bytes], count: int) -> bool:
    """Return whether ``relay`` is among ``rank(address, relays, count)``.

    It looks only until that is clear: a relay far down meets ``count`` better ones soon.
    """
    own, better, listed = _score(relay, address), 0, False
    for other in relays:
        if other == relay:
            listed = True
        elif _score(other, address) > own:
            better += 1
            if better >= count:
                return False
    return listed and better < count


def _score(relay: bytes, address: bytes) -> tuple[bytes, bytes]:
    return crypto.digest(relay, size=16, key=address), relay
