"""The exact tier answers a scenario by the protocol's machines."""

import pytest

from shoal_protocol.errors import UserError
from shoal_sim import scenario
from shoal_sim.exact.model import simulate

COVER = """
question = "How long is a round trip?"
tier = "exact"
[network]
relays = 20
people = 40
[traffic]
quick_share = 1.0
[time]
warm_up_s = 3.0
length_s = 10.0
"""
WHOLE = """
question = "How long is a text on its way?"
tier = "exact"
[network]
relays = 8
people = 2
nodes = "whole"
parameters = "lab"
[traffic]
preset = "fast"
messages_per_hour = 900.0
[links]
latency_ms = 1.0
[time]
warm_up_s = 5.0
length_s = 40.0
"""


def test_a_round_trip_takes_eight_links_and_six_delays_in_the_mean() -> None:
    metrics = simulate(scenario.parse(COVER), 1).metrics
    assert metrics["round_trip_mean_ms"] == pytest.approx(8 * 42 + 6 * 50, rel=0.03)
    assert metrics["packets_up_per_s"] == pytest.approx(40 * 4, rel=0.1)
    assert metrics["pool_mean"] == pytest.approx(40 * 4 * 6 * 0.05 / 20, rel=0.1)
    assert metrics["lost"] == metrics["overdue"] == 0


def test_links_that_vary_and_lose_do_so() -> None:
    text = COVER + '[links]\nmodel = "uniform"\nlatency_ms = 42.0\njitter_ms = 22.0\nloss = 0.02\n'
    metrics = simulate(scenario.parse(text), 1).metrics
    assert metrics["round_trip_mean_ms"] == pytest.approx(8 * 42 + 6 * 50, rel=0.05)
    assert metrics["lost"] == pytest.approx(metrics["hops_per_s"] * 10 * 0.02, rel=0.5)


def test_people_who_talk_have_every_text_once() -> None:
    results = simulate(scenario.parse(WHOLE), 1)
    assert results.metrics["texts"] > 5
    assert results.metrics["delivered_share"] == 1.0
    assert results.metrics["twice"] == 0
    assert results.metrics["active_relays"] == 8  # too few for layers of their own
    assert 100 < results.metrics["latency_p50_ms"] < 600
    table = results.tables["texts"]
    assert table["copies"].to_list() == [1] * len(table)


@pytest.mark.parametrize("text", [COVER, WHOLE])
def test_a_seed_gives_the_same_tables(text: str) -> None:
    one = scenario.parse(text.replace("length_s = 10.0", "length_s = 2.0"))
    first, second, third = (simulate(one, seed) for seed in (1, 1, 2))
    assert first.metrics == second.metrics != third.metrics
    for name, table in first.tables.items():
        assert table.equals(second.tables[name])
        assert not table.equals(third.tables[name])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("messages_per_hour = 1.0", 'need network.nodes = "whole"'),
    ],
)
def test_what_the_tier_does_not_do_is_told(more: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        if more.startswith("["):
            simulate(scenario.parse(COVER + more), 1)
        simulate(scenario.parse(COVER.replace("[traffic]\n", f"[traffic]\n{more}\n")), 1)


def test_a_crowd_keeps_to_relays_that_its_traffic_fills_unless_all_are_asked_for() -> None:
    """160 packets/s and 50 ms fill one mix of a layer, and a layer has eight at least."""
    text = COVER.replace("relays = 20", "relays = 200").replace("length_s = 10.0", "length_s = 1.0")
    everybody = text.replace("[network]", '[network]\nactive = "all"')
    assert 16 <= simulate(scenario.parse(text), 1).metrics["active_relays"] < 60
    assert simulate(scenario.parse(everybody), 1).metrics["active_relays"] == 200


def test_whole_nodes_draw_whom_they_ask_and_say_so() -> None:
    with pytest.raises(UserError, match=r'^All relays mix where network\.nodes = "cover"'):
        simulate(scenario.parse(WHOLE.replace("[network]", '[network]\nactive = "all"')), 1)


def test_what_is_not_measured_lasts_as_long_as_reads_that_wait() -> None:
    one = scenario.parse('question = "How long?"\ntier = "exact"\n[traffic]\npreset = "saver"')
    assert one.warm_up_s == 360.0
    assert scenario.parse(COVER).warm_up_s == 3.0
    assert scenario.parse(COVER.replace("warm_up_s = 3.0\n", "")).warm_up_s == 5.0


def test_whole_nodes_are_of_a_lab_network() -> None:
    with pytest.raises(UserError, match="younger than three days"):
        simulate(scenario.parse(WHOLE.replace('parameters = "lab"\n', "")), 1)
