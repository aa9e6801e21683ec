"""Which rows a conversation has, put into the journal as they change; spec: client §10."""

from typing import Final

from shoal_protocol.client import state
from shoal_protocol.client.association import Association
from shoal_protocol.client.lives import Lives
from shoal_protocol.client.outbox import MOST_KEPT, Outgoing


class Keeper:
    """The rows of one conversation.

    Args:
        persona, conversation: their names, 8 bytes each.
        kept: False means that nothing here is ever made durable.
        lives: the time that deadlines are held against.
    """

    def __init__(
        self,
        journal: state.Journal,
        persona: bytes,
        conversation: bytes,
        *,
        kept: bool,
        lives: Lives,
    ) -> None:
        self._journal = journal
        self.lives: Final = lives
        self._persona: Final = persona
        self._conversation: Final = conversation
        self.kept: Final = kept
        self._contact: state.ContactRow | None = None  # as it was put last

    @property
    def journal(self) -> state.Journal | None:
        """Where changes go, or None."""
        return self._journal if self.kept else None

    @property
    def batch(self) -> int:
        """The batch that what changes now belongs to; 0, durable at once, when nothing is kept."""
        return self._journal.number if self.kept else 0

    def conversation(
        self,
        *,
        pseudonym: bytes,
        created: int,
        requested_by_them: bool,
        answered: bool,
        inbox_root: bytes | None,
        line: bytes,
        next_number: int,
        lines: tuple[state.LineRow, ...],
    ) -> None:
        """Put the conversation's row."""
        if self.kept:
            row = state.ConversationRow(
                persona=self._persona,
                pseudonym=pseudonym,
                created=created,
                requested_by_them=requested_by_them,
                answered=answered,
                inbox_root=inbox_root,
                line=line,
                next_number=next_number,
                lines=lines,
            )
            self._journal.put(
                state.CONVERSATION, self._conversation, state.CONVERSATIONS.encode(row)
            )

    def contact(self, row: state.ContactRow) -> None:
        """Put what is known of the contact, if it is not as it was."""
        if self.kept and row != self._contact:
            self._contact = row
            self._journal.put(state.CONTACT, self._conversation, state.CONTACTS.encode(row))

    def unwanted(self, mark: bytes, until: int) -> None:
        """Put the row of a message that was deleted here."""
        if self.kept:
            data = state.UNWANTED_ROWS.encode(state.UnwantedRow(until))
            self._journal.put(state.UNWANTED, self._conversation + mark, data)

    def forget_unwanted(self, mark: bytes) -> None:
        """Delete such a row."""
        if self.kept:
            self._journal.delete(state.UNWANTED, self._conversation + mark)

    def forget_conversation(self) -> None:
        """Delete the conversation's rows."""
        if self.kept:
            self._journal.delete(state.CONTACT, self._conversation)
            self._journal.delete(state.CONVERSATION, self._conversation)

    def association(self, association: Association) -> None:
        """Put an association's row."""
        if self.kept:
            self._journal.put(
                state.ASSOCIATION,
                self._persona + association.id,
                association.row(self._conversation),
            )

    def forget_association(self, association: Association) -> None:
        """Delete an association's row."""
        if self.kept:
            self._journal.delete(state.ASSOCIATION, self._persona + association.id)

    def record(self, outgoing: Outgoing) -> None:
        """Put the row of a record on its way, with the relays that keep it."""
        if self.kept:
            fields = (
                self._conversation,
                outgoing.session,
                outgoing.index,
                outgoing.first_contact,
                bytes.fromhex(outgoing.message),
                outgoing.record,
                outgoing.created,
                outgoing.needs_ack,
                outgoing.stored,
            )
            relays = sorted(outgoing.kept_by, key=lambda one: (one not in outgoing.replicas, one))
            row = (
                state.KeptRecordRow(*fields, tuple(relays[:MOST_KEPT]))
                if relays
                else state.RecordRow(*fields)
            )
            self._journal.put(state.RECORD, outgoing.key, state.RECORDS.encode(row))

    def forget_record(self, outgoing: Outgoing) -> None:
        """Delete the row of a record."""
        if self.kept:
            self._journal.delete(state.RECORD, outgoing.key)
