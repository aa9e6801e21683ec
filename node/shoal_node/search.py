"""Finding a text in messages as people look for it: without regard to case, width or form.

::

    text ─► NFKC ─► casefold ─► NFKC ─► does it hold what is looked for, folded likewise?
      └─ cut before each letter that stands by itself ─► folded piece by piece ─► [start, end)

A substring of any length is looked for, so that two-character Chinese words are found. Where a
message holds it, the places are counted in code points of the text as it was written; a place
begins and ends with a whole letter together with its accents. A pure function.

NFKC sorts the accents of a letter, in a time that grows with the square of their number: a
text of nothing but accents, which any stranger may send, would take ten seconds. Texts are
therefore folded in pieces of at most 256 letters, cut between letters that stand by themselves
wherever there are any.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_JAMO: Final = range(0x1160, 0x1200)  # vowels and finals of Hangul, which join the letter before
_PIECE: Final = 256  # code points folded at once
_LOOKED_BACK: Final = 64  # of them, in which a place to cut is looked for


def fold(text: str) -> str:
    """Return ``text`` in the form in which texts are compared."""
    if text.isascii():
        return text.lower()
    return "".join(map(_fold_piece, _pieces(text)))


def _fold_piece(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _PIECE:
        most = start + _PIECE
        places = range(most, most - _LOOKED_BACK, -1)
        end = next((place for place in places if _stands(text[place])), most)
        yield text[start:end]
        start = end
    yield text[start:]


def _stands(letter: str) -> bool:
    """Whether no letter before is written together with ``letter``."""
    return not _joins(letter) and not unicodedata.category(letter).startswith("M")


@dataclass(frozen=True, slots=True)
class Needle:
    """What is looked for, folded; made by :func:`needle`."""

    folded: str

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where ``text`` holds it, in code points, in order and apart from each other."""
        if not self.folded or self.folded not in fold(text):
            return []
        joined, places = _folded_with_places(text)
        found: list[tuple[int, int]] = []
        at = joined.find(self.folded)
        while at >= 0:
            end = at + len(self.folded)
            found.append((places[at][0], places[end - 1][1]))
            at = joined.find(self.folded, end)
        return found


def needle(text: str) -> Needle:
    """Return what looks for ``text``."""
    return Needle(fold(text))


def _joins(letter: str) -> bool:
    return unicodedata.combining(letter) > 0 or ord(letter) in _JAMO


def _folded_with_places(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the folded text and, for each of its letters, where it comes from."""
    joined: list[str] = []
    places: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and end - start < _PIECE and not _stands(text[end]):
            continue
        piece = _fold_piece(text[start:end])
        joined.append(piece)
        places += [(start, end)] * len(piece)
        start = end
    return "".join(joined), places
