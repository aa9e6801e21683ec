"""Paths, disclosure, eclipse and storage in arrays: against closed forms and small cases."""

import dataclasses

import numpy
import pytest

from shoal_sim.seeds import numbers
from shoal_sim.theory import disclosure as disclosure_theory
from shoal_sim.theory import eclipse as eclipse_theory
from shoal_sim.theory import paths as paths_theory
from shoal_sim.theory import storage as storage_theory
from shoal_sim.validation import structures
from shoal_sim.validation.target import SEED, Effort, Target
from shoal_sim.vector import disclosure, eclipse, paths, storage


@pytest.mark.parametrize("target", structures.TARGETS, ids=lambda target: target.id)
def test_figures_that_are_known_from_elsewhere_are_met(target: Target) -> None:
    missed = [outcome for outcome in target.measure(Effort.REDUCED, SEED) if not outcome.passed]
    assert missed == []


def test_a_path_has_no_relay_twice_and_every_order_is_alike_likely() -> None:
    drawn = paths.draw(4, 3, 24_000, numbers(1))
    assert all(len(set(row)) == 3 for row in drawn[:500].tolist())
    orders, counts = numpy.unique(drawn, axis=0, return_counts=True)
    assert len(orders) == 24
    assert counts.min() > 850
    assert counts.max() < 1_150


def test_a_path_longer_than_the_network_is_refused() -> None:
    with pytest.raises(ValueError, match="none twice"):
        paths.draw(3, 4, 1, numbers(1))


def test_the_same_generator_gives_the_same_paths_whatever_is_drawn_at_once() -> None:
    corrupt = paths.some_corrupt(20, 5, numbers(2))
    assert paths.shares(corrupt, 4, 9_000, numbers(3)) == paths.shares(
        corrupt, 4, 9_000, numbers(3)
    )


def test_a_guard_kept_for_months_spares_most_people_what_new_guards_would_bring() -> None:
    corrupt = paths.some_corrupt(100, 20, numbers(4))
    day = paths.first_bad_day(corrupt, 4_000, 30.0, 200.0, numbers(5))
    kept = float(numpy.isfinite(day).mean())
    # A guard is corrupt with 0.2, and a third of the guards are changed in 30 days of about 90.
    assert 0.2 < kept < 0.33
    anew = 1 - (1 - paths_theory.wholly(100, 20, 4)) ** (30 * 200)
    assert anew > 0.99


def test_nobody_is_followed_where_no_relay_is_corrupt() -> None:
    nobody = numpy.zeros(50, dtype=numpy.bool_)
    assert numpy.isinf(paths.first_bad_day(nobody, 100, 365.0, 100.0, numbers(1))).all()
    assert paths.shares(nobody, 4, 1_000, numbers(1)) == paths.Shares(0.0, 0.0, 0.0, 0.0)


def test_closed_forms_of_paths_agree_with_each_other() -> None:
    assert paths_theory.wholly(100, 20, 4) == pytest.approx(
        0.2 * paths_theory.service_then_wholly(100, 20, 3)
    )
    assert paths_theory.wholly(100, 3, 4) == 0.0
    assert paths_theory.at_least_one_honest(100, 100, 4) == 0.0
    assert paths_theory.paths_until_wholly(100, 20, 4) == pytest.approx(809.3, abs=0.1)
    assert paths_theory.guard_ever_corrupt(0.2, 2.0) == pytest.approx(0.36)
    assert paths_theory.layered((0.1, 0.2, 0.5)) == pytest.approx(0.01)


def test_what_is_drawn_at_once_over_rounds_is_what_rounds_sum_to() -> None:
    friends = numpy.array([3, 5], dtype=numpy.int64)
    counts = disclosure.received_by(10, 50, friends, 400, numbers(6))
    assert counts.sum() == 400 * 50
    expected = numpy.full(10, 400 * 49 / 10)
    expected[friends] += 200
    assert numpy.abs(counts - expected).max() < 5 * 48


def test_both_forms_of_disclosure_find_partners_and_least_squares_is_nearer() -> None:
    rng = numbers(7)
    profiles = rng.dirichlet(numpy.full(20, 0.15), 20)
    played = disclosure.play(numpy.full(20, 0.5), profiles, 4_000, rng)
    shares = disclosure.least_squares(played)
    alone = numpy.array(
        [disclosure.disclose(played, i, disclosure.background(played, i)) for i in range(20)]
    )
    best = profiles.argmax(axis=1)
    assert (shares.argmax(axis=1) == best).mean() > 0.7
    assert (alone.argmax(axis=1) == best).mean() > 0.6
    assert ((shares - profiles) ** 2).mean() < ((alone - profiles) ** 2).mean()


def test_the_least_squares_error_is_what_the_closed_form_says() -> None:
    rng = numbers(8)
    senders, receivers, rounds = 30, 60, 3_000
    profiles = numpy.full((senders, receivers), 1 / receivers)
    played = disclosure.play(numpy.full(senders, 1.0), profiles, rounds, rng)
    error = ((disclosure.least_squares(played) - profiles) ** 2).mean()
    said = disclosure_theory.least_squares_variance(rounds, 1.0, senders / receivers)
    assert error == pytest.approx(said, rel=0.1)


def test_disclosure_of_somebody_who_never_sent_says_nothing() -> None:
    silent = disclosure.Rounds(numpy.zeros((5, 2), numpy.int64), numpy.ones((5, 3), numpy.int64))
    assert disclosure.disclose(silent, 0, disclosure.background(silent, 0)).tolist() == [0, 0, 0]


def test_suspects_fall_by_the_share_online_at_each_occasion() -> None:
    present = disclosure.online(20_000, 6, 0.5, numbers(9))
    counted = disclosure.suspects_by_occasion(present)
    said = [disclosure_theory.still_suspect(20_001, 0.5, i + 1) for i in range(6)]
    assert numpy.allclose(counted, said, rtol=0.15)
    assert len(disclosure.intersect(present)) == counted[-1]
    assert len(disclosure.intersect(present, mistakes=6)) == 20_000
    assert disclosure_theory.occasions_until_alone(1025, 0.5) == pytest.approx(10.0)


def test_people_who_are_there_always_hide_each_other_for_longer() -> None:
    alike = disclosure.intersect(disclosure.online(5_000, 8, 0.5, numbers(10)))
    apart = disclosure.intersect(disclosure.online(5_000, 8, 0.5, numbers(10), spread=0.8))
    assert len(apart) > 20 * len(alike)


def test_fewer_ground_identities_than_keepers_eclipse_nothing() -> None:
    assert eclipse.keepers(10, 19, 20, 500, numbers(11)).eclipsed == 0.0
    assert eclipse_theory.eclipsed(10, 19, 20) == 0.0


def test_ground_keepers_are_as_many_as_their_part_of_all_positions() -> None:
    drawn = eclipse.keepers(3_000, 1_000, 20, 5_000, numbers(12))
    assert drawn.ground.mean() == pytest.approx(5.0, rel=0.02)


def test_nearest_positions_drawn_one_after_the_other_are_those_of_a_sorted_network() -> None:
    rng = numbers(13)
    whose = numpy.repeat([False, True], [40, 60])
    sorted_ = numpy.array([whose[numpy.argsort(rng.random(100))[:5]].sum() for _ in range(4_000)])
    drawn = eclipse.keepers(40, 60, 5, 4_000, rng).ground
    assert drawn.mean() == pytest.approx(sorted_.mean(), abs=0.08)
    assert drawn.std() == pytest.approx(sorted_.std(), abs=0.08)


def test_dead_keepers_help_who_hides_a_record() -> None:
    calm = eclipse.hidden(1_000, 10_000, 20, 0.0, 20_000, numbers(14))
    churn = eclipse.hidden(1_000, 10_000, 20, 0.5, 20_000, numbers(14))
    assert calm < churn
    assert eclipse.directory_share(100, 100, 0.5) == pytest.approx(1 / 3)
    assert eclipse_theory.sybils_needed(100, 1 / 3) == pytest.approx(50.0)


def test_storage_without_repair_loses_what_the_closed_form_says_over_many_networks() -> None:
    away = storage.Sessions(stay_h=8.0, away_h=8.0, forgets=1.0)
    lost = [
        storage.network(60, 300, 24.0, away, storage.Repair(works=False), numbers(100 + i)).lost
        for i in range(60)
    ]
    said = storage_theory.lost(3, 8.0, 24.0, 24.0)
    half = 3 * numpy.std(lost) / numpy.sqrt(len(lost))
    assert abs(numpy.mean(lost) - said) < half
    assert half < 0.06


def test_handing_on_within_a_lease_loses_next_to_nothing_and_five_copies_less() -> None:
    away = storage.Sessions(stay_h=8.0, away_h=8.0, forgets=1.0)
    three, five = (
        numpy.mean(
            [
                storage.network(60, 500, 24.0, away, storage.Repair(k), numbers(200 + i)).lost
                for i in range(8)
            ]
        )
        for k in (3, 5)
    )
    assert five <= three
    assert three < 0.01


def test_slower_leases_lose_more() -> None:
    away = storage.Sessions(stay_h=4.0, away_h=4.0, forgets=1.0)
    repair = storage.Repair()
    slow = dataclasses.replace(repair, lease_s=3 * 3600.0)
    assert storage.network(60, 2_000, 24.0, away, repair, numbers(15)).lost < (
        storage.network(60, 2_000, 24.0, away, slow, numbers(15)).lost / 3
    )


def test_a_relay_that_is_back_within_its_lease_with_an_empty_disk_is_not_filled_again() -> None:
    quick = storage.Sessions(stay_h=8.0, away_h=0.02, wiped=1.0)
    lost = storage.network(60, 500, 24.0, quick, storage.Repair(), numbers(18)).lost
    assert lost > 0.5
    slow = dataclasses.replace(quick, away_h=8.0)
    assert storage.network(60, 500, 24.0, slow, storage.Repair(), numbers(18)).lost < 0.15


def test_relays_that_keep_their_disks_lose_nothing_and_hand_on_less() -> None:
    keeps = storage.Sessions(stay_h=8.0, away_h=1.0)
    kept = storage.network(40, 500, 48.0, keeps, storage.Repair(), numbers(16))
    assert kept.lost == 0.0
    assert kept.unreadable < 0.01
    quiet = storage.network(
        40, 500, 48.0, dataclasses.replace(keeps, stay_h=80.0), storage.Repair(), numbers(16)
    )
    assert quiet.handed_on < kept.handed_on


def test_a_network_where_nobody_leaves_hands_nothing_on() -> None:
    stay = storage.Sessions(stay_h=1e9, away_h=1e-9)
    kept = storage.network(10, 50, 24.0, stay, storage.Repair(), numbers(17))
    assert kept == storage.Kept(lost=0.0, unreadable=0.0, copies=3.0, handed_on=0.0)


def test_fewer_relays_than_copies_are_refused() -> None:
    with pytest.raises(ValueError, match="as many relays"):
        storage.network(2, 5, 1.0, storage.Sessions(8.0, 8.0), storage.Repair(), numbers(1))


def test_repair_at_intervals_and_all_the_time_agree_where_losses_are_rare() -> None:
    # A gap of Δ is waited for half of it in the mean, all gaps being found at once.
    assert storage_theory.lost_continuous(2, 100.0, 0.5, 24.0) == pytest.approx(
        storage_theory.lost(2, 100.0, 1.0, 24.0), rel=0.1
    )
    assert storage_theory.mean_time_to_loss(1, 8.0, 1.0) == 8.0
    assert storage_theory.unreadable(0.3, 3) == pytest.approx(0.027)
    assert storage_theory.fragments_lost(8, 4, 0.5) == pytest.approx(0.36328125)
