"""One session with a contact: its two streams and how far each has come; spec: client §6.

::

    parcel ──ratchet, box i──► record ──► Outbox ──► relays ──► the contact asks for box i
    box j ──ratchet──► parcel ──► acks free our records; its part goes to the lines

A parcel is sealed once and its record put again unchanged, so that relays see one box
however often it is sent. Boxes are opened in any order within a window and each once; what
has come is acknowledged by index, on whatever goes the other way.
"""

from collections import Counter
from typing import Final

from shoal_protocol.client import parcel, state
from shoal_protocol.client.parcel import Acks, Parcel
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.rng import Rng
from shoal_protocol.sessions.session import Session
from shoal_protocol.streams.capability import CAPABILITY_LENGTH, ReadCapability, WriteCapability

WINDOW: Final = parcel.ACK_WINDOW + 1  # boxes from the first that is missing on that may come
ASIDE: Final = 2  # places of these that no message takes: one for a nudge, the last for news
AHEAD: Final = 1024  # boxes written for somebody who is away, beyond the first that is lacking
UNREADABLE: Final = "unreadable"  # reason of the error that ends a session
STREAM: Final = b"conversation"  # label of the streams that a session's roots give


class Association:
    """A session, its streams, and what has come over them.

    Args:
        session: what the handshake agreed on.
        reader, writer: the capabilities, at the first box that has not come, and at the next.
        day: no box that is to come is of an earlier one.
        order: ages the associations of a conversation.
    """

    def __init__(
        self,
        session: Session,
        writer: WriteCapability,
        reader: ReadCapability,
        *,
        day: int,
        order: int,
    ) -> None:
        self.session: Final = session
        self.order: Final = order
        self.confirmed = False  # something came over it from the other side
        self.broken = False  # no more messages go over it
        self.peer = Acks()  # what the contact has of ours
        self.come = Acks()  # what we have of the contact's
        self.day = day
        self.told = 0  # where `come` began when something was last written
        self.sealed_day = 0  # of our newest box: days go up along a stream
        self.owes = False  # an acknowledgement
        self.ack_due: int | None = None  # ns; when it goes alone
        self.counters: Counter[str] = Counter()
        self._writer = writer
        self._oldest = writer  # at the first box that the contact lacks
        self._reader = reader

    @classmethod
    def begin(cls, session: Session, network: bytes, *, day: int, order: int) -> "Association":
        """Return the association of a session that has just been agreed on."""
        writer = WriteCapability.from_root(session.outgoing_root, network, STREAM)
        reader = WriteCapability.from_root(session.incoming_root, network, STREAM).read()
        return cls(session, writer, reader, day=day, order=order)

    @property
    def id(self) -> bytes:
        """The session's id, 16 bytes."""
        return self.session.id

    @property
    def next_index(self) -> int:
        """The index of the next box that is written."""
        return self._writer.index

    @property
    def room(self) -> int:
        """Boxes with messages that the window lets be written now."""
        return 0 if self.broken else self._places - ASIDE

    @property
    def may_nudge(self) -> bool:
        """Whether a box without a message may be written."""
        return self._places >= ASIDE

    @property
    def may_tell(self) -> bool:
        """Whether an acknowledgement may be written alone.

        The last place is for one that opens the contact's window: with both windows full of
        what waits for the other, each such box frees at least one of the contact's.
        """
        return self._places >= (1 if self.come.next > self.told else ASIDE)

    @property
    def _places(self) -> int:
        return self.peer.next + AHEAD - self._writer.index

    def seal(self, body: Parcel, day: int, rng: Rng) -> tuple[int, bytes]:
        """Return (index, 2,048-byte box) of the next box, which says ``body``."""
        index = self._writer.index
        day = self.sealed_day = max(day, self.sealed_day)
        self.owes = False
        self.ack_due = None
        self.told = self.come.next
        record = self._writer.seal(day, self.session.seal(parcel.encode(body), rng))
        self._writer = self._writer.at(index + 1)
        return index, record

    def overtaken(self, latest: int) -> bool:
        """Whether a clock that ran ahead sealed boxes of a day after ``latest``.

        That is the latest day on which the contact asks now: nothing would be read till then.
        """
        return not self.broken and self.sealed_day > latest

    def address(self, index: int, day: int) -> bytes:
        """Return the address (32 bytes) of the contact's box ``index`` of ``day``."""
        return self._reader.at(index).address(day)

    def expects(self, index: int) -> bool:
        """Whether box ``index`` has not come and may."""
        return index >= self.come.next and not self.come.covers(index) and self.come.within(index)

    def open(self, index: int, day: int, record: bytes, rng: Rng) -> Parcel | None:
        """Take the contact's box ``index``; None when it says nothing that can be read.

        A box that was taken back, or holds no parcel, has come all the same: it is the
        contact's own, and asking for it for ever would stop the stream.

        Raises:
            RemoteProtocolError: "unreadable" when the contact's own box does not open: one
                of the two ratchets is older than what was said over it. Else the box is not
                the contact's. Nothing has changed.
        """
        plaintext: bytes | None = None
        try:
            plaintext = self._reader.at(index).open(record, day)
        except RemoteProtocolError as error:
            if error.reason != "tombstone":
                raise
        said = None if plaintext is None else self._read(plaintext, rng)
        if index == self.come.next:
            self.day = max(self.day, day)  # one that ran ahead says nothing of what is missing
        self.come = self.come.plus(index)
        self._reader = self._reader.at(max(self.come.next, self._reader.index))
        self.confirmed = True
        return said

    def _read(self, plaintext: bytes, rng: Rng) -> Parcel | None:
        try:
            text = self.session.open(plaintext, rng)
        except RemoteProtocolError:
            raise RemoteProtocolError(UNREADABLE) from None
        try:
            return parcel.decode(text)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            return None

    def acknowledged(self, acks: Acks) -> None:
        """Take what the contact says it has; what it said before still holds."""
        if acks.next >= self.peer.next and acks.next <= self._writer.index:
            bits = acks.bits
            if acks.next == self.peer.next:
                bits |= self.peer.bits
            self.peer = Acks(acks.next, bits)

    def holds(self, index: int) -> bool:
        """Whether our box ``index`` can be taken back; not if an earlier version wrote it."""
        return index >= self._oldest.index

    def take_back(self, index: int, day: int) -> bytes:
        """Return the record that takes back our box ``index`` of ``day``; not :meth:`let_go`."""
        return self._oldest.at(index).tombstone(day)

    def renew(self, index: int, day: int) -> bytes:
        """Return a record in the place of our box ``index`` that says nothing, of ``day``."""
        self.sealed_day = max(self.sealed_day, day)
        return self.take_back(index, day)

    def let_go(self) -> None:
        """Forget the keys of the boxes that the contact has, up to the first that it lacks."""
        self._oldest = self._oldest.at(max(self._oldest.index, self.peer.next))

    def row(self, conversation: bytes) -> bytes:
        """Return the row that a store keeps; a secret."""
        return state.ASSOCIATIONS.encode(
            state.AssociationRow(
                conversation=conversation,
                order=self.order,
                session=self.session.dump(),
                writer=self._writer.dump() + self._oldest.dump(),
                reader=self._reader.pack(),
                confirmed=self.confirmed,
                broken=self.broken,
                peer_has=self.peer.next,
                peer_bits=self.peer.bits,
                come_next=self.come.next,
                come_bits=self.come.bits,
                read_day=self.day,
                told=self.told,
                sealed_day=self.sealed_day,
                owes=self.owes,
            )
        )

    @classmethod
    def restore(cls, row: state.AssociationRow, network: bytes) -> "Association":
        """Return the association that :meth:`row` kept."""
        association = cls(
            Session.load(row.session),
            WriteCapability.load(row.writer[:CAPABILITY_LENGTH], network),
            ReadCapability.parse(row.reader, network),
            day=row.read_day,
            order=row.order,
        )
        if len(row.writer) > CAPABILITY_LENGTH:
            association._oldest = WriteCapability.load(row.writer[CAPABILITY_LENGTH:], network)
        association.confirmed = row.confirmed
        association.broken = row.broken
        association.peer = Acks(row.peer_has, row.peer_bits)
        association.come = Acks(row.come_next, row.come_bits)
        association.told = row.told
        association.sealed_day = row.sealed_day
        association.owes = row.owes
        return association
