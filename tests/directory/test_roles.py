"""Who serves: the oldest of each subnet, old enough, or the oldest while nobody is."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from directory.world import Author
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import roles, subnets
from shoal_protocol.directory.descriptor import Descriptor, decode_descriptor
from shoal_protocol.directory.tenure import STEPS, Tenure, Word
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import LAB, MAIN, NetworkParameters
from support import START

RULES = replace(MAIN, name="rules", descriptor_work_bits=0)
FREE = replace(RULES, name="free", subnet_slots=0, role_least=0, role_age_s=7200, two_sources=False)
BASES = [decode_descriptor(Author(f"role {i}", RULES).descriptor(), RULES) for i in range(24)]
AUTHORS = [Author(f"free {i}", FREE) for i in range(10)]


def relay(place: int, *hosts: str) -> Descriptor:
    """The descriptor of an author at these IPv4 or IPv6 hosts."""
    found = [f"/ip{6 if ':' in host else 4}/{host}/tcp/4001" for host in hosts]
    return replace(BASES[place], addresses=tuple(found))


def serve(
    relays: list[Descriptor], ages: list[int], params: NetworkParameters = RULES
) -> set[Descriptor]:
    """Who of ``relays`` serves with these ages, in steps."""
    by_id = {relay.relay_id: age for relay, age in zip(relays, ages, strict=True)}
    return set(roles.serving(relays, by_id.__getitem__, params))


def test_of_one_24_the_oldest_serves_and_of_one_16_the_four_oldest() -> None:
    near = [relay(0, "9.9.9.1"), relay(1, "9.9.9.2")]
    assert serve(near, [100, 101]) == {near[1]}
    wide = [relay(i, f"9.9.{i}.1") for i in range(6)]
    assert serve(wide, [90, 95, 80, 99, 98, 97]) == {wide[i] for i in (1, 3, 4, 5)}


def test_ipv6_has_slots_by_48_and_32() -> None:
    near = [relay(0, "2a01:4f8:1::1"), relay(1, "2a01:4f8:1:2::1"), relay(2, "2a01:4f8:2::1")]
    assert serve(near, [80, 90, 85]) == {near[1], near[2]}
    wide = [relay(i, f"2a01:4f8:{i + 1}::1") for i in range(6)]
    assert len(serve(wide, [100] * 6)) == 4


def test_whoever_names_several_networks_needs_a_slot_in_each() -> None:
    honest, liar = relay(0, "9.9.9.1"), relay(1, "8.8.8.1", "9.9.9.7")
    assert serve([honest, liar], [100, 99]) == {honest}
    shared = [relay(i, "8.8.8.1", f"2{i}.1.1.1") for i in range(6)]
    assert len(serve(shared, [100] * 6)) == 1


def test_the_young_serve_while_too_few_are_old_and_then_the_oldest_of_them() -> None:
    relays = [relay(i, f"9.{i}.9.1") for i in range(12)]
    least = replace(RULES, role_least=4)
    assert serve(relays, list(range(12)), least) == set(relays[8:])
    assert serve(relays, [STEPS] * 6 + [STEPS - 1] * 6, least) == set(relays[:6])
    assert serve(relays, [STEPS + 1] + [5] * 5 + [4] * 6, least) > {relays[0]}
    assert len(serve(relays, [0] * 12)) == 12


def test_a_thousand_newcomers_take_no_role_from_a_young_network() -> None:
    first = [relay(i, f"9.{i}.9.1") for i in range(12)]
    flood = [relay(12 + i, f"{130 + i}.1.1.1") for i in range(12)]
    least = replace(RULES, role_least=12)
    assert serve([*first, *flood], [2] * 12 + [1] * 12, least) == set(first)


def test_a_lab_lets_everybody_serve() -> None:
    relays = [relay(i, "9.9.9.9") for i in range(12)]
    assert serve(relays, [0] * 12, LAB) == set(relays)


ADDRESSES = st.tuples(st.integers(2, 4), st.integers(0, 2), st.integers(0, 3))


@given(
    st.lists(st.lists(ADDRESSES, min_size=1, max_size=3), min_size=1, max_size=12),
    st.lists(st.integers(0, 150), min_size=12, max_size=12),
    st.integers(0, 6),
)
def test_no_addresses_and_ages_overfill_a_subnet_or_let_a_young_one_in_before_an_old_one(
    hosts: list[list[tuple[int, int, int]]], ages: list[int], least: int
) -> None:
    params = replace(RULES, role_least=least)
    relays = [
        relay(place, *dict.fromkeys(f"{a}0.{b}.{c}.1" for a, b, c in each))
        for place, each in enumerate(hosts)
    ]
    ages = ages[: len(relays)]
    chosen = serve(relays, ages, params)
    narrow = Counter(net for one in chosen for net in subnets.narrow(one.addresses))
    wide = Counter(net for one in chosen for net in subnets.wide(one.addresses))
    assert all(count == 1 for count in narrow.values())
    assert all(count <= params.subnet_slots for count in wide.values())
    young = [age for one, age in zip(relays, ages, strict=True) if one in chosen and age < STEPS]
    assert not young or len(chosen) <= least
    # whoever is out is young, or older ones have a network of his
    for one, age in zip(relays, ages, strict=True):
        if one in chosen or age < STEPS:
            continue
        mine = subnets.wide(one.addresses)
        assert any(
            mine & subnets.wide(other.addresses) and ages[relays.index(other)] >= age
            for other in chosen
        )


def fill(view: DirectoryView, count: int, now: int) -> None:
    """Let relays in subnets of their own be live at ``now``."""
    for place in range(count):
        author, address = AUTHORS[place], f"/ip4/9.{place}.9.1/tcp/4001"
        view.add_descriptor(author.descriptor(now, addresses=[address]), now)
        view.add_lease(author.lease(now), now)


def pass_time(view: DirectoryView, hours: float, count: int, now: int) -> int:
    """Renew ``count`` relays for so long; return the time then."""
    end = now + int(hours * 3600) * SECOND
    while now < end:
        now += 300 * SECOND
        fill(view, count, now)
        view.expire(now)
    return now


def test_a_view_lets_relays_serve_once_they_were_seen_long_enough_and_says_so() -> None:
    view = DirectoryView(FREE)
    now = pass_time(view, 1.9, 5, START)
    assert view.relays(now) == ()
    assert len(view.listed(now)) == 5
    before = view.revision
    now = pass_time(view, 0.3, 5, now)
    assert len(view.relays(now)) == 5
    assert view.revision > before
    now = pass_time(view, 1, 6, now)
    assert len(view.relays(now)) == 5
    assert len(view.listed(now)) == 6
    assert view.traffic(now) == (0,) * 5
    due = view.next_expiry
    assert due is not None
    assert due <= now + FREE.lease_s * SECOND


def test_a_persons_new_node_uses_nobody_before_somebody_said_who_was_there() -> None:
    view = DirectoryView(FREE, tenure=Tenure(FREE, told=True))
    now = pass_time(view, 0.2, 5, START)
    assert view.relays(now) == ()
    old = {author.relay_id: 100 for author in AUTHORS[:3]}
    view.hear({b"guard": Word(100, old)}, now)
    assert {relay.relay_id for relay in view.relays(now)} == set(old)


def test_two_views_that_first_saw_relays_within_minutes_agree_but_for_those() -> None:
    """What readers and writers of a record differ by: those who turn old meanwhile."""
    views = [DirectoryView(FREE), DirectoryView(FREE)]
    now = pass_time(views[0], 0.1, 3, START)
    for hours, count in ((1.5, 3), (0.7, 4), (1.0, 4)):
        ends = [pass_time(view, hours, count, now) for view in views]
        now = ends[0]
    found = [{relay.relay_id for relay in view.relays(now)} for view in views]
    assert found[0] >= found[1]
    assert {author.relay_id for author in AUTHORS[:3]} <= found[1]
