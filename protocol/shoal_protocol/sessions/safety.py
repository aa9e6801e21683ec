"""The digits that two people compare to know that nobody stands between them.

::

    fingerprint(A) = first 30 bytes of 5,200 rounds of BLAKE2b-512 over "safety code", network, A
                     as 6 groups: 5 bytes modulo 100,000
    code           = the two fingerprints, the smaller first: 12 groups, 60 digits

The form of Signal's safety numbers (libsignal, rust/protocol/src/fingerprint.rs). The
rounds make each try of somebody who grinds for a look-alike key 5,200 times as dear.
"""

from typing import Final

from shoal_protocol import crypto

ROUNDS: Final = 5200
GROUPS: Final = 6  # of a fingerprint; spec: sessions §4
_GROUP_BYTES: Final = 5


def _fingerprint(pseudonym: bytes, network: bytes) -> list[str]:
    state = crypto.kdf(b"safety code", network, pseudonym, size=64)
    for _ in range(ROUNDS):
        state = crypto.digest(state + pseudonym, size=64)
    starts = range(0, GROUPS * _GROUP_BYTES, _GROUP_BYTES)
    numbers = [int.from_bytes(state[i : i + _GROUP_BYTES], "big") for i in starts]
    return [f"{number % 100_000:05d}" for number in numbers]


def safety_code(one: bytes, other: bytes, network: bytes) -> str:
    """Return 12 groups of 5 digits for two pseudonyms, whichever comes first; takes some ms."""
    halves = sorted((_fingerprint(one, network), _fingerprint(other, network)))
    return " ".join([*halves[0], *halves[1]])
