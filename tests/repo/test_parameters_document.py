"""docs/spec/parameters.md and the code's value objects hold the same numbers."""

import re
from dataclasses import dataclass, field, fields
from fractions import Fraction

from repo.repository import ROOT, tables
from shoal_protocol import parameters

TEXT = (ROOT / "docs/spec/parameters.md").read_text()
NETWORK, PRESETS, _ = tables(TEXT)


def spelled(value: object) -> str:
    """Return how the table writes a value."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_network_parameter_is_in_the_table_in_order() -> None:
    names = [field.name for field in fields(parameters.NetworkParameters)]
    assert [row["name"] for row in NETWORK] == names


def test_the_table_holds_the_numbers_of_both_networks() -> None:
    for row in NETWORK:
        name = row["name"]
        main = spelled(getattr(parameters.MAIN, name))
        lab = spelled(getattr(parameters.LAB, name))
        assert (row["main"], row["lab"]) == (main, "same" if lab == main else lab), name


def test_every_parameter_says_why() -> None:
    assert all(len(row["why"].split()) >= 4 for row in NETWORK)


def test_the_table_holds_the_presets() -> None:
    assert [row["preset"] for row in PRESETS] == list(parameters.PRESETS)
    for row in PRESETS:
        preset = parameters.PRESETS[row["preset"]]
        assert float(row["rate"]) == preset.rate
        assert int(row["mean_delay_ms"]) == preset.mean_delay_ms
        assert float(Fraction(row["quick_share"])) == preset.quick_share
        assert int(row["outstanding_gets"]) == preset.outstanding_gets


def test_bandwidth_in_the_table_follows_from_rate_and_packet_size() -> None:
    for row in PRESETS:
        bandwidth = re.match(r"([\d.]+) KB/s", row["bandwidth each way"])
        assert bandwidth is not None
        exact = parameters.PRESETS[row["preset"]].rate * parameters.MAIN.packet_bytes / 1000
        assert abs(float(bandwidth[1]) - exact) / exact < 0.05


def test_another_number_is_another_network() -> None:
    assert parameters.MAIN.hash != parameters.LAB.hash


def test_lab_networks_keep_their_hash_so_that_two_versions_speak_with_each_other() -> None:
    """The hashes of the first version that had them; whoever changes one parts the lab."""
    assert {lab.name: lab.hash.hex() for lab in (parameters.LAB, parameters.LAB5)} == {
        "lab": "c4d285ce0d80995744bb62c80a66823b27f22917df9ebcd71b7ffd8d3acd5f0f",
        "lab5": "65c0f05d038fd4f15cbf85cb2f4e130f8dfa176d7c65b0ec75f987bf462018a1",
    }


def test_a_later_parameter_counts_only_where_it_does_something() -> None:
    @dataclass(frozen=True)
    class Next(parameters.NetworkParameters):
        rule: int = field(default=0, metadata=parameters.LATER)

    assert Next(name="lab").hash == parameters.NetworkParameters(name="lab").hash
    assert Next(name="lab", rule=1).hash != Next(name="lab").hash != Next(name="main").hash
    assert Next(name="lab", rule=2).hash != Next(name="lab", rule=1).hash
