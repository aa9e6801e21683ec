"""The exact tier and the vector tier answer the same questions alike.

::

    30 relays, 60 people, fast, links of 42 ms ─┬─ machines, packets, virtual time ─┐
                                                └─ arrays of numpy                  ┴─► alike

They share no draw and no code of mixing, so each figure of one is an estimate of the other's.
Alike are two means over networks whose difference has 0 in its interval (Welch's, 99.9 %), or
is less than ``NEGLIGIBLE`` of them: machines draw delays in whole milliseconds. Seeds are
fixed, so that chance fails nothing that did not change.
"""

import math
from typing import Final

import polars
import pytest

import shoal_sim
from processes.waiting import Say
from shoal_sim import scenario

EXACT: Final = 6  # networks
VECTOR: Final = 24
SURE: Final = 4.0  # standard errors; Student's t of 99.9 % with a dozen degrees of freedom
NEGLIGIBLE: Final = 0.01
LENGTH_S: Final = 5.0
RELAYS, PEOPLE, RATE = 30, 60, 10.0
# Cover alone. Reads that wait do so for a third of a second, as arrays know traffic only that
# has been there forever, and a node that begins has no reads that wait.
COMMON: Final = f"""
question = "Do both tiers answer alike?"
[network]
relays = {RELAYS}
people = {PEOPLE}
[traffic]
preset = "fast"
get_wait_mean_ms = 300.0
"""
LOSSY: Final = "[links]\nlatency_ms = 42.0\nloss = 0.01\n"
PROMPT: Final = "quick_share = 1.0\n"  # no reads that wait
WATCHED: Final = '[adversary]\nname = "global_passive"\n'


def asked(more: str, length_s: float) -> tuple[polars.DataFrame, polars.DataFrame]:
    """Return the rows of both tiers."""
    time = f"[time]\nlength_s = {length_s}\n"
    exact = 'tier = "exact"\n' + COMMON + more + time + "warm_up_s = 2.0\n"
    vector = COMMON.replace("get_wait_mean_ms = 300.0\n", "") + more + time
    return (
        shoal_sim.run(scenario.parse(exact), seeds=EXACT),
        shoal_sim.run(scenario.parse(vector), seeds=VECTOR),
    )


def compare(
    what: str, exact: polars.Series, vector: polars.Series, say: Say, least: float = 0.0
) -> bool:
    """Tell both means with their standard errors; return whether they are alike.

    Args:
        least: the standard error that the exact tier's mean is known to have at least.
    """
    means = [_float(side.mean()) for side in (exact, vector)]
    errors = [_float(side.std()) / math.sqrt(len(side)) for side in (exact, vector)]
    errors[0] = max(errors[0], least)
    apart, room = abs(means[0] - means[1]), SURE * math.hypot(*errors)
    say(
        f"{what}: exact {means[0]:.4g} ± {errors[0]:.2g}, vector {means[1]:.4g} ± {errors[1]:.2g}; "
        f"{apart:.2g} apart, allowed {max(room, NEGLIGIBLE * means[1]):.2g}"
    )
    return apart <= max(room, NEGLIGIBLE * abs(means[1]))


def _float(value: object) -> float:
    assert isinstance(value, float)
    return value


def test_packets_are_lost_alike_in_both_tiers(say: Say) -> None:
    exact, vector = asked(PROMPT + LOSSY, 3.0)
    assert compare("answered", exact["delivered_share"], vector["delivered_share"], say)


def test_latency_and_load_of_both_tiers_are_alike(say: Say) -> None:
    exact, vector = asked("", LENGTH_S)
    alike = {
        name: compare(name, exact[name], vector[name], say)
        for name in ("round_trip_p50_ms", "round_trip_p95_ms", "pool_mean")
    }
    sent, wanted = exact["packets_up_per_s"], PEOPLE * RATE
    poisson = math.sqrt(wanted / LENGTH_S / EXACT)
    alike["packets_up_per_s"] = compare("packets_up_per_s", sent, sent * 0 + wanted, say, poisson)
    # Packets cross eight links; relays stand at both ends of six of them and at one of two.
    size = scenario.parse(COMMON).network.protocol.packet_bytes
    load = exact["hops_per_s"] / sent * wanted * (14 / 8 * size / RELAYS / 1000)
    alike["relay_kb_per_s"] = compare("relay_kb_per_s", load, vector["relay_kb_per_s"], say)
    assert all(alike.values()), alike


@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_what_a_watcher_of_all_links_lacks_is_alike_in_both_tiers(who: str, say: Say) -> None:
    exact, vector = _watched()
    names = [f"{who}_{what}" for what in ("entropy_bits", "min_entropy_bits", "surprise_bits")]
    names += [f"{who}_guess_share", f"adversary_{who}_entropy_bits"]
    alike = {name: compare(name, exact[name], vector[name], say) for name in names}
    assert all(alike.values()), alike


_ASKED: Final[list[tuple[polars.DataFrame, polars.DataFrame]]] = []


def _watched() -> tuple[polars.DataFrame, polars.DataFrame]:
    """Return the rows of both tiers under a watcher, which both tests need."""
    if not _ASKED:
        _ASKED.append(asked(PROMPT + WATCHED, 2.0))
    return _ASKED[0]
