"""Counts follow from the size, come in few classes, and every index has one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.files import coding
from shoal_protocol.files.layout import (
    FRAGMENT_LENGTH,
    GROUP_DATA,
    MAX_FILE_LENGTH,
    Layout,
    Marks,
    padme,
)

COUNTS = range(1, -(-MAX_FILE_LENGTH // FRAGMENT_LENGTH) + 1)
LAYOUTS = [Layout.of(count * FRAGMENT_LENGTH) for count in COUNTS[:-1]]
sizes = st.integers(0, MAX_FILE_LENGTH)


def test_padme_gives_the_classes_of_the_paper() -> None:
    assert [padme(count) for count in range(1, 18)] == [
        *(1, 2, 3, 4, 5, 6, 7, 8, 10, 10, 12, 12, 14, 14, 16, 16, 18)
    ]
    assert padme(1000) == 1024
    assert padme(5439) == 5632


def test_padding_adds_at_most_an_eighth() -> None:
    assert all(count <= padme(count) <= count * 1.125 for count in COUNTS)


def test_all_files_fall_into_few_classes_of_counts() -> None:
    assert len({layout.total for layout in LAYOUTS}) == 114


def test_splitting_into_equal_groups_adds_little() -> None:
    assert all(layout.data_total <= layout.content * 1.15 + 1 for layout in LAYOUTS)


def test_a_larger_file_never_has_fewer_fragments_of_data() -> None:
    totals = [layout.data_total for layout in LAYOUTS]
    assert totals == sorted(totals)


def test_every_group_fits_the_field_and_the_limit() -> None:
    for layout in LAYOUTS:
        assert layout.data <= GROUP_DATA
        assert layout.data + layout.parity <= coding.MAX_CODEWORD
        assert layout.parity > layout.data


@given(sizes)
def test_the_content_fits_into_the_data_fragments(size: int) -> None:
    layout = Layout.of(size)
    assert (layout.content - 1) * FRAGMENT_LENGTH < max(size, 1)
    assert size <= layout.content * FRAGMENT_LENGTH
    assert layout.content <= layout.data_total < layout.total


@given(sizes, st.data())
def test_every_index_is_one_place_of_one_group(size: int, draw: st.DataObject) -> None:
    layout = Layout.of(size)
    index = draw.draw(st.integers(0, layout.total - 1))
    group, place = layout.place(index)
    assert 0 <= group < layout.groups
    assert 0 <= place < layout.data + layout.parity
    assert layout.index(group, place) == index
    assert (place < layout.data) == (index < layout.data_total)


def test_a_run_of_losses_is_shared_out_over_the_groups() -> None:
    layout = Layout.of(MAX_FILE_LENGTH)
    run = [layout.place(index)[0] for index in range(1000, 1000 + layout.groups)]
    assert sorted(run) == list(range(layout.groups))


@pytest.mark.parametrize("size", [-1, MAX_FILE_LENGTH + 1])
def test_no_layout_is_made_beyond_the_limit(size: int) -> None:
    with pytest.raises(LocalProtocolError):
        Layout.of(size)


@given(st.integers(1, 40), st.data())
def test_marks_survive_their_packing(total: int, draw: st.DataObject) -> None:
    chosen = draw.draw(st.lists(st.integers(0, total - 1)))
    marks = Marks(total)
    assert [marks.add(index) for index in chosen].count(True) == len(set(chosen))
    again = Marks(total, marks.dump())
    assert again.count == len(set(chosen))
    assert {index for index in range(total) if index in again} == set(chosen)


@pytest.mark.parametrize("packed", [b"\0", b"\0\0\0", b"\0\x08", b"\xff\xff"])
def test_marks_of_another_file_are_refused(packed: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Marks(11, packed)
