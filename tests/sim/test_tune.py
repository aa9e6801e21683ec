"""`shoal sim tune`: the node's presets come from it, and nothing near them is better."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest

from shoal_node.cli.main import main
from shoal_protocol.client import latency
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import MAIN, PRESETS, Preset
from shoal_sim import tuning
from shoal_sim.theory import mixing
from shoal_sim.tuning import BUDGETS, LATE, Budget, price, tune

NAMES = tuple(BUDGETS)


@pytest.mark.parametrize("name", NAMES)
def test_the_presets_of_the_node_are_what_their_budgets_buy(name: str) -> None:
    for people in (100, 1_000, 100_000):
        assert replace(tune(BUDGETS[name], people).preset, name=name) == PRESETS[name]
    assert list(BUDGETS) == list(PRESETS)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_near_a_preset_is_beyond_a_budget_or_has_fewer_bits(name: str) -> None:
    budget, preset = BUDGETS[name], PRESETS[name]
    best = price(preset, 1_000)
    better = 0
    for rate in (0.6, 0.8, 0.9, 1.0, 1.1, 1.25):
        for delay in (0.6, 0.8, 0.9, 1.0, 1.2, 1.5):
            near = price(
                replace(
                    preset,
                    rate=preset.rate * rate,
                    mean_delay_ms=round(preset.mean_delay_ms * delay),
                ),
                1_000,
            )
            within = near.gb_per_month <= budget.gb_per_month and near.p95_ms <= budget.latency_ms
            assert not within or near.bits <= best.bits
            better += near.bits > best.bits
    assert better  # what a larger budget would buy


def test_of_all_that_is_within_a_budget_nothing_has_more_bits() -> None:
    budget = Budget(40, 3_000)
    found = list(tuning.candidates(budget))
    best = tune(budget, 1_000)
    assert len(found) > 50
    assert best.bits == max(tuning.bits(one, 1_000, 100)[0] for one in found)
    for one in found[::10]:
        cost = price(one, 1_000)
        assert cost.gb_per_month <= budget.gb_per_month and cost.p95_ms <= budget.latency_ms


def test_a_tighter_budget_never_gives_more_bits() -> None:
    by_latency = [tune(Budget(64, ms), 1_000).bits for ms in (1_500, 1_600, 1_800, 2_500, 6_000)]
    by_traffic = [tune(Budget(gb, 1_800), 1_000).bits for gb in (64, 80, 110, 160, 400)]
    for bits in (by_latency, by_traffic):
        assert all(less <= more for less, more in pairwise(bits)) and bits[0] < bits[-1]


def test_a_crowd_adds_bits_and_more_relays_never_take_many() -> None:
    balanced = PRESETS["balanced"]
    few, many = (tuning.bits(balanced, people, 100)[0] for people in (100, 10_000))
    assert few < math.log2(100) and few + 6 < many < math.log2(10_000)
    # The active set follows traffic: what all relays would mix is thinner.
    drawn, serving, pool = tuning.bits(balanced, 1_000, 10_000)
    assert serving == 78  # two layers of 5,000 · 2^−7, where 25 would be filled
    assert pool > MAIN.active_pool
    assert drawn > tuning.bits(balanced, 1_000, 79)[0] - 0.5


@pytest.mark.parametrize("name", NAMES)
def test_latencies_are_those_that_the_node_shows(name: str) -> None:
    cost = price(PRESETS[name], 1_000)
    assert latency.expected(PRESETS[name], MAIN) == pytest.approx(
        (cost.p50_ms, cost.p95_ms), rel=0.005
    )


def test_the_time_to_send_is_the_sum_of_its_parts_in_distribution() -> None:
    # One delay and a slot alike are Erlang(2): 1 - e^-x (1 + x).
    assert mixing.sent_cdf(3.0, 1.0, 1, 1.0) == pytest.approx(1 - 4 * math.exp(-3), abs=1e-4)
    # A slot that comes at once leaves Erlang(6), delays of nothing leave the slot.
    assert mixing.sent_cdf(6.0, 1e-6, 6, 1.0) == pytest.approx(mixing.gamma_cdf(6.0, 6), abs=2e-3)
    assert mixing.sent_cdf(3.0, 1.0, 6, 1e-5) == pytest.approx(1 - math.exp(-3), abs=1e-3)
    assert mixing.sent_cdf(mixing.sent_quantile(LATE, 0.4, 6, 0.1), 0.4, 6, 0.1) == pytest.approx(
        LATE
    )


def test_slots_follow_from_what_gets_have_to_do() -> None:
    for name, preset in PRESETS.items():
        gets_per_put = (1 - preset.quick_share) / preset.quick_share
        assert gets_per_put >= tuning.GETS_OF_BOX / MAIN.replicas - 1e-9
        assert preset.outstanding_gets >= min(5 * preset.rate, 7), name
        assert 3 * preset.get_wait_mean_ms <= MAIN.get_wait_cap_ms
    # Little traffic keeps an inbox and a conversation waited for by fewer quick slots.
    assert tune(Budget(3.2, 40_000), 1_000).preset.quick_share == 3 / 5
    # More replicas are more PUTs.
    five = tune(BUDGETS["balanced"], 1_000, params=replace(MAIN, replicas=5))
    assert five.preset.quick_share == 3 / 4


@pytest.mark.parametrize(
    ("gb", "ms", "says"),
    [
        (64, 500, "give 480 GB a month or 1500 ms."),
        (64, 300, "give 1500 ms."),
        (1e9, 340, "give 350 ms."),
        (1, 1e6, "give 2.4 GB a month."),
    ],
)
def test_what_no_preset_can_do_is_refused_with_what_would_do(
    gb: float, ms: float, says: str
) -> None:
    with pytest.raises(UserError, match="are too little") as refused:
        tune(Budget(gb, ms), 1_000)
    assert str(refused.value).endswith(says)
    given = says.removeprefix("give ").removesuffix(".").split(" or ")
    for one in given:  # and it does
        value = float(one.split()[0])
        tune(Budget(value, ms) if "GB" in one else Budget(gb, value), 1_000)


def test_nobody_hides_alone() -> None:
    with pytest.raises(UserError, match="at least two people"):
        tune(BUDGETS["fast"], 1)


def test_preferred_numbers_have_ten_steps_to_a_power_of_ten() -> None:
    assert list(tuning.preferred(0.25, 2)) == [
        0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0,
    ]  # fmt: skip


def test_the_command_prints_a_preset_its_price_and_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["sim", "tune", "--gb-per-month", "64", "--latency-ms", "1800", "--people", "1000"]
    assert main(asked) in (None, 0)
    shown = capsys.readouterr()
    for text in ("50 ms", "2/3", "20 s, 20 at once", "9.07", "1781", "375 for a slot"):
        assert text in shown.out
    assert "nearest preset is balanced" in shown.err
    assert main([*asked, "--relays", "12", "--json"]) in (None, 0)
    found = json.loads(capsys.readouterr().out)
    kept = {key: value for key, value in found["preset"].items() if key != "outstanding_gets"}
    assert Preset(**{**kept, "name": "balanced"}) == PRESETS["balanced"]
    assert found["nearest_preset"] == "balanced" and found["active"] == 12
