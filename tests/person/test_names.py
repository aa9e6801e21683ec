"""Drawn names in the words of each language."""

import itertools

import pytest

from shoal_node import names
from shoal_protocol import crypto
from shoal_protocol.rng import Rng

RNG = Rng(crypto.seeded_source(b"names"))


@pytest.mark.parametrize("language", names.LANGUAGES)
def test_every_language_has_the_same_number_of_words_and_none_twice(language: str) -> None:
    words = names.words(language)
    for listed in (words.adjectives, words.nouns):
        assert len(listed) == len(set(listed)) == 64
        assert all(word == word.strip() and word for word in listed)


@pytest.mark.parametrize("language", names.LANGUAGES)
def test_no_two_drawn_names_look_the_same_in_any_language(language: str) -> None:
    pairs = itertools.product(range(64), range(64))
    assert len({names.shown(None, pair, language) for pair in pairs}) == 64 * 64


def test_a_drawn_name_is_shown_in_the_language_of_the_reader() -> None:
    assert names.shown(None, (0, 0), "en") == "Quiet Otter"
    assert names.shown(None, (0, 0), "zh") == "安静的海獭"
    assert names.shown(None, (0, 0), "xx") == "Quiet Otter"


def test_chinese_words_are_chinese_and_english_ones_are_ascii() -> None:
    zh, en = names.words("zh"), names.words("en")
    assert all(
        "\u4e00" <= letter <= "\u9fff" for word in zh.adjectives + zh.nouns for letter in word
    )
    assert all(word.isascii() and word.isalpha() for word in en.adjectives + en.nouns)
    assert all(word.endswith("的") for word in zh.adjectives)


@pytest.mark.parametrize("language", names.LANGUAGES)
def test_whoever_has_no_name_is_momo(language: str) -> None:
    assert names.shown(None, None, language) == "momo"


def test_words_of_ones_own_go_before_a_drawn_name() -> None:
    assert names.shown("Ada", (1, 2), "zh") == "Ada"


def test_an_index_beyond_the_lists_is_shown_all_the_same() -> None:
    assert names.shown(None, (65_535, 64), "en") == names.shown(None, (63, 0), "en")


def test_drawing_reaches_every_word() -> None:
    drawn = [names.draw(RNG) for _ in range(2000)]
    assert {pair[0] for pair in drawn} == {pair[1] for pair in drawn} == set(range(64))
