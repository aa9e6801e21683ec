"""The code is reedsolo's, whole fragments at a time, and any k of k+m fragments suffice."""

import pytest
import reedsolo
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.files import coding
from support import seeded

LENGTH = 12  # columns; the code treats each alike


def group(data: int, parity: int) -> list[bytes]:
    """Return the data and parity fragments of one group."""
    rng = seeded(f"group {data} {parity}")
    made = [rng.bytes(LENGTH) for _ in range(data)]
    return made + [coding.parity(made, parity, index) for index in range(parity)]


def recovered(come: dict[int, bytes], data: int, parity: int) -> dict[int, bytes]:
    """Run a recovery to its end."""
    found: dict[int, bytes] = {}
    for some in coding.recover(come, data, parity):
        found |= some
    return found


@pytest.mark.parametrize(("data", "parity"), [(1, 9), (2, 10), (7, 3), (32, 32), (64, 72)])
def test_every_column_is_a_codeword_of_the_library(data: int, parity: int) -> None:
    made = group(data, parity)
    for column in range(LENGTH):
        word = bytes(fragment[column] for fragment in made)
        assert bytes(reedsolo.rs_encode_msg(word[:data], parity)) == word


def test_the_library_corrects_what_was_encoded_here() -> None:
    made = group(20, 28)
    for column in range(3):
        word = bytearray(fragment[column] for fragment in made)
        gone = list(range(0, 48, 2))
        for place in gone:
            word[place] = 0
        right, _, _ = reedsolo.rs_correct_msg(word, 28, erase_pos=gone, only_erasures=True)
        assert list(right) == [fragment[column] for fragment in made[:20]]


@settings(max_examples=60)
@given(st.integers(1, 24), st.integers(1, 32), st.data())
def test_any_loss_that_leaves_enough_is_recovered(
    data: int, parity: int, draw: st.DataObject
) -> None:
    made = group(data, parity)
    lost = draw.draw(st.sets(st.integers(0, data + parity - 1), max_size=parity))
    come = {place: made[place] for place in range(data + parity) if place not in lost}
    wanted = {place: made[place] for place in range(data) if place in lost}
    assert recovered(come, data, parity) == wanted


@pytest.mark.parametrize("lost", [range(64), range(0, 128, 2), range(1, 64, 3)])
def test_the_largest_group_of_a_file_is_recovered(lost: range) -> None:
    made = group(64, 72)
    come = {place: made[place] for place in range(136) if place not in lost}
    found = recovered(come, 64, 72)
    assert found == {place: made[place] for place in lost if place < 64}


def test_too_few_fragments_are_our_own_mistake() -> None:
    made = group(5, 5)
    with pytest.raises(LocalProtocolError):
        recovered({place: made[place] for place in (0, 3, 6, 9)}, 5, 5)


@pytest.mark.parametrize(("data", "parity"), [(0, 4), (4, 0), (128, 128)])
def test_a_code_that_the_field_has_no_room_for_is_refused(data: int, parity: int) -> None:
    with pytest.raises(LocalProtocolError):
        coding.parity([b"\1"] * data, parity, 0)
    with pytest.raises(LocalProtocolError):
        recovered({}, data, parity)


def test_recovery_of_a_large_group_pauses_often() -> None:
    made = group(64, 72)
    come = dict(enumerate(made[64:], start=64))
    pauses = list(coding.recover(come, 64, 72))
    assert len(pauses) > 12
    assert max(len(found) for found in pauses) <= coding.SLICE // 64
