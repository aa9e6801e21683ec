"""The text form of a pseudonym: bech32m, one text per key and one key per text.

::

    "shoal" "1"  version (1 symbol)  key (52 symbols, 32 bytes + 4 zero bits)  checksum (6)

65 characters, small letters and digits. The checksum (BIP 350) finds up to four wrong
characters for sure, any others but for one in 2^30. Capitals, which BIP 173 would allow
when all are, are refused, so that comparing texts is comparing pseudonyms.
"""

from collections.abc import Iterable
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.errors import RemoteProtocolError, UserError

PREFIX: Final = "shoal"  # the human-readable part; spec: pseudonyms §2
VERSION: Final = 1  # symbol "p"
LENGTH: Final = 65  # characters

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # BIP 173
_VALUES: Final = {symbol: value for value, symbol in enumerate(_ALPHABET)}
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32M: Final = 0x2BC830A3  # BIP 350
_CHECKSUM_LENGTH: Final = 6  # symbols
_KEY_SYMBOLS: Final = 52
_PADDING_BITS: Final = 4
_START: Final = PREFIX + "1"
_EXPANDED_PREFIX: Final = [*(ord(c) >> 5 for c in PREFIX), 0, *(ord(c) & 31 for c in PREFIX)]


def _polymod(values: Iterable[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(_GENERATOR):
            if top >> bit & 1:
                state ^= term
    return state


def encode(public: bytes) -> str:
    """Return the text of a pseudonym, a 32-byte Ed25519 public key."""
    number = int.from_bytes(public, "big") << _PADDING_BITS
    data = [VERSION, *(number >> 5 * i & 31 for i in reversed(range(_KEY_SYMBOLS)))]
    check = _polymod([*_EXPANDED_PREFIX, *data, *bytes(_CHECKSUM_LENGTH)]) ^ _BECH32M
    data.extend(check >> 5 * i & 31 for i in reversed(range(_CHECKSUM_LENGTH)))
    return _START + "".join(_ALPHABET[value] for value in data)


def decode(text: str) -> bytes:
    """Return the 32-byte key of a pseudonym's text.

    Raises:
        UserError: one sentence that says what is wrong with ``text``, which it doesn't repeat.
    """
    if text != text.lower():
        raise UserError("A pseudonym is written in small letters throughout.")
    if not text.startswith(_START):
        raise UserError(f'A pseudonym begins with "{_START}".')
    if len(text) != LENGTH:
        raise UserError(f"A pseudonym has {LENGTH} characters; this one has {len(text)}.")
    data = [_VALUES.get(symbol, -1) for symbol in text[len(_START) :]]
    if -1 in data:
        raise UserError("This pseudonym has a character that none can have; was it mistyped?")
    if _polymod([*_EXPANDED_PREFIX, *data]) != _BECH32M:
        raise UserError("This pseudonym's checksum is wrong; was it mistyped or cut?")
    if data[0] != VERSION:
        raise UserError("This pseudonym is of a version that this program doesn't know.")
    number = 0
    for value in data[1:-_CHECKSUM_LENGTH]:
        number = number << 5 | value
    if number & (1 << _PADDING_BITS) - 1:
        raise UserError("This pseudonym isn't in its one proper form; ask for it again.")
    public = (number >> _PADDING_BITS).to_bytes(crypto.KEY_LENGTH, "big")
    try:
        crypto.ed25519_check_point(public)
    except RemoteProtocolError:
        raise UserError("This pseudonym holds no usable key; ask for it again.") from None
    return public
