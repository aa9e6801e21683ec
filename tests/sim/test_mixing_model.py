"""A scenario in the vector tier: what it answers, what it refuses, and the same every time."""

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal_protocol.errors import UserError
from shoal_sim import bench
from shoal_sim.adversaries import registry
from shoal_sim.scenario import parse
from shoal_sim.vector.model import simulate

SMALL = "[network]\npeople = 60\nrelays = 12\n"
ONE_RUN = """
import hashlib, io
from shoal_sim.scenario import parse
from shoal_sim.vector.model import simulate
results = simulate(parse('question = "x"\\n[network]\\npeople = 40\\nrelays = 9\\n'), 3)
file = io.BytesIO()
results.tables["targets"].write_parquet(file)
print(repr(results.metrics), hashlib.sha256(file.getvalue()).hexdigest())
"""


def run(text: str, seed: int = 1) -> dict[str, float]:
    return simulate(parse('question = "How many bits?"\n' + text), seed).metrics


def test_bits_lie_between_none_and_those_of_all_people() -> None:
    found = run(SMALL)
    for who in ("sender", "receiver"):
        assert 0 < found[f"{who}_min_entropy_bits"] < found[f"{who}_entropy_bits"] < math.log2(60)
        assert found[f"{who}_entropy_bits"] < found["predicted_bits"]
        assert 1 / 60 < found[f"{who}_guess_share"] < 1
        assert abs(found[f"{who}_surprise_bits"] - found[f"{who}_entropy_bits"]) < 1.5


def test_latencies_are_those_of_the_table_of_presets() -> None:
    for preset, middle, late in (
        ("saver", 7600, 21500),
        ("balanced", 910, 1780),
        ("fast", 630, 980),
    ):
        found = run(SMALL + f'[traffic]\npreset = "{preset}"\n')
        assert found["latency_p50_ms"] == pytest.approx(middle, rel=0.03)
        assert found["latency_p95_ms"] == pytest.approx(late, rel=0.05)


def test_it_costs_what_the_preset_sends_both_ways() -> None:
    found = run(SMALL + '[traffic]\npreset = "balanced"\n')
    assert found["person_kb_per_s"] == pytest.approx(2 * 4 * 3.072)
    assert found["person_gb_per_month"] == pytest.approx(63.7, abs=0.1)
    # 60 people, 4 packets a second up and their replies: 6 delays of 50 ms each, over 12 relays.
    assert found["pool_mean"] == pytest.approx(60 * 4 * 6 * 0.05 / 12, rel=0.5)


def test_layers_are_a_layout_too() -> None:
    found = run('[network]\npeople = 200\nrelays = 6\nlayout = "layers"\nlayers = 2\n')
    assert found["sender_entropy_bits"] == pytest.approx(found["receiver_entropy_bits"], abs=0.4)
    assert found["sender_entropy_bits"] > 5


def test_more_relays_hide_people_less_unless_the_active_set_follows_traffic() -> None:
    few, many = (
        run("[network]\npeople = 200\nrelays = 8\n"),
        "[network]\npeople = 200\nrelays = 200\n",
    )
    everyone, drawn = run(many + 'active = "all"\n'), run(many)
    assert everyone["sender_entropy_bits"] < few["sender_entropy_bits"] - 3
    assert drawn["sender_entropy_bits"] > everyone["sender_entropy_bits"] + 2
    assert drawn["active_relays"] < 40


def test_relays_that_tell_cost_bits() -> None:
    text = SMALL.replace("12", "40")
    honest, told = (
        run(text, 2),
        run(text + '[adversary]\nname = "corrupt_relays"\nshare = 0.5\n', 2),
    )
    assert told["sender_entropy_bits"] < honest["sender_entropy_bits"] - 0.5


def test_a_plug_in_is_judged_beside_the_watcher_who_knows_all_places() -> None:
    found = run(SMALL + '[adversary]\nname = "corrupt_relays"\nshare = 0.25\n', 2)
    for who in ("sender", "receiver"):
        assert found[f"{who}_entropy_bits"] < found[f"adversary_{who}_entropy_bits"] + 0.3
        assert 0 < found[f"adversary_{who}_guess_share"] <= 1
    assert "adversary_sender_entropy_bits" not in run(SMALL)


@pytest.mark.parametrize("name", sorted(set(registry.SHIPPED) - {"n_minus_1"}))
def test_every_adversary_answers_or_is_refused_in_a_sentence(name: str) -> None:
    try:
        found = run(f'[network]\npeople = 20\nrelays = 8\n[adversary]\nname = "{name}"\n')
    except UserError as error:
        assert str(error).endswith(".")
    else:
        assert found["sender_entropy_bits"] > 0


def test_links_may_have_lengths_of_their_own(tmp_path: Path) -> None:
    places = run(SMALL + '[links]\nmodel = "coordinates"\n')
    assert places["way_p99_ms"] > run(SMALL)["way_p50_ms"]
    table = tmp_path / "king"
    table.write_text("0 20000 40000\n20000 0 30000\n40000 30000 0\n", encoding="ascii")
    measured = run(SMALL + f'[links]\nmodel = "file"\nfile = "{table}"\n')
    assert 10 * 4 < measured["way_p50_ms"] - 134 < 20 * 4 + 15


def test_who_is_away_hides_nobody_and_real_messages_wait_for_slots() -> None:
    half = run(SMALL + "[traffic]\nonline = 0.5\n")
    assert half["people"] == 30 and half["sender_entropy_bits"] < math.log2(30)
    busy = run(SMALL + "[traffic]\nmessages_per_hour = 2400\n")
    assert busy["latency_p50_ms"] > half["latency_p50_ms"] + 100
    assert run(SMALL + "[traffic]\nmessages_per_hour = 4000\n")["latency_p50_ms"] == math.inf


def test_links_that_lose_deliver_less() -> None:
    found = run(SMALL + '[links]\nmodel = "uniform"\njitter_ms = 20\nloss = 0.02\n')
    assert found["delivered_share"] == pytest.approx(0.98**8, abs=0.02)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[adversary]\nname = "intersection"\n', "answers owner, which the tier vector"),
        ('[adversary]\nname = "churn"\n', "stops relays, and the tier vector doesn't"),
        ('[links]\nmodel = "file"\nfile = "/nowhere"\n', "nowhere"),
        ("[network]\npeople = 1\n", "fewer than two people"),
        ("[network]\nrelays = 3\n", "A way needs 4 relays"),
        ('[network]\nrelays = 2\nlayout = "layers"\n', "need as many relays"),
    ],
)
def test_what_is_not_of_this_tier_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        run(text)


def test_the_same_seed_gives_the_same_bytes_in_processes_with_other_hashes() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", ONE_RUN],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1] and len(told[0]) > hashlib.sha256().digest_size


def test_another_seed_draws_another_network() -> None:
    assert run(SMALL, 1) == run(SMALL, 1) != run(SMALL, 2)


def test_speeds_are_told_beside_what_others_reach() -> None:
    speeds = [*bench.layers(1, 2000), *bench.free(1, 2000)]
    rows = json.loads(bench.as_json(speeds))["speeds"]
    assert [row["id"] for row in rows] == ["vector.layers", "vector.free"]
    assert all(row["value"] > 0 and row["anchor"] and row["pass"] in (True, False) for row in rows)
    memory = bench.Speed("x", "x", 900.0, "MB", 1000.0, "x", most=True)
    assert memory.passed and bench.peak_bytes() > 0
