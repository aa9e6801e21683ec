"""Invites that a node's personas have open: their boxes, and what came; spec: invites.

::

    make ─► secret, durable ─► box 0 of its stream is waited for ─► first contact ─► used
                                 │ as a conversation's next box is        accepted at once
                                 └─ the last day is over, or taken back ─► gone

The secret of an invite gives a stream to all who have its text. The one invited puts the first
contact into box 0, and relays keep the first that comes: an invite works once. Until then the
box is asked for like any other stream's: the two newest invites of a persona all the time, older
ones now and then, on past days as well after absence.
"""

from dataclasses import dataclass
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.client import state
from shoal_protocol.client.parcel import Acks
from shoal_protocol.client.personas import Persona
from shoal_protocol.client.reader import Reader
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.invite import NETWORK_LENGTH, SECRET_LENGTH, Invite
from shoal_protocol.rng import Rng
from shoal_protocol.streams.capability import ReadCapability, WriteCapability

MAX_OPEN: Final = 8  # invites of one persona that nobody has used
MAX_LISTED: Final = 32  # of one persona, used ones among them
LIFE_DAYS: Final = 7  # beyond the day on which it is made
_ID_LENGTH: Final = 8
_LABEL: Final = b"invite"


def capability(secret: bytes, network: bytes) -> WriteCapability:
    """Return the capability of an invite's stream, at the box of the first contact.

    Args:
        secret: the invite's, 16 bytes.
        network: the hash of the network's parameters.
    """
    root = crypto.kdf(b"invite root", secret, network)
    return WriteCapability.from_root(root, network, _LABEL)


class InviteLine:
    """The stream of an open invite as a reader follows it: one box, the first.

    Args:
        day: the UTC day on which the invite was made; no box is of an earlier one.
        until: the UTC day with whose beginning it is over.
    """

    def __init__(self, name: bytes, reader: ReadCapability, day: int, until: int) -> None:
        self.id: Final = name
        self.day: Final = day
        self.until: Final = until
        self.come: Final = Acks()
        self._reader: Final = reader

    def expects(self, index: int) -> bool:
        """Whether box ``index`` is one that may come."""
        return index == 0

    def address(self, index: int, day: int) -> bytes:
        """Return where box ``index`` of ``day`` lies, 32 bytes."""
        return self._reader.at(index).address(day)

    def open(self, record: bytes, day: int) -> bytes:
        """Return the 1,928 bytes of the box; raises RemoteProtocolError as it is none."""
        return self._reader.open(record, day)


@dataclass(slots=True, eq=False)
class OpenInvite:
    """An invite of a persona; ``id`` is hex, ``code`` what its text says.

    ``expires`` is when its last day ends and ``created`` when it was made, both ns.
    """

    id: str
    persona: Persona
    code: Invite
    created: int
    expires: int
    used: bool = False

    @property
    def row_id(self) -> bytes:
        """Its name in the store, 16 bytes."""
        return self.persona.name_bytes + bytes.fromhex(self.id)


class Invites:
    """The invites of one node's personas."""

    def __init__(
        self, params: NetworkParameters, rng: Rng, reader: Reader, journal: state.Journal
    ) -> None:
        self._params = params
        self._rng = rng
        self._reader = reader
        self._journal = journal
        self._invites: dict[str, OpenInvite] = {}  # oldest first

    def of(self, persona: Persona) -> list[OpenInvite]:
        """Return a persona's invites that are not over, oldest first."""
        return [one for one in self._invites.values() if one.persona is persona]

    def make(self, persona: Persona, now: int) -> OpenInvite:
        """Make an invite, good for once and a week.

        Raises:
            UserError: as many as may be are open already.
        """
        self.tick(now)
        mine = self.of(persona)
        if sum(not one.used for one in mine) >= MAX_OPEN:
            raise UserError(f"{MAX_OPEN} invites are open already; take one back first.")
        for one in [one for one in mine if one.used][: max(0, len(mine) - MAX_LISTED + 1)]:
            self.withdraw(one)
        name, secret = self._rng.bytes(_ID_LENGTH), self._rng.bytes(SECRET_LENGTH)
        made = self._enter(persona, name, secret, now)
        self._keep(made)
        self._follow(made, now)
        return made

    def withdraw(self, invite: OpenInvite) -> None:
        """Take an invite back: its box is read no more."""
        self._invites.pop(invite.id, None)
        self._reader.unfollow(invite.persona.id, invite.row_id)
        if invite.persona.kept:
            self._journal.delete(state.INVITE, invite.row_id)

    def forget(self, persona: Persona) -> None:
        """Take all invites of a persona back."""
        for one in self.of(persona):
            self.withdraw(one)

    def tick(self, now: int) -> None:
        """Drop the invites whose time is over."""
        for one in [one for one in self._invites.values() if one.expires <= now]:
            self.withdraw(one)

    def came(self, line: InviteLine, day: int, record: bytes) -> tuple[OpenInvite, bytes] | None:
        """Take what a relay gave for an invite's box; the invite and the box's 1,928 bytes.

        None: it is no such box, or the invite is over. A box that is the stream's ends the
        invite, whatever is in it: relays keep no other there.
        """
        invite = self._invites.get(line.id[-_ID_LENGTH:].hex())
        if invite is None or invite.used:
            return None
        try:
            plaintext = line.open(record, day)
        except RemoteProtocolError as error:
            if error.reason == "tombstone":
                self._use(invite)
            return None
        self._use(invite)
        return invite, plaintext

    def restore(self, kept: state.Kept, personas: dict[str, Persona], now: int) -> None:
        """Take up the invites that a store kept; raises RemoteProtocolError on rows of no use."""
        rows = [(state.INVITES.decode(data), row_id) for row_id, data in kept.of(state.INVITE)]
        for row, row_id in sorted(rows, key=lambda one: (one[0].created, one[1])):
            persona = personas[row_id[:_ID_LENGTH].hex()]
            invite = self._enter(persona, row_id[_ID_LENGTH:], row.secret, row.created)
            invite.used = row.used
            if not invite.used:
                self._follow(invite, now)

    def _enter(self, persona: Persona, name: bytes, secret: bytes, created: int) -> OpenInvite:
        until = clock.index_of(created, self._params.day_s) + LIFE_DAYS + 1
        code = Invite(self._params.hash[:NETWORK_LENGTH], persona.secrets.pseudonym, secret, until)
        expires = until * clock.seconds(self._params.day_s)
        invite = OpenInvite(name.hex(), persona, code, created, expires)
        self._invites[invite.id] = invite
        return invite

    def _follow(self, invite: OpenInvite, now: int) -> None:
        day = clock.index_of(invite.created, self._params.day_s)
        reader = capability(invite.code.secret, self._params.hash).read()
        line = InviteLine(invite.row_id, reader, day, invite.code.expires_day)
        self._reader.follow_invite(invite.persona.id, line, now)

    def _use(self, invite: OpenInvite) -> None:
        invite.used = True
        self._reader.unfollow(invite.persona.id, invite.row_id)
        self._keep(invite)

    def _keep(self, invite: OpenInvite) -> None:
        if invite.persona.kept:
            row = state.InviteRow(invite.code.secret, invite.created, invite.used)
            self._journal.put(state.INVITE, invite.row_id, state.INVITES.encode(row))
