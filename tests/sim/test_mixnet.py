"""Relays and a crowd under virtual time: what is known of them beforehand, they do."""

from dataclasses import replace

import pytest

from shoal_protocol import crypto
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import LAB, MAIN, PRESETS
from shoal_sim.exact.chance import FastRng
from shoal_sim.exact.mixnet import Mixnet, Trip

LINKS = 8  # person, G, A, B, S, and back over B', A', G


def network(
    seed: int, *, relays: int = 12, people: int = 30, real: bool = False, preset: str = "fast"
) -> tuple[Mixnet, list[Trip]]:
    trips: list[Trip] = []
    net = Mixnet(
        relays,
        people,
        PRESETS[preset],
        params=MAIN,
        chance=lambda name: FastRng(f"{seed} {name}"),
        real=real,
        answered=trips.append,
    )
    return net, trips


@pytest.mark.parametrize("real", [False, True])
def test_a_round_trip_takes_what_was_drawn_and_its_links(real: bool) -> None:
    net, trips = network(1, real=real, people=10 if real else 30)
    net.run(4.0)
    assert len(trips) > 100
    for trip in trips:
        took = trip.answered - trip.sent - trip.drawn
        assert took == LINKS * 42 * MILLISECOND + trip.wait
    assert net.counters["no way"] == net.counters["overdue"] == net.links.lost == 0


def test_people_send_at_the_rate_of_their_preset() -> None:
    net, _ = network(2, people=60)
    net.run(8.0)
    expected = 60 * 10.0 * 8
    assert abs(net.counters["sent"] - expected) < 4 * expected**0.5


def test_every_packet_up_draws_one_reply_down() -> None:
    net, trips = network(3)
    up = down = 0
    hubs = {hub.id for hub in net.hubs}

    def tap(now: int, source: bytes, target: bytes, size: int) -> None:
        nonlocal up, down
        up += source not in hubs
        down += target not in hubs
        assert size == MAIN.packet_bytes

    net.links.taps.append(tap)
    net.run(8.0)
    waiting = sum(hub.machine.desk.waiting for hub in net.hubs)
    crossing = up - down - waiting
    assert up == net.counters["sent"]
    assert 0 <= crossing < 30 * 10 * 2  # under way: less than two seconds' worth
    assert down >= len(trips) > 1000


def test_a_name_gives_the_same_run_and_another_name_another() -> None:
    def trace(seed: int) -> bytes:
        net, _ = network(seed, people=10)
        seen = crypto.blake2b(digest_size=16)
        net.links.taps.append(
            lambda now, source, target, size: seen.update(now.to_bytes(8, "big") + source + target)
        )
        net.run(3.0)
        return seen.digest()

    assert trace(4) == trace(4) != trace(5)


def test_a_pool_holds_what_little_says_it_does() -> None:
    """L = λW: packets in all pools are the rate of packets times the mean delay of each."""
    preset = replace(PRESETS["fast"], quick_share=1.0)  # a GET that waits is in no pool
    net = Mixnet(10, 100, preset, params=MAIN, chance=FastRng)
    net.run(2.0)
    held = samples = 0
    for _ in range(20):
        net.run(0.2)
        held += sum(hub.machine.mix.pool_size for hub in net.hubs)
        samples += 1
    expected = 100 * preset.rate * 6 * preset.mean_delay_ms / 1000  # three mixes each way
    assert held / samples == pytest.approx(expected, rel=0.1)


def test_networks_without_rules_of_subnets_run_as_well() -> None:
    trips: list[Trip] = []
    net = Mixnet(
        6,
        5,
        PRESETS["balanced"],
        params=LAB,
        chance=lambda name: FastRng(name),
        answered=trips.append,
    )
    net.run(5.0)
    assert trips


def test_a_long_run_with_real_keys_is_refused_before_it_begins() -> None:
    with pytest.raises(UserError, match="second epoch"):
        Mixnet(
            6,
            1,
            PRESETS["fast"],
            params=MAIN,
            chance=FastRng,
            real=True,
            length_s=3 * MAIN.epoch_s,
        )
    net = Mixnet(6, 1, PRESETS["saver"], params=MAIN, chance=FastRng, length_s=3 * MAIN.epoch_s)
    net.run(float(MAIN.epoch_s))
    assert net.engine.now > SECOND
