"""Proof of work: a nonce under which a hash begins with so many zero bits.

::

    challenge = KDF(label, part, …)                                   32 bytes
    BLAKE2b-64(challenge ‖ nonce, person "shoal work") < 2^(64 − bits), nonce 8 bytes

Hashcash (Back 2002) on BLAKE2b: one hash to check (0.6 µs), 2^bits to find on average.
Solving is a machine that is stepped, so that the caller never stands still for long.
"""

from typing import Final, final

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError

NONCE_LENGTH: Final = 8  # bytes; spec: pseudonyms §3
MOST_BITS: Final = 64  # of the hash; more can't be asked or offered
SLICE: Final = 4096  # hashes a step, about 4 ms

_PERSON: Final = b"shoal work"
_MASK: Final = 2 ** (8 * NONCE_LENGTH) - 1


def challenge(label: bytes, *parts: bytes) -> bytes:
    """Return the 32 bytes that work for ``label`` over ``parts`` is done on."""
    return crypto.kdf(b"work", label, *parts)


def check(challenge: bytes, nonce: bytes, bits: int) -> None:
    """Refuse a ``nonce`` that isn't worth ``bits``; raises RemoteProtocolError("work").

    ``bits`` may be any number ≥ 0 that a peer claims: above :data:`MOST_BITS` nothing passes.
    """
    if len(nonce) != NONCE_LENGTH:
        raise RemoteProtocolError("work")
    value = crypto.blake2b(challenge + nonce, digest_size=8, person=_PERSON).digest()
    if int.from_bytes(value, "big").bit_length() > MOST_BITS - bits:
        raise RemoteProtocolError("work")


@final
class Solver:
    """Looks for a nonce from ``start`` on, upward.

    Args:
        challenge: from :func:`challenge`.
        bits: 0 to 64; 2^bits hashes on average.
        start: where to begin, 0 to 2^64 − 1; a random one makes two solvers differ.
    """

    __slots__ = ("_challenge", "_next", "bits")

    def __init__(self, challenge: bytes, bits: int, *, start: int) -> None:
        if not 0 <= bits <= MOST_BITS or not 0 <= start <= _MASK:
            raise LocalProtocolError("work of 0 to 64 bits, from a start of 64 bits")
        self._challenge = challenge
        self._next = start
        self.bits: Final = bits

    def step(self, rounds: int = SLICE) -> bytes | None:
        """Try ``rounds`` nonces; return the 8-byte nonce when one does, else None."""
        limit = 2 ** (MOST_BITS - self.bits)
        for _ in range(rounds):
            nonce = self._next.to_bytes(NONCE_LENGTH, "big")
            self._next = self._next + 1 & _MASK
            value = crypto.blake2b(self._challenge + nonce, digest_size=8, person=_PERSON).digest()
            if int.from_bytes(value, "big") < limit:
                return nonce
        return None


def solve(challenge: bytes, bits: int, *, start: int) -> bytes:
    """Return the first nonce from ``start`` on that is worth ``bits``; blocks until then.

    For tools, tests and small ``bits``; a node steps a :class:`Solver`.
    """
    solver = Solver(challenge, bits, start=start)
    while True:
        nonce = solver.step()
        if nonce is not None:
            return nonce
