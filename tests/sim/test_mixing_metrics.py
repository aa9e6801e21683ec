"""Entropies, guesses and intervals of posteriors and networks."""

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_sim import metrics
from shoal_sim.seeds import numbers

rows = st.lists(
    st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda row: sum(row) > 0.01),
    min_size=1,
    max_size=5,
)


@given(rows)
def test_entropies_lie_between_none_and_that_of_a_fair_draw(drawn: list[list[float]]) -> None:
    weights = numpy.array(drawn)
    weights /= weights.sum(axis=1, keepdims=True)
    shannon, least = metrics.shannon(weights), metrics.min_entropy(weights)
    assert (least >= -1e-12).all()
    assert (least <= shannon + 1e-12).all()
    assert (shannon <= 2 + 1e-12).all()


def test_a_fair_draw_of_eight_has_three_bits_and_certainty_none() -> None:
    fair, sure = numpy.full((2, 8), 1 / 8), numpy.eye(8)[:2]
    assert metrics.shannon(fair).tolist() == metrics.min_entropy(fair).tolist() == [3.0, 3.0]
    assert metrics.shannon(sure).tolist() == metrics.min_entropy(sure).tolist() == [0.0, 0.0]


def test_a_guess_is_told_with_and_without_the_truth() -> None:
    weights = numpy.array([[0.5, 0.5, 0.0], [0.25, 0.0, 0.75], [0.0, 0.0, 0.0]])
    known = metrics.guess(weights, numpy.array([0, 0, 1]))
    assert known.guess_share == 0.625 and known.hit_share == 0.25
    assert known.surprise_bits == 1.5
    unknown = metrics.guess(weights)
    assert unknown.entropy_bits == known.entropy_bits and math.isnan(unknown.hit_share)
    assert math.isnan(metrics.guess(numpy.zeros((2, 3))).entropy_bits)
    assert metrics.guess(numpy.array([[1.0, 0.0]]), numpy.array([1])).surprise_bits == math.inf


def test_calibration_puts_candidates_by_what_they_were_given() -> None:
    weights = numpy.array([[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]])
    found = metrics.calibration(weights, numpy.array([0, 1, 0]), 4)
    assert [(said, was, size) for said, was, size in found] == [
        (0.1, 0.0, 1),
        (0.5, 0.5, 4),
        (0.9, 1.0, 1),
    ]


@pytest.mark.parametrize(
    ("confidence", "freedom", "table"),
    [(0.99, 1, 63.657), (0.99, 2, 9.925), (0.99, 3, 5.841), (0.95, 4, 2.776), (0.99, 7, 3.499),
     (0.95, 9, 2.262), (0.99, 19, 2.861), (0.999, 19, 3.883), (0.99, 120, 2.617)],
)  # fmt: skip
def test_students_quantiles_are_those_of_the_tables(
    confidence: float, freedom: int, table: float
) -> None:
    assert metrics.student(confidence, freedom) == pytest.approx(table, abs=1e-3)


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    rng = numbers(1, "intervals")
    held = 0
    for _ in range(500):
        low, high = metrics.interval(rng.normal(5, 2, 6), 0.9)
        held += low <= 5 <= high
    assert abs(held / 500 - 0.9) < 0.05
    assert metrics.interval([1.0]) == (-math.inf, math.inf)


def test_the_bootstrap_holds_the_median() -> None:
    rng = numbers(2, "bootstrap")
    low, high = metrics.bootstrap(rng.normal(0, 1, 200), rng)
    assert low < 0 < high and high - low < 1


def test_wilsons_interval_stays_within_probabilities() -> None:
    low, high = metrics.wilson(0, 10)
    assert low == pytest.approx(0, abs=1e-12) and 0.3 < high < 0.5
    assert metrics.wilson(50, 100, 0.95) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_quantiles_of_nothing_are_not_numbers() -> None:
    assert metrics.quantiles(numpy.arange(101), (0.5, 0.95)) == [50, 95]
    assert all(math.isnan(value) for value in metrics.quantiles(numpy.empty(0)))
