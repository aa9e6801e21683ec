"""The view: which descriptors win, which are live, and what is dropped when."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from directory.world import Author
from shoal_protocol import clock
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import view as views
from shoal_protocol.directory.descriptor import LEAVING
from shoal_protocol.directory.tree import BucketTree, Item
from shoal_protocol.directory.view import DirectoryView, Need
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import LAB
from support import START, seeded

EPOCH = clock.index_of(START, LAB.epoch_s)
ALICE, BOB = Author("alice"), Author("bob")
LEASE = LAB.lease_s * SECOND


def holding(*authors: Author) -> DirectoryView:
    """Return a view with a live entry of each."""
    view = DirectoryView(LAB)
    for author in authors:
        assert view.add_descriptor(author.descriptor(), START, b"source")
        assert view.add_lease(author.lease(), START)
    return view


def software(view: DirectoryView, now: int = START) -> list[str]:
    return [relay.software for relay in view.relays(now)]


def test_a_descriptor_is_live_only_with_a_lease() -> None:
    view = DirectoryView(LAB)
    assert view.add_descriptor(ALICE.descriptor(), START)
    assert view.relays(START) == ()
    assert view.get(ALICE.relay_id) is None
    assert view.add_lease(ALICE.lease(), START)
    assert [relay.relay_id for relay in view.relays(START)] == [ALICE.relay_id]
    assert view.get(ALICE.relay_id) == view.relays(START)[0]


def test_relays_are_in_order_of_their_ids_whatever_came_first() -> None:
    authors = [Author(number) for number in range(5)]
    ids = sorted(author.relay_id for author in authors)
    for order in (authors, authors[::-1]):
        view = holding(*order)
        assert [relay.relay_id for relay in view.relays(START)] == ids
    assert holding(*authors).tree.root() == holding(*authors[::-1]).tree.root()


def test_a_relay_that_leaves_is_given_nothing_new_and_is_found_while_its_lease_holds() -> None:
    view = holding(ALICE, BOB)
    before = view.revision
    assert view.add_descriptor(ALICE.descriptor(serial=1, capacity=LEAVING), START)
    assert view.revision > before
    assert [relay.relay_id for relay in view.relays(START)] == [BOB.relay_id]
    assert [relay.relay_id for relay in view.leaving(START)] == [ALICE.relay_id]
    assert view.get(ALICE.relay_id) == view.leaving(START)[0]
    assert view.leaving(START + LEASE) == ()
    assert view.add_descriptor(ALICE.descriptor(serial=2), START)
    assert len(view.relays(START)) == 2
    assert view.leaving(START) == ()


def test_a_lease_of_an_unknown_relay_is_not_kept() -> None:
    view = DirectoryView(LAB)
    assert not view.add_lease(ALICE.lease(), START)
    assert len(view) == 0
    assert view.checks == 0


def test_a_descriptor_without_a_lease_is_dropped_soon() -> None:
    view = DirectoryView(LAB)
    view.add_descriptor(ALICE.descriptor(), START)
    assert view.next_expiry == START + views.PENDING_S * SECOND
    assert not view.expire(START + views.PENDING_S * SECOND - 1)
    assert view.expire(START + views.PENDING_S * SECOND)
    assert len(view) == 0
    assert view.next_expiry is None


def test_a_relay_is_gone_when_its_lease_ends() -> None:
    view = holding(ALICE)
    assert view.next_expiry == START + LEASE
    assert len(view.relays(START + LEASE - 1)) == 1
    assert view.relays(START + LEASE) == ()
    before = view.revision
    assert view.expire(START + LEASE)
    assert view.revision == before + 1
    assert len(view) == len(view.tree) == 0


def test_an_expired_lease_is_refused() -> None:
    view = holding(ALICE)
    view.expire(START + LEASE)
    view.add_descriptor(ALICE.descriptor(), START + LEASE)
    assert not view.add_lease(ALICE.lease(), START + LEASE)
    assert view.relays(START + LEASE) == ()


def test_the_newest_lease_wins_and_one_that_adds_little_is_not_taken() -> None:
    view = holding(ALICE)
    revision = view.revision
    assert not view.add_lease(ALICE.lease(), START)
    assert not view.add_lease(ALICE.lease(lasts=LAB.lease_s - 5), START)
    assert not view.add_lease(ALICE.lease(lasts=LAB.lease_s + 1), START)
    assert view.add_lease(ALICE.lease(START + 7 * SECOND), START + 7 * SECOND)
    assert len(view.relays(START + LEASE)) == 1
    assert view.revision == revision, "a renewed lease changes no descriptor"


def test_a_lease_too_far_ahead_is_refused() -> None:
    view = holding(ALICE)
    most = LAB.lease_s + LAB.clock_skew_s
    for lasts in (most + 1, 2**63):
        assert not view.add_lease(ALICE.lease(lasts=lasts), START)
    assert view.skipped["lease time"] == 2
    assert view.add_lease(ALICE.lease(lasts=most), START)


def test_the_highest_epoch_and_serial_win() -> None:
    view = holding(ALICE)
    for epoch, serial in ((EPOCH, 1), (EPOCH, 7), (EPOCH + 1, 0)):
        data = ALICE.descriptor(epoch=epoch, serial=serial, software=f"{epoch - EPOCH}.{serial}")
        assert view.add_descriptor(data, START)
    assert software(view) == ["1.0"]


def test_a_replayed_old_descriptor_never_replaces_a_newer_one() -> None:
    view = holding(ALICE)
    old = ALICE.descriptor()
    view.add_descriptor(ALICE.descriptor(serial=1, software="new"), START)
    checks = view.checks
    assert not view.add_descriptor(old, START)
    assert view.skipped["stale"] == 1
    assert view.checks == checks, "without a look at its signature"
    assert software(view) == ["new"]


def test_a_known_descriptor_costs_no_signature_check() -> None:
    view = holding(ALICE)
    checks = view.checks
    assert not view.add_descriptor(ALICE.descriptor(), START)
    assert not view.add_lease(ALICE.lease(), START)
    assert view.checks == checks


@pytest.mark.parametrize(("epoch", "taken"), [(-2, 0), (-1, 1), (0, 1), (1, 1), (2, 0)])
def test_descriptors_of_one_epoch_around_the_present_are_taken(epoch: int, taken: int) -> None:
    view = DirectoryView(LAB)
    assert view.add_descriptor(ALICE.descriptor(epoch=EPOCH + epoch), START) == bool(taken)
    assert view.checks == taken


def test_a_descriptor_ends_with_the_epoch_after_its_own_though_its_lease_goes_on() -> None:
    view = holding(ALICE)
    end = (EPOCH + 2) * LAB.epoch_s * SECOND
    late = end - 5 * SECOND
    assert view.add_lease(ALICE.lease(late, epoch=EPOCH), late)
    assert len(view.relays(end - 1)) == 1
    assert view.relays(end) == ()


def test_a_relay_that_stands_by_a_newer_descriptor_serves_nobody_under_the_old_one() -> None:
    view = holding(ALICE)
    view.add_lease(ALICE.lease(serial=1), START)
    assert view.relays(START) == ()
    view.add_descriptor(ALICE.descriptor(serial=1), START)
    assert len(view.relays(START)) == 1


def test_two_descriptors_of_one_version_bar_their_relay() -> None:
    view = holding(ALICE, BOB)
    assert view.add_descriptor(ALICE.descriptor(software="other"), START)
    assert [relay.relay_id for relay in view.relays(START)] == [BOB.relay_id]
    assert not view.add_descriptor(ALICE.descriptor(serial=1), START), "for the whole epoch"
    assert not view.add_descriptor(ALICE.descriptor(), START)
    assert view.get(ALICE.relay_id) is None
    first, second = view.proof_of(ALICE.relay_id) or (b"", b"")
    assert {first, second} == {ALICE.descriptor(), ALICE.descriptor(software="other")}
    view.expire(START + LEASE)
    assert view.proof_of(ALICE.relay_id), "kept beyond its leases"
    later = (EPOCH + 1) * LAB.epoch_s * SECOND
    assert view.add_descriptor(ALICE.descriptor(later), later)
    assert view.add_lease(ALICE.lease(later), later)
    assert len(view.relays(later)) == 1


def test_nobody_else_can_bar_a_relay() -> None:
    view = holding(ALICE)
    forged = bytearray(ALICE.descriptor(software="other"))
    forged[0] ^= 1
    with pytest.raises(RemoteProtocolError, match="signature"):
        view.add_descriptor(bytes(forged), START)
    with pytest.raises(RemoteProtocolError, match="signature"):
        view.check_proof(ALICE.descriptor(), bytes(forged), START)
    for pair in (
        (ALICE.descriptor(), ALICE.descriptor()),
        (ALICE.descriptor(), ALICE.descriptor(serial=1)),
        (ALICE.descriptor(), BOB.descriptor()),
    ):
        with pytest.raises(RemoteProtocolError, match="proof"):
            view.check_proof(*pair, START)
    assert len(view.relays(START)) == 1


def test_a_malleated_signature_frames_nobody() -> None:
    """S + L is as good as S by the equation alone (RFC 8032 section 8.4); it must be refused."""
    view = holding(ALICE)
    order = 2**252 + 27742317777372353535851937790883648493
    data = bytearray(ALICE.descriptor())
    scalar = int.from_bytes(data[32:64], "little") + order
    data[32:64] = scalar.to_bytes(32, "little")
    with pytest.raises(RemoteProtocolError, match="signature"):
        view.add_descriptor(bytes(data), START)
    with pytest.raises(RemoteProtocolError, match="signature"):
        view.check_proof(ALICE.descriptor(), bytes(data), START)
    assert len(view.relays(START)) == 1


def test_proofs_about_strangers_fill_no_more_of_a_view_than_their_source_may() -> None:
    view = DirectoryView(LAB, limit=8)
    for number in range(8):
        author = Author(f"proven {number}")
        pair = author.descriptor(), author.descriptor(software="other")
        found = view.check_proof(*pair, START, b"one source")
        assert (found is None) == (number >= 4)
        if found is not None:
            view.bar(*found, b"one source")
    assert len(view) == 4
    assert view.skipped["source full"] == 4
    assert view.add_descriptor(BOB.descriptor(), START, b"another")


def test_a_relay_that_signed_two_things_at_once_has_its_time_before_it_again() -> None:
    rules = replace(LAB, name="rules", role_age_s=10)
    view, author, now = DirectoryView(rules), Author("liar", rules), START
    other = Author("honest", rules)

    def see(seconds: int) -> list[bytes]:
        nonlocal now
        for _ in range(seconds // 5):
            now += 5 * SECOND
            for each in (author, other):
                view.add_descriptor(each.descriptor(now), now)
                view.add_lease(each.lease(now), now)
            view.expire(now)
        return [relay.relay_id for relay in view.relays(now)]

    assert len(see(20)) == 2
    view.add_descriptor(author.descriptor(now, software="other"), now)
    assert see(5) == [other.relay_id]
    now = (clock.index_of(now, rules.epoch_s) + 1) * rules.epoch_s * SECOND
    assert author.relay_id not in see(10)
    assert author.relay_id in see(20)


def test_a_refused_descriptor_changes_nothing() -> None:
    view = holding(ALICE)
    before = view.tree.root(), view.revision, len(view), view.next_expiry
    bad = bytearray(ALICE.descriptor(serial=1))
    bad[-1] ^= 1
    with pytest.raises(RemoteProtocolError):
        view.add_descriptor(bytes(bad), START)
    bad = bytearray(ALICE.lease(START + LEASE))
    bad[0] ^= 1
    with pytest.raises(RemoteProtocolError):
        view.add_lease(bytes(bad), START + LEASE - 1)
    assert (view.tree.root(), view.revision, len(view), view.next_expiry) == before


def test_a_full_view_takes_no_more_and_one_source_fills_at_most_half_of_it() -> None:
    view = DirectoryView(LAB, limit=8)
    authors = [Author(number) for number in range(12)]
    taken = [view.add_descriptor(a.descriptor(), START, b"hostile") for a in authors]
    assert sum(taken) == 4
    taken = [view.add_descriptor(a.descriptor(), START, b"other") for a in authors]
    assert sum(taken) == 4
    assert len(view) == 8
    assert view.skipped["full"] > 0
    assert view.skipped["source full"] == 8
    assert not view.add_descriptor(authors[-1].descriptor(), START, b"third")


def test_what_a_second_source_knows_no_longer_counts_against_the_first() -> None:
    view = DirectoryView(LAB, limit=8)
    authors = [Author(number) for number in range(8)]
    for author in authors[:4]:
        view.add_descriptor(author.descriptor(), START, b"one")
        view.add_descriptor(author.descriptor(), START, b"two")
    assert all(view.add_descriptor(a.descriptor(), START, b"one") for a in authors[4:])


def item(view: DirectoryView, author: Author) -> Item:
    found = view.tree.get(author.relay_id)
    assert found is not None
    return found


def test_an_item_says_what_is_lacking() -> None:
    mine, theirs = holding(ALICE), holding(ALICE, BOB)
    assert mine.compare(item(theirs, BOB), START) is Need.ALL
    assert mine.compare(item(theirs, ALICE), START) is Need.NOTHING
    later = START + 10 * SECOND
    theirs.add_lease(ALICE.lease(later), later)
    assert mine.compare(item(theirs, ALICE), later) is Need.LEASE
    assert theirs.compare(item(mine, ALICE), later) is Need.NOTHING
    theirs.add_descriptor(ALICE.descriptor(serial=1), later)
    assert mine.compare(item(theirs, ALICE), later) is Need.ALL
    assert theirs.compare(item(mine, ALICE), later) is Need.NOTHING
    theirs.add_descriptor(ALICE.descriptor(serial=1, software="other"), later)
    assert mine.compare(item(theirs, ALICE), later) is Need.ALL
    assert theirs.compare(item(mine, ALICE), later) is Need.NOTHING
    assert mine.compare(item(theirs, BOB), START + LEASE) is Need.NOTHING


@pytest.mark.parametrize("bits", range(9))
def test_two_trees_differ_exactly_in_the_buckets_that_differ(bits: int) -> None:
    rng = seeded(bits)
    one, other = BucketTree(), BucketTree()
    for _ in range(200):
        relay_id = rng.bytes(16)
        for tree in (one, other):
            tree.put(relay_id, Item(relay_id, 1, False, 0, 2, bytes(8)))
    assert one.root() == other.root()
    added = rng.bytes(16)
    one.put(added, Item(added, 1, False, 0, 2, bytes(8)))
    pairs = zip(one.hashes(bits), other.hashes(bits), strict=True)
    differing = [number for number, (a, b) in enumerate(pairs) if a != b]
    assert differing == [added[0] >> (8 - bits)]
    assert sum(len(one.items(bucket, bits)) for bucket in range(1 << bits)) == len(one) == 201
    one.put(added, None)
    assert one.root() == other.root()


class Histories(RuleBasedStateMachine):
    """Whatever comes in whatever order, the newest versions stand and the tree fits them."""

    authors = tuple(Author(number) for number in range(3))

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.view = DirectoryView(LAB)
        self.best: dict[bytes, tuple[int, int]] = {}

    @rule(who=st.integers(0, 2), epoch=st.integers(-1, 1), serial=st.integers(0, 2))
    def descriptor(self, who: int, epoch: int, serial: int) -> None:
        author = self.authors[who]
        version = (clock.index_of(self.now, LAB.epoch_s) + epoch, serial)
        data = author.descriptor(epoch=version[0], serial=serial)
        held = self.best.get(author.relay_id, (0, 0))
        assert self.view.add_descriptor(data, self.now) == (version > held)
        self.best[author.relay_id] = max(version, held)

    @rule(who=st.integers(0, 2), lasts=st.integers(-5, LAB.lease_s))
    def lease(self, who: int, lasts: int) -> None:
        author = self.authors[who]
        epoch, serial = self.best.get(author.relay_id, (EPOCH, 0))
        data = author.lease(self.now, epoch=epoch, serial=serial, lasts=lasts)
        assert not (self.view.add_lease(data, self.now) and lasts <= 0)

    @rule(seconds=st.sampled_from([1, 9, 31, LAB.epoch_s]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.view.expire(self.now)
        held = {author.relay_id for author in self.authors if self._holds(author)}
        self.best = {relay_id: v for relay_id, v in self.best.items() if relay_id in held}

    def _holds(self, author: Author) -> bool:
        skipped = self.view.skipped["unknown relay"]
        self.view.check_lease(author.lease(self.now, lasts=1), self.now)
        return self.view.skipped["unknown relay"] == skipped

    @invariant()
    def live_relays_are_the_trees_items(self) -> None:
        relays = self.view.relays(self.now)
        items = self.view.tree.items(0, 0)
        assert [relay.relay_id for relay in relays] == [entry.relay_id for entry in items]
        for relay, entry in zip(relays, items, strict=True):
            assert relay.version == self.best[relay.relay_id]
            assert relay.version == (entry.epoch, entry.serial)
            lease = self.view.lease_of(relay.relay_id)
            assert lease is not None
            assert lease.until == entry.until
            assert lease.until * SECOND > self.now
        assert len(self.view) == len(self.best)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=25)
