"""Poisson mixes in closed form: bits of anonymity, latencies, what a pool gives away.

::

    λ packets/s ─► mix, delays Exp(μ) ─►   pool Poisson(λ/μ), entropy log2(e·λ/μ)
    Λ packets/s ─► L layers ─►             delay Erlang(L, μ), entropy log2 Λ + h(Erlang)/ln 2
                   some mixes corrupt ─►   delays in honest ones alone, a mixture of Erlangs

The entropies are those of a watcher of all links, for pools that are large: of one out of Λ
packets a second, spread over a density of delays, as many bits are unknown as that density has
(differential) entropy, and log2 Λ. With few packets in a pool less is unknown; the vector tier
counts them.

Sources: G. Danezis, "The Traffic Analysis of Continuous-Time Mixes", PET 2004, eq. 13;
A. Piotrowska et al., "The Loopix Anonymity System", USENIX Security 2017, theorem 1 and
§5.2; I. Ben Guirat, D. Gosain and C. Diaz, "MiXiM", WPES 2021.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

EULER: Final = 0.577_215_664_901_532_9  # Euler's and Mascheroni's constant
_STEPS: Final = 200  # of a bisection: more than a float64 has bits
_SIMPSON: Final = 200  # intervals


def pool_mean(rate: float, delay: float) -> float:
    """Return how many packets a mix holds in the mean, λ/μ (Little's law); Poisson.

    Args:
        rate: packets/s into this mix.
        delay: mean, s.
    """
    return rate * delay


def one_mix(rate: float, delay: float) -> float:
    """Return the entropy of one Poisson mix, bits: log2(e·λ/μ) (Danezis, eq. 13)."""
    return math.log2(math.e * rate * delay)


def erlang_entropy(layers: int, delay: float) -> float:
    """Return the differential entropy of the sum of ``layers`` delays, bits.

    h = L + ln Γ(L) + (1 − L)·ψ(L) − ln μ in nats, with ψ the digamma function and delays in s.
    """
    digamma = -EULER + sum(1 / k for k in range(1, layers))
    nats = layers + math.lgamma(layers) + (1 - layers) * digamma + math.log(delay)
    return nats / math.log(2)


def layers(total_rate: float, depth: int, width: int, delay: float) -> float:
    """Return the entropy of ``depth`` layers of ``width`` mixes, bits.

    With one layer only what crosses the same mix is mixed; from two on a packet may come out
    anywhere, and the width doesn't matter: log2 Λ + h(Erlang(L, μ))/ln 2.

    Args:
        total_rate: packets/s through all of the network, Λ.
        delay: mean at each mix, s.
    """
    if depth == 1:
        return one_mix(total_rate / width, delay)
    return math.log2(total_rate) + erlang_entropy(depth, delay)


def corrupt_layers(total_rate: float, depth: int, width: int, corrupt: int, delay: float) -> float:
    """Return the entropy of layers in each of which ``corrupt`` of ``width`` mixes tell all.

    A target is first hidden by the first honest mix on its way, among what leaves that mix. What
    leaves it crosses the layers behind, where it meets corrupt mixes with probability p = corrupt
    / width and is followed. Of what last crossed an honest mix in layer j, a share (1 − p)·p^(L−j)
    of all, each packet weighs the density of the delays in honest mixes over Λ; what crossed none
    but the first weighs that of one delay over Λ/width.

    Args:
        total_rate, depth, delay: as in ``layers``.
    """
    p, total = corrupt / width, 0.0
    for first in range(1, depth + 1):
        behind = p ** (depth - first) * (
            math.log2(total_rate / width) + _mixture_entropy({1: 1.0}, delay)
        )
        for last in range(first + 1, depth + 1):
            between = last - first - 1
            shapes = {
                2 + n: math.comb(between, n) * (1 - p) ** n * p ** (between - n)
                for n in range(between + 1)
            }
            share = (1 - p) * p ** (depth - last)
            behind += share * (math.log2(total_rate) + _mixture_entropy(shapes, delay))
        total += p ** (first - 1) * (1 - p) * behind
    return total


def _mixture_entropy(shapes: Mapping[int, float], delay: float) -> float:
    """Return the differential entropy of a mixture of Erlangs by their shapes, bits."""
    step, total = 0.01, 0.0
    for n in range(round((max(shapes) + 40) / step)):
        x = step * (n + 0.5)
        density = sum(
            share * x ** (shape - 1) * math.exp(-x) / math.factorial(shape - 1)
            for shape, share in shapes.items()
        )
        total -= density * math.log2(density) * step if density else 0.0
    return total + math.log2(delay)


def person_entropy(people: int, rate: float, mixes: int, delay: float) -> float:
    """Return at most how many bits of a sender or receiver are unknown: nobody is one of more.

    Args:
        rate: packets/s of each person.
        mixes: relays that delay between the person and the relay that is asked.
    """
    return min(math.log2(people), layers(people * rate, max(2, mixes), 1, delay))


def old_packet(n: int, k: int, l: int) -> float:  # noqa: E741 - the paper's letter
    """Return how likely one of the first ``n`` is the next to leave: k/(n·(l+k)).

    ``n`` packets are in the mix, ``n − k`` of them leave, ``l`` come in, and one leaves
    (Loopix, theorem 1).
    """
    return k / (n * (l + k))


def new_packet(k: int, l: int) -> float:  # noqa: E741 - the paper's letter
    """Return how likely one of the ``l`` that came in later is the next to leave: 1/(l+k)."""
    return 1 / (l + k)


def latency_mean(mixes: int, delay: float, links: float = 0.0) -> float:
    """Return the mean time through ``mixes``, s; ``links`` is what all links take, s."""
    return mixes * delay + links


def latency_deviation(mixes: int, delay: float) -> float:
    """Return the standard deviation of the time through ``mixes``, s."""
    return math.sqrt(mixes) * delay


def latency_quantile(share: float, mixes: float, delay: float, links: float = 0.0) -> float:
    """Return the time within which ``share`` of the packets are through, s: Gamma."""
    return links + delay * gamma_quantile(share, mixes)


def gamma_quantile(share: float, shape: float) -> float:
    """Return the quantile of the Gamma distribution of scale 1, by bisection."""
    return _quantile(lambda x: gamma_cdf(x, shape), share, shape + 1)


def sent_cdf(time: float, slot: float, mixes: int, delay: float) -> float:
    """Return how likely a wait for a slot and ``mixes`` delays together take ``time`` at most.

    Both are exponential: the density of Erlang(mixes, delay) over what the slot may take beside
    it, by Simpson's rule; right to 0.002 where slots are far shorter than delays, to 1e-5 else.

    Args:
        time, slot, delay: in one unit; the means of the wait and of each delay.
    """
    most = min(time, (mixes + 40) * delay)  # beyond, e^-40
    if most <= 0:
        return 0.0
    step, total = most / _SIMPSON, 0.0
    scale = delay * math.factorial(mixes - 1)
    for n in range(_SIMPSON + 1):
        x = n * step / delay
        density = x ** (mixes - 1) * math.exp(-x) / scale
        weight = 1 if n in (0, _SIMPSON) else 4 if n % 2 else 2
        total += weight * density * -math.expm1((n * step - time) / slot)
    return total * step / 3


def sent_quantile(share: float, slot: float, mixes: int, delay: float) -> float:
    """Return what a wait for a slot and ``mixes`` delays take in ``share`` of all cases."""
    return _quantile(lambda x: sent_cdf(x, slot, mixes, delay), share, slot + mixes * delay)


def _quantile(cdf: Callable[[float], float], share: float, high: float) -> float:
    if not 0 <= share < 1:
        raise ValueError("a share is at least 0 and below 1")
    low = 0.0
    while cdf(high) < share:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if cdf(middle) < share else (low, middle)
    return (low + high) / 2


def gamma_cdf(x: float, shape: float) -> float:
    """Return P(X ≤ x) of the Gamma distribution of scale 1, by its power series (DLMF 8.7.1)."""
    if x <= 0:
        return 0.0
    term = total = math.exp(-x + shape * math.log(x) - math.lgamma(shape + 1))
    n = 0
    while term > total * 1e-17 or n < x:
        n += 1
        term *= x / (shape + n)
        total += term
        if n > 100_000:
            break
    return min(1.0, total)
