"""The same bytes on one process, four, and a Dask cluster of two; in other orders of sets, with
other instructions of the processor, and without numba. Of every tier.

Not of `make test`, which installs no Dask: ``pytest tests/sim/check_cluster.py``.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from processes.waiting import Say
from shoal_protocol.errors import UserError
from shoal_sim import engines, scenario, study
from shoal_sim.engines import Crew
from sim.check_sweeps import bytes_of

VECTOR = """
question = "How many bits?"
seeds = 2
[network]
relays = 8
[time]
length_s = 1.0
[sweep]
"network.people" = [20, 30]
"""
STRUCTURES = """
question = "How many paths?"
tier = "structures"
seeds = 2
[network]
relays = 60
people = 100
[churn]
model = "weibull"
[time]
length_s = 20000.0
[sweep]
"network.parameters" = ["main", "lab"]
"""
COVER = """
question = "How long?"
tier = "exact"
seeds = 2
[network]
relays = 8
[traffic]
preset = "fast"
[time]
warm_up_s = 1.0
length_s = 3.0
[sweep]
"network.people" = [5, 10]
"""
WHOLE = """
question = "How long are texts on their way?"
tier = "exact"
seeds = 2
[network]
relays = 8
people = 2
parameters = "lab"
nodes = "whole"
[traffic]
preset = "fast"
messages_per_hour = 1800.0
[links]
latency_ms = 1.0
[time]
length_s = 10.0
[sweep]
"links.loss" = [0.0, 0.01]
"""
ASKED = {"vector": VECTOR, "structures": STRUCTURES, "cover": COVER, "whole": WHOLE}
# Sets in another order; no numba; of x86's instructions only those that all processors have.
OTHERWISE = {
    "hash seed 1": ("", {"PYTHONHASHSEED": "1"}),
    "hash seed 2, no numba": ("sys.modules['numba'] = None", {"PYTHONHASHSEED": "2"}),
    "plain x86": ("", {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}),
}
PROGRAM = """
import sys; from pathlib import Path
{first}
from shoal_sim import study
for path in map(Path, sys.argv[2:]):
    study.sweep(study.load(path), Path(sys.argv[1]) / path.stem, tables=True)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process writes."""
    return swept(tmp_path_factory.mktemp("alone"), Crew(1))


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of two processes; gives its scheduler's address."""
    begin: Any = LocalCluster
    with begin(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as made:
        yield made.scheduler_address


def swept(under: Path, crew: Crew) -> dict[str, bytes]:
    """Let a crew run all, and return what it writes."""
    for name, text in ASKED.items():
        study.sweep(scenario.parse(text), under / name, crew=crew, tables=True)
    return written(under)


def written(under: Path) -> dict[str, bytes]:
    """Return all Parquet files by scenario and place in the run, whatever the run is called."""
    found: dict[str, bytes] = {}
    for name in ASKED:
        (run,) = (under / name).iterdir()
        found |= {f"{name}/{place}": content for place, content in bytes_of(run).items()}
    return found


def test_every_tier_has_been_asked(alone: dict[str, bytes]) -> None:
    assert sum(name.endswith("results.parquet") for name in alone) == len(ASKED)
    assert sum("/tables/" in name for name in alone) >= 12


def test_four_processes_write_the_same_bytes(alone: dict[str, bytes], tmp_path: Path) -> None:
    assert swept(tmp_path, Crew(4)) == alone


def test_two_processes_of_a_cluster_write_the_same_bytes(
    alone: dict[str, bytes], cluster: str, tmp_path: Path
) -> None:
    assert swept(tmp_path, Crew(engine="dask", scheduler=cluster)) == alone
    begin: Any = Client
    with begin(cluster) as client:
        worked = client.run(lambda: "shoal_sim.study" in sys.modules)
    assert list(worked.values()) == [True, True]


def test_fresh_processes_write_the_same_bytes_whatever_else_is_not_the_same(
    alone: dict[str, bytes], tmp_path: Path, say: Say
) -> None:
    paths = [tmp_path / f"{name}.toml" for name in ASKED]
    for path, text in zip(paths, ASKED.values(), strict=True):
        path.write_text(text)
    for what, (first, environment) in OTHERWISE.items():
        under = tmp_path / what
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(first=first), str(under), *map(str, paths)],
            env={**os.environ, **environment},
            check=True,
            timeout=120,
        )
        assert written(under) == alone, what
    say(f"{len(alone)} Parquet files are the same, also with {', '.join(OTHERWISE)}")


def squared(number: int) -> int:
    return number * number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def refused(number: int) -> int:
    raise UserError(f"{number} can't be run.")


def unending(number: int) -> int:
    threading.Event().wait()
    return number


def test_a_task_that_kills_its_workers_is_told_in_a_sentence() -> None:
    """Of three deaths each, after which Dask gives a task up; the workers begin anew."""
    with pytest.raises(UserError, match="A worker was killed, as when memory runs out"):
        list(engines.each(die, [1, 2], Crew(2, "dask")))


def test_what_the_work_raises_comes_through_a_cluster(cluster: str) -> None:
    with pytest.raises(UserError, match=r"7 can't be run\."):
        list(engines.each(refused, [7, 8], Crew(engine="dask", scheduler=cluster)))


@pytest.mark.parametrize("ends", ["workers", "scheduler"])
def test_a_cluster_that_goes_away_is_told_in_a_sentence(
    ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOOKS_S", 1)
    monkeypatch.setattr(engines, "WITHOUT_WORKERS_S", 3)
    begin: Any = LocalCluster
    with begin(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as made:
        asked = Crew(engine="dask", scheduler=made.scheduler_address)
        end = made.close if ends == "scheduler" else lambda: made.scale(0)
        later = threading.Timer(2.0, end)
        later.start()
        try:
            with pytest.raises(UserError, match="Dask's cluster has had no worker for 3 s, or"):
                list(engines.each(unending, [1, 2], asked))
        finally:
            later.join()


def test_a_cluster_that_is_not_there_is_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match="Dask's scheduler at nowhere can't be reached: "):
        list(engines.each(squared, [1, 2], Crew(engine="dask", scheduler="nowhere")))


def test_a_worker_of_other_code_gets_no_work(cluster: str) -> None:
    begin: Any = Client
    with begin(cluster) as client:
        first, _ = sorted(client.scheduler_info()["workers"])
        client.run(_other_code, workers=[first])
        try:
            with pytest.raises(UserError, match=f"The worker at {first} has another version"):
                list(engines.each(squared, [1, 2], Crew(engine="dask", scheduler=cluster)))
        finally:
            client.run(_own_code, workers=[first])
    assert list(engines.each(squared, [1, 2], Crew(engine="dask", scheduler=cluster))) == [1, 4]


def _other_code() -> None:
    import platform

    platform.python_version = lambda: "3.0.0"  # what a machine of another Python answers


def _own_code() -> None:
    import importlib
    import platform

    importlib.reload(platform)
