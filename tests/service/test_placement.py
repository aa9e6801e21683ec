"""Where entries lie: everybody agrees, and a relay that leaves moves only its own."""

from collections import Counter

from shoal_protocol.service import placement
from support import seeded

REACH = 5


def relays(count: int) -> list[bytes]:
    rng = seeded("relays")
    return [rng.bytes(16) for _ in range(count)]


def addresses(count: int) -> list[bytes]:
    rng = seeded("addresses")
    return [rng.bytes(32) for _ in range(count)]


def test_everybody_ranks_the_same_relays_alike_in_whatever_order_they_come() -> None:
    known = relays(30)
    for address in addresses(50):
        ranked = placement.rank(address, known, REACH)
        assert len(set(ranked)) == REACH
        assert placement.rank(address, reversed(known), REACH) == ranked
        assert placement.rank(address, set(known), 30)[:REACH] == ranked


def test_with_fewer_relays_than_replicas_all_are_ranked() -> None:
    known = relays(2)
    assert set(placement.rank(b"a" * 32, known, REACH)) == set(known)
    assert placement.rank(b"a" * 32, [], REACH) == []


def test_a_relay_that_leaves_moves_only_what_lay_on_it() -> None:
    known = relays(40)
    gone = known[7]
    rest = [relay for relay in known if relay != gone]
    moved = 0
    for address in addresses(400):
        before = placement.rank(address, known, REACH)
        after = placement.rank(address, rest, REACH)
        if gone not in before:
            assert after == before
        else:
            moved += 1
            assert after[:-1] == [relay for relay in before if relay != gone]
    assert 400 * REACH / 40 / 2 < moved < 400 * REACH / 40 * 2


def test_a_relay_that_comes_displaces_at_most_the_last_rank() -> None:
    known = relays(41)
    for address in addresses(100):
        before = placement.rank(address, known[:-1], REACH)
        after = placement.rank(address, known, REACH)
        if known[-1] in after:
            assert [relay for relay in after if relay != known[-1]] == before[:-1]
        else:
            assert after == before


def test_a_relay_knows_whether_it_ranks_without_ranking_all() -> None:
    known = relays(30)
    for address in addresses(40):
        ranked = placement.rank(address, known, REACH)
        for relay in (*known[:8], b"stranger" * 2):
            assert placement.ranks(relay, address, iter(known), REACH) is (relay in ranked)
    assert not placement.ranks(known[0], b"a" * 32, [], REACH)
    assert placement.ranks(known[0], b"a" * 32, known[:2], REACH)


def test_addresses_spread_evenly_over_relays_at_each_rank() -> None:
    """Chi-square with 19 degrees of freedom: 43.82 is passed by chance once in 1,000 draws.

    The seed is fixed, so a failure means that the placement changed, not chance.
    """
    known, drawn = relays(20), addresses(4000)
    for rank in (0, 2, 4):
        load = Counter(placement.rank(address, known, REACH)[rank] for address in drawn)
        expected = len(drawn) / len(known)
        chi_square = sum((load[relay] - expected) ** 2 / expected for relay in known)
        assert chi_square < 43.82
