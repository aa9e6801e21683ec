"""The benchmark of a relay's store gives its figures; how good they are is not for a test."""

import pytest

from shoal_node.bench import storage, suite


def test_the_bench_of_the_store_gives_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_FILL", 2_000), ("_ROUNDS", 2), ("_PUTS", 96), ("_GETS", 50)):
        monkeypatch.setattr(storage, name, value)
    figures = suite.run("storage")["storage"]
    assert figures["boxes"] == 2_000
    for name in (
        "puts_per_s",
        "disk_puts_per_s",
        "sqlite_puts_per_s",
        "ratio_to_sqlite",
        "ratio_to_disk",
        "get_p95_ms",
    ):
        assert figures[name] > 0
    assert 1 <= figures["commit_mean"] <= figures["commit_max"] <= figures["under_way"]
    assert figures["bytes_per_box"] < 2_500
