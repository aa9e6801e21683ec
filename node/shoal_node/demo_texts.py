"""The demo's messages: Chinese, emoji and others, 1 to 1,500 bytes, from a seed.

Every text is unlike every other, so that a lost one and one that came twice can be told.
Lengths are uniform in their logarithm; of two or more texts one has 1 byte and one 1,500.
"""

from typing import Final

from shoal_protocol import crypto
from shoal_protocol.rng import Rng

LONGEST: Final = 1500  # bytes of UTF-8

_PIECES: Final = (
    "海上生明月,天涯共此时。",
    "今晚八点见?",
    "悄悄话只说给你听。",
    "一条鱼游进了鱼群,谁也认不出它。",
    "繁體字也行,",
    "🐟",
    "🐟🐠🐡",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "🇪🇺",
    "👍🏽",
    "🦕 ",
    "see you at eight? ",
    "a fish in a shoal cannot be singled out. ",
    "naïve café, ",
    "e\u0301 ",
    "Привет, ",
    "שלום ",
    "مرحبا ",
    "हिन्दी ",
    "𝔖𝔥𝔬𝔞𝔩 ",
    "line one\nline two\ttabbed ",
    "\\ \" ' <b>&amp;</b> ",
)
_FILL: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;-+*/=!?"


def make(seed: str, count: int) -> tuple[list[str], list[str]]:
    """Return two lists of ``count`` texts each, the same for the same seed."""
    rng = Rng(crypto.seeded_source(f"{seed} texts".encode()))
    used: set[str] = set()
    lists: tuple[list[str], list[str]] = ([], [])
    for texts in lists:
        extremes = {1: 1, count - 1: LONGEST} if count > 1 else {}
        for place in range(count):
            texts.append(_unused(rng, used, extremes.get(place)))
    return lists


def _unused(rng: Rng, used: set[str], length: int | None) -> str:
    while True:
        text = _text(rng, length or max(1, round(LONGEST ** rng.uniform())))
        if text not in used:
            used.add(text)
            return text


def _text(rng: Rng, length: int) -> str:
    """A text of exactly ``length`` bytes: pieces while they fit, then filling."""
    parts: list[str] = []
    left = length
    while left > 0:
        fitting = [piece for piece in _PIECES if len(piece.encode()) <= left]
        piece = rng.choice(fitting) if fitting and left > 3 else rng.choice(_FILL)
        parts.append(piece)
        left -= len(piece.encode())
    return "".join(parts)
