"""ML-KEM-768 encapsulation that takes its chance as an argument (FIPS 203, algorithms 14, 17).

The library's draws from the operating system, and what it draws decides addresses, ranks and
ways: the one thing in a run that a seed would not decide. This one is slow and not constant in
time, and no secret but a test's depends on it; what it makes, the library decapsulates.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from shoal_protocol.sessions import handshake

Q: Final = 3329
N: Final = 256
K: Final = 3  # with ETA, DU and DV: what makes it 768
ETA: Final = 2
DU: Final = 10
DV: Final = 4
Poly = list[int]

ZETAS: Final = [pow(17, int(f"{i:07b}"[::-1], 2), Q) for i in range(128)]
GAMMAS: Final = [pow(17, 2 * int(f"{i:07b}"[::-1], 2) + 1, Q) for i in range(128)]


def ntt(f: Poly) -> Poly:
    """Return the number-theoretic transform (algorithm 9)."""
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[i]
            i += 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def inverse(f: Poly) -> Poly:
    """Return the inverse transform (algorithm 10)."""
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[i]
            i -= 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * 3303 % Q for x in f]


def product(f: Poly, g: Poly) -> Poly:
    """Multiply in the transformed domain (algorithm 11)."""
    h: Poly = []
    for i in range(128):
        a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h += [(a * c + b * d * GAMMAS[i]) % Q, (a * d + b * c) % Q]
    return h


def plus(*terms: Poly) -> Poly:
    """Add polynomials."""
    return [sum(column) % Q for column in zip(*terms, strict=True)]


def uniform(seed: bytes) -> Poly:
    """Sample a transformed polynomial (algorithm 7) of a 34-byte seed."""
    stream, at = hashlib.shake_128(seed).digest(1344), 0
    f: Poly = []
    while len(f) < N:
        a, b, c = stream[at : at + 3]
        at += 3
        f += [x for x in (a + 256 * (b % 16), b // 16 + 16 * c) if x < Q]
    return f[:N]


def noise(seed: bytes, number: int) -> Poly:
    """Sample a small polynomial (algorithm 8) of a 32-byte seed."""
    data = hashlib.shake_256(seed + bytes([number])).digest(64 * ETA)
    bits = [data[i // 8] >> i % 8 & 1 for i in range(8 * len(data))]
    pairs = (bits[4 * i : 4 * i + 4] for i in range(N))
    return [(a + b - c - d) % Q for a, b, c, d in pairs]


def compress(f: Poly, d: int) -> bytes:
    """Round to ``d`` bits a coefficient and pack them."""
    packed = 0
    for place, x in enumerate(f):
        packed |= ((x * 2 * (1 << d) + Q) // (2 * Q) % (1 << d)) << place * d
    return packed.to_bytes(N * d // 8, "little")


def decode(data: bytes) -> Poly:
    """Unpack 12 bits a coefficient."""
    packed = int.from_bytes(data, "little")
    return [packed >> 12 * i & 0xFFF for i in range(N)]


def encapsulate(public: bytes, m: bytes) -> tuple[bytes, bytes]:
    """Return (shared secret 32, ciphertext 1,088) of the key ``public`` (1,184) and ``m`` (32)."""
    g = hashlib.sha3_512(m + hashlib.sha3_256(public).digest()).digest()
    secret, r = g[:32], g[32:]
    t = [decode(public[384 * i : 384 * i + 384]) for i in range(K)]
    rho = public[384 * K :]
    y = [ntt(noise(r, i)) for i in range(K)]
    parts: list[bytes] = []
    for i in range(K):
        # The matrix is used transposed: its entry (j, i).
        row = [product(uniform(rho + bytes([i, j])), y[j]) for j in range(K)]
        parts.append(compress(plus(inverse(plus(*row)), noise(r, K + i)), DU))
    mu = [(Q + 1) // 2 * (m[i // 8] >> i % 8 & 1) for i in range(N)]
    inner = inverse(plus(*(product(t[i], y[i]) for i in range(K))))
    parts.append(compress(plus(inner, noise(r, 2 * K), mu), DV))
    return secret, b"".join(parts)


@contextmanager
def drawn_from(source: Callable[[int], bytes]) -> Iterator[None]:
    """Let handshakes in this process take the chance of encapsulation from ``source``."""
    defaults = handshake.initiate.__kwdefaults__
    assert defaults is not None
    library = defaults["encapsulate"]
    defaults["encapsulate"] = lambda public: encapsulate(public, source(32))
    try:
        yield
    finally:
        defaults["encapsulate"] = library
