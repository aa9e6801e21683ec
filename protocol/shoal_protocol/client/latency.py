"""The latency that a preset itself asks for, and what links add to it.

One way, from ``send`` to the reader's node: the wait for a quick slot (exponential, rate
λ · quick share), the mixing delays of the PUT's mixes, and those of the reply to a GET
that already waits. The sum has no handy closed form, so its quantiles come from a fixed
sample; the standard error of the median is under 1 %. Links come on top: of the request's
way and of the reply's, each crosses one to every mix and one to its end.
"""

from functools import lru_cache
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.parameters import NetworkParameters, Preset
from shoal_protocol.rng import Rng

LINK_MS: Final = 42.0  # a link of the open network, in the mean; spec: parameters §2

_SAMPLES: Final = 20_000


@lru_cache(maxsize=8)
def floor(preset: Preset, params: NetworkParameters) -> tuple[float, float]:
    """Return (p50, p95) of the one-way latency in ms with links and machines of no delay."""
    rng = Rng(crypto.seeded_source(b"latency floor"))
    slot_mean_ms = 1000 / (preset.rate * preset.quick_share)
    mixes = 2 * params.path_mixes
    sample = sorted(
        rng.exponential(slot_mean_ms)
        + sum(rng.exponential(preset.mean_delay_ms) for _ in range(mixes))
        for _ in range(_SAMPLES)
    )
    return sample[_SAMPLES // 2], sample[_SAMPLES * 95 // 100]


def link_ms(params: NetworkParameters) -> float:
    """Return what a link of this network takes; one on private addresses nothing to speak of."""
    return 0.0 if params.private_addresses else LINK_MS


def expected(preset: Preset, params: NetworkParameters) -> tuple[float, float]:
    """Return (p50, p95) of the one-way latency in ms over this network's links."""
    links = 2 * (params.path_mixes + 1) * link_ms(params)
    p50, p95 = floor(preset, params)
    return p50 + links, p95 + links
