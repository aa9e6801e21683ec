"""Inputs that reached something new once are given again: one error, or a value, as ever (T7)."""

from pathlib import Path

import pytest

from hostile import corpus, decoders
from hostile.decoders import Decoder

EVERY = decoders.every()
ALL_KEPT = 300_000  # bytes of the files together


@pytest.mark.parametrize("decoder", EVERY, ids=lambda one: one.name)
def test_what_is_kept_for_a_decoder_is_taken_or_refused_by_its_one_error(decoder: Decoder) -> None:
    kept = corpus.load(decoder.name)
    assert kept, "python -m hostile.fuzz --keep writes it"
    for data in kept:
        try:
            decoder.read(data)
        except decoder.error:
            continue


def test_the_corpus_is_small_and_of_these_decoders() -> None:
    files = list(corpus.PLACE.iterdir())
    assert {path.stem for path in files} == {corpus.slug(one.name) for one in EVERY}
    assert sum(path.stat().st_size for path in files) < ALL_KEPT


def test_a_corpus_comes_back_and_leaves_out_what_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "PLACE", tmp_path)
    corpus.save("a decoder's", [b"", b"two", b"1", bytes(corpus.LONGEST + 1)])
    assert corpus.load("a decoder's") == [b"1", b"two"]
    assert corpus.load("another's") == []
