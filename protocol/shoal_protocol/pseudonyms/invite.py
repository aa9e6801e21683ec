"""The text of an invite, which lets one person begin a conversation without asking.

::

    "shoal-invite" "1"  version (1 symbol)  payload (87 symbols, 54 bytes + 3 zero bits)
                        checksum (6)

    payload   network 4 ‖ pseudonym 32 ‖ secret 16 ‖ u16 expires day

107 characters, small letters and digits; the link is ``shoal:`` and the text. A code is read
in capitals throughout as well: in those a QR code of it is smaller. The secret leads to the
stream that the one invited writes to; here is only how it is written down. Spec: pseudonyms §6.
"""

from dataclasses import dataclass
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.pseudonyms import bech32m

PREFIX: Final = "shoal-invite"
VERSION: Final = 1  # symbol "p"
SCHEME: Final = "shoal:"  # of the link
LENGTH: Final = 107  # characters
NETWORK_LENGTH: Final = 4  # bytes, the first of the hash of the network's parameters
SECRET_LENGTH: Final = 16  # bytes

_START: Final = PREFIX + "1"
_PAYLOAD: Final = NETWORK_LENGTH + crypto.KEY_LENGTH + SECRET_LENGTH + 2  # bytes
_MISTYPED: Final = "This invite's checksum is wrong; was it mistyped or cut?"


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite.

    ``network`` is 4 bytes, ``pseudonym`` 32, ``secret`` 16; ``expires_day`` the UTC day number
    (days since 1970, below 2^16) with whose beginning the invite is over.
    """

    network: bytes
    pseudonym: bytes
    secret: bytes
    expires_day: int

    def __repr__(self) -> str:
        return "Invite(…)"

    @property
    def link(self) -> str:
        """The invite as a link."""
        return SCHEME + encode(self)

    def check(self, network: bytes, today: int) -> None:
        """Refuse an invite that is of no use here and now.

        Args:
            network: the hash of this network's parameters.
            today: the UTC day number.

        Raises:
            UserError: it is of another network, or over.
        """
        if self.network != network[:NETWORK_LENGTH]:
            raise UserError("This invite is of another network than this node's.")
        if today >= self.expires_day:
            raise UserError("This invite has expired; ask for a new one.")


def encode(invite: Invite) -> str:
    """Return the text of ``invite``."""
    day = invite.expires_day.to_bytes(2, "big")
    payload = invite.network + invite.pseudonym + invite.secret + day
    return bech32m.encode(PREFIX, [VERSION, *bech32m.symbols_of(payload)])


def decode(text: str) -> Invite:
    """Return the invite of a text or a link, with white space around it or in capitals.

    Raises:
        UserError: one sentence that says what is wrong with ``text``, which it doesn't repeat.
    """
    code = text.strip()
    if code[: len(SCHEME)].lower() == SCHEME:
        code = code[len(SCHEME) :].strip()
    if code.isascii() and code == code.upper():
        code = code.lower()
    if not code.lower().startswith(_START):
        raise UserError(f'This is no invite: one begins with "{_START}".')
    if len(code) != LENGTH:
        raise UserError(f"An invite has {LENGTH} characters; this one has {len(code)}.")
    data = bech32m.values(code[len(_START) :])
    if data is None or not code.startswith(_START) or not bech32m.holds(PREFIX, data):
        raise UserError(_MISTYPED)
    if data[0] != VERSION:
        raise UserError("This invite is of a version that this program doesn't know.")
    payload = bech32m.bytes_of(data[1 : -bech32m.CHECKSUM_LENGTH])
    if payload is None:
        raise UserError("This invite isn't in its one proper form; ask for it again.")
    found = _split(payload)
    try:
        crypto.ed25519_check_point(found.pseudonym)
    except RemoteProtocolError:
        raise UserError("This invite holds no usable key; ask for it again.") from None
    return found


def _split(payload: bytes) -> Invite:
    pseudonym = NETWORK_LENGTH + crypto.KEY_LENGTH
    return Invite(
        network=payload[:NETWORK_LENGTH],
        pseudonym=payload[NETWORK_LENGTH:pseudonym],
        secret=payload[pseudonym : pseudonym + SECRET_LENGTH],
        expires_day=int.from_bytes(payload[pseudonym + SECRET_LENGTH :], "big"),
    )
