"""The latency that presets ask for: the parameters' table, and links on top of the floor."""

import re

import pytest

from repo.repository import ROOT, tables
from shoal_protocol.client import latency
from shoal_protocol.parameters import LAB, MAIN, PRESETS

ROWS = tables((ROOT / "docs/spec/parameters.md").read_text())[1]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["preset"]))
def test_the_parameters_table_has_the_expected_latency(row: dict[str, str]) -> None:
    found = re.match(r"([\d.]+) / ([\d.]+) s", row["one-way p50 / p95"])
    assert found is not None
    p50, p95 = latency.expected(PRESETS[row["preset"]], MAIN)
    assert p50 / 1000 == pytest.approx(float(found[1]), rel=0.02)
    assert p95 / 1000 == pytest.approx(float(found[2]), rel=0.02)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_eight_links_stand_on_the_floor_of_an_open_network_and_none_in_a_lab(preset: str) -> None:
    floor = latency.floor(PRESETS[preset], MAIN)
    assert latency.expected(PRESETS[preset], LAB) == latency.floor(PRESETS[preset], LAB)
    for ms, bare in zip(latency.expected(PRESETS[preset], MAIN), floor, strict=True):
        assert ms - bare == pytest.approx(8 * latency.LINK_MS)
