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


def test_one_link_from_each_48_of_a_32_pushes_nobody_out() -> None:
    crowd: Crowd[tuple[str, int]] = Crowd()
    for number in range(400):  # forty networks with ten links each
        crowd.add(("honest", number), f"{20 + number // 10}.0.113.{number % 10}")
    flooded = 0
    for number in range(1_000):
        host = f"2a0f:ffff:{number:x}::1"
        if len(crowd) >= 512:
            victim = crowd.newest_of_more(host)
            if victim is None:
                continue
            crowd.discard(victim)
        crowd.add(("flood", number), host)
        flooded += 1
    assert (sum(name == "honest" for name, _ in crowd), flooded) == (400, 112)
    assert crowd.newest_of_more("198.51.100.1") == ("flood", 111)


def test_in_a_wide_network_of_many_owners_the_crowded_one_gives_way() -> None:
    crowd: Crowd[str] = Crowd()
    for number in range(3):
        crowd.add(f"lone {number}", f"20.0.{number}.1")
    for number in range(5):
        crowd.add(f"flood {number}", f"20.0.200.{number}")
    assert crowd.newest_of_more("20.0.3.1") == "flood 4"
    assert crowd.newest_of_more("20.0.200.9") is None


def test_who_would_not_be_missed_gives_way_first_but_never_to_a_fuller_network() -> None:
    crowd: Crowd[str] = Crowd()
    for number, member in enumerate("abc"):
        crowd.add(member, f"20.0.0.{number}")
    crowd.add("idle elsewhere", "30.0.0.1")
    assert crowd.newest_of_more("40.0.0.1", "a idle elsewhere".__contains__) == "a"
    assert crowd.newest_of_more("40.0.0.1", "idle elsewhere".__eq__) == "c"
    assert crowd.newest_of_more("20.0.0.9", "idle elsewhere".__eq__) is None
    assert crowd.newest_of_more("20.0.0.9", "b".__eq__) == "b"
