"""Whom a node dials, which channels it keeps, and how long it lets a relay rest."""

from dataclasses import dataclass, field, replace

import pytest

from directory.world import Author
from shoal_protocol.clock import SECOND
from shoal_protocol.directory.neighbours import (
    CHANNELS_MOST,
    DIALS_MOST,
    LIVED,
    NEIGHBOURS,
    REST_MOST,
    Admission,
    Dial,
    Neighbours,
)
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import LAB, MAIN
from support import START, seeded

FREE = replace(MAIN, name="free", descriptor_work_bits=0, two_sources=False)
OWN = bytes([128]) + bytes(15)
LOWER, HIGHER = bytes(16), bytes([255]) * 16
ADDRESS = ("/ip4/127.0.0.1/tcp/4001",)
AUTHORS = [Author(f"neighbour {n}") for n in range(30)]


def view_of(count: int) -> DirectoryView:
    view = DirectoryView(LAB)
    for author in AUTHORS[:count]:
        view.add_descriptor(author.descriptor(), START)
        view.add_lease(author.lease(), START)
    return view


def relay(view: DirectoryView, seed: int = 0, *, count: int = NEIGHBOURS) -> Neighbours:
    machine = Neighbours(view, rng=seeded(f"neighbours {seed}"), serve=True, count=count)
    machine.begin(OWN)
    return machine


def person() -> Neighbours:
    machine = Neighbours(DirectoryView(LAB), rng=seeded("person"), serve=False)
    machine.begin(OWN)
    return machine


def connect(machine: Neighbours, dial: Dial, now: int = START) -> Admission:
    machine.opened(dial.number, now)
    return machine.admit(dial.relay_id, outgoing=True)


def test_a_relay_dials_as_many_of_its_view_as_it_lacks_and_others_with_other_chance() -> None:
    chosen = set[frozenset[bytes]]()
    for seed in range(5):
        machine = relay(view_of(20), seed)
        dials = machine.handle_timer(START)
        chosen.add(frozenset(dial.relay_id for dial in dials))
        assert len({dial.relay_id for dial in dials}) == NEIGHBOURS
        assert machine.handle_timer(START) == []
    assert len(chosen) == 5


@pytest.mark.parametrize(("dialled_us", "counted"), [(2, 2), (10, NEIGHBOURS // 2)])
def test_those_who_dialled_this_relay_count_as_half_of_its_neighbours_at_most(
    dialled_us: int, counted: int
) -> None:
    machine = relay(view_of(20))
    for author in AUTHORS[:dialled_us]:
        assert machine.admit(author.relay_id, outgoing=False) is Admission.TAKEN
    for stranger in range(50):
        assert machine.admit(stranger.to_bytes(16, "big"), outgoing=False) is Admission.TAKEN
    assert len(machine.handle_timer(START)) == NEIGHBOURS - counted


@pytest.fixture(scope="module")
def flooded() -> DirectoryView:
    """Thirty relays in networks of their own, and three hundred identities on one host."""
    view = DirectoryView(FREE)
    for number in range(330):
        author = Author(f"flood {number}", FREE)
        address = f"/ip4/{20 + number}.1.1.1/tcp/1" if number < 30 else f"/ip4/9.9.9.9/tcp/{number}"
        view.add_descriptor(author.descriptor(addresses=[address]), START)
        view.add_lease(author.lease(), START)
    return view


def test_a_flood_of_identities_of_one_network_is_one_neighbour_at_most(
    flooded: DirectoryView,
) -> None:
    serving = {one.relay_id for one in flooded.relays(START)}
    for seed in range(20):
        machine = relay(flooded, seed)
        dials = machine.handle_timer(START)
        hosts = [dial.addresses[0].split("/")[2] for dial in dials]
        assert len(dials) == len(set(hosts)) == NEIGHBOURS
        assert sum(dial.relay_id in serving for dial in dials) >= NEIGHBOURS // 2
        for dial in dials:
            connect(machine, dial)
        machine.left(dials[0].relay_id)
        machine.ended(dials[0].number, START)
        again = [dial.addresses[0].split("/")[2] for dial in machine.handle_timer(START)]
        assert len(again) == 1 and not set(again) & set(hosts[1:])


def test_in_a_network_of_one_subnet_a_relay_still_has_its_neighbours() -> None:
    view = DirectoryView(FREE)
    for number in range(8):
        author = Author(f"near {number}", FREE)
        view.add_descriptor(author.descriptor(addresses=[f"/ip4/9.9.{number}.9/tcp/1"]), START)
        view.add_lease(author.lease(), START)
    assert len(relay(view).handle_timer(START)) == NEIGHBOURS


def test_a_relay_does_not_dial_itself() -> None:
    view = view_of(3)
    machine = Neighbours(view, rng=seeded("self"), serve=True)
    machine.begin(AUTHORS[0].relay_id)
    machine.pin({AUTHORS[0].relay_id: ADDRESS})
    dialled = {dial.relay_id for dial in machine.handle_timer(START)}
    assert dialled == {author.relay_id for author in AUTHORS[1:3]}


def test_a_relay_that_does_not_answer_rests_twice_as_long_each_time_up_to_a_minute() -> None:
    machine, now, pauses = relay(view_of(0)), START, list[float]()
    machine.pin({LOWER: ADDRESS})
    for _ in range(9):
        (dial,) = machine.handle_timer(now)
        machine.ended(dial.number, now)
        assert machine.next_deadline() == 0
        assert machine.handle_timer(now) == []
        due = machine.next_deadline()
        assert due is not None
        assert machine.handle_timer(due - 1) == []
        pauses.append((due - now) / SECOND)
        now = due
    for pause, mean in zip(pauses, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert mean / 2 <= pause <= mean * 1.5


@pytest.mark.parametrize(("lived", "least", "most"), [(LIVED - 1, 0.5, 1.5), (LIVED, 0.25, 0.75)])
def test_a_channel_that_lived_shortly_counts_as_a_failed_dial(
    lived: int, least: float, most: float
) -> None:
    machine = relay(view_of(1))
    (dial,) = machine.handle_timer(START)
    assert connect(machine, dial) is Admission.TAKEN
    machine.left(dial.relay_id)
    assert machine.handle_timer(START) == []  # its dial has not ended
    machine.ended(dial.number, START + lived)
    machine.handle_timer(START + lived)
    due = machine.next_deadline()
    assert due is not None
    assert least <= (due - START - lived) / SECOND <= most


def test_a_relay_dials_a_bootstrap_address_only_while_its_view_lacks_that_relay() -> None:
    view = view_of(7)
    machine = relay(view, count=0)
    lost = AUTHORS[20]
    machine.pin({AUTHORS[0].relay_id: ADDRESS, lost.relay_id: ADDRESS})
    assert [dial.relay_id for dial in machine.handle_timer(START)] == [lost.relay_id]
    later = START + (LAB.lease_s + 1) * SECOND
    view.expire(later)
    assert machine.next_deadline() == 0  # the view is another one
    assert [dial.relay_id for dial in machine.handle_timer(later)] == [AUTHORS[0].relay_id]


def test_a_persons_node_dials_each_of_its_guards_takes_nobody_and_leaves_all_others() -> None:
    machine = person()
    machine.pin({LOWER: ADDRESS, HIGHER: ADDRESS})
    assert machine.admit(LOWER, outgoing=False) is Admission.REFUSED
    dials = machine.handle_timer(START)
    assert [dial.relay_id for dial in dials] == [LOWER, HIGHER]
    assert connect(machine, dials[0]) is Admission.TAKEN
    assert machine.pin({HIGHER: ADDRESS}) == (LOWER,)
    machine.left(LOWER)
    machine.ended(dials[0].number, START)
    assert machine.peers == ()
    assert machine.handle_timer(START + REST_MOST) == []


def test_a_guard_that_answers_after_it_was_left_is_not_kept() -> None:
    machine = person()
    machine.pin({LOWER: ADDRESS})
    (dial,) = machine.handle_timer(START)
    machine.pin({HIGHER: ADDRESS})
    assert connect(machine, dial) is Admission.REFUSED
    assert machine.peers == ()


@pytest.mark.parametrize("first", [True, False])
def test_of_two_channels_dialled_at_once_both_ends_keep_the_one_that_the_lower_id_dialled(
    first: bool,
) -> None:
    own_first = [first, not first]
    for peer, kept in ((LOWER, False), (HIGHER, True)):  # whether the one kept is outgoing
        machine = relay(view_of(0))
        verdicts = [machine.admit(peer, outgoing=outgoing) for outgoing in own_first]
        second = Admission.INSTEAD if own_first[1] == kept else Admission.REFUSED
        assert verdicts == [Admission.TAKEN, second]


def test_a_channel_that_a_peer_dials_again_takes_the_place_of_the_one_that_it_lost() -> None:
    machine = relay(view_of(0))
    assert machine.admit(LOWER, outgoing=False) is Admission.TAKEN
    assert machine.admit(LOWER, outgoing=False) is Admission.INSTEAD
    assert machine.peers == (LOWER,)


def test_dials_under_way_and_incoming_channels_are_bounded() -> None:
    machine = relay(view_of(30), count=20)
    dials = machine.handle_timer(START)
    assert len(dials) == DIALS_MOST
    for dial in dials:
        connect(machine, dial)
    assert machine.next_deadline() == 0
    assert len(machine.handle_timer(START)) == DIALS_MOST
    for stranger in range(CHANNELS_MOST - DIALS_MOST):
        assert machine.admit(stranger.to_bytes(16, "big"), outgoing=False) is Admission.TAKEN
    assert machine.admit(HIGHER, outgoing=False) is Admission.REFUSED
    assert machine.admit(HIGHER, outgoing=True) is Admission.TAKEN


def test_who_does_not_run_takes_and_dials_nobody() -> None:
    machine = relay(view_of(5))
    assert machine.admit(LOWER, outgoing=False) is Admission.TAKEN
    assert machine.stop() == (LOWER,)
    machine.left(LOWER)
    assert machine.admit(LOWER, outgoing=False) is Admission.REFUSED
    assert machine.handle_timer(START) == []
    machine.begin(OWN)
    assert len(machine.handle_timer(START)) == 5


@dataclass
class Driven:
    """A machine, with what a driver has under way."""

    machine: Neighbours
    now: int = START
    renewed: int = START
    dials: list[Dial] = field(default_factory=list[Dial])
    open: list[Dial] = field(default_factory=list[Dial])

    def wait(self, view: DirectoryView, until: int) -> None:
        """Let time pass; all of the view's relays live on."""
        self.now = max(self.now, until)
        if self.now > self.renewed + LAB.lease_s * SECOND // 4:
            self.renewed = self.now
            for author in AUTHORS[:12]:
                view.add_descriptor(author.descriptor(self.now), self.now)
                view.add_lease(author.lease(self.now), self.now)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_a_relay_comes_back_to_its_neighbours_and_forgets_who_is_gone(
    seed: int,
) -> None:
    """Dials that fail, are answered, channels that close: only deadlines wake the machine."""
    rng, view = seeded(f"driven {seed}"), view_of(12)
    driven = Driven(relay(view, seed))
    machine = driven.machine
    for _ in range(400):
        match rng.below(4):
            case 0 if driven.dials:
                dial = driven.dials.pop(rng.below(len(driven.dials)))
                machine.ended(dial.number, driven.now)
            case 1 if driven.dials:
                dial = driven.dials.pop(rng.below(len(driven.dials)))
                assert connect(machine, dial, driven.now) is Admission.TAKEN
                driven.open.append(dial)
            case 2 if driven.open:
                dial = driven.open.pop(rng.below(len(driven.open)))
                machine.left(dial.relay_id)
                machine.ended(dial.number, driven.now)
            case _:
                pass
        due = machine.next_deadline()
        if due is not None:
            driven.wait(view, due)
            driven.dials += machine.handle_timer(driven.now)
        assert len(driven.dials) + len(driven.open) <= NEIGHBOURS
        assert machine.resting <= 12
    for _ in range(50):
        for dial in driven.dials:
            connect(machine, dial, driven.now)
        due = machine.next_deadline()
        driven.wait(view, due or 0)
        driven.dials = machine.handle_timer(driven.now)
    assert len(machine.peers) == NEIGHBOURS
    driven.now += (LAB.lease_s + 1) * SECOND
    view.expire(driven.now)
    machine.handle_timer(driven.now)
    assert machine.resting == 0
