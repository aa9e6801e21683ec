"""Who gives way at a bound: somebody of the network that holds most, never one from elsewhere."""

from collections import Counter
from random import Random

from shoal_node.transport.crowd import Crowd, network_of


def test_addresses_of_one_owner_count_as_one_network() -> None:
    assert network_of("192.0.2.7") == network_of("192.0.2.200") != network_of("192.0.3.7")
    assert network_of("2001:db8:1::7") == network_of("2001:db8:1:ffff::9")
    assert network_of("2001:db8:1::7") != network_of("2001:db8:2::7")
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.9")
    assert network_of("memory-3") == "memory-3"


def test_the_oldest_and_the_newest_of_the_fullest_network_are_found() -> None:
    crowd: Crowd[str] = Crowd()
    for member in ("lone", "a", "b", "c"):
        crowd.add(member, "192.0.2.1" if member == "lone" else "198.51.100.1")
    assert (crowd.oldest_of_most(), crowd.newest_of_more("203.0.113.1")) == ("a", "c")
    assert crowd.newest_of_more("198.51.100.9") is None
    crowd.discard("a")
    crowd.discard("a")
    assert list(crowd) == ["lone", "b", "c"]
    assert crowd.newest_of_more("192.0.2.9") is None  # they would displace each other for ever


def test_no_flood_from_few_networks_displaces_anybody_who_is_alone_in_his() -> None:
    chance, crowd = Random(1), Crowd[int]()
    for number in range(30):
        crowd.add(number, f"20.{number}.0.1")
    for number in range(1000, 4000):
        host = f"30.0.{chance.randrange(8)}.{chance.randrange(256)}"
        if len(crowd) == 64:
            victim = crowd.newest_of_more(host)
            if victim is None:
                continue
            crowd.discard(victim)
        crowd.add(number, host)
    assert set(range(30)) <= set(crowd) and len(crowd) == 64
    spread = Counter(number < 1000 for number in crowd)
    assert spread == {True: 30, False: 34}
