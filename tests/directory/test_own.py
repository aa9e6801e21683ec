"""A relay's own entry: durable before signed, renewed in time, never equivocating."""

import pytest

from directory.world import Author
from shoal_protocol import clock
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import descriptor as descriptors
from shoal_protocol.directory import lease as leases
from shoal_protocol.directory import own
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.own import Identity, OwnEntry, Persist, Publish
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.parameters import LAB, NETWORKS
from support import START, seeded

EPOCH = clock.index_of(START, LAB.epoch_s)
HOUR = LAB.epoch_s * SECOND
ALICE = Author("alice")


def entry(last: Version | None = None) -> OwnEntry:
    who = Identity(ALICE.seed, ALICE.nonce, ALICE.instance, software="shoal/0.1.0")
    return OwnEntry(who, params=LAB, rng=seeded(), last=last)


def keys(epoch: int = EPOCH) -> list[tuple[int, bytes]]:
    return [(e, e.to_bytes(32, "big")) for e in (epoch - 1, epoch, epoch + 1)]


def published(made: OwnEntry, now: int = START) -> tuple[OwnEntry, Publish]:
    (ask,) = made.refresh(["/memory/1"], keys(clock.index_of(now, LAB.epoch_s)), now)
    assert isinstance(ask, Persist)
    (said,) = made.persisted(ask.version, now)
    assert isinstance(said, Publish)
    return made, said


def test_nothing_is_signed_before_its_version_is_durable() -> None:
    made = entry()
    assert made.next_deadline() is None
    assert made.refresh(["/memory/1"], keys(), START) == [Persist(Version(EPOCH, 0))]
    with pytest.raises(LocalProtocolError):
        made.persisted(Version(EPOCH, 1), START)
    (said,) = made.persisted(Version(EPOCH, 0), START)
    assert isinstance(said, Publish)
    found = descriptors.decode_descriptor(said.descriptor, LAB)
    assert found.mix_keys == tuple(keys())
    assert found.software == "shoal/0.1.0"
    view = DirectoryView(LAB)
    assert view.add_descriptor(said.descriptor, START)
    assert view.add_lease(said.lease, START)
    assert len(view.relays(START)) == 1


def test_a_version_that_did_not_become_durable_is_asked_for_again() -> None:
    made = entry()
    made.refresh(["/memory/1"], keys(), START)
    due = made.next_deadline()
    assert due == START + own.RETRY_S * SECOND
    assert made.handle_timer(due) == [Persist(Version(EPOCH, 0))]
    made.persisted(Version(EPOCH, 0), due)
    with pytest.raises(LocalProtocolError):
        made.persisted(Version(EPOCH, 0), due)


def test_a_version_durable_only_in_the_next_epoch_is_followed_by_one_with_the_newest_key() -> None:
    made, midnight = entry(), (EPOCH + 1) * HOUR
    made.refresh(["/memory/1"], keys(), midnight - 1)
    assert made.refresh(["/memory/1"], keys(EPOCH + 1), midnight) == []  # the disk is slow
    (said,) = made.persisted(Version(EPOCH, 0), midnight + SECOND)
    assert isinstance(said, Publish)
    found = descriptors.decode_descriptor(said.descriptor, LAB)
    assert found.mix_keys == tuple(keys(EPOCH + 1)[:2])  # one of EPOCH + 2 is refused
    eighth = midnight + SECOND + HOUR // own.SPREAD
    assert Persist(Version(EPOCH + 1, 0)) in made.handle_timer(eighth)


def test_a_relay_that_leaves_says_so_at_once_and_takes_it_back() -> None:
    made, _ = published(entry())
    (ask,) = made.leave(START + 1)
    assert ask == Persist(Version(EPOCH, 1))
    (said,) = made.persisted(Version(EPOCH, 1), START + 2)
    assert isinstance(said, Publish)
    assert descriptors.decode_descriptor(said.descriptor, LAB).leaving
    assert made.leave(START + 3) == []
    assert made.leave(START + 4, leaving=False) == [Persist(Version(EPOCH, 2))]
    (said,) = made.persisted(Version(EPOCH, 2), START + 5)
    assert isinstance(said, Publish)
    assert not descriptors.decode_descriptor(said.descriptor, LAB).leaving


def test_a_relay_asked_to_leave_before_it_was_there_says_so_from_the_first() -> None:
    made = entry()
    assert made.leave(START) == []
    _, said = published(made)
    assert descriptors.decode_descriptor(said.descriptor, LAB).leaving


def test_a_restart_takes_the_next_serial() -> None:
    _, said = published(entry(last=Version(EPOCH, 6)))
    assert descriptors.decode_descriptor(said.descriptor, LAB).version == (EPOCH, 7)
    _, said = published(entry(last=Version(EPOCH - 1, 6)))
    assert descriptors.decode_descriptor(said.descriptor, LAB).version == (EPOCH, 0)


def test_a_clock_that_went_back_an_epoch_still_takes_a_higher_version() -> None:
    _, said = published(entry(last=Version(EPOCH + 1, 2)))
    found = descriptors.decode_descriptor(said.descriptor, LAB)
    assert found.version == (EPOCH + 1, 3)
    assert found.mix_keys == tuple(keys()[1:])
    assert DirectoryView(LAB).add_descriptor(said.descriptor, START)


def test_a_clock_that_went_back_a_day_keeps_the_relay_silent_till_it_has_caught_up() -> None:
    made = entry(last=Version(EPOCH + 24, 0))
    assert made.refresh(["/memory/1"], keys(), START) == []
    assert made.counters["clock behind"] == 1
    assert made.next_deadline() == (EPOCH + 23) * HOUR


def test_when_an_epochs_serials_are_used_up_the_next_epoch_is_waited_for() -> None:
    made = entry(last=Version(EPOCH, LAB.serials_per_epoch - 1))
    assert made.refresh(["/memory/1"], keys(), START) == []
    assert made.counters["serials used up"] == 1
    later = (EPOCH + 1) * HOUR
    assert made.next_deadline() == later
    assert made.handle_timer(later) == [Persist(Version(EPOCH + 1, 0))]


def test_the_lease_is_renewed_thrice_while_it_lasts_and_each_is_taken() -> None:
    made, said = published(entry())
    view = DirectoryView(LAB)
    view.add_descriptor(said.descriptor, START)
    view.add_lease(said.lease, START)
    now, renewals = START, 0
    while now < START + 10 * LAB.lease_s * SECOND:
        now = made.next_deadline() or 0
        assert made.handle_timer(now - 1) == []
        (again,) = made.handle_timer(now)
        assert isinstance(again, Publish)
        assert again.descriptor == said.descriptor
        assert view.add_lease(again.lease, now)
        assert leases.decode_lease(again.lease, LAB).until == now // SECOND + LAB.lease_s
        renewals += 1
    assert 30 <= renewals <= 34


def test_other_addresses_are_published_at_once_and_the_same_ones_not_again() -> None:
    made, said = published(entry())
    assert made.refresh(["/memory/1"], keys(), START) == []
    assert made.refresh(["/memory/2"], keys(), START + 1) == [Persist(Version(EPOCH, 1))]
    (again,) = made.persisted(Version(EPOCH, 1), START + 1)
    assert isinstance(again, Publish)
    assert again.descriptor != said.descriptor


def test_what_changes_while_a_version_becomes_durable_is_in_the_descriptor() -> None:
    made = entry()
    made.refresh(["/memory/1"], keys(), START)
    assert made.refresh(["/memory/2"], keys(), START) == []
    (said,) = made.persisted(Version(EPOCH, 0), START)
    assert isinstance(said, Publish)
    found = descriptors.decode_descriptor(said.descriptor, LAB)
    assert found.addresses[0].startswith("/memory/2/")
    assert made.handle_timer(START + SECOND) == []


def test_a_new_epochs_descriptor_comes_within_the_epochs_first_eighth() -> None:
    made, _ = published(entry())
    turn = (EPOCH + 1) * HOUR
    made.handle_timer(turn)
    assert made.refresh(["/memory/1"], keys(EPOCH + 1), turn) == []
    asked = None
    while asked is None:
        now = made.next_deadline() or 0
        asked = next((e for e in made.handle_timer(now) if isinstance(e, Persist)), None)
    assert turn < now < turn + HOUR // own.SPREAD
    assert asked == Persist(Version(EPOCH + 1, 0))


def test_new_keys_of_the_present_epoch_are_published_at_once() -> None:
    made, _ = published(entry())
    lost = [(epoch, bytes(32)) for epoch, _ in keys()]
    assert made.refresh(["/memory/1"], lost, START) == [Persist(Version(EPOCH, 1))]


def test_an_identity_does_not_show_its_seed() -> None:
    who = Identity(ALICE.seed, ALICE.nonce, ALICE.instance)
    assert ALICE.seed.hex() not in repr(who)
    assert repr(ALICE.seed)[2:-1] not in repr(who)


def test_in_every_network_a_renewal_extends_a_lease_by_enough_to_be_taken() -> None:
    for params in NETWORKS.values():
        third = params.lease_s / own.RENEWALS
        assert 0.9 * third - 1 >= params.lease_s // 6
