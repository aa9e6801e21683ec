"""What watchers of the exact tier have, and what adversaries make of it, beside the truth."""

from dataclasses import replace

import pytest

from shoal_protocol.clock import MILLISECOND
from shoal_protocol.errors import UserError
from shoal_protocol.packets.format import SPHINX
from shoal_protocol.parameters import MAIN, PRESETS
from shoal_sim import scenario
from shoal_sim.exact.chance import FastRng
from shoal_sim.exact.following import Following
from shoal_sim.exact.links import Weather
from shoal_sim.exact.mixnet import Mixnet
from shoal_sim.exact.model import simulate
from shoal_sim.exact.null import NullFormat
from shoal_sim.exact.watched import Recording
from shoal_sim.seeds import numbers
from shoal_sim.vector import mixing

WATCHED = """
question = "How many bits does a watcher lack?"
tier = "exact"
[network]
relays = 8
people = 12
[traffic]
quick_share = 1.0
[links]
latency_ms = 20.0
[time]
length_s = 1.0
"""


def watched(adversary: str, seed: int = 1) -> dict[str, float]:
    return simulate(scenario.parse(f"{WATCHED}[adversary]\n{adversary}\n"), seed).metrics


@pytest.mark.parametrize(("real", "loss"), [(False, 0.0), (False, 0.05), (True, 0.0)])
def test_the_record_has_every_packet_where_it_went_and_when(real: bool, loss: float) -> None:
    packets = Following(SPHINX if real else NullFormat())
    record = Recording(packets, MAIN.path_mixes)
    people = 5
    net = Mixnet(
        8,
        people,
        replace(PRESETS["fast"], quick_share=1.0),
        params=MAIN,
        chance=FastRng,
        real=real,
        through=record.through,
        packets=packets,
    )
    net.links.weather = Weather(20, 20, loss=loss)
    record.name(people, 8)
    record.on = True
    crossed: list[tuple[int, str, str]] = []
    names = net.links.names
    net.links.taps.append(
        lambda now, source, target, size: crossed.append((now, names[source], names[target]))
    )
    begun = net.engine.now
    net.run(1.5)
    record.on = False
    sent, until = net.counters["sent"], net.engine.now
    net.run(3.0)
    there = mixing.nodes(people, 8, numbers(1, "nodes"))
    requests, replies, early = record.parts(begun, there)
    assert len(requests) == sent
    assert len(early) == 0
    assert (len(replies) == requests.arrived.sum() > 10) and replies.arrived.any()
    assert bool(loss) != requests.arrived.all()
    if not loss:
        assert (requests.end - requests.leave[-1] == 20 * MILLISECOND).all()
        assert (requests.enter[0] - requests.begin == 20 * MILLISECOND).all()
        assert ((requests.leave - requests.enter) % MILLISECOND == 0).all()
    seen: list[tuple[int, str, str]] = []
    numbered = [f"person {at}" for at in range(people)] + [f"relay {at}" for at in range(8)]
    for part in (requests, replies):
        assert part.links is not None
        path = [station.tolist() for station in part.path(there)]
        for at in range(len(part)):
            times = [part.begin[at], *part.leave[:, at]]
            for link in range(min(int(part.links[at]) + 1, len(times))):
                ends = numbered[path[link][at]], numbered[path[link + 1][at]]
                seen.append((begun + int(times[link]), *ends))
    unseen = set(crossed) - set(seen)
    assert set(seen) <= set(crossed)
    assert all(time > until for time, _, _ in unseen)  # sent when nobody took it down any more


def test_whoever_holds_all_relays_knows_everything() -> None:
    found = watched('name = "corrupt_relays"\nshare = 1.0')
    for who in ("sender", "receiver", "adversary_sender", "adversary_receiver"):
        assert found[f"{who}_entropy_bits"] == 0.0
        assert found[f"{who}_hit_share"] == 1.0


def test_whoever_blocks_all_others_is_left_with_the_one() -> None:
    found = watched('name = "n_minus_1"\nrelays = 0')
    assert found["adversary_sender_entropy_bits"] == found["adversary_receiver_entropy_bits"] == 0.0
    assert found["adversary_sender_hit_share"] == 1.0
    assert found["sender_entropy_bits"] > 1.0


def test_relays_that_an_adversary_adds_tell_what_they_do() -> None:
    plain = watched('name = "global_passive"')
    added = watched('name = "sybil_directory"\nadded = 8')
    assert added["adversary_sender_entropy_bits"] < plain["adversary_sender_entropy_bits"] - 0.3
    assert added["sender_entropy_bits"] < plain["sender_entropy_bits"] - 0.3


def test_more_packets_than_a_watcher_keeps_are_refused_before_the_run() -> None:
    text = WATCHED.replace("people = 12", "people = 100000")
    with pytest.raises(UserError, match="requests to remember"):
        simulate(scenario.parse(text + '[adversary]\nname = "global_passive"\n'), 1)


def test_what_the_tier_does_not_show_or_play_is_refused() -> None:
    with pytest.raises(UserError, match="stops relays"):
        watched('name = "churn"')
    whole = WATCHED.replace("[traffic]", 'nodes = "whole"\nparameters = "lab"\n[traffic]')
    with pytest.raises(UserError, match="are watched where"):
        simulate(scenario.parse(whole + '[adversary]\nname = "global_passive"\n'), 1)
