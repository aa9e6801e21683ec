"""Files that are no scenario are refused in one sentence with the file, the key and its line."""

from pathlib import Path

import pytest

from shoal_protocol.errors import UserError
from shoal_sim import scenario

Q = 'question = "q"\n'
THOUSAND = "[" + ", ".join(map(str, range(1, 1001))) + "]"
LONG = "9" * 400
CORRUPT = Q + '[adversary]\nname = "corrupt_relays"\n'

BAD = {
    "": "question is missing; say in a sentence what is asked",
    'question = " "': "question is missing; say in a sentence what is asked",
    "question = 3": "line 1: question is a text, not 3",
    Q + 'seeds = "3"': "line 2: seeds is a whole number, not '3'",
    Q + "seeds = true": "line 2: seeds is a whole number, not True",
    Q + "seeds = 2.0": "line 2: seeds is a whole number, not 2.0",
    Q + "seeds = 0": "line 2: seeds lies between 1 and 100000, and 0 does not",
    Q + "seeds = [1]": "line 2: seeds is a whole number, not [1]",
    Q + "seeds = 2020-01-01": "line 2: seeds is a whole number, not datetime.date",
    Q + "seeds = " + LONG: "line 2: seeds lies between 1 and 100000, and 999",
    Q + "seeds = " + "9" * 5000: "has a number too long or lists too deep to be read",
    Q + "seeds = " + "[" * 3000 + "]" * 3000: "has a number too long or lists too deep",
    Q + "seeds = 1\nseeds = 2": "is no TOML: Cannot overwrite a value",
    Q + "[links]\nloss = " + LONG: "line 3: links.loss lies between 0 and 1, and 999",
    Q + "[links]\nloss = nan": "line 3: links.loss lies between 0 and 1, and nan does not",
    Q + "[links]\nlatency_ms = inf": "line 3: links.latency_ms lies between 0 and 60000, and inf",
    Q + "[links]\n[links]": "is no TOML: Cannot declare",
    Q + "[nets]\na = 1": "line 2: nets is unknown; there are question, tier, seeds",
    Q + "[network]\npeeple = 1": "line 3: network.peeple is unknown; [network] has relays, people",
    (Q + "[network]\npeeple = 1").replace("\n", "\r\n"): "line 3: network.peeple is unknown",
    Q + "network = {peeple = 1}": "line 2: network.peeple is unknown",
    Q + "network.peeple = 1": "line 2: network.peeple is unknown",
    Q + '"é" = 1': "line 2: é is unknown",
    Q + "network = 3": "line 2: network is a table of keys",
    Q + "[[network]]\npeople = 3": "line 2: network is a table of keys",
    Q + "[network.people]\na = 1": "line 2: network.people is a whole number, not {'a': 1}",
    Q + 'show = "a"': "line 2: show is a list of metrics",
    Q + "tier = []": "line 2: tier is one of exact, vector, structures, not []",
    Q + '[network]\nlayout = ["free"]': "line 3: network.layout is one of free, layers, not [",
    Q + "sweep = 3": "line 2: sweep is a table of keys",
    Q + '[sweep]\n"network.people" = []': "line 3: sweep.network.people is a list of values",
    Q + '[sweep]\n"network.peeple" = [1]': "line 3: sweep.network.peeple sweeps no key",
    Q + "[sweep]\nseeds = [1]": "line 3: sweep.seeds sweeps no key",
    Q + '[sweep]\n"network.people" = [1, "a"]': "line 3: sweep.network.people is a whole number",
    Q + '[sweep]\n"network.people" = [1, 1]': "line 3: sweep.network.people has a value twice",
    Q
    + f'[sweep]\n"network.people" = {THOUSAND}\n"network.relays" = {THOUSAND}\n'
    + f'"links.latency_ms" = {THOUSAND}': "line 2: sweep makes 1,000,000,000 configurations",
    Q + "[adversary]\nname = []": "line 3: adversary.name is a text",
    Q + '[adversary]\nname = "x"': "line 3: adversary.name is one of churn, corrupt_relays",
    CORRUPT + "share = [1]": "line 4: adversary.share is a number, a text, true or false",
    CORRUPT + "share = " + LONG: "line 4: adversary.share lies between 0 and 1, and 999",
    CORRUPT + "shares = 0.1": "line 4: adversary.shares is unknown; corrupt_relays has share",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_a_bad_file_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text.encode())
    with pytest.raises(UserError) as caught:
        scenario.load(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert BAD[text] in said
    assert said.endswith(".") and "\n" not in said
    assert len(said) < 500


def test_a_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError, match=rf"can't be read: {what}"):
            scenario.load(path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b'question = "\xe9"')
    with pytest.raises(UserError, match="is no UTF-8"):
        scenario.load(path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "mark.toml"
    path.write_bytes(b"\xef\xbb\xbf" + Q.encode())
    assert scenario.load(path).question == "q"
