"""A receiver asks for no more than it needs, survives any loss that leaves enough, and believes
nothing but the digest."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from files.attachments import DAY, NETWORK, SIZES, attachment, fetch, fragments
from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.files.layout import FRAGMENT_LENGTH, Layout
from shoal_protocol.files.receiving import FileReceiver

TWO_GROUPS = SIZES[4]


def losses(size: int) -> st.SearchStrategy[set[int]]:
    """Draw fragments to lose: of each group at most as many as it has parity."""
    layout = Layout.of(size)
    places = st.sets(st.integers(0, layout.data + layout.parity - 1), max_size=layout.parity)
    return st.tuples(*[places] * layout.groups).map(
        lambda drawn: {layout.index(g, place) for g, lost in enumerate(drawn) for place in lost}
    )


def test_without_loss_only_the_content_is_asked_for_in_order() -> None:
    receiver = attachment(TWO_GROUPS).receiver()
    asked = []
    while (index := receiver.next()) is not None:
        asked.append(index)
        receiver.take(index, fragments(TWO_GROUPS)[index])
    assert asked == list(range(65))
    assert receiver.complete
    assert receiver.progress == (65, 65)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_whole(size: int) -> None:
    receiver = attachment(size).receiver()
    kept = fetch(receiver, fragments(size), set())
    assert receiver.whole(kept.__getitem__) == attachment(size).content


def test_an_empty_file_is_complete_at_once() -> None:
    receiver = attachment(0).receiver()
    assert receiver.next() is None
    assert receiver.complete
    nothing: dict[int, bytes] = {}
    assert receiver.whole(nothing.__getitem__) == b""


@settings(max_examples=25)
@given(st.sampled_from(SIZES), st.data())
def test_any_loss_up_to_a_groups_parity_is_made_good(size: int, draw: st.DataObject) -> None:
    lost = draw.draw(losses(size))
    receiver = attachment(size).receiver()
    kept = fetch(receiver, fragments(size), lost)
    assert receiver.complete
    assert not receiver.hopeless
    assert len(kept) == receiver.layout.content
    assert receiver.whole(kept.__getitem__) == attachment(size).content


@settings(max_examples=25)
@given(st.data())
def test_answers_in_any_order_give_the_file(draw: st.DataObject) -> None:
    size = SIZES[2]
    lost = draw.draw(losses(size))
    receiver = attachment(size).receiver()
    kept: dict[int, bytes] = {}
    out: list[int] = []
    while not receiver.complete:
        index = receiver.next() if len(out) < 6 else None
        if index is not None:
            out.append(index)
            continue
        answered = out.pop(draw.draw(st.integers(0, len(out) - 1)))
        if answered in lost:
            receiver.missing(answered)
        elif keep := receiver.take(answered, fragments(size)[answered]):
            kept[keep.index] = keep.plaintext
    assert receiver.whole(kept.__getitem__) == attachment(size).content


def test_one_parity_fragment_is_asked_for_each_one_missing_after_the_data() -> None:
    size = SIZES[2]
    receiver = attachment(size).receiver()
    layout = receiver.layout
    asked = []
    while (index := receiver.next()) is not None:
        asked.append(index)
        if index in {2, 5, layout.data_total}:
            receiver.missing(index)
        else:
            receiver.take(index, fragments(size)[index])
    parity = [index for index in asked if index >= layout.data_total]
    assert parity == list(range(layout.data_total, layout.data_total + 3))
    assert layout.content < layout.data_total  # one of zeros, which is never asked for
    assert receiver.complete


def test_parity_stands_in_for_what_is_missing() -> None:
    size = SIZES[3]
    receiver = attachment(size).receiver()
    layout = receiver.layout
    kept = fetch(receiver, fragments(size), {2, 5, layout.data_total})
    assert sorted(set(kept) - set(range(layout.content))) == [
        layout.data_total + 1,
        layout.data_total + 2,
    ]
    assert receiver.whole(kept.__getitem__) == attachment(size).content


def test_one_loss_too_many_is_hopeless_until_asked_again() -> None:
    size = SIZES[1]
    receiver = attachment(size).receiver()
    layout = receiver.layout
    gone = set(range(layout.parity + 1))
    kept = fetch(receiver, fragments(size), gone)
    assert [receiver.hopeless, receiver.complete] == [True, False]
    with pytest.raises(LocalProtocolError):
        receiver.whole(kept.__getitem__)
    receiver.again()
    assert not receiver.hopeless
    kept |= fetch(receiver, fragments(size), gone - {0})
    assert receiver.whole(kept.__getitem__) == attachment(size).content


def test_a_fragment_that_comes_after_all_lifts_the_hopelessness() -> None:
    size = SIZES[1]
    receiver = attachment(size).receiver()
    kept = fetch(receiver, fragments(size), set(range(receiver.layout.parity + 1)))
    keep = receiver.take(3, fragments(size)[3])
    assert keep is not None
    kept[keep.index] = keep.plaintext
    assert not receiver.hopeless
    assert receiver.whole(kept.__getitem__) == attachment(size).content


def test_nothing_is_kept_twice_or_beyond_need() -> None:
    size = SIZES[1]
    receiver = attachment(size).receiver()
    assert receiver.take(0, fragments(size)[0]) is not None
    assert receiver.take(0, fragments(size)[0]) is None
    for index in range(1, receiver.layout.content):
        receiver.take(index, fragments(size)[index])
    assert receiver.take(receiver.layout.total - 1, fragments(size)[-1]) is None


@settings(max_examples=25)
@given(st.data())
def test_a_new_run_goes_on_with_what_came(draw: st.DataObject) -> None:
    size = TWO_GROUPS
    given_fragments = fragments(size)
    lost = draw.draw(losses(size))
    first = attachment(size).receiver()
    kept: dict[int, bytes] = {}
    for _ in range(draw.draw(st.integers(0, 100))):
        index = first.next()
        if index is None:
            break
        if index in lost:
            first.missing(index)
        elif keep := first.take(index, given_fragments[index]):
            kept[keep.index] = keep.plaintext
    second = attachment(size).receiver(first.dump())
    assert second.progress == first.progress
    kept |= fetch(second, given_fragments, lost)
    assert second.whole(kept.__getitem__) == attachment(size).content


def test_what_came_of_another_file_is_refused() -> None:
    dump = attachment(SIZES[2]).receiver().dump()
    with pytest.raises(RemoteProtocolError):
        attachment(SIZES[3]).receiver(dump)
    full = b"\xff" * (len(dump) - 1) + bytes([(1 << (Layout.of(SIZES[2]).total - 1) % 8 + 1) - 1])
    with pytest.raises(RemoteProtocolError):
        attachment(SIZES[2]).receiver(full)


@pytest.mark.parametrize("lost", [set[int](), {2, 4}])
def test_a_false_fragment_is_found_by_the_digest(lost: set[int]) -> None:
    size = TWO_GROUPS
    receiver = attachment(size).receiver()
    kept = fetch(receiver, fragments(size), lost)
    for wrong in (min(kept), max(kept)):
        false = kept[wrong][:-2] + bytes([kept[wrong][-2] ^ 1]) + kept[wrong][-1:]
        with pytest.raises(RemoteProtocolError, match="file digest"):
            receiver.whole({**kept, wrong: false}.__getitem__)
    assert receiver.whole(kept.__getitem__) == attachment(size).content


def test_a_promise_of_another_content_is_found_by_the_digest() -> None:
    file = attachment(SIZES[1])
    for manifest in (
        replace(file.manifest, digest=crypto.digest(b"another")),
        replace(file.manifest, size=file.manifest.size - 1),
        replace(file.manifest, size=file.manifest.size + 1),
    ):
        receiver = FileReceiver(manifest, NETWORK)
        kept = fetch(receiver, fragments(SIZES[1]), set())
        with pytest.raises(RemoteProtocolError, match="file digest"):
            receiver.whole(kept.__getitem__)


def test_putting_together_pauses_between_groups() -> None:
    size = TWO_GROUPS
    receiver = attachment(size).receiver()
    kept = fetch(receiver, fragments(size), set(range(0, 60, 3)))
    assembly = receiver.assembly(kept.__getitem__)
    with pytest.raises(LocalProtocolError):
        assembly.whole()
    steps = 1
    while not assembly.step():
        steps += 1
    assert steps > 8
    assert assembly.step()
    assert assembly.whole() == attachment(size).content


def test_a_hostile_manifest_of_the_largest_size_costs_a_bounded_search() -> None:
    manifest = replace(attachment(SIZES[0]).manifest, size=10 * 2**20)
    receiver = FileReceiver(manifest, NETWORK)
    asked = 0
    while not receiver.hopeless and (index := receiver.next()) is not None:
        receiver.missing(index)
        asked += 1
    assert receiver.hopeless
    assert asked <= receiver.layout.total
    assert receiver.progress == (0, 5439)


def test_what_is_no_fragment_is_our_own_mistake() -> None:
    receiver = attachment(SIZES[1]).receiver()
    for wrong in (-1, receiver.layout.total):
        with pytest.raises(LocalProtocolError):
            receiver.take(wrong, bytes(FRAGMENT_LENGTH))
        with pytest.raises(LocalProtocolError):
            receiver.missing(wrong)
        with pytest.raises(LocalProtocolError):
            receiver.reader(wrong)
    for length in (0, FRAGMENT_LENGTH - 1, FRAGMENT_LENGTH + 1):
        with pytest.raises(LocalProtocolError):
            receiver.take(0, bytes(length))


def test_sender_and_receiver_meet_at_the_same_boxes() -> None:
    file = attachment(TWO_GROUPS)
    sender, receiver = file.sender(), file.receiver()
    assert receiver.day == DAY
    kept: dict[int, bytes] = {}
    while (index := receiver.next()) is not None:
        reader = receiver.reader(index)
        assert reader.address(DAY) == sender.address(index)
        keep = receiver.take(index, reader.open(sender.record(index), DAY))
        assert keep is not None
        kept[keep.index] = keep.plaintext
    assert receiver.whole(kept.__getitem__) == file.content


def test_a_receiver_shows_no_content_in_its_repr() -> None:
    receiver = attachment(SIZES[1]).receiver()
    keep = receiver.take(1, fragments(SIZES[1])[1])
    assert (repr(receiver), repr(keep)) == ("FileReceiver(…)", "Keep(1, …)")
