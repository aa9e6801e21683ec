"""Sessions and latencies: their distributions, and files that are read or refused in a sentence."""

import itertools
import json
import math
from pathlib import Path

import numpy
import pytest

from shoal_protocol.errors import UserError
from shoal_sim.seeds import numbers
from shoal_sim.traces import importers, latencies, sessions

MINUTE = sessions.MINUTE


@pytest.mark.parametrize("fit", [sessions.FLATOUT, sessions.Weibull(1.0, 5 * MINUTE)])
def test_session_times_have_the_median_and_mean_of_their_distribution(
    fit: sessions.Weibull,
) -> None:
    drawn = fit.draw(200_000, numbers(1))
    assert numpy.median(drawn) == pytest.approx(
        fit.scale_ns * math.log(2) ** (1 / fit.shape), rel=0.02
    )
    assert drawn.mean() == pytest.approx(fit.mean_ns, rel=0.03)


def test_what_is_left_of_an_exponential_session_is_another_one() -> None:
    fit = sessions.Weibull(1.0, 5 * MINUTE)
    assert fit.rest(200_000, numbers(2)).mean() == pytest.approx(fit.mean_ns, rel=0.02)


def test_who_is_there_stays_in_balance_from_the_start() -> None:
    stay, away = sessions.Weibull(0.59, 41.9 * MINUTE), sessions.Weibull(0.8, 100 * MINUTE)
    share = stay.mean_ns / (stay.mean_ns + away.mean_ns)
    changes = sessions.changes(6_000, 600 * MINUTE, stay, away, numbers(3))
    assert (numpy.diff(changes.time_ns) >= 0).all()
    for minute in (0, 30, 300, 600):
        assert changes.there(minute * MINUTE).mean() == pytest.approx(share, abs=0.025)


def test_a_node_comes_and_goes_by_turns() -> None:
    fit = sessions.Weibull(0.5, 10 * MINUTE)
    changes = sessions.changes(20, 300 * MINUTE, fit, fit, numbers(4))
    for node in range(20):
        turns = [bool(changes.at_start[node]), *changes.comes[changes.node == node].tolist()]
        assert all(one != next_ for one, next_ in itertools.pairwise(turns))


def test_nobody_changes_in_no_time() -> None:
    fit = sessions.Weibull(1.0, 10 * MINUTE)
    assert len(sessions.changes(5, 0, fit, fit, numbers(5)).time_ns) == 0


def test_a_scale_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        sessions.Weibull(0.5, 0.0)


def test_generated_round_trips_lie_between_those_of_planetlab_and_king() -> None:
    places = latencies.generated(3_000, numbers(6))
    trips = latencies.round_trips_ms(places, 50_000, numbers(7))
    assert 76 < numpy.median(trips) < 159
    assert numpy.quantile(trips, 0.05) > 10
    assert numpy.quantile(trips, 0.99) < 350


def test_latencies_are_the_same_both_ways_and_from_run_to_run() -> None:
    one, two = (latencies.generated(50, numbers(8)) for _ in range(2))
    there, back = numpy.arange(49), numpy.arange(1, 50)
    assert (one.one_way_ns(there, back) == two.one_way_ns(back, there)).all()
    assert (one.one_way_ns(there, back) >= latencies.LEAST_NS).all()


def test_more_nodes_than_hosts_share_them_evenly() -> None:
    placed = latencies.at_hosts(numpy.array([[0.0, 8.0], [8.0, 0.0]]), 5, numbers(9))
    assert sorted(numpy.bincount(placed.host).tolist()) == [2, 3]
    source, target = numpy.array([0, 0]), numpy.array([1, 0])
    assert sorted(placed.one_way_ns(source, target).tolist()) == [latencies.LEAST_NS, 4_000_000]


def written(folder: Path, text: str, name: str = "file.txt") -> Path:
    place = folder / name
    place.write_text(text)
    return place


def test_a_matrix_of_king_is_read_and_made_symmetric(tmp_path: Path) -> None:
    place = written(tmp_path, "0 1000 3000\n2000 0 5000\n3000 5000 0\n")
    assert importers.round_trips(place).tolist() == [[0, 1.5, 3], [1.5, 0, 5], [3, 5, 0]]


def test_hosts_with_unknown_ways_are_left_out(tmp_path: Path) -> None:
    place = written(tmp_path, "0 10 -1 7\n10 0 -1 9\n-1 -1 0 -1\n7 9 -1 0\n")
    found = importers.round_trips(place, "ms")
    assert found.tolist() == [[0, 10, 7], [10, 0, 9], [7, 9, 0]]


def test_triples_of_meridian_are_read(tmp_path: Path) -> None:
    place = written(tmp_path, "1 2 1000\n1 3 2000\n2 3 3000\n2 4 1000\n")
    assert importers.round_trips(place).tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]


def test_a_topology_of_p2psim_is_read(tmp_path: Path) -> None:
    text = "topology E2EGraph\nfailure_model NullFailureModel\n\nnode 1\nnode 2\n\n1,2 80\n"
    assert importers.round_trips(written(tmp_path, text), "ms").tolist() == [[0, 80], [80, 0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 hosts"),
        ("0 1\n1 0 2\n", "line 2: a matrix of 2 lines has 2 numbers in each, and here are 3"),
        ("0 1\nx 0\n", "line 2: 'x' is no number"),
        ("0 nan\n1 0\n", "line 1: 'nan' is no round trip"),
        ("0 -1\n-1 0\n", "no two hosts"),
        ("0 90000000\n90000000 0\n", "is the unit right"),
        ("1 2 1000\n1 2 1000\n1 3 5\n2 3 5\n", "line 2: hosts 1 and 2 come twice"),
        ("1 2 1000\n1 3 5\n2 3 5\nhello\n", "line 4: expected two hosts and their round trip"),
        ("node 1\nnode 2\nnode 3\n1,2 80\n", "names 3 nodes, and has round trips of 2"),
    ],
)
def test_a_bad_file_of_round_trips_is_refused_in_a_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        importers.round_trips(written(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read: No such file"):
        importers.round_trips(tmp_path / "none")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no text file"):
        importers.round_trips(binary)
    with pytest.raises(UserError, match="unit"):
        importers.round_trips(binary, "minutes")


def visit(peer: str, at: str, error: str = "") -> dict[str, object]:
    return {
        "PeerID": peer,
        "Maddrs": [],
        "ConnectDuration": "1m2.5s",
        "VisitStartedAt": at,
        "ConnectErrorStr": error,
    }


def crawl(folder: Path, name: str, *records: dict[str, object]) -> Path:
    return written(folder, "".join(json.dumps(record) + "\n" for record in records), name)


def test_a_crawl_of_nebula_is_read_from_json_and_csv_alike(tmp_path: Path) -> None:
    lines = crawl(
        tmp_path,
        "a_visits.ndjson",
        visit("12D3A", "2024-05-01T10:00:00.123456789Z"),
        visit("12D3B", "2024-05-01T12:00:01+02:00", "dial timeout"),
    )
    table = written(
        tmp_path,
        "peer_id,visit_started_at,connect_duration,connect_error\n"
        "12D3A,2024-05-01 10:00:00.123456789+00:00,62.5,\n"
        "12D3B,2024-05-01T10:00:01Z,0s,dial timeout\n",
        "a.csv",
    )
    found = importers.visits(lines)
    assert found.equals(importers.visits(table))
    assert found["started_ns"].to_list() == [1714557600123456789, 1714557601000000000]
    assert found["connect_ms"].to_list() == [62_500.0, None]
    assert found["reachable"].to_list() == [True, False]


def test_sessions_are_visits_without_a_gap(tmp_path: Path) -> None:
    crawls = [
        importers.visits(
            crawl(
                tmp_path,
                f"{hour}.ndjson",
                *(
                    visit(peer, f"2024-05-01T{hour:02}:00:00Z", "" if up else "refused")
                    for peer, up in (("a", True), ("b", hour in (1, 2, 4)))
                ),
            )
        )
        for hour in range(6)
    ]
    found = importers.sessions(crawls, gap_ns=70 * MINUTE)
    hours = [(end - begin) // (60 * MINUTE) for begin, end in found[["begin_ns", "end_ns"]].rows()]
    assert list(zip(found["peer"], hours, found["cut"], strict=True)) == [
        ("a", 5, True),
        ("b", 1, False),
        ("b", 0, False),
    ]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("{", "line 1: no JSON object a line"),
        ("[]", "line 1: a visit is a JSON object"),
        ('{"VisitStartedAt": "2024-05-01T10:00:00Z"}', "line 1: PeerID is missing"),
        ('{"PeerID": "a", "VisitStartedAt": 5}', "line 1: VisitStartedAt is missing or no text"),
        ('{"PeerID": "a", "VisitStartedAt": "some day in autumn"}', "line 1: VisitStartedAt"),
        ('{"PeerID": "a", "VisitStartedAt": "2024-13-01T10:00:00Z"}', "line 1: .* is no time"),
        (
            '{"PeerID": "a", "VisitStartedAt": "2024-05-01T10:00:00Z", "ConnectDuration": "soon"}',
            "line 1: 'soon' is no duration",
        ),
        ("", "holds no visits"),
    ],
)
def test_a_bad_crawl_is_refused_in_a_sentence(tmp_path: Path, record: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        importers.visits(written(tmp_path, record, "bad.ndjson"))


def test_a_table_with_a_field_too_few_is_refused(tmp_path: Path) -> None:
    place = written(tmp_path, "peer_id,visit_started_at\na\n", "bad.csv")
    with pytest.raises(UserError, match="line 2: not as many fields"):
        importers.visits(place)
