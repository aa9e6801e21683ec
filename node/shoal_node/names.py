"""Drawn names in words: two indices, shown in the reader's language.

::

    drawn name  u16 adjective ‖ u16 noun   ─► en "Quiet Otter"   zh "安静的海獭"
    no name                                ─► "momo"

A drawn name crosses the wire as numbers, so that each reader sees it in a language of his
own and none tells the language of the one who drew it. ``names.json`` has the words: one list
a language, the same meaning at the same place in each; the page shows the same file. Words
are never moved or taken out, only added: an index beyond the lists counts from their start.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from shoal_protocol.rng import Rng

FILE: Final = "names.json"
LANGUAGES: Final = ("en", "zh")

Drawn = tuple[int, int]  # places of an adjective and a noun, u16 each


@dataclass(frozen=True, slots=True)
class Words:
    """One language's words."""

    momo: str
    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]


@cache
def words(language: str) -> Words:
    """Return the words of ``language``; English for one that isn't in :data:`LANGUAGES`."""
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    table: dict[str, Any] = json.loads(
        resources.files("shoal_node").joinpath(FILE).read_text(encoding="utf-8")
    )
    return Words(
        table["momo"][chosen],
        tuple(table["adjectives"][chosen]),
        tuple(table["nouns"][chosen]),
    )


def draw(rng: Rng) -> Drawn:
    """Draw a name, each with the same chance."""
    known = words(LANGUAGES[0])
    return rng.below(len(known.adjectives)), rng.below(len(known.nouns))


def shown(name: str | None, drawn: Drawn | None, language: str) -> str:
    """Return what somebody is called in ``language``.

    Args:
        name: the words that he chose himself; they go before a drawn name.
        drawn: the name that was drawn for him.
    """
    known = words(language)
    if name is not None:
        return name
    if drawn is None:
        return known.momo
    adjective = known.adjectives[drawn[0] % len(known.adjectives)]
    noun = known.nouns[drawn[1] % len(known.nouns)]
    return f"{adjective}{noun}" if language == "zh" else f"{adjective} {noun}".title()
