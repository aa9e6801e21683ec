"""The tables of docs/spec/files.md and of its decision record are what the numbers give."""

from math import comb
from typing import Final

from repo.repository import ROOT, tables
from shoal_protocol.files.layout import Layout, padme
from shoal_protocol.parameters import PRESETS

SPEC: Final = (ROOT / "docs/spec/files.md").read_text()
RECORD: Final = (ROOT / "docs/adr/0016-reed-solomon-over-fragments.md").read_text()
SIZES: Final = {
    "1 KB": 2**10,
    "15 KB": 15 * 2**10,
    "100 KB": 100 * 2**10,
    "2 MB": 2 * 2**20,
    "10 MB": 10 * 2**20,
}


def lost(data: int, parity: int, groups: int, dead: float) -> float:
    """Return how likely a file is lost, each box being lost with probability ``dead``."""
    n = data + parity
    group = sum(comb(n, i) * dead**i * (1 - dead) ** (n - i) for i in range(parity + 1, n + 1))
    return 1 - (1 - group) ** groups


def durability(name: str) -> dict[str, str]:
    """Return a file's row of the table of losses."""
    layout = Layout.of(SIZES[name])
    padded = padme(layout.content)
    groups = -(-padded // 32)
    data = -(-padded // groups)
    counts = (layout.data, layout.parity, layout.groups)
    return {
        "file": name,
        "boxes": str(layout.total),
        "3 copies, 30 % dead": f"{1 - (1 - 0.3**3) ** layout.content:.2g}",
        "groups of 32 + 32, 30 % dead": f"{lost(data, data, groups, 0.3):.2g}",
        **{f"this code, {dead} % dead": f"{lost(*counts, dead / 100):.2g}" for dead in (30, 40)},
    }


def spelled(seconds: float) -> str:
    """Return a duration as people say it, in at most two units."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def durations(name: str) -> dict[str, str]:
    """Return a file's row of the table of durations."""
    layout = Layout.of(SIZES[name])
    presets = PRESETS.values()
    return {
        "file": name,
        "boxes sent": str(layout.total),
        "boxes fetched": str(layout.content),
        **{f"send, {p.name}": spelled(layout.seconds_to_send(p)) for p in presets},
        **{f"fetch, {p.name}": spelled(layout.seconds_to_fetch(p)) for p in presets},
    }


def test_the_spec_says_how_long_files_take() -> None:
    assert tables(SPEC)[1] == [durations(name) for name in ("100 KB", "2 MB", "10 MB")]


def test_spec_and_record_say_how_likely_files_are_lost() -> None:
    rows = [durability(name) for name in SIZES]
    assert tables(SPEC)[0] == rows
    assert tables(RECORD)[1] == rows


def test_no_file_is_likelier_lost_than_one_in_ten_thousand_with_three_in_ten_relays_dead() -> None:
    sizes = range(1, 10 * 2**20, 1928)
    layouts = {(x.data, x.parity, x.groups) for x in map(Layout.of, sizes)}
    assert max(lost(*layout, 0.3) for layout in layouts) < 1e-4


def test_the_spec_names_the_largest_counts() -> None:
    layout = Layout.of(10 * 2**20)
    assert f"{layout.total:,} boxes" in SPEC
    assert (layout.groups, layout.data, layout.parity) == (88, 64, 72)
