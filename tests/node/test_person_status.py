"""What a person's node says of its preset and of what is wrong."""

import pytest

from shoal_node import person_status
from shoal_protocol.client.crowd import Crowd
from shoal_protocol.parameters import LAB, MAIN, PRESETS

SMALL = Crowd(packets=8.0, people=2.0, pool=0.3, bits=0.58)
LARGE = Crowd(packets=400.0, people=100.0, pool=20.0, bits=5.76)


@pytest.mark.parametrize(
    ("preset", "up", "day", "waiting"),
    [("saver", 0.77, 0.13, 8), ("balanced", 12.29, 2.12, 20), ("fast", 30.72, 5.31, 50)],
)
def test_a_presets_cost_follows_from_its_rate(
    preset: str, up: float, day: float, waiting: int
) -> None:
    traffic = person_status.traffic(PRESETS[preset], MAIN)
    assert (traffic.preset, traffic.packets_per_s) == (preset, PRESETS[preset].rate)
    assert (traffic.up_kb_per_s, traffic.down_kb_per_s, traffic.gb_per_day) == (up, up, day)
    assert traffic.waiting_gets == waiting == PRESETS[preset].outstanding_gets


def test_the_latency_counts_links_where_there_are_some() -> None:
    open_network = person_status.traffic(PRESETS["fast"], MAIN)
    lab = person_status.traffic(PRESETS["fast"], LAB)
    assert (open_network.link_ms, lab.link_ms) == (42, 0)
    assert open_network.latency_ms.p50 == pytest.approx(lab.latency_ms.p50 + 8 * 42, abs=0.1)


def test_all_is_well_in_a_large_crowd_of_relays_that_agree() -> None:
    assert person_status.warnings("main", 300, 1.0, LARGE, None) == {}
    assert person_status.warnings("main", 300, 1.0, None, None) == {}


def test_each_trouble_is_a_sentence_and_the_stores_comes_first() -> None:
    by_code = person_status.warnings("lab", 8, 0.5, SMALL, "The disk is full.")
    assert list(by_code) == ["store", "lab", "crowd", "few_relays", "guards"]
    found = list(by_code.values())
    assert found[0] == "The disk is full."
    words = ("lab network", "you are one of about 2, whatever", "Only 8 relays", "guards show")
    assert len(found) == 5
    assert all(word in sentence for word, sentence in zip(words, found[1:], strict=True))
    apart = person_status.warnings("main", 300, 1.0, None, None, apart=True)
    assert list(apart) == ["views"]
    none = person_status.warnings("main", 0, 1.0, None, None)
    assert none["no_relay"].startswith("No relay has")
    assert "Only 1 relay is" in person_status.warnings("main", 1, 1.0, None, None)["few_relays"]
