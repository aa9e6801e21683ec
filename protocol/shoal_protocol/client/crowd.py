"""How many people there are to hide among, and how well, from what relays say of themselves.

::

    leases' classes ─► packets a second of all people ─┬─► people, at balanced's pace
                                                       └─► pool at a mix ─► bits

An estimate that relays can raise: each says in its lease how much it is asked (``directory
.traffic``), nobody can check that, and whoever wants a crowd may send packets for one. No
relay counts for more than twice the median of all, so that a few liars add little; half of
all relays can say what they like. spec: parameters §3

The bits are those of the standard model: whoever sees every link, and not into honest mixes,
sees a packet leave the last of ``mixes`` Poisson mixes and weighs each person by the packets
that the person had sent before, f the density of the whole delay. With f's shot noise S of
one's own packets and Z of everybody's, the surprise at the truth is E[log2 Z − log2 S], and
by Frullani's integral and Campbell's theorem, with rates in packets a mean delay::

    bits = 1/ln 2 · ∫ A′(t) · e^(−own·A(t)) · (1 − e^(−others·A(t))) dt/t
    A(t) = ∫ (1 − e^(−t·f(u))) du

With own = 0 every packet is a sender of its own: for large pools log2(e·pool) at one mix
(Danezis, PET 2004, eq. 13) and log2(e^(1+γ)·pool) at two.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shoal_protocol.client import active
from shoal_protocol.client.active import ActiveSet
from shoal_protocol.parameters import PRESETS, NetworkParameters, Preset

FEW_BITS: Final = 4.0  # below it a person is told; spec: parameters §3

_T_STEP: Final = 0.2  # of ln t
_U_STEP: Final = 0.1  # mean delays; with it, sums are right to a hundredth of a bit
_LN_T: Final = (-24.0, 18.0)  # for up to 10^9 packets in a mean delay
_U_MOST: Final = 40.0  # what f has beyond weighs nothing


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who else is there, as far as relays tell.

    ``packets`` are those that all people send in a second, oneself included, ``people`` as
    many at balanced's pace; ``pool`` packets wait at a mix in the mean, in the layer of most
    mixes; ``bits`` is how uncertain a watcher of all links is about who sent a packet.
    """

    packets: float
    people: float
    pool: float
    bits: float

    @property
    def warning(self) -> str | None:
        """What a person must know of a crowd that is too small, as a sentence."""
        if self.bits >= FEW_BITS:
            return None
        count = max(1, round(self.people))
        if count == 1:
            return "Nobody else seems to be online: whatever the relays do, nobody hides you."
        if math.log2(count) < FEW_BITS:
            return (
                f"About {count} people are online, counted at balanced's pace: you are one of "
                f"about {count}, whatever the relays do."
            )
        return (
            f"About {count} people are online, too few for so many relays or so short delays: "
            f"a watcher of all links has to guess among about {max(1, round(2**self.bits))}."
        )


def estimate(
    classes: Sequence[int],
    preset: Preset,
    params: NetworkParameters,
    mixing: ActiveSet | None = None,
) -> Crowd | None:
    """Estimate the crowd from all live relays' classes of traffic.

    Args:
        classes: one a relay, from its lease.
        preset: one's own.
        params: the network's.
        mixing: the active set by which one's ways are drawn; all relays without.

    Returns:
        None while no relay says that it is asked anything.
    """
    if not any(classes):
        return None
    packets = max(preset.rate, active.requests(classes))
    hidden = params.path_mixes - 1
    shares = (hidden / len(classes),) * hidden if mixing is None else mixing.shares
    pool, known = among(packets, preset, len(classes), shares)
    return Crowd(packets, packets / PRESETS["balanced"].rate, pool, known)


def among(
    packets: float, preset: Preset, relays: int, shares: Sequence[float]
) -> tuple[float, float]:
    """Return (packets in the smallest pool, bits of who sent a packet).

    Args:
        packets: a second, of all people together.
        preset: one's own, taken for everybody's delay.
        relays: each of which is somebody's guard, too.
        shares: for each mix of a way but the guard, who knows whom it serves: what one relay
            there gets of all packets that go one way.
    """
    delay = preset.mean_delay_ms / 1000
    # A packet and its reply are two.
    pools = [2 * packets * delay * (share + 1 / relays) for share in shares]
    among_all = bits(preset.rate * delay, (packets - preset.rate) * delay, len(shares))
    # Ways that hardly meet: no more than what each mix adds by itself.
    among_met = sum(bits(0.0, pool, 1) for pool in pools)
    return min(pools), min(among_all, among_met)


def bits(own: float, others: float, mixes: int) -> float:
    """Return how uncertain the sender of a packet is behind ``mixes`` mixes that all cross.

    Args:
        own: packets that the sender sends in a mean delay of one mix.
        others: what all others send in it.
        mixes: at least one.
    """
    total = sum(
        slope * math.exp(-own * area) * -math.expm1(-others * area)
        for area, slope in _shot_noise(mixes)
    )
    return total * _T_STEP / math.log(2)


@lru_cache(maxsize=8)
def _shot_noise(mixes: int) -> tuple[tuple[float, float], ...]:
    """Return A(t) and A′(t) over a grid of ln t, f being the density of a Gamma(mixes)."""
    places = [_U_STEP * (n + 0.5) for n in range(round(_U_MOST / _U_STEP))]
    scale = math.gamma(mixes)
    density = [u ** (mixes - 1) * math.exp(-u) / scale for u in places]
    grid: list[tuple[float, float]] = []
    for step in range(round((_LN_T[1] - _LN_T[0]) / _T_STEP)):
        t = math.exp(_LN_T[0] + _T_STEP * step)
        area = _U_STEP * sum(-math.expm1(-t * f) for f in density)
        slope = _U_STEP * sum(f * math.exp(-t * f) for f in density)
        grid.append((area, slope))
    return tuple(grid)
