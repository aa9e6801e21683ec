"""Finding a text: whatever its case, width and form, with places in the text as it stands."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_node import search


@pytest.mark.parametrize(
    ("wanted", "text", "spans"),
    [
        ("abc", "xABCx abc", [(1, 4), (6, 9)]),
        ("天见", "明天见，天见", [(1, 3), (4, 6)]),
        ("见", "见", [(0, 1)]),
        ("ＡＢＣ", "abc", [(0, 3)]),
        ("abc", "ＡＢＣ", [(0, 3)]),
        ("straße", "STRASSE", [(0, 7)]),
        ("ss", "ß", [(0, 1)]),
        ("é", "cafe\u0301!", [(3, 5)]),
        ("e\u0301", "café", [(3, 4)]),
        ("fi", "ﬁsh", [(0, 1)]),
        ("🐟", "a🐟b🐟", [(1, 2), (3, 4)]),
        ("i", "İ", [(0, 1)]),
        ("한", "\u1112\u1161\u11ab", [(0, 3)]),
        ("aa", "aaaa", [(0, 2), (2, 4)]),
        ("x", "", []),
        ("ab", "a b", []),
    ],
)
def test_a_text_is_found_where_people_see_it(
    wanted: str, text: str, spans: list[tuple[int, int]]
) -> None:
    assert search.needle(wanted).spans(text) == spans


@given(st.text(), st.text(max_size=8))
def test_places_lie_in_the_text_in_order_and_apart_or_touching_one_letter(
    text: str, wanted: str
) -> None:
    end = 0
    for start, stop in search.needle(wanted).spans(text):
        assert 0 <= start < stop <= len(text)
        assert stop >= end
        end = stop


@given(st.text(min_size=1, alphabet=st.characters(codec="ascii")), st.data())
def test_every_part_of_a_plain_text_is_found(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    stop = data.draw(st.integers(start + 1, len(text)))
    assert search.needle(text[start:stop].upper()).spans(text)


@pytest.mark.parametrize(
    "accents", ["\u0301" * 30_000 + "\u0316" * 30_000, "\u0316\u0301" * 30_000, "\u0f73" * 30_000]
)
def test_a_message_of_nothing_but_accents_holds_nobody_up(accents: str) -> None:
    begun = time.perf_counter()
    assert search.needle("x").spans(f"a{accents}x")
    assert time.perf_counter() - begun < 2.0


@pytest.mark.parametrize("before", [*range(250, 262), 511, 512, 513])
@pytest.mark.parametrize("wanted", ["cafe\u0301", "ক\u09c7\u09be", "\u1112\u1161\u11ab", "天见"])
def test_a_letter_is_found_with_its_accents_wherever_it_stands(before: int, wanted: str) -> None:
    text = "中" * before + wanted + "文" * 300
    assert search.needle(wanted).spans(text) == [(before, before + len(wanted))]
