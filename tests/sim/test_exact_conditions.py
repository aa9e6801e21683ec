"""Scenarios of the exact tier in which links, lines, relays and people are not at their best."""

from pathlib import Path

import numpy
import pytest

from shoal_protocol.errors import UserError
from shoal_sim import scenario
from shoal_sim.exact.distances import lay
from shoal_sim.exact.engine import Engine
from shoal_sim.exact.links import Links, Weather
from shoal_sim.exact.model import simulate
from shoal_sim.traces import latencies
from shoal_sim.vector import mixing
from shoal_sim.vector.model import latency_of

COVER = """
question = "What comes of it?"
tier = "exact"
[network]
relays = 20
people = 40
[traffic]
quick_share = 1.0
[time]
warm_up_s = 2.0
length_s = 4.0
"""


@pytest.mark.parametrize(
    ("more", "line", "key"),
    [
        ("[links]\nup_kbps = 100.0", 5, "links.up_kbps"),
        ("[network]\nunreachable = 0.1", 5, "network.unreachable"),
        ('[churn]\nmodel = "weibull"\nwho = "people"', 6, "churn.who"),
        ('[sweep]\n"links.queue" = [1, 2]', 5, "sweep.links.queue"),
    ],
)
def test_keys_of_the_exact_tier_are_refused_by_the_others(more: str, line: int, key: str) -> None:
    text = f'question = "?"\ntier = "vector"\nseeds = 1\n{more}\n'
    with pytest.raises(UserError, match=f"line {line}: {key} is of the exact tier"):
        scenario.parse(text)
    assert scenario.parse(text.replace('"vector"', '"exact"'))


def test_a_measured_file_is_found_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "question.toml").write_text(
        'question = "?"\n[links]\nmodel = "file"\nfile = "king.txt"\n'
        '[sweep]\n"links.file" = ["king.txt", "other/king.txt"]\n'
    )
    asked = scenario.load(tmp_path / "question.toml")
    assert asked.links.file == str(tmp_path.resolve() / "king.txt")
    assert dict(asked.sweep)["links.file"][1] == str(tmp_path.resolve() / "other/king.txt")
    assert scenario.parse('question = "?"\n').links.file == ""


@pytest.mark.parametrize("model", ["coordinates", "file"])
def test_nodes_stand_where_the_vector_tier_puts_them(model: str, tmp_path: Path) -> None:
    drawn = numpy.random.Generator(numpy.random.PCG64DXSM(1)).integers(2_000, 300_000, (7, 7))
    (tmp_path / "king.txt").write_text(
        "\n".join(" ".join(map(str, row)) for row in drawn + drawn.T)
    )
    (tmp_path / "question.toml").write_text(
        f'{COVER}[links]\nmodel = "{model}"\nfile = "king.txt"\n'
    )
    asked = scenario.load(tmp_path / "question.toml")
    engine = Engine(0, traced=False)
    ids = {number.to_bytes(16, "big"): f"node {number}" for number in range(60)}
    links = Links(engine, "1", ids)
    links.weather = Weather(0, 0)
    lay(asked, 5, links, {name: at for at, name in enumerate(ids.values())})
    there = latency_of(asked, 60, 5)
    assert isinstance(there, mixing.Between)
    came: list[int] = []
    names = list(ids)
    for one in range(60):
        for other in (0, 17, 59):
            links.send(names[one], names[other], b"", lambda *_: came.append(engine.now))
            begun = engine.now
            engine.run(1.0)
            source, target = numpy.array([one]), numpy.array([other])
            assert came.pop() - begun == there.places.one_way_ns(source, target)[0]
            assert links.latency(ids[names[one]], ids[names[other]]) == between(
                there, one, other
            )


def between(there: mixing.Between, one: int, other: int) -> int:
    places = there.places
    assert isinstance(places, latencies.Coordinates | latencies.Matrix)
    return places.link_ns(one, other)


def test_round_trips_take_the_links_between_their_places() -> None:
    """Eight links of a mean way between two of all nodes, and six delays of 50 ms."""
    text = COVER + '[links]\nmodel = "coordinates"\njitter_ms = 10.0\n'
    asked = scenario.parse(text)
    there = latency_of(asked, 60, 3)
    assert isinstance(there, mixing.Between)
    relays = numpy.arange(40, 60)
    one, other = numpy.meshgrid(relays, relays)
    apart = there.places.one_way_ns(one[one != other], other[one != other]).mean() / 1e6
    metrics = simulate(asked, 3).metrics
    assert metrics["round_trip_mean_ms"] == pytest.approx(8 * (apart + 5) + 6 * 50, rel=0.12)
