"""Scenarios of the exact tier in which links, lines, relays and people are not at their best."""

from pathlib import Path

import pytest

from shoal_protocol.errors import UserError
from shoal_sim import scenario

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
