"""Scenarios of the tier of structures: what they answer and what they refuse."""

import math
import re
from pathlib import Path

import pytest

from shoal_protocol.errors import UserError
from shoal_sim import scenario, study
from shoal_sim.vector import structures


def asked(text: str) -> scenario.Scenario:
    return scenario.parse('question = "Which?"\ntier = "structures"\nseeds = 2\n' + text)


def test_a_calm_network_loses_nothing_and_betrays_nobody() -> None:
    found = structures.simulate(asked(""), 1).metrics
    assert found["lookup_found_share"] == 1.0
    for name in ("path_all_corrupt_share", "followed_people_share", "eclipsed_share"):
        assert found[name] == 0.0
    assert found["storage_lost_share"] == found["storage_unreadable_share"] == 0.0


def test_sybils_stand_on_paths_and_in_the_dht() -> None:
    text = '[adversary]\nname = "sybil_directory"\nadded = 50\n[time]\nlength_s = 864000.0\n'
    found = structures.simulate(asked(text), 1).metrics
    assert found["corrupt_relays"] == 50
    assert found["path_both_ends_share"] == pytest.approx(1 / 9, rel=0.05)
    assert 0.25 < found["followed_people_share"] < 0.55
    assert found["lookup_found_share"] > 0.95
    assert found["lookup_calls"] > structures.simulate(asked(""), 1).metrics["lookup_calls"]


def test_ground_positions_eclipse_keys_and_stand_on_no_path() -> None:
    lab, attack = '[network]\nparameters = "lab"\n', '[adversary]\nname = "eclipse_dht"\n'
    found = structures.simulate(asked(lab + attack), 1).metrics
    assert found["eclipsed_share"] == pytest.approx(0.5, abs=0.05)
    assert found["path_all_corrupt_share"] == 0.0
    both = structures.simulate(asked(attack), 1).metrics  # of the main network's two keys
    assert both["eclipsed_share"] == pytest.approx(0.25, abs=0.05)
    few = structures.simulate(asked(attack + "subnets = 19\n"), 1).metrics
    assert few["eclipsed_share"] == 0.0


def test_sybils_in_few_subnets_find_few_slots_and_count_as_few() -> None:
    sybils = '[adversary]\nname = "sybil_directory"\nadded = 4000\n'
    everywhere = structures.simulate(asked(sybils), 1).metrics
    few = structures.simulate(asked(sybils + "subnets = 30\n"), 1).metrics
    assert everywhere["corrupt_relays"] == 4000
    assert few["corrupt_relays"] == 120
    assert few["lookup_found_share"] > 0.99 > everywhere["lookup_found_share"]


def test_more_replicas_lose_less_under_the_same_churn() -> None:
    churn = '[churn]\nmodel = "exponential"\nscale_min = 60.0\n[time]\nlength_s = 14400.0\n'
    three, five = (
        structures.simulate(asked(f'[network]\nparameters = "{name}"\n' + churn), 1).metrics
        for name in ("lab", "lab5")
    )
    assert five["storage_unreadable_share"] <= three["storage_unreadable_share"]
    assert five["storage_made"] > three["storage_made"]


def test_suspects_grow_fewer_with_occasions_and_remain_where_people_are_always_there() -> None:
    text = "[traffic]\nmessages_per_hour = 1.0\nonline = 0.5\n[time]\nlength_s = {}.0\n"
    few = structures.simulate(asked(text.format(3 * 3600)), 1).metrics
    many = structures.simulate(asked(text.format(20 * 3600)), 1).metrics
    assert few["suspects_alike"] == pytest.approx(1 + 999 / 8, rel=0.1)
    assert many["suspects_alike"] < 1.1
    assert many["suspects_spread"] > 5


def test_networks_of_a_study_are_rows_and_the_same_ones_each_time() -> None:
    sweep = '[sweep]\n"adversary.share" = [0.0, 0.3]\n[adversary]\nname = "corrupt_relays"\n'
    rows = study.run(asked(sweep))
    assert rows.equals(study.run(asked(sweep)))
    assert len(rows) == 4
    assert rows["path_all_corrupt_share"].to_list()[:2] == [0.0, 0.0]
    assert not any(math.isnan(value) for value in rows["lookup_calls"])


MONTH = "[network]\npeople = 150\n[traffic]\nmessages_per_hour = {}\n{}\n[time]\nlength_s = {}\n"


def test_who_writes_every_day_is_found_by_the_hours_they_keep_and_not_if_always_there() -> None:
    found = [
        structures.simulate(
            asked(
                MONTH.format(1 / 24, hours, 30 * 86400.0) + '[adversary]\nname = "intersection"\n'
            ),
            1,
        ).metrics
        for hours in ("hours = 6.0", "")
    ]
    kept, always = (one["adversary_owner_entropy_bits"] for one in found)
    assert kept < 4 < 7 < always
    assert found[0]["suspects_alike"] < 10
    assert found[1]["suspects_alike"] == 150


def test_relays_that_are_stopped_by_turns_give_away_whose_pseudonym_pauses() -> None:
    attack = '[adversary]\nname = "churn"\nshare = {}\nturn_s = 120.0\n'
    few, many = (
        structures.simulate(
            asked(MONTH.format(60.0, "", 3600.0) + attack.format(share)), 1
        ).metrics["adversary_owner_hit_share"]
        for share in (0.0, 0.8)
    )
    assert few < 0.1 < 0.5 < many


def test_partners_are_disclosed_where_messages_are_bare_and_not_under_cover() -> None:
    attack = '[adversary]\nname = "statistical_disclosure"\nround_s = 5.0\nlag_s = 1.0\n'
    bare, covered = (
        structures.simulate(
            asked(MONTH.format(20.0, f'cover = "{cover}"', 14400.0) + attack), 1
        ).metrics["adversary_partner_hit_share"]
        for cover in ("none", "full")
    )
    assert covered < 0.05 < 0.8 < bare


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[network]\nrelays = 3\n", "need 4 relays; network.relays is 3"),
        ('[adversary]\nname = "n_minus_1"\n', "blocks packets, and the tier structures doesn't"),
        ('[adversary]\nname = "global_passive"\n', "answers sender, receiver, which the tier"),
    ],
)
def test_what_this_tier_does_not_do_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        structures.simulate(asked(text), 1)


def test_what_the_document_shows_can_be_asked_and_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs/simulated-structures.md").read_text()
    questions = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    programs = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert all(scenario.parse(question).tier == "structures" for question in questions)
    for program in programs:
        exec(compile(program.replace("1_000_000", "20_000"), "document", "exec"), {})
    assert len(questions) == 3
    assert "Kept(lost=" in capsys.readouterr().out
