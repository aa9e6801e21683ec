"""Scenario files: what they say, and what is said of wrong ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_protocol.errors import UserError
from shoal_sim import lines, scenario
from shoal_sim.seeds import numbers

ADVERSARY = "question = 'a'\n[adversary]\nname = 'corrupt_relays'\n"
WHOLE = """\
question = "How many bits?"   # asked of everybody
tier = "exact"
[network]
relays = 50
"people" = 200
[traffic]
preset = "fast"
rate = 2
[adversary]
name = "corrupt_relays"
share = 0.2
[time]
warm_up_s = 1.5
[sweep]
"network.people" = [
    100,
    1000,
]
"adversary.share" = [0.1, 0.3]
"""


def test_a_file_says_what_is_run() -> None:
    one = scenario.parse(WHOLE)
    assert (one.tier, one.network.relays, one.network.people) == ("exact", 50, 200)
    assert one.traffic.chosen.rate == 2.0
    assert one.traffic.chosen.mean_delay_ms == 30
    assert one.adversary.keys == (("share", 0.2),)
    assert one.time.warm_up_s == 1.5 and one.links.latency_ms == 42.0


def test_a_sweep_is_the_product_of_its_lists_in_their_order() -> None:
    found = list(scenario.parse(WHOLE).configurations())
    assert [tuple(values.values()) for values, _ in found] == [
        (100, 0.1),
        (100, 0.3),
        (1000, 0.1),
        (1000, 0.3),
    ]
    assert [one.network.people for _, one in found] == [100, 100, 1000, 1000]
    assert [dict(one.adversary.keys)["share"] for _, one in found] == [0.1, 0.3, 0.1, 0.3]
    assert all(not one.sweep for _, one in found)


def test_a_scenario_without_a_sweep_is_one_configuration() -> None:
    one = scenario.parse('question = "Why?"')
    assert list(one.configurations()) == [({}, one)]


def test_what_is_resolved_reads_as_the_same_scenario(tmp_path: Path) -> None:
    one = scenario.parse(WHOLE)
    resolved = one.resolved()
    assert resolved["network"]["cryptography"] == "null"
    assert resolved["adversary"] == {"name": "corrupt_relays", "share": 0.2}
    assert resolved["sweep"]["network.people"] == [100, 1000]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tier = 'vector'", "question is missing"),
        ("question = ' '", "question is missing"),
        ("question = 3", "line 1: question is a text"),
        ("question = 'a'\nteir = 'exact'", "line 2: teir is unknown; there are question, tier"),
        ("question = 'a'\n\ntier = 'quick'", "line 3: tier is one of exact, vector, structures"),
        ("question = 'a'\n[network]\nrelais = 5", "line 3: network.relais is unknown"),
        ("question = 'a'\n[network]\nrelays = 0", "line 3: network.relays lies between 1 and"),
        ("question = 'a'\n[network]\nrelays = 1.5", "line 3: network.relays is a whole number"),
        ("question = 'a'\n[network]\nrelays = true", "network.relays is a whole number"),
        ("question = 'a'\nnetwork.relays = '5'", "line 2: network.relays is a whole number"),
        ("question = 'a'\nnetwork = {people = 5, relais = 5}", "line 2: network.relais is unknown"),
        ("question = 'a'\nnetwork = 3", "line 2: network is a table"),
        ("question = 'a'\n[links]\nloss = nan", "line 3: links.loss lies between 0 and 1"),
        ("question = 'a'\n[links]\nloss = 2", "line 3: links.loss lies between 0 and 1, and 2"),
        ("question = 'a'\n[adversary]\nname = 1", "line 3: adversary.name is a text"),
        (
            "question = 'a'\n[churn]\nmodel = 'weibull'",
            "line 3: churn.model is of the tiers exact, s",
        ),
        ("question = 'a'\n[sweep]\n'traffic.hours' = [1]", "traffic.hours is of the tier struct"),
        (
            "question = 'a'\n[adversary]\nname = 'nobody'",
            "line 3: adversary.name is one of churn, ",
        ),
        (
            "question = 'a'\n[adversary]\nshare = 1",
            "line 3: adversary.share is a key of no adversary",
        ),
        (
            ADVERSARY + "part = 1",
            "line 4: adversary.part is unknown; corrupt_relays has share, count",
        ),
        (ADVERSARY + "share = 2", "line 4: adversary.share lies between 0 and 1, and 2 does not"),
        (ADVERSARY + "count = 1.5", "line 4: adversary.count is a whole number, not 1.5"),
        (ADVERSARY + "share = 0.1\ncount = 3", "line 2: adversary is wrong: Corrupt relays are a"),
        (ADVERSARY + "[sweep]\n'adversary.share' = [0, 7]", "line 5: sweep.adversary.share lies"),
        ("question = 'a'\n[adversary]\nlist = [1]", "line 3: adversary.list is a number, a text"),
        ("question = 'a'\n[sweep]\n'network.people' = 5", "line 3: sweep.network.people is a list"),
        ("question = 'a'\n[sweep]\n'network.peple' = [5]", "line 3: sweep.network.peple sweeps no"),
        ("question = 'a'\n[sweep]\n'links.loss' = [0.1, 7]", "line 3: sweep.links.loss lies betw"),
        ("question = 'a'\nsweep = 1", "line 2: sweep is a table"),
        ("question = 'a", "is no TOML"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as told:
        scenario.parse(text, "ask.toml")
    assert sentence in str(told.value)
    assert str(told.value).startswith("ask.toml")
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        scenario.load(tmp_path / "none.toml")


@given(st.text(max_size=200))
def test_any_text_is_a_scenario_or_told(text: str) -> None:
    try:
        scenario.parse(text)
    except UserError as error:
        assert str(error)


def test_lines_of_keys_are_found_behind_texts_of_many_lines() -> None:
    text = 'a = """\nb = 1\n"""\n[t."x y"]\nc.d = 2\n\n[[u]]\ne = [\n 1,\n]\nf = {g = 1}\n'
    assert lines.of_keys(text) == {
        "a": 1,
        "t.x y": 4,
        "t.x y.c": 5,
        "t.x y.c.d": 5,
        "u": 7,
        "u.e": 8,
        "u.f": 11,
        "u.f.g": 11,
    }


def test_streams_of_numbers_are_apart_and_the_same_everywhere() -> None:
    drawn = numbers(7, "routes", 3).integers(0, 2**63, 4).tolist()
    assert drawn == numbers(7, "routes", 3).integers(0, 2**63, 4).tolist()
    assert drawn != numbers(7, "routes", 4).integers(0, 2**63, 4).tolist()
    assert drawn != numbers(8, "routes", 3).integers(0, 2**63, 4).tolist()
    assert drawn[0] == 8_876_341_234_850_562_741
