"""Which contacts' names look the same, so that nobody passes for another unnoticed.

::

    name ─► nothing invisible ─► NFKC ─► look-alikes to Latin ─► casefold ─► again ─► skeleton

    "Ada", "ADA", "Аda" (Cyrillic А), "A\\u200bda", "Ａｄａ"  ─► "ada"

Two names look the same when their skeletons are equal: UTS 39's test, with case folded as
well, since people don't tell "alice" from "Alice". The table is the part of its
confusables.txt (https://www.unicode.org/reports/tr39/) that names are made of: Cyrillic,
Greek, Armenian, Cherokee and small capitals that are drawn like Latin letters, digits and
signs drawn like letters, letters that touch; NFKC has already taken what is full-width, in
circles, or from mathematics. A warning and no more: what the table lacks gets through, and
two honest people may be called the same.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final, Literal

from shoal_node import names

_LATIN: Final[Mapping[str, str]] = {
    "a": "аɑα⍺ꭺꓮ",
    "b": "ЬьƄᏏꓐʙВвΒ",
    "c": "сϲᴄⲥꓚСϹᏟ",
    "d": "ԁɗᏧꓒꓓᎠ",
    "e": "еҽɛеЕΕᎬꓰ",
    "f": "ſƒꓝϜք",
    "g": "ɡցԍԌᏀᏳꓖ",
    "h": "һհᏂНΗнʜᎻꓧ",
    "i": "іɩιӏІΙЇїɪꙇᎥıӀן",
    "j": "јϳЈᎫꓙյ",
    "k": "κкᴋКΚᏦꓗ",
    "m": "мᴍМΜϺᎷꓟ",
    "n": "ոռпᴨηΝꓠɴ",
    "o": "оοօσОΟՕ०௦໐ഠဝᴏᴑꓳϘѳθ",
    "p": "рρΡРᴘᏢꓑⲣþ",
    "q": "ԛգզԚ",
    "r": "гᴦʀꭱᏒꓣ",
    "s": "ѕʂЅՏꜱᏚꓢ",
    "t": "тτТΤᴛᎢꓔ",
    "u": "υսцᴜՍꓴʋμ",
    "v": "νѵᴠѴᏙꓦγ",
    "w": "ѡԝաωԜᎳꓪшɯᴡ",
    "x": "хχХΧᕁꓫ×",
    "y": "уүʏУΥҮᎩꓬɣყ",
    "z": "ᴢΖᏃꓜʐ",
    "ae": "ӕ",
}
_SIGNS: Final[Mapping[str, str]] = {"0": "o", "1": "l", "|": "l", "!": "l", "i": "l", "I": "l"}
_TOUCHING: Final = (("rn", "m"), ("vv", "w"))
_TABLE: Final = str.maketrans(
    {letter: latin for latin, letters in _LATIN.items() for letter in letters} | dict(_SIGNS)
)
# Shown as nothing, though of a category that usually is: Unicode's Default_Ignorable_Code_Point.
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def _invisible(letter: str) -> bool:
    code = ord(letter)
    return (
        letter in _BLANK
        or 0xFE00 <= code <= 0xFE0F  # variation selectors
        or 0xE0000 <= code <= 0xE0FFF  # tags, and more of those
        or (unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn") and not letter.isspace())
    )


def skeleton(name: str) -> str:
    """Return what ``name`` is compared by; names that look the same have the same."""
    seen = "".join(letter for letter in name if not _invisible(letter))
    flat = " ".join(unicodedata.normalize("NFKC", seen).split())
    for _ in range(2):  # capitals have look-alikes of their own, and folding shows others
        flat = unicodedata.normalize("NFC", flat.translate(_TABLE).casefold())
    flat = flat.translate(_TABLE)
    for pair, one in _TOUCHING:
        flat = flat.replace(pair, one)
    return flat


@cache
def _momos() -> frozenset[str]:
    return frozenset(skeleton(names.words(language).momo) for language in names.LANGUAGES)


def poses_as(name: str | None, own: Iterable[str]) -> Literal["me", "momo"] | None:
    """Return whom somebody's own words pass for: the reader's persona, or one without a name.

    Args:
        name: what somebody calls himself in his own words; None without any.
        own: what the reader's persona is called, in each language.
    """
    if name is None:
        return None
    shape = skeleton(name)
    if shape in {skeleton(each) for each in own}:
        return "me"
    return "momo" if shape in _momos() else None


def of_all(called: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
    """Return for each id the other ids whose name looks the same, in the order given.

    Args:
        called: what each is shown as, by id; None for whoever has no name, and so none like it.
    """
    groups: dict[str, list[str]] = {}
    for key, name in called.items():
        if name is not None:
            groups.setdefault(skeleton(name), []).append(key)
    found: dict[str, tuple[str, ...]] = dict.fromkeys(called, ())
    for group in groups.values():
        for key in group:
            found[key] = tuple(other for other in group if other != key)
    return found
