"""A relay's month: when it ends, what is kept back, what a kill costs, how the relay comes back."""

from dataclasses import astuple, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_node import volume_service
from shoal_node.volume import CODEC, GB, GRANT, Cap, Kept, Stage, Volume, month_end
from shoal_protocol.clock import SECOND
from shoal_protocol.errors import UserError
from support import seeded

LEASE_S = 900


def at(text: str) -> int:
    """Return an instant, ns."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


NOW = at("2026-11-10T12:00:00")


def stage_of(volume: Volume) -> Stage:
    """What the relay gives now, asked afresh."""
    return volume.stage


def of(cap_gb: float = 0, kept: Kept | None = None, now: int = NOW, begins: int = 1) -> Volume:
    cap = Cap(round(cap_gb * GB), begins)
    return Volume(cap, kept, now=now, lease_s=LEASE_S, rng=seeded("volume"))


@pytest.mark.parametrize(
    ("now", "begins", "end"),
    [
        ("2026-11-10T12:00:00", 1, "2026-12-01T00:00:00"),
        ("2026-12-31T23:59:59", 1, "2027-01-01T00:00:00"),
        ("2026-12-01T00:00:00", 1, "2027-01-01T00:00:00"),
        ("2026-11-10T12:00:00", 15, "2026-11-15T00:00:00"),
        ("2026-11-15T00:00:00", 15, "2026-12-15T00:00:00"),
        ("2026-12-20T00:00:00", 15, "2027-01-15T00:00:00"),
        ("2027-02-01T00:00:00", 28, "2027-02-28T00:00:00"),
    ],
)
def test_a_month_ends_at_midnight_before_the_day_on_which_it_begins(
    now: str, begins: int, end: str
) -> None:
    assert month_end(at(now), begins) == at(end)


@given(st.integers(0, 2 * 10**9), st.integers(1, 28))
def test_a_month_ends_within_31_days_and_after_now(second: int, begins: int) -> None:
    now = second * SECOND
    assert now < month_end(now, begins) <= now + 31 * 86_400 * SECOND


def test_without_a_cap_a_relay_counts_and_stays() -> None:
    volume = of()
    volume.count(10**15, 10**9, NOW + SECOND)
    assert (volume.stage, volume.used, volume.sentence()) == (Stage.OPEN, 10**15, None)


def test_the_reserve_pays_for_records_a_lease_at_the_present_pace_and_the_rest_of_the_month() -> (
    None
):
    volume = of(100)
    assert volume.reserve == 2 * GB
    moved = 0
    for second in range(5 * LEASE_S):  # long enough for the mean to be there
        moved += 10**6
        volume.count(moved, 3 * GB, NOW + (second + 1) * SECOND)
    expected = 2 * GB + 3.6 * GB + LEASE_S * 10**6
    assert volume.reserve == pytest.approx(expected, rel=0.01)
    volume.count(moved, 90 * GB, NOW + 6 * LEASE_S * SECOND)
    assert volume.reserve == 50 * GB


def test_a_short_flood_costs_what_it_moves_and_a_tenth_of_the_month() -> None:
    volume = of(20, now=at("2026-11-24T12:00:00"))  # seven days left: 7 GB are a day's share
    volume.count(5 * GB, 0, at("2026-11-24T12:15:00"))  # far above the pace of such a cap
    assert stage_of(volume) is Stage.OPEN
    assert volume.reserve == round(2.4 * GB)


def test_near_the_cap_it_leaves_then_is_silent_and_says_both() -> None:
    volume = of(10)
    volume.count(9 * GB, 0, NOW + LEASE_S * 10 * SECOND)
    assert stage_of(volume) is Stage.LEAVING, "9 of 10 and a pace of a gigabyte in ten leases"
    said = volume.sentence()
    assert said == (
        "This relay has used 9.000 GB of the 10 GB of the month that ends on 1 December 2026 "
        "(UTC): until then it takes nothing new, and needs the rest to hand on what it keeps."
    )
    volume.count(10 * GB, 0, NOW + LEASE_S * 11 * SECOND)
    assert stage_of(volume) is Stage.SILENT
    assert volume.sentence() == (
        "This relay has used up the 10 GB of the month that ends on 1 December 2026 (UTC): "
        "no packets cross it until then."
    )


def test_it_leaves_once_although_leaving_makes_it_quiet_and_empty() -> None:
    volume = of(10)
    volume.count(9 * GB, GB, NOW + SECOND)
    assert stage_of(volume) is Stage.LEAVING
    for day in range(1, 20):
        volume.count(9 * GB, 0, NOW + day * 86_400 * SECOND)
        assert stage_of(volume) is Stage.LEAVING


def test_it_comes_back_when_the_month_turns() -> None:
    volume = of(10)
    volume.count(11 * GB, 0, NOW + SECOND)
    assert stage_of(volume) is Stage.SILENT
    volume.count(11 * GB, 0, at("2026-11-30T23:59:59"))
    assert stage_of(volume) is Stage.SILENT
    volume.count(11 * GB + 7, 0, at("2026-12-01T00:00:00"))
    assert (volume.stage, volume.used) == (Stage.OPEN, 7)
    assert volume.until == at("2027-01-01T00:00:00")


def test_it_comes_back_under_a_higher_cap_and_under_none() -> None:
    volume = of(10)
    volume.count(9_900_000_000, 0, NOW + SECOND)
    assert stage_of(volume) is Stage.LEAVING
    volume.set_cap(Cap(round(10.01 * GB)), NOW)
    assert stage_of(volume) is Stage.LEAVING, "the reserve would be gone at once"
    volume.set_cap(Cap(20 * GB), NOW)
    assert stage_of(volume) is Stage.OPEN
    volume.set_cap(Cap(5 * GB), NOW)
    assert stage_of(volume) is Stage.SILENT
    volume.set_cap(Cap(0), NOW)
    assert (volume.stage, volume.used) == (Stage.OPEN, 9_900_000_000)


def test_another_first_day_forgets_nothing_that_was_used() -> None:
    volume = of(10)
    volume.count(4 * GB, 0, NOW)
    volume.set_cap(Cap(10 * GB, 15), NOW)
    assert (volume.used, volume.until) == (4 * GB, at("2026-11-15T00:00:00"))


def test_what_was_used_outlives_the_run_and_the_month_does_not() -> None:
    volume = of(10)
    volume.count(9_900_000_000, 0, NOW + SECOND)
    kept = volume.final()
    assert of(10, kept).stage is Stage.LEAVING
    kept = replace(kept, day=0)  # as on another day
    assert of(10, kept).used == 9_900_000_000
    assert of(30, kept).stage is Stage.OPEN
    assert of(10, kept, now=at("2026-12-01T00:00:00")).stage is Stage.OPEN
    assert of(10, kept, now=at("2026-12-01T00:00:00")).used == 0


def test_a_relay_that_left_does_not_come_back_by_being_started_again() -> None:
    volume = of(10)
    volume.count(9 * GB, GB, NOW + SECOND)  # leaves for its full store and its pace alone
    assert stage_of(volume) is Stage.LEAVING
    assert of(10, volume.final()).stage is Stage.LEAVING


def test_a_clock_that_was_ahead_for_months_gives_nothing_back_and_lets_the_next_month_begin() -> (
    None
):
    ahead = of(10, now=at("2027-08-10T00:00:00"))
    ahead.count(5 * GB, 0, at("2027-08-10T00:00:01"))
    back = of(10, ahead.final())
    assert (back.used, back.until) == (5 * GB, at("2026-12-01T00:00:00"))
    back.count(0, 0, at("2026-12-01T00:00:00"))
    assert back.used == 0


@given(st.lists(st.integers(0, 50_000_000), min_size=1, max_size=60))
def test_what_is_durable_is_never_less_than_what_was_used_unless_the_pace_leaps(
    steps: list[int],
) -> None:
    """After each look a kill leaves at least what was used; at most a grant is lost by it."""
    volume = of(1000)
    durable, moved = Kept(0, 0, 0), 0
    for second, step in enumerate(steps):
        moved += step
        volume.count(moved, 0, NOW + second * SECOND)
        due = volume.due()
        if due is not None:
            durable = due
            volume.made_durable(due)
        assert durable.used >= volume.used + 2 * step
        assert durable.used - volume.used <= max(GRANT, 30 * max(steps))
        assert of(1000, durable, now=NOW + second * SECOND).used >= moved


def test_under_a_small_cap_a_kill_costs_little() -> None:
    volume = of(0.01)
    volume.count(10**6, 0, NOW + SECOND)
    due = volume.due()
    assert due is not None
    assert due.used == 4 * 10**6


def flooded(volume: Volume, day: int, moved: int, *, rate: int = 12_500_000) -> int:
    """Flood a relay on a day in November until it is silent, or the day ends.

    Args:
        moved: bytes of the run until then.
        rate: bytes a second.

    Returns:
        The bytes of the run since.
    """
    begins = at(f"2026-11-{day:02d}T01:00:00")
    for second in range(23 * 3600 - 1):
        if stage_of(volume) is Stage.SILENT:
            break
        moved += rate
        volume.count(moved, 4 * GB, begins + second * SECOND)
    return moved


def test_a_days_flood_spends_a_fraction_of_the_month_and_the_relay_is_back_at_midnight() -> None:
    begins = at("2026-11-01T00:00:00")
    volume = of(500, now=begins)
    assert 2 / 30 <= volume.share / (500 * GB) <= 4 / 30
    moved = flooded(volume, 1, 0)
    assert moved <= 1.26 * volume.share < 84 * GB
    assert volume.resumes == at("2026-11-02T00:00:00")
    assert volume.sentence() == (
        f"This relay has moved {moved / GB:.3f} GB today, more than one day's share of the 500 GB "
        "of the month that ends on 1 December 2026 (UTC): until midnight (UTC) it lets no packets "
        "cross, so that the rest lasts."
    )
    volume.count(moved, 0, at("2026-11-01T23:59:59"))
    assert stage_of(volume) is Stage.SILENT
    volume.count(moved, 0, at("2026-11-02T00:00:00"))
    assert stage_of(volume) is Stage.OPEN
    assert [volume.resumes, volume.sentence()] == [None, None]


def test_ten_days_of_floods_leave_a_relay_that_still_takes_work_each_day() -> None:
    volume, moved = of(500, now=at("2026-11-01T00:00:00")), 0
    for day in range(1, 11):
        volume.count(moved, 4 * GB, at(f"2026-11-{day:02d}T00:00:00"))
        assert stage_of(volume) is Stage.OPEN
        moved = flooded(volume, day, moved)
        assert stage_of(volume) is Stage.SILENT
    assert 0.1 < 1 - volume.used / (500 * GB) < 0.35


def test_a_relay_whose_busiest_day_is_twice_the_mean_is_never_refused_a_month_that_lasts() -> None:
    volume, moved = of(500, now=at("2026-11-01T00:00:00")), 0
    for hour in range(30 * 24 - 1):
        day, of_day = divmod(hour, 24)
        busy = 1.9 if day % 7 == 6 else 0.85  # times what an even month has
        moved += round(busy * 480 * GB / 30 / 24)
        volume.count(moved, 4 * GB, at("2026-11-01T00:00:00") + (hour + 1) * 3600 * SECOND - 1)
        if volume.used < 480 * GB:
            assert stage_of(volume) is Stage.OPEN, (day, of_day)


def test_a_days_share_is_drawn_anew_each_day_and_no_restart_draws_it_again() -> None:
    volume = of(500)
    shares = set[float]()
    for day in range(1, 20):
        now = NOW + day * 86_400 * SECOND
        volume.count(0, 0, now)
        shares.add(volume.share * ((volume.until - now) // (86_400 * SECOND) + 1) / (500 * GB))
        again = Volume(
            volume.cap, volume.final(), now=now, lease_s=LEASE_S, rng=seeded(f"another {day}")
        )
        assert again.share == volume.share
    assert len(shares) > 15
    assert min(shares) < 2.5 and max(shares) > 3.5


def test_a_share_that_is_used_up_stays_so_after_a_restart_and_a_raised_cap_begins_it_anew() -> None:
    volume = of(500)
    volume.count(round(volume.share) - 1, 0, NOW + SECOND)
    assert stage_of(volume) is Stage.OPEN
    volume.count(round(volume.share) + 10**6, 0, NOW + 2 * SECOND)
    assert stage_of(volume) is Stage.LEAVING
    due = volume.due()
    assert due is not None
    again = of(500, due)
    assert again.stage is Stage.LEAVING and again.resumes == at("2026-11-11T00:00:00")
    again.set_cap(Cap(450 * GB), NOW)
    assert stage_of(again) is Stage.LEAVING
    again.set_cap(Cap(451 * GB), NOW)
    assert stage_of(again) is Stage.OPEN


def test_caps_of_a_few_gigabytes_are_not_cut_to_days() -> None:
    assert of(0.5).share == GB
    assert of(5).share == GB


def test_a_quiet_relay_writes_its_account_once_and_a_busy_one_now_and_then() -> None:
    def writes(step: int) -> int:
        volume, count = of(1000), 0
        for second in range(600):
            volume.count(second * step, 0, NOW + second * SECOND)
            due = volume.due()
            if due is not None:
                count += 1
                volume.made_durable(due)
        return count

    assert writes(0) == 1
    assert writes(6_000_000) < 600 / 25


def test_the_account_is_a_small_file_and_a_damaged_one_is_a_sentence(tmp_path: Path) -> None:
    kept = Kept(NOW, 2**64 - 1, GB)
    assert volume_service.load(tmp_path) is None
    old = b"\x94\x00" + b"".join(b"\xcf" + one.to_bytes(8) for one in (NOW, GB + 2**40, 2**40))
    (tmp_path / volume_service.FILE).write_bytes(old)
    assert volume_service.load(tmp_path) == Kept(NOW, GB + 2**40, 2**40)
    (tmp_path / volume_service.FILE).write_bytes(CODEC.encode(kept))
    found = volume_service.load(tmp_path)
    assert found is not None
    assert astuple(found) == astuple(kept)
    (tmp_path / volume_service.FILE).write_bytes(b"\x00")
    with pytest.raises(UserError, match="volume is damaged; remove it"):
        volume_service.load(tmp_path)
