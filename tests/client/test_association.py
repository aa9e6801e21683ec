"""One session's streams: boxes in any order and each once, windows, lies, and rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.neighbours import PARAMS, TODAY, sides
from shoal_protocol.client import association as associations
from shoal_protocol.client import state
from shoal_protocol.client.association import AHEAD, ASIDE, WINDOW, Association
from shoal_protocol.client.parcel import ACK_WINDOW, Acks, Kind, Parcel, Part
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import WriteCapability
from support import seeded

NETWORK = PARAMS.hash
LINE = b"the line"
RNG = seeded("association")


def say(number: int = 0, acks: Acks | None = None) -> Parcel:
    return Parcel(acks or Acks(), LINE, 0, Part(Kind.TEXT, number, 7, 0, 1, b"text"))


def write(sender: Association, count: int, day: int = TODAY) -> list[tuple[int, bytes]]:
    """Return (index, record) of so many boxes."""
    return [sender.seal(say(number), day, RNG) for number in range(count)]


def open_box(reader: Association, index: int, record: bytes, day: int = TODAY) -> Parcel | None:
    return reader.open(index, day, record, RNG)


def reload(association: Association) -> Association:
    row = state.ASSOCIATIONS.decode(association.row(b"talk no1"))
    return Association.restore(row, NETWORK)


@given(st.permutations(range(12)))
@settings(max_examples=20)
def test_boxes_open_in_any_order_and_are_expected_once(order: list[int]) -> None:
    ada, bob = sides()
    sent = write(ada, 12)
    for place in order:
        index, record = sent[place]
        assert bob.expects(index)
        said = open_box(bob, index, record)
        assert said is not None
        assert said.part is not None
        assert said.part.number == place
        assert not bob.expects(index)
    assert bob.come == Acks(12, 0)


def test_the_reader_asks_where_the_writer_writes_and_neither_stream_is_the_other() -> None:
    ada, bob = sides()
    for day in (TODAY, TODAY + 3):
        index, record = ada.seal(say(), day, RNG)
        assert bob.address(index, day) == record[:32] == box.header(record).address
        back, answer = bob.seal(say(), day, RNG)
        assert (back, ada.address(back, day)) == (index, answer[:32])
        assert answer[:32] != record[:32]


@pytest.mark.parametrize("place", [0, 40, 96, 101, 500, 2047])
def test_a_box_that_is_not_the_contacts_changes_nothing_and_the_true_one_still_opens(
    place: int,
) -> None:
    ada, bob = sides()
    ((index, record),) = write(ada, 1)
    forged = bytearray(record)
    forged[place] ^= 1
    for wrong in (bytes(forged), bytes(2048), b"", record[:-1]):
        with pytest.raises(RemoteProtocolError):
            open_box(bob, index, wrong)
    with pytest.raises(RemoteProtocolError):
        open_box(bob, index, record, TODAY + 1)
    assert (bob.come, bob.confirmed) == (Acks(), False)
    assert open_box(bob, index, record) == say()


def test_a_tombstone_is_passed_over() -> None:
    ada, bob = sides()
    writer = WriteCapability.from_root(ada.session.outgoing_root, NETWORK, associations.STREAM)
    sent = write(ada, 3)
    assert open_box(bob, 0, sent[0][1]) == say(0)
    assert open_box(bob, 1, writer.at(1).tombstone(TODAY)) is None
    assert not bob.expects(1)
    assert open_box(bob, 2, sent[2][1]) == say(2)
    assert bob.come == Acks(3, 0)


def test_a_box_that_holds_no_parcel_is_passed_over_and_counted() -> None:
    ada, bob = sides()
    writer = WriteCapability.from_root(ada.session.outgoing_root, NETWORK, associations.STREAM)
    plaintext = ada.session.seal(b"\x09not a parcel", RNG)
    assert open_box(bob, 0, writer.seal(TODAY, plaintext)) is None
    assert bob.counters == {"parcel": 1}
    assert bob.come == Acks(1, 0)
    write(ada, 1)
    ((index, record),) = write(ada, 1)
    assert open_box(bob, index, record) == say()


def test_a_box_that_its_ratchet_does_not_open_says_so_and_changes_nothing() -> None:
    ada, bob = sides()
    writer = WriteCapability.from_root(ada.session.outgoing_root, NETWORK, associations.STREAM)
    forged = writer.seal(TODAY, seeded("rubbish").bytes(box.PLAINTEXT_LENGTH))
    with pytest.raises(RemoteProtocolError, match=associations.UNREADABLE):
        open_box(bob, 0, forged)
    assert (bob.come, bob.confirmed) == (Acks(), False)
    assert open_box(bob, *write(ada, 1)[0]) == say()


def test_a_reader_takes_a_window_ahead_of_what_is_missing_and_no_more() -> None:
    ada, bob = sides()
    sent = write(ada, WINDOW + 1)
    assert [n for n in range(WINDOW + 9) if bob.expects(n)] == list(range(WINDOW))
    for index, record in sent[1:WINDOW]:
        open_box(bob, index, record)
    assert bob.come == Acks(0, 2**ACK_WINDOW - 1)
    assert not bob.expects(WINDOW)
    open_box(bob, *sent[0])
    assert bob.come == Acks(WINDOW, 0)
    assert bob.expects(WINDOW)


def test_messages_leave_places_for_a_nudge_and_for_news() -> None:
    ada, bob = sides()
    write(ada, AHEAD - ASIDE)
    assert (ada.room, ada.may_nudge, ada.may_tell) == (0, True, True)
    write(ada, 1)
    assert (ada.may_nudge, ada.may_tell) == (False, False)
    open_box(ada, *write(bob, 1)[0])
    assert (ada.may_nudge, ada.may_tell) == (False, True)
    write(ada, 1)
    open_box(ada, *write(bob, 1)[0])
    assert not ada.may_tell
    ada.acknowledged(Acks(40, 0))
    assert (ada.room, ada.may_nudge, ada.may_tell) == (40 - ASIDE, True, True)
    ada.broken = True
    assert ada.room <= 0


@pytest.mark.parametrize(
    "lie", [Acks(4, 0), Acks(4, 2**64 - 1), Acks(2**32 - 1, 2**64 - 1), Acks(1, 0)]
)
def test_acknowledgements_beyond_what_was_sent_or_behind_what_was_said_are_ignored(
    lie: Acks,
) -> None:
    ada, _ = sides()
    write(ada, 3)
    ada.acknowledged(Acks(2, 0))
    ada.acknowledged(lie)
    assert ada.peer == Acks(2, 0)
    ada.row(b"talk no1")


def test_acknowledgements_that_come_in_another_order_keep_what_was_said() -> None:
    ada, _ = sides()
    write(ada, 20)
    ada.acknowledged(Acks(3, 0b1010))
    ada.acknowledged(Acks(3, 0b0001))
    assert ada.peer == Acks(3, 0b1011)
    ada.acknowledged(Acks(2, 2**64 - 1))
    assert ada.peer == Acks(3, 0b1011)
    ada.acknowledged(Acks(9, 0))
    assert ada.peer == Acks(9, 0)


def test_the_day_follows_the_boxes_that_have_come_without_a_gap() -> None:
    """A box that ran ahead is of a later day than one that is missing may be."""
    ada, bob = sides()
    sent = [ada.seal(say(day), TODAY + day, RNG) for day in (0, 1, 1, 4)]
    open_box(bob, *sent[0], TODAY)
    open_box(bob, *sent[3], TODAY + 4)
    assert bob.day == TODAY
    open_box(bob, *sent[1], TODAY + 1)
    assert bob.day == TODAY + 1
    open_box(bob, *sent[2], TODAY + 1)
    assert (bob.day, bob.come) == (TODAY + 1, Acks(4, 0))


def test_a_restored_association_goes_on_as_if_nothing_had_happened() -> None:
    ada, bob = sides()
    for turn in range(5):
        sent = write(ada, 3)
        ada, bob = reload(ada), reload(bob)
        for place in (2, 0, 1):
            index, record = sent[place]
            assert open_box(bob, index, record) == say(place)
            bob = reload(bob)
        ada.acknowledged(bob.come)
        back, answer = bob.seal(say(9, bob.come), TODAY, RNG)
        assert open_box(reload(ada), back, answer) == open_box(ada, back, answer)
        assert (ada.peer, bob.told) == (Acks(3 * turn + 3, 0), 3 * turn + 3)
    assert (reload(ada).room, reload(bob).next_index) == (ada.room, 5)
    assert (reload(bob).come, reload(bob).day) == (bob.come, TODAY)
    assert reload(ada).confirmed


def test_a_row_holds_no_root_of_the_streams_that_have_passed() -> None:
    ada, bob = sides()
    roots = ada.session.outgoing_root, ada.session.incoming_root
    for index, record in write(ada, 3):
        open_box(bob, index, record)
    ada.acknowledged(bob.come)
    ada.let_go()
    passed = WriteCapability.from_root(roots[0], NETWORK, associations.STREAM)
    for side in (ada, bob):
        row = side.row(b"talk no1")
        assert not any(root in row for root in roots)
        assert all(passed.at(n).dump()[40:] not in row for n in range(3))


def test_days_go_up_along_a_stream_though_the_clock_is_set_back_and_over_a_restart() -> None:
    """A reader that was away asks for no box on a day before that of the one before it."""
    ada, _ = sides()
    days = []
    for day in (TODAY, TODAY + 1, TODAY, TODAY - 1, TODAY + 2):
        days.append(box.header(ada.seal(say(), day, RNG)[1]).day)
        ada = reload(ada)
    assert days == [TODAY, TODAY + 1, TODAY + 1, TODAY + 1, TODAY + 2]


def test_a_stream_whose_days_ran_ahead_is_known_and_a_broken_one_is_not_broken_again() -> None:
    ada, _ = sides()
    assert not ada.overtaken(TODAY)
    ada.seal(say(), TODAY + 1, RNG)
    assert (ada.overtaken(TODAY), reload(ada).overtaken(TODAY)) == (True, True)
    assert not ada.overtaken(TODAY + 1)
    ada.broken = True
    assert not ada.overtaken(TODAY)
