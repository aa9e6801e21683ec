"""A relay's figures for Prometheus: their form, how coarse they are, and what they never tell."""

import math
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

import pytest
import trio
import trio.testing
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from shoal_node import metrics
from shoal_node.clock import NodeClock
from shoal_node.metrics import Facts, Metrics
from shoal_protocol.clock import SECOND
from support import START, seeded

LEASE_S = 900
PERIOD = LEASE_S * SECOND
BEGIN = START // metrics.DAY * metrics.DAY + metrics.DAY  # a midnight
FACTS = Facts(
    version="0.1.0",
    ready=True,
    reachable=True,
    relays=13,
    linked=9,
    taking=True,
    draining=False,
    traffic_class=14,
    crossed=0,
    month_limit=500 * 10**9,
    store_used=10**9,
    store_limit=4 * 10**9,
    refused=dict.fromkeys(metrics.LIMITS, 0),
    failures=0,
    memory=150 * 2**20,
    disk_free=40_123_456_789,
)


@dataclass
class Relay:
    """A relay that knows what a test says."""

    facts: Facts = FACTS
    now: int = BEGIN + SECOND
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(
            lambda: self.facts, now=lambda: self.now, period_s=LEASE_S, rng=seeded("metrics")
        )

    def pass_period(self, periods: int = 1, **news: object) -> None:
        """Let figures be taken at the next instants; ``news`` are the facts by then."""
        self.facts = replace(self.facts, **news)  # type: ignore[arg-type]
        for _ in range(periods):
            self.now = self.metrics.next_instant()
            self.metrics.take(self.now)

    def families(self) -> dict[str, Metric]:
        text = self.metrics.text().decode()
        return {family.name: family for family in text_string_to_metric_families(text)}

    def samples(self) -> dict[str, float]:
        return {
            sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in self.families().values()
            for sample in family.samples
        }


@pytest.fixture
def relay() -> Relay:
    """A relay of which a whole day is known."""
    relay = Relay(now=BEGIN - PERIOD // 2)
    relay.pass_period()
    relay.pass_period(crossed=86_400_000, periods=96)
    return relay


# What `promtool check metrics` looks for (prometheus/client_golang, promlint).
OTHER_UNITS = {
    *("minutes", "hours", "days", "weeks", "kelvins", "fahrenheit", "rankine", "inches", "yards"),
    *("miles", "bits", "calories", "pounds", "ounces"),
}
PREFIXES = (
    "pico nano micro milli centi deci deca hecto kilo kibi mega mibi giga gibi tera tebi peta pebi"
)
ABBREVIATIONS = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}
BASE_UNITS = {"amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters", "seconds"}


def complaints(family: Metric) -> Iterator[str]:
    """What promtool would say of a family."""
    name, words = family.name, set(family.name.split("_"))
    if not family.documentation:
        yield "no help"
    if words & OTHER_UNITS or {p + u for p in PREFIXES.split() for u in BASE_UNITS} & words:
        yield "no base unit"
    if words & ABBREVIATIONS:
        yield "abbreviated unit"
    if family.type == "counter" and not all(s.name == f"{name}_total" for s in family.samples):
        yield "a counter must end in _total"
    if family.type != "counter" and name.endswith("_total"):
        yield "no counter may end in _total"
    if name.endswith(("_bucket", "_count", "_sum")):
        yield "a suffix of histograms"
    if words & {"counter", "gauge", "histogram", "summary"}:
        yield "the type in the name"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        yield "reserved characters or capitals"
    labels = {label for sample in family.samples for label in sample.labels}
    if {"le", "quantile"} & labels:
        yield "a label of histograms"
    if any(re.search("[a-z][A-Z]", label) for label in labels):
        yield "a label with capitals"


def test_the_text_has_the_form_that_prometheus_asks_for(relay: Relay) -> None:
    families = relay.families()
    assert [(one.name, *complaints(one)) for one in families.values()] == [(n,) for n in families]
    assert all(name.startswith("shoal_") for name in families)
    assert {family.type for family in families.values()} == {"gauge", "counter"}
    text = relay.metrics.text().decode()
    assert text.count("# TYPE ") == text.count("# HELP ") == len(families)
    assert text.endswith("\n")


def test_the_form_check_notices_what_promtool_would() -> None:
    bad = "# TYPE queue_ms gauge\nqueue_ms 1\n# HELP x_total y\n# TYPE x_total gauge\nx_total 1\n"
    found = {f.name: [*complaints(f)] for f in text_string_to_metric_families(bad)}
    assert found == {
        "queue_ms": ["no help", "abbreviated unit"],
        "x_total": ["no counter may end in _total"],
    }


def test_no_figure_is_of_a_peer_a_client_a_delay_or_the_processor(relay: Relay) -> None:
    labels = {
        (family.name, label)
        for family in relay.families().values()
        for sample in family.samples
        for label in sample.labels
    }
    assert labels == {("shoal_build_info", "version"), ("shoal_limit_reached", "limit")}
    assert not re.search("peer_id|latency|cpu|delay|bucket", " ".join(relay.families()))
    assert not any(sample.exemplar for f in relay.families().values() for sample in f.samples)


def test_what_is_told_of_a_period(relay: Relay) -> None:
    told = relay.samples()
    del told["shoal_last_day_packets"]
    assert told == {
        "shoal_build_info 0.1.0": 1,
        "shoal_ready": 1,
        "shoal_reachable": 1,
        "shoal_relays": 13,
        "shoal_taking_work": 1,
        "shoal_draining": 0,
        "shoal_start_timestamp_seconds": (BEGIN - PERIOD) // SECOND,
        "shoal_month_limit_bytes": 500 * 10**9,
        "shoal_figures_timestamp_seconds": (BEGIN + metrics.DAY) // SECOND,
        "shoal_requests_per_second": pytest.approx(2.5, rel=0.02),
        "shoal_store_used_ratio": 0.25,
        "shoal_relays_linked_ratio": 0.75,
        **{f"shoal_limit_reached {name}": 0 for name in metrics.LIMITS},
        "shoal_errors_total": 0,
        "shoal_memory_bytes": 192 * 2**20,
        "shoal_disk_free_bytes": 40 * 10**9,
    }


def test_between_instants_nothing_that_packets_move_is_told(relay: Relay) -> None:
    before = relay.metrics.text()
    for second in range(1, LEASE_S):
        relay.now += SECOND
        relay.facts = replace(
            relay.facts,
            linked=second % 13,
            traffic_class=second % 41,
            crossed=relay.facts.crossed + 997,
            store_used=relay.facts.store_used + 10**7,
            refused=dict.fromkeys(metrics.LIMITS, second),
            failures=second,
            memory=second * 2**20,
            disk_free=second * 10**9,
        )
        assert relay.metrics.text() == before


def test_instants_are_the_same_for_every_relay_and_tell_no_start() -> None:
    told = set()
    for second in (1, 17, 450, 899):
        relay = Relay(now=BEGIN + second * SECOND)
        assert relay.metrics.next_instant() == BEGIN + PERIOD
        relay.pass_period()
        told.add(relay.metrics.text())
    assert len(told) == 1


async def test_figures_are_taken_at_each_instant_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = NodeClock(BEGIN - 10 * SECOND)
    asked = list[int]()

    def facts() -> Facts:
        asked.append(clock.now())
        return FACTS

    taken = Metrics(facts, now=clock.now, period_s=LEASE_S, rng=seeded("metrics"))
    asked.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(taken.run)
        await trio.sleep(3 * LEASE_S)
        nursery.cancel_scope.cancel()
    assert [one // PERIOD * PERIOD for one in asked] == [BEGIN + n * PERIOD for n in range(3)]
    assert all(one % PERIOD < SECOND for one in asked)


def test_asking_often_costs_nothing(relay: Relay) -> None:
    first = relay.metrics.text()
    relay.facts = replace(relay.facts, relays=99)
    relay.now += SECOND // 2
    assert relay.metrics.text() == first
    relay.now += SECOND
    assert relay.samples()["shoal_relays"] == 99


def test_a_person_more_moves_no_figure_of_a_period(relay: Relay) -> None:
    """Unless it lies at a step's very edge, which others move as well."""
    relay.pass_period()
    before = relay.samples()
    packets = round(metrics.ONE_PERSON / 96)
    relay.pass_period(
        crossed=relay.facts.crossed + packets,
        store_used=relay.facts.store_used + 3_072 * 500,
    )
    after = relay.samples()
    del before["shoal_figures_timestamp_seconds"], after["shoal_figures_timestamp_seconds"]
    assert after == before


def test_a_limit_tells_whether_and_not_how_often(relay: Relay) -> None:
    once = dict.fromkeys(metrics.LIMITS, 0) | {"clients": 1}
    relay.pass_period(refused=once)
    assert relay.samples()["shoal_limit_reached clients"] == 1
    relay.pass_period(refused=once | {"clients": 10_000})
    assert relay.samples()["shoal_limit_reached clients"] == 1
    assert relay.samples()["shoal_limit_reached pool"] == 0
    relay.pass_period()
    assert relay.samples()["shoal_limit_reached clients"] == 0


def test_a_days_packets_are_told_once_with_noise_and_never_of_part_of_a_day(relay: Relay) -> None:
    first = relay.samples()["shoal_last_day_packets"]
    assert first % metrics.PACKET_STEP == 0
    assert first != pytest.approx(86_400_000, abs=1000)
    assert first == pytest.approx(86_400_000, abs=12 * metrics.NOISE)
    relay.pass_period(95, crossed=10**9)
    assert relay.samples()["shoal_last_day_packets"] == first, "the same noise until the day ends"
    relay.pass_period()
    assert relay.samples()["shoal_last_day_packets"] != first
    late = Relay(now=BEGIN + 40 * PERIOD)
    late.pass_period(96)
    assert "shoal_last_day_packets" not in late.samples(), "that day began before the relay did"
    late.pass_period(96, crossed=0)
    assert late.samples()["shoal_last_day_packets"] >= 0


def test_a_machine_that_slept_over_a_midnight_tells_nothing_of_the_day_it_missed(
    relay: Relay,
) -> None:
    relay.now += 2 * metrics.DAY
    relay.metrics.take(relay.now)
    assert "shoal_last_day_packets" not in relay.samples()


def test_the_noise_is_laplaces_and_one_persons_packets_hide_in_it() -> None:
    rng = seeded("noise")
    drawn = [metrics.laplace(rng.uniform(), metrics.NOISE) for _ in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(0, abs=0.05 * metrics.NOISE)
    assert statistics.fmean(map(abs, drawn)) == pytest.approx(metrics.NOISE, rel=0.05)
    ratio = math.exp(metrics.ONE_PERSON / metrics.NOISE)
    without = sum(one > metrics.ONE_PERSON for one in drawn)
    with_one = sum(one + metrics.ONE_PERSON > metrics.ONE_PERSON for one in drawn)
    assert with_one / without == pytest.approx(ratio, rel=0.05)
    assert ratio < 1.36
    assert all(math.isfinite(metrics.laplace(u, 1.0)) for u in (0.0, 0.5, 1 - 2**-53))


def test_nothing_but_a_days_noisy_packets_tells_of_traffic_in_the_long_run(relay: Relay) -> None:
    """A share of the month's volume showed one person within weeks."""
    told = " ".join(relay.families())
    assert "last_day_packets" in told
    assert not re.search("month_used|volume|bytes_(sent|received)|traffic", told)


def test_every_fact_is_told_in_some_form_and_none_as_it_stands(relay: Relay) -> None:
    """A fact that somebody adds has to be looked at here."""
    public = {"version", "ready", "reachable", "relays", "taking", "draining", "month_limit"}
    coarse = {"linked", "store_used", "memory", "disk_free", "traffic_class"}
    others = {"crossed", "refused", "failures", "store_limit"}  # noisy, whether, ours, a divisor
    assert {one.name for one in fields(Facts)} == public | coarse | others
