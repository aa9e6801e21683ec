"""Paths: T20, 100,000 sampled ways that never break a rule, drawn evenly."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pytest

from client.crowd import EPOCH, WIDE, crowd, relay, spread
from shoal_protocol import clock
from shoal_protocol.client import active, paths
from shoal_protocol.client.paths import PathChooser
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.rng import Rng
from support import START, seeded


def town(rng: Rng) -> list[Descriptor]:
    """Return 60 relays, of which many share a /16, a /32 or a family, some in both versions."""
    families = [rng.bytes(16) for _ in range(6)]
    relays = []
    for number in range(60):
        addresses = []
        if number % 5:
            addresses.append(f"/ip4/20.{number % 23}.{number}.1/tcp/4001/p2p/x")
        if number % 5 in (0, 1):
            addresses.append(f"/ip6/2a00:{number % 17}:{number:x}::1/tcp/4001/p2p/x")
        family = families[number % 6] if number % 4 == 0 else b""
        relays.append(relay(rng, *addresses, family=family))
    return relays


def chooser(
    relays: Sequence[Descriptor], params: NetworkParameters, rng: Rng, guard: int = 0
) -> PathChooser:
    return PathChooser(relays, relays[guard], params=params, rng=rng)


def prefixes(relay: Descriptor) -> set[str]:
    """Return the subnets of a relay, read from its addresses in another way than the code's."""
    found = set()
    for address in relay.addresses:
        _, version, host, *_ = address.split("/")
        groups = host.split("." if version == "ip4" else ":")
        found.add(f"{version} {groups[0]} {groups[1]}")
    return found


def check(way: Sequence[Descriptor], length: int, distinct: bool) -> None:
    assert len(way) == length
    assert len({relay.relay_id for relay in way}) == length
    if distinct:
        for a, b in combinations(way, 2):
            assert prefixes(a).isdisjoint(prefixes(b))
            assert not a.family or a.family != b.family


def walk(params: NetworkParameters, trips: int) -> int:
    """Draw ways behind ten guards and check each; returns how many ways there were.

    Behind every second guard they go through the active set, as a person's do.
    """
    rng = seeded("ways")
    relays = town(rng)
    layers = active.draw(relays, [3] * len(relays), EPOCH, params).layers
    ways = 0
    for guard in range(10):
        draw = chooser(relays, params, rng, guard)
        if guard % 2:
            draw.layers = layers
        assert relays[guard] not in draw.services
        for _ in range(trips // 10):
            service = rng.choice(draw.services)
            trip = draw.round_trip(service)
            assert trip is not None
            assert (trip.forward[0], trip.forward[-1]) == (relays[guard], service)
            assert trip.reply[-1] is relays[guard]
            check(trip.forward, 4, params.distinct_subnets)
            check((service, *trip.reply), 4, params.distinct_subnets)
            ways += 2
    return ways


def test_a_hundred_thousand_ways_keep_every_rule() -> None:
    """T20. Oneself: a person's node is in no directory, and its guard stands at its place only."""
    ways = walk(WIDE, 32_000) + walk(LAB, 18_000)
    assert ways == 100_000


def test_relays_are_used_evenly_at_every_place() -> None:
    """Chi-square with 27 degrees of freedom: 55.5 is passed by chance once in 1,000 draws."""
    rng = seeded("even")
    relays = spread(rng, 30)
    draw = chooser(relays, WIDE, rng)
    trips = [draw.round_trip(relays[1]) for _ in range(6000)]
    for place in range(2):
        used = Counter(trip.forward[1 + place].relay_id for trip in trips if trip is not None)
        back = Counter(trip.reply[place].relay_id for trip in trips if trip is not None)
        for counts in (used, back):
            assert len(counts) == 28
            expected = len(trips) / 28
            assert sum((n - expected) ** 2 / expected for n in counts.values()) < 55.5


def test_services_are_asked_evenly() -> None:
    """Chi-square with 18 degrees of freedom: 42.3 is passed by chance once in 1,000 draws."""
    rng = seeded("services")
    draw = chooser(spread(rng, 20), WIDE, rng)
    used = Counter(service.relay_id for _ in range(5000) if (service := draw.any_service()))
    assert len(used) == 19
    assert sum((n - 5000 / 19) ** 2 / (5000 / 19) for n in used.values()) < 42.3


def test_a_way_that_few_relays_can_fill_is_found_and_one_that_none_can_is_not() -> None:
    rng = seeded("few")
    relays = [relay(rng, "/ip4/20.1.0.1/tcp/1/p2p/x") for _ in range(200)]
    relays += [relay(rng, f"/ip4/20.{n}.0.1/tcp/1/p2p/x") for n in (2, 3, 4)]
    draw = chooser(relays, WIDE, rng)
    for _ in range(50):
        trip = draw.round_trip(relays[-1])
        assert trip is not None
        assert set(trip.forward[1:3]) == set(relays[200:202])
    assert chooser(relays[:-1], WIDE, rng).round_trip(relays[-2]) is None


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_with_too_few_relays_there_is_no_way(count: int) -> None:
    rng = seeded(count)
    draw = chooser(crowd(rng, count), LAB, rng)
    service = draw.any_service()
    assert (service is None) == (count == 1)
    if service is not None:
        assert (draw.round_trip(service) is not None) == (count == 4)


def test_only_relays_whose_key_of_this_epoch_is_known_are_used() -> None:
    rng = seeded("keys")
    now, before, after = (relay(rng, epochs=(EPOCH + n,)) for n in (0, -1, 1))
    assert paths.usable([before, now, after], START, LAB) == [now]
    hour = LAB.epoch_s * clock.SECOND
    assert paths.usable([before, now, after], START + hour, LAB) == [after]


def test_only_mixes_delay_and_never_beyond_the_cap() -> None:
    rng = seeded("delays")
    way = spread(rng, 4)
    draws = [paths.hops(way, 3, 30_000, now=START, params=LAB, rng=rng) for _ in range(400)]
    assert {hops[3].delay_ms for hops in draws} == {0}
    for place in range(3):
        delays = [hops[place].delay_ms for hops in draws]
        assert max(delays) == LAB.max_hop_delay_ms
        assert 20_000 < sum(delays) / len(delays) < 32_000
    assert [hop.id for hop in draws[0]] == [relay.relay_id for relay in way]
    assert {hop.epoch for hop in draws[0]} == {EPOCH}
