"""Text with a checksum: bech32m (BIP 350), as addresses and invites use it.

::

    prefix  "1"  data (5 bits a symbol)  checksum (6 symbols)

32 small letters and digits, none of "1", "b", "i", "o" among them. The checksum finds every
wrong character of texts as long as ours, four at once in those of up to 90 characters and
three in longer ones; any other damage but for one case in 2^30.
"""

from collections.abc import Iterable, Sequence
from typing import Final

ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # BIP 173
CHECKSUM_LENGTH: Final = 6  # symbols

_VALUES: Final = {symbol: value for value, symbol in enumerate(ALPHABET)}
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32M: Final = 0x2BC830A3  # BIP 350


def _polymod(values: Iterable[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(_GENERATOR):
            if top >> bit & 1:
                state ^= term
    return state


def _expanded(prefix: str) -> list[int]:
    return [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix)]


def encode(prefix: str, data: Sequence[int]) -> str:
    """Return the text of ``data`` (values of 5 bits) behind ``prefix``, with its checksum."""
    check = _polymod([*_expanded(prefix), *data, *bytes(CHECKSUM_LENGTH)]) ^ _BECH32M
    tail = [check >> 5 * i & 31 for i in reversed(range(CHECKSUM_LENGTH))]
    return f"{prefix}1" + "".join(ALPHABET[value] for value in (*data, *tail))


def values(symbols: str) -> list[int] | None:
    """Return the values of ``symbols``, None if one is no symbol."""
    found = [_VALUES.get(symbol, -1) for symbol in symbols]
    return None if -1 in found else found


def holds(prefix: str, data: Sequence[int]) -> bool:
    """Whether ``data`` ends with the checksum of ``prefix`` and all before it."""
    return _polymod([*_expanded(prefix), *data]) == _BECH32M


def symbols_of(data: bytes) -> list[int]:
    """Return ``data`` in values of 5 bits, the last one filled up with zero bits."""
    count = -(-8 * len(data) // 5)
    number = int.from_bytes(data, "big") << 5 * count - 8 * len(data)
    return [number >> 5 * i & 31 for i in reversed(range(count))]


def bytes_of(symbols: Sequence[int]) -> bytes | None:
    """Return the whole bytes in ``symbols``; None if bits that fill up aren't zero."""
    number = 0
    for value in symbols:
        number = number << 5 | value
    length, padding = divmod(5 * len(symbols), 8)
    if padding >= 5 or number & (1 << padding) - 1:
        return None
    return (number >> padding).to_bytes(length, "big")
