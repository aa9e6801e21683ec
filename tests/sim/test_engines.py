"""Who works: engines that there aren't, that aren't installed, that can't be reached."""

import sys

import pytest

from shoal_protocol.errors import UserError
from shoal_sim import engines
from shoal_sim.engines import Crew


def squared(number: int) -> int:
    return number * number


def refused(number: int) -> int:
    raise UserError(f"{number} can't be run.")


def test_results_come_in_the_order_of_their_tasks() -> None:
    assert list(engines.each(squared, [3, 1, 2])) == [9, 1, 4]
    assert list(engines.each(squared, [], engines.EVERYBODY)) == []


def test_what_the_work_raises_comes_through() -> None:
    with pytest.raises(UserError, match=r"7 can't be run\."):
        list(engines.each(refused, [7]))


@pytest.mark.parametrize(
    ("crew", "sentence"),
    [
        (Crew(2, "threads"), "There is no engine threads; there are loky, dask, ray."),
        (Crew(2, "loky", "tcp://h:1"), "A scheduler is Dask's, and the engine is loky."),
        (Crew(2, "ray", "tcp://h:1"), "A scheduler is Dask's, and the engine is ray."),
    ],
)
def test_a_crew_that_can_not_be_is_told_in_a_sentence(crew: Crew, sentence: str) -> None:
    with pytest.raises(UserError) as told:
        list(engines.each(squared, [1, 2], crew))
    assert str(told.value) == sentence


@pytest.mark.parametrize(
    ("engine", "library", "install"),
    [
        ("dask", "distributed", "pip install 'shoal[sim,sim-cluster]'"),
        ("ray", "ray", "pip install ray"),
    ],
)
def test_an_engine_that_is_not_installed_names_what_to_install(
    engine: str, library: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # as where it was never installed
    with pytest.raises(UserError, match="is not installed; install it with: ") as told:
        list(engines.each(squared, [1, 2], Crew(2, engine)))
    assert install in str(told.value)
