"""A sender hands out each fragment once, in a window, and is done when all are stored."""

import pytest

from files.attachments import DAY, NETWORK, SIZES, attachment, fragments
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.files.layout import FRAGMENT_LENGTH
from shoal_protocol.files.sending import FileSender
from shoal_protocol.streams import box


def drain(sender: FileSender) -> list[int]:
    """Take what the sender hands out until it stops."""
    taken: list[int] = []
    while (index := sender.next()) is not None:
        taken.append(index)
    return taken


def test_fragments_go_out_in_order_within_the_window() -> None:
    sender = attachment(SIZES[1]).sender(window=3)
    assert drain(sender) == [0, 1, 2]
    sender.stored(1)
    assert drain(sender) == [3]
    sender.stored(0)
    sender.stored(3)
    assert drain(sender) == [4, 5]


def test_a_sender_is_done_when_every_fragment_was_stored() -> None:
    sender = attachment(SIZES[1]).sender(window=4)
    seen: list[int] = []
    while not sender.done:
        for index in drain(sender):
            seen.append(index)
            assert sender.stored(index)
    assert seen == list(range(sender.layout.total))
    assert sender.progress == (sender.layout.total, sender.layout.total)
    assert sender.next() is None


def test_a_second_word_of_storing_changes_nothing() -> None:
    sender = attachment(SIZES[1]).sender()
    assert sender.stored(2)
    assert not sender.stored(2)
    assert sender.progress[0] == 1


def test_a_fragment_that_was_dropped_on_its_way_is_handed_out_again() -> None:
    sender = attachment(SIZES[1]).sender(window=3)
    assert drain(sender) == [0, 1, 2]
    sender.dropped(1)
    sender.dropped(1)
    sender.dropped(7)  # never handed out: it comes in its turn
    assert drain(sender) == [1]
    sender.dropped(2)
    sender.stored(2)  # its relay's word came late
    assert drain(sender) == [3]


def test_a_fragment_that_was_stored_out_of_turn_is_not_handed_out() -> None:
    sender = attachment(SIZES[1]).sender(window=64)
    sender.stored(5)
    assert 5 not in drain(sender)


def test_a_new_run_goes_on_where_the_last_one_stopped() -> None:
    first = attachment(SIZES[2]).sender()
    for index in (0, 1, 2, 7, 20):
        first.stored(index)
    again = attachment(SIZES[2]).sender(first.dump(), window=100)
    assert again.progress == first.progress
    assert drain(again) == [i for i in range(first.layout.total) if i not in {0, 1, 2, 7, 20}]


def test_progress_of_another_file_is_refused() -> None:
    dump = attachment(SIZES[2]).sender().dump()
    with pytest.raises(RemoteProtocolError):
        attachment(SIZES[3]).sender(dump)


@pytest.mark.parametrize("size", SIZES)
def test_a_reader_of_chunks_gives_the_same_fragments(size: int) -> None:
    file = attachment(size)
    sender = FileSender(file.manifest, lambda at, n: file.content[at : at + n], file.writer)
    places = range(0, sender.layout.total, 7)
    assert [sender.fragment(i) for i in places] == [fragments(size)[i] for i in places]


@pytest.mark.parametrize("size", SIZES)
def test_the_data_fragments_are_the_content_and_zeros(size: int) -> None:
    layout = attachment(size).manifest.layout
    joined = b"".join(fragments(size)[: layout.data_total])
    assert joined == attachment(size).content.ljust(len(joined), b"\0")
    assert {len(fragment) for fragment in fragments(size)} == {FRAGMENT_LENGTH}


def test_a_record_is_the_same_each_time_and_opens_with_the_manifests_capability() -> None:
    file = attachment(SIZES[4])
    sender, reader = file.sender(), file.writer.read()
    for index in (0, 63, 64, 65, 129, sender.layout.total - 1, 1):
        record = sender.record(index)
        assert record == file.sender().record(index)
        assert box.check(record, DAY, NETWORK).address == sender.address(index)
        assert reader.at(index).address(DAY) == sender.address(index)
        assert reader.at(index).open(record, DAY) == fragments(SIZES[4])[index]


def test_an_index_beyond_the_file_is_our_own_mistake() -> None:
    sender = attachment(SIZES[0]).sender()
    for wrong in (-1, sender.layout.total):
        for call in (sender.stored, sender.record, sender.fragment, sender.address):
            with pytest.raises(LocalProtocolError):
                call(wrong)


def test_content_that_shrank_is_noticed() -> None:
    file = attachment(SIZES[1])
    sender = FileSender(file.manifest, file.content[:-1], file.writer)
    with pytest.raises(LocalProtocolError):
        sender.fragment(3)


def test_a_writer_of_another_stream_is_refused() -> None:
    file, other = attachment(SIZES[1]), attachment(SIZES[2])
    with pytest.raises(LocalProtocolError):
        FileSender(file.manifest, file.content, other.writer)


def test_a_sender_shows_nothing_in_its_repr() -> None:
    assert repr(attachment(SIZES[0]).sender()) == "FileSender(…)"
