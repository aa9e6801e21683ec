"""Kademlia in arrays: ranges, buckets that are never kept, and lookups, beside real tables."""

import numpy
import pytest

from shoal_sim.seeds import numbers
from shoal_sim.theory import hops
from shoal_sim.theory import kademlia as theory
from shoal_sim.vector import kademlia


def test_shared_bits_are_those_of_the_integers() -> None:
    distances = [0, 1, 2, 3, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
    found = kademlia.shared_bits(numpy.array(distances, dtype=numpy.uint64))
    assert found.tolist() == [64 - distance.bit_length() for distance in distances]


@pytest.mark.parametrize("nodes", [1, 2, 3, 17, 1_000])
def test_a_range_is_every_node_that_shares_so_many_bits(nodes: int) -> None:
    rng = numbers(nodes)
    net = kademlia.network(nodes, rng)
    target = rng.integers(0, 2**64, 300, dtype=numpy.uint64)
    target[:100] = net.positions[rng.integers(0, nodes, 100)] ^ numpy.uint64(1)
    depth = rng.integers(0, 65, 300)
    low, high = net.ranges(target, depth)
    for i in range(300):
        inside = kademlia.shared_bits(net.positions ^ target[i]) >= depth[i]
        assert inside.sum() == high[i] - low[i]
        assert inside[low[i] : high[i]].all()


def hops_over_tables(nodes: int, k: int, count: int, rng: numpy.random.Generator) -> float:
    """Return the mean hops of lookups over tables that are kept: one a node, k a bucket."""
    positions = [int(p) for p in kademlia.network(nodes, rng).positions]
    shuffled = [positions[i] for i in rng.permutation(nodes)]
    tables: dict[int, dict[int, list[int]]] = {}
    hops = 0
    for _ in range(count):
        here = positions[int(rng.integers(0, nodes))]
        target = int(rng.integers(0, 2**64, dtype=numpy.uint64))
        while True:
            if here not in tables:
                buckets: dict[int, list[int]] = {}
                begin = int(rng.integers(0, nodes))
                for other in shuffled[begin:] + shuffled[:begin]:
                    bucket = buckets.setdefault((here ^ other).bit_length(), [])
                    if len(bucket) < k:
                        bucket.append(other)
                tables[here] = buckets
            side = tables[here].get((here ^ target).bit_length(), [])
            if not side or here == target:
                break
            here = min(side, key=lambda other: other ^ target)
            hops += 1
    return hops / count


def test_lookups_take_as_many_hops_as_over_tables_that_are_kept() -> None:
    over_tables = hops_over_tables(1_500, 4, 3_000, numbers(1))
    drawn = kademlia.lookups(kademlia.network(1_500, numbers(2)), 20_000, 4, numbers(3))
    assert drawn.hops.mean() == pytest.approx(over_tables, abs=0.08)
    assert drawn.found.all()


def test_the_same_seed_gives_the_same_lookups() -> None:
    first, second = (
        kademlia.lookups(kademlia.network(5_000, numbers(4), 0.2), 9_000, 8, numbers(5))
        for _ in range(2)
    )
    assert first.hops.tobytes() == second.hops.tobytes()
    assert first.found.tobytes() == second.found.tobytes()


def test_tables_that_split_on_every_fifth_level_only_take_fewer_hops() -> None:
    net = kademlia.network(100_000, numbers(6))
    plain = kademlia.lookups(net, 10_000, 20, numbers(7))
    split = kademlia.lookups(net, 10_000, 20, numbers(7), step=5)
    assert split.found.all()
    assert split.hops.mean() < plain.hops.mean() - 0.5


def test_a_network_that_every_bucket_knows_whole_is_crossed_in_one_hop() -> None:
    ran = kademlia.lookups(kademlia.network(9, numbers(8)), 500, 20, numbers(9))
    assert ran.hops.max() == 1


def test_no_lookup_succeeds_where_no_contact_answers() -> None:
    net = kademlia.network(2_000, numbers(10))
    alone = numpy.zeros(2_000, dtype=numpy.bool_)
    alone[7] = True
    ran = kademlia.lookups(kademlia.at(net.positions, alone), 500, 4, numbers(11))
    assert ran.hops.max() == 0
    assert ran.found.mean() < 0.01


def test_failures_grow_with_the_dead_as_the_closed_form_says() -> None:
    for dead in (0.6, 0.7):
        net = kademlia.network(200_000, numbers(12), dead)
        ran = kademlia.lookups(net, 20_000, 8, numbers(13))
        said = theory.lookup_fails(dead, 8, float(ran.hops[ran.found].mean()))
        assert 1 - ran.found.mean() == pytest.approx(said, rel=0.12)


def test_the_series_tends_to_the_formula_for_large_buckets() -> None:
    assert theory.bits_a_hop(1) == pytest.approx(2.0)
    assert theory.bits_a_hop(20) == pytest.approx(5.690, abs=0.001)
    assert theory.bits_a_hop_about(20) == pytest.approx(5.655, abs=0.001)
    gaps = [theory.bits_a_hop(k) - theory.bits_a_hop_about(k) for k in (8, 32, 128, 512)]
    assert gaps == sorted(gaps, reverse=True)
    assert theory.stored_at_none(0.5, 20) == 0.5**20


def test_the_recursion_says_what_draws_give() -> None:
    net = kademlia.network(3_000, numbers(14))
    for k, stale, repeats in ((4, 0.0, False), (4, 0.4, False), (4, 0.4, True)):
        said = hops.expected(3_000, k, stale, repeats=repeats)
        ran = kademlia.lookups(net, 30_000, k, numbers(15), stale=stale, repeats=repeats)
        assert float(ran.hops[ran.found].mean()) == pytest.approx(said.hops, rel=0.01)
        assert float(1 - ran.found.mean()) == pytest.approx(said.fails, rel=0.05, abs=1e-9)


def test_the_recursion_knows_what_needs_none() -> None:
    assert hops.expected(300, 400).hops == pytest.approx(0.995, abs=0.001)
    assert hops.expected(10**6, 20).hops == pytest.approx(3.640, abs=0.002)


def test_no_contact_comes_twice_in_a_bucket() -> None:
    size = numpy.full((4_000, 1), 100)
    picks = numbers(16).integers(0, 100, (4_000, 8))
    kademlia.redraw(picks, size, numpy.ones(4_000, dtype=numpy.bool_), numbers(17))
    ordered = numpy.sort(picks, axis=1)
    assert (ordered[:, 1:] > ordered[:, :-1]).all()
    counts = numpy.bincount(picks.ravel(), minlength=100)
    assert abs(counts - 320).max() < 5 * 320**0.5
