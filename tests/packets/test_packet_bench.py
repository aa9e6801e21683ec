"""``shoal bench``: the figures that the contract names."""

import pytest

from shoal_node.bench import suite
from shoal_node.bench.floor import library
from shoal_protocol.errors import UserError


def test_the_packet_benchmarks_give_the_contracts_figures() -> None:
    figures = suite.run("unwrap")["unwrap"]
    assert figures["us"] > 0
    if "floor_us" in figures:  # where there is a compiler; its results were compared with ours
        assert figures["ratio_to_floor"] == figures["us"] / figures["floor_us"]
    assert suite.run("build3")["build3"]["us"] > 0


def test_an_unknown_benchmark_is_named_and_the_known_ones_listed() -> None:
    with pytest.raises(UserError, match=r"unwrapp.*unwrap, build3"):
        suite.run("unwrapp")


def test_without_a_compiler_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="apt install gcc libsodium-dev"):
        library.load("unwrap")
