"""A DHT of the protocol's machines in which some lie."""

import pytest

from shoal_protocol import identity
from shoal_protocol.dht import contacts
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import LAB, MAIN, NetworkParameters
from shoal_sim import scenario
from shoal_sim.adversaries.base import Plan
from shoal_sim.exact.lookups import DhtNet
from shoal_sim.exact.model import simulate

ASKED = """
question = "How many lookups find?"
tier = "exact"
[network]
nodes = "dht"
relays = 24
[links]
latency_ms = 20.0
[time]
length_s = 60.0
"""


def test_among_honest_relays_every_lookup_finds_and_a_seed_gives_the_same_again() -> None:
    one = scenario.parse(ASKED.replace("relays = 24", "relays = 9"))
    first, second = simulate(one, 1), simulate(one, 1)
    assert first.metrics["lookup_found_share"] == 1.0
    assert first.metrics["eclipsed_share"] == first.metrics["corrupt_relays"] == 0
    assert first.metrics["lookup_s"] < 1.0
    assert first.metrics == second.metrics
    assert first.tables["lookups"].equals(second.tables["lookups"])


def test_where_only_liars_keep_a_record_nobody_finds_it() -> None:
    attack = 'parameters = "lab"\n[adversary]\nname = "eclipse_dht"\nground = 2000\n'
    text = ASKED.replace("[links]", f"{attack}[links]")
    found = simulate(scenario.parse(text), 1).metrics
    assert found["lookup_found_share"] == 0.0
    assert found["eclipsed_share"] == 1.0
    assert found["corrupt_relays"] == 40  # twice as many as keep a record


def test_who_stands_in_few_subnets_hides_nothing_where_subnets_count() -> None:
    attack = '[adversary]\nname = "eclipse_dht"\nground = 2000\nsubnets = 5\n'
    found = simulate(scenario.parse(ASKED + attack), 1).metrics
    assert found["corrupt_relays"] == 5 * MAIN.subnet_slots
    assert found["lookup_found_share"] == 1.0


@pytest.mark.parametrize("params", [LAB, MAIN], ids=["lab", "main"])
def test_ground_identities_are_those_nearest_to_each_place_of_the_key(
    params: NetworkParameters,
) -> None:
    """Of a thousand positions the twelve nearest lie within a hundredth or so of all."""
    net = DhtNet(30, Plan(ground=1000, joined=12), params, 3)
    (key,) = net.keys
    places = contacts.keys_of(key, params.dht_keys)
    for place in places:
        for liar in net.liars_near(place, 12 // len(places)):
            relay = net.view.serving(identity.relay_id(liar.peer_id), net.engine.now)
            assert relay is not None
            assert contacts.distance(contacts.place_of(relay, params), place) < 2**256 // 30


def test_what_a_dht_alone_does_not_have_is_told() -> None:
    with pytest.raises(UserError, match=r"^Nodes come and go where network\.nodes is not \"dht\""):
        simulate(scenario.parse(ASKED + '[churn]\nmodel = "exponential"\n'), 1)
    with pytest.raises(UserError, match="global_passive answers sender, receiver"):
        simulate(scenario.parse(ASKED + '[adversary]\nname = "global_passive"\n'), 1)
