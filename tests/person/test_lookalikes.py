"""Names that look the same, whatever letters they are made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_node import lookalikes

SAME = [
    ("Alice", "alice"),
    ("Alice", "Аlісе"),  # Cyrillic А, і, с, е
    ("Alice", "ΑΙice"),  # Greek Alpha and Iota
    ("Alice", "A1ice"),
    ("Alice", "AIice"),
    ("Alice", "Al\u200bi\u200dce"),
    ("Alice", "\u202eAlice\u202c"),
    ("Alice", "\u2066Alice\u2069"),
    ("Alice", "Ａｌｉｃｅ"),
    ("Alice", "𝐀𝓵𝒊𝖈𝕖"),
    ("Alice", "  Alice\u3000"),
    ("Alice", "Al\u00adice\ufe0f"),
    ("Alice", "A\u0000lice\ufeff"),
    ("Alice", "Ⓐⓛⓘⓒⓔ"),
    ("Alice", "Alice\u3164"),
    ("Alice", "Alice\U000e0041\U000e007f"),
    ("Bob", "B0b"),
    ("Bob", "Воb"),
    ("Tom", "Torn"),
    ("willow", "vvillow"),
    ("Ada B", "Ada\u00a0\u2003B"),
    ("café", "cafe\u0301"),
    ("小明", "小明\u200b"),
    ("momo", "mоmо"),
    ("HEX", "НЕХ"),
    ("copy", "сору"),
]
OTHER = [
    ("Alice", "Alicia"),
    ("Ada", "Adam"),
    ("小明", "小红"),
    ("Zoe", "Zoé"),
    ("Ada B", "AdaB"),
    ("Anna", "Hanna"),
    ("Иван", "Ivan"),
    ("安静的海獭", "温柔的海獭"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_look_the_same_have_one_skeleton(one: str, other: str) -> None:
    assert lookalikes.skeleton(one) == lookalikes.skeleton(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_names_that_look_different_have_two_skeletons(one: str, other: str) -> None:
    assert lookalikes.skeleton(one) != lookalikes.skeleton(other)


@given(st.text(max_size=64))
def test_a_skeleton_is_its_own_skeleton_and_ignores_case(name: str) -> None:
    once = lookalikes.skeleton(name)
    assert lookalikes.skeleton(once) == once
    assert lookalikes.skeleton(f"\u200b{name}\u202e") == once


def test_each_is_told_of_the_others_in_their_order() -> None:
    names = {"a": "Ada", "b": "Bob", "c": "АDA", "d": None, "e": "ada", "f": None}
    assert lookalikes.of_all(names) == {
        "a": ("c", "e"),
        "b": (),
        "c": ("a", "e"),
        "d": (),
        "e": ("a", "c"),
        "f": (),
    }


def test_names_that_show_nothing_look_the_same() -> None:
    assert lookalikes.of_all({"a": "\u200b", "b": "\u3164"}) == {"a": ("b",), "b": ("a",)}


@pytest.mark.parametrize(
    ("name", "own", "whom"),
    [
        ("momo", [], "momo"),
        ("МОМО", [], "momo"),
        ("rno\u200bm0", [], "momo"),
        ("𝐦𝐨𝐦𝐨", [], "momo"),
        ("Нeron", ["Heron"], "me"),
        ("安静的海獭", ["Quiet Otter", "安静的海獭"], "me"),
        ("Heron", ["Otter"], None),
        (None, ["Heron"], None),
    ],
)
def test_who_is_called_like_the_reader_or_like_a_momo_is_told(
    name: str | None, own: list[str], whom: str | None
) -> None:
    assert lookalikes.poses_as(name, own) == whom
