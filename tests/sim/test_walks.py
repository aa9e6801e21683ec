"""Lookups as nodes make them, among dead contacts and liars."""

import numpy
import pytest

from shoal_sim.seeds import numbers
from shoal_sim.theory import eclipse
from shoal_sim.vector import kademlia, walks


def test_the_nearest_of_some_nodes_are_those_of_a_sorted_list() -> None:
    rng = numbers(1, "nearest")
    net = kademlia.network(400, rng)
    among = numpy.flatnonzero(rng.random(400) < 0.3)
    target = rng.integers(0, 2**64, 50, dtype=numpy.uint64)
    found = walks.nearest(net.positions, target, among, 7)
    for i in range(50):
        by_distance = numpy.argsort(net.positions[among] ^ target[i])
        assert sorted(found[i].tolist()) == sorted(among[by_distance[:7]].tolist())
    assert walks.nearest(net.positions, target, among[:3], 7).shape == (50, 3)


def test_every_record_is_found_where_everybody_lives_and_none_lies() -> None:
    ran = walks.gets(walks.population(500, numbers(2, "net")), 400, numbers(2, "gets"))
    assert ran.found.all()
    assert (ran.keepers == 20).all()
    assert ran.calls.max() <= 23


def test_walks_find_what_a_third_of_hostile_nodes_hide_in_a_small_network() -> None:
    for honest, hostile, least in ((180, 20, 0.99), (160, 40, 0.99), (134, 66, 0.97)):
        there = walks.population(honest, numbers(3, "net"), hostile=hostile)
        assert walks.gets(there, 1_000, numbers(3, "gets")).found.mean() > least


def test_more_liars_hide_more_and_never_fewer_than_those_who_own_all_keepers() -> None:
    found = []
    for hostile in (0, 1_000, 4_000):
        there = walks.population(1_000, numbers(4, "net"), hostile=hostile)
        found.append(walks.gets(there, 1_000, numbers(4, "gets")).found.mean())
        assert found[-1] <= 1 - eclipse.eclipsed(1_000, hostile, 20) + 0.01
    assert found[0] == 1.0
    assert found[0] > found[1] > found[2]


def test_of_liars_in_one_subnet_the_nearest_counts_and_a_second_place_helps() -> None:
    there = walks.population(1_000, numbers(8, "net"), hostile=4_000, subnets=12)
    everybody = walks.gets(there, 300, numbers(8, "gets"))
    apart = walks.gets(there, 300, numbers(8, "gets"), apart=True)
    assert everybody.found.mean() < 0.7
    assert apart.found.mean() > everybody.found.mean() + 0.2
    assert apart.keepers.min() >= 20 - 12
    twice = walks.gets(there, 300, numbers(8, "gets"), places=2)
    assert twice.found.mean() > everybody.found.mean() + 0.05
    assert twice.calls.mean() > everybody.calls.mean()


def test_records_whose_keepers_all_left_are_not_found() -> None:
    there = walks.population(300, numbers(5, "net"), left=0.95)
    ran = walks.gets(there, 500, numbers(5, "gets"))
    assert not ran.found[ran.keepers == 0].any()
    assert (ran.keepers == 0).any()


def test_dead_contacts_cost_calls_but_few_records() -> None:
    calm = walks.population(2_000, numbers(6, "net"))
    churn = walks.population(2_000, numbers(6, "net"), dead=0.3, left=0.3)
    one, other = (walks.gets(there, 500, numbers(6, "gets")) for there in (calm, churn))
    assert other.found.mean() > 0.99
    assert other.calls.mean() > 1.5 * one.calls.mean()
    assert other.keepers.mean() == pytest.approx(14, abs=0.5)


def test_the_same_seed_gives_the_same_walks() -> None:
    there = walks.population(300, numbers(7, "net"), hostile=50, left=0.2)
    first, second = (walks.gets(there, 300, numbers(7, "gets")) for _ in range(2))
    assert first.calls.tobytes() == second.calls.tobytes()
    assert first.found.tobytes() == second.found.tobytes()
