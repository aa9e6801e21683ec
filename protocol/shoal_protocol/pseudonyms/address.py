"""The text form of a pseudonym: bech32m, one text per key and one key per text.

::

    "shoal" "1"  version (1 symbol)  key (52 symbols, 32 bytes + 4 zero bits)  checksum (6)

65 characters, small letters and digits. The checksum (BIP 350) finds up to four wrong
characters for sure, any others but for one in 2^30. Capitals, which BIP 173 would allow
when all are, are refused, so that comparing texts is comparing pseudonyms.
"""

from typing import Final

from shoal_protocol import crypto
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.pseudonyms import bech32m

PREFIX: Final = "shoal"  # the human-readable part; spec: pseudonyms §2
VERSION: Final = 1  # symbol "p"
LENGTH: Final = 65  # characters

_START: Final = PREFIX + "1"


def encode(public: bytes) -> str:
    """Return the text of a pseudonym, a 32-byte Ed25519 public key."""
    return bech32m.encode(PREFIX, [VERSION, *bech32m.symbols_of(public)])


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
    data = bech32m.values(text[len(_START) :])
    if data is None:
        raise UserError("This pseudonym has a character that none can have; was it mistyped?")
    if not bech32m.holds(PREFIX, data):
        raise UserError("This pseudonym's checksum is wrong; was it mistyped or cut?")
    if data[0] != VERSION:
        raise UserError("This pseudonym is of a version that this program doesn't know.")
    public = bech32m.bytes_of(data[1 : -bech32m.CHECKSUM_LENGTH])
    if public is None:
        raise UserError("This pseudonym isn't in its one proper form; ask for it again.")
    try:
        crypto.ed25519_check_point(public)
    except RemoteProtocolError:
        raise UserError("This pseudonym holds no usable key; ask for it again.") from None
    return public
