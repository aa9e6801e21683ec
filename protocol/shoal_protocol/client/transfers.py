"""Files that go and come with messages, fragment by fragment; spec: client §9, files.

::

    send ─► content, durable ─► fragments ─► Outbox, one copy each ─► all stored ─► the message
                                   ▲            │ dropped                goes, with the manifest
                                   └────────────┘        box_days over: the message has failed
    message with a manifest ─► Downloads ─► content, durable

A message with a file is numbered and written only once every fragment is stored, so that
*stored* means the same for it as for any other, and nothing said meanwhile waits for it. One
file of a persona goes up at a time, in the order of their messages. Which of one's own fragments
are stored is durable: a restart goes on where it was. A file whose boxes are all of a day that
relays no more take fails with its message, as one does that outlived its boxes, and the next
goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import state
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.downloads import Downloads
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.outbox import Outbox, Outgoing, record_key
from shoal_protocol.client.reader import Reader
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.manifest import Manifest
from shoal_protocol.files.sending import FileSender
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng
from shoal_protocol.streams.capability import WriteCapability

CHUNK: Final = 32_768  # bytes of content in one row
MAX_UPLOADS: Final = 16  # files that wait to go up


class TransferState(Enum):
    """How far a file has come."""

    WAITING = "waiting"
    SENDING = "sending"
    FETCHING = "fetching"
    WHOLE = "whole"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file has come: fragments done, of so many."""

    state: TransferState
    done: int
    total: int


@dataclass(slots=True, eq=False)
class _Upload:
    message: str
    correspondence: Correspondence
    manifest: Manifest
    content: bytes
    writer: WriteCapability
    stored: bytes
    batch: int
    kept: bool
    sender: FileSender | None = None
    out: dict[int, bytes] = field(default_factory=dict[int, bytes])  # index: key in the outbox


class Transfers:
    """The files of one node on their way."""

    def __init__(
        self,
        params: NetworkParameters,
        rng: Rng,
        outbox: Outbox,
        reader: Reader,
        journal: state.Journal,
    ) -> None:
        self._params = params
        self._rng = rng
        self._outbox = outbox
        self._journal = journal
        self._uploads: dict[str, _Upload] = {}  # by message, oldest first
        self._downloads: Final = Downloads(params, reader, journal)
        self._whole: dict[str, bytes] = {}  # contents of personas that are not kept

    def send(
        self,
        correspondence: Correspondence,
        message_id: str,
        text: str,
        content: bytes,
        name: str,
        media_type: str,
        now: int,
        *,
        reply_to: str | None = None,
        expires_s: int | None = None,
    ) -> Message:
        """Queue a file with a text; the message goes once the file is stored.

        ``reply_to`` and ``expires_s`` are as of :meth:`Correspondence.send`.

        Raises:
            UserError: the file or text is too long, or too many files wait.
        """
        if len(self._uploads) >= MAX_UPLOADS:
            raise UserError("Too many files are on their way; try again later.")
        writer = WriteCapability.create(self._rng, self._params.hash)
        manifest = manifests.describe(
            writer.read(),
            clock.index_of(now, self._params.day_s),
            len(content),
            manifests.content_digest(content),
            name,
            media_type,
        )
        message = correspondence.hold(
            message_id,
            text,
            manifests.encode(manifest),
            now,
            reply_to=reply_to,
            expires_s=expires_s,
        )
        kept = correspondence.kept
        batch = self._journal.number if kept else 0
        upload = _Upload(message_id, correspondence, manifest, content, writer, b"", batch, kept)
        self._uploads[message_id] = upload
        self._keep_upload(upload)
        self._keep_content(message_id, content, kept)
        return message

    def arrived(self, correspondence: Correspondence, message: Message) -> None:
        """Begin to fetch the file of a message that came."""
        if message.file is None:
            return
        try:
            manifest = manifests.decode(message.file, self._params.hash)
        except RemoteProtocolError:
            self._downloads.refuse(message.id)  # shown as a file that cannot be had
            return
        self._downloads.add(correspondence, message.id, manifest)

    def progress(self, message: Message) -> Progress | None:
        """Return how far the file of ``message`` has come; None when it has none."""
        if message.file is None:
            return None
        upload, download = self._uploads.get(message.id), self._downloads.progress(message.id)
        if upload is not None:
            if upload.sender is None:
                return Progress(TransferState.WAITING, 0, upload.manifest.layout.total)
            return Progress(TransferState.SENDING, *upload.sender.progress)
        if download is not None:
            began, done, total = download
            return Progress(TransferState.FETCHING if began else TransferState.WAITING, done, total)
        failed = self._downloads.failed(message.id) or message.state is MessageState.FAILED
        return Progress(TransferState.FAILED if failed else TransferState.WHOLE, 0, 0)

    def content(self, message_id: str) -> bytes | None:
        """Return the content of a whole file that no store keeps, or None."""
        return self._whole.get(message_id)

    @property
    def working(self) -> bool:
        """Whether :meth:`work` has a slice to do."""
        return self._downloads.working

    def work(self) -> Message | None:
        """Do a slice of putting a file together; returns the message whose file is whole."""
        fetched = self._downloads.work()
        if fetched is None:
            return None
        if fetched.content is not None:
            self._keep_content(fetched.message, fetched.content, fetched.kept)
        return fetched.correspondence.history.get(fetched.message)

    def tick(self, now: int) -> list[Message]:
        """Fill the outbox with fragments; returns messages whose file has failed."""
        failed: list[Message] = []
        today = clock.index_of(now, self._params.day_s)
        for upload in list(self._uploads.values()):
            if upload.manifest.past(today):
                failed += self._give_up(upload)
            elif upload.correspondence.blocked:
                self._outbox.done(upload.out.values())  # put anew should it go on
        going = [one for one in self._uploads.values() if not one.correspondence.blocked]
        for first in {one.correspondence.persona: one for one in reversed(going)}.values():
            self._fill(first, now)
        return failed + self._downloads.tick(now)

    def stored(self, outgoing: Outgoing) -> Correspondence | None:
        """Note that a fragment is stored; the conversation whose message may go now."""
        upload = self._uploads.get(outgoing.message)
        self._outbox.done([outgoing.key])
        if upload is None or upload.sender is None:
            return None
        upload.out.pop(outgoing.index, None)
        upload.sender.stored(outgoing.index)
        upload.stored = upload.sender.dump()
        if not upload.sender.done:
            self._keep_upload(upload)
            return None
        del self._uploads[upload.message]
        if upload.kept:
            self._journal.delete(state.UPLOAD, bytes.fromhex(upload.message))
        return upload.correspondence

    def forget(self, message: Message) -> None:
        """Delete what is kept of a message's file."""
        if message.file is None:
            return
        self._downloads.forget(message.id)
        self._whole.pop(message.id, None)
        upload = self._uploads.pop(message.id, None)
        if upload is not None:
            self._outbox.done(upload.out.values())
        name = bytes.fromhex(message.id)
        try:
            layout = manifests.decode(message.file, self._params.hash)
        except RemoteProtocolError:
            return
        self._journal.delete(state.UPLOAD, name)
        self._journal.delete(state.DOWNLOAD, name)
        for place in range(-(-layout.size // CHUNK)):
            self._journal.delete(state.FILE, name + place.to_bytes(4, "big"))
        for index in range(layout.layout.total):
            self._journal.delete(state.FRAGMENT, name + index.to_bytes(4, "big"))

    def restore(
        self, kept: state.Kept, messages: Callable[[str], tuple[Correspondence, Message] | None]
    ) -> None:
        """Go on where a store left off; raises RemoteProtocolError on rows of no use."""
        for name, data in kept.of(state.UPLOAD):
            found = messages(name.hex())
            if found is None or found[1].file is None:
                continue
            row = state.UPLOADS.decode(data)
            manifest = manifests.decode(found[1].file, self._params.hash)
            writer = WriteCapability.load(row.writer, self._params.hash)
            self._uploads[name.hex()] = _Upload(
                name.hex(), found[0], manifest, kept.file(name), writer, row.stored, 0, True
            )
        for name, data in kept.of(state.DOWNLOAD):
            found = messages(name.hex())
            if found is None or found[1].file is None:
                continue
            manifest = manifests.decode(found[1].file, self._params.hash)
            self._downloads.restore(found[0], name.hex(), manifest, data)
        for key, data in kept.of(state.FRAGMENT):
            index = int.from_bytes(key[12:], "big")
            self._downloads.restore_fragment(key[:12].hex(), index, data)

    def _fill(self, upload: _Upload, now: int) -> None:
        if upload.sender is None:
            upload.sender = FileSender(
                upload.manifest, upload.content, upload.writer, upload.stored
            )
        for gone in [i for i, key in upload.out.items() if self._outbox.get(key) is None]:
            del upload.out[gone]
            upload.sender.dropped(gone)  # it waited for too long, and is put anew
        index = upload.sender.next()
        if index is None:
            return
        record = upload.sender.record(index)
        upload.out[index] = record_key(record)
        self._outbox.add(
            Outgoing(
                upload.out[index],
                record,
                now,
                needs_ack=False,
                batch=upload.batch,
                copies=1,
                fragment=True,
                index=index,
                message=upload.message,
                owner=upload.correspondence.persona,
                conversation=upload.correspondence.id,
            )
        )

    def _give_up(self, upload: _Upload) -> list[Message]:
        """Fail the message of a file that relays take no more; returns it if that moved it."""
        self._outbox.done(upload.out.values())
        del self._uploads[upload.message]
        if upload.kept:
            self._journal.delete(state.UPLOAD, bytes.fromhex(upload.message))
        message = upload.correspondence.history.advance(upload.message, MessageState.FAILED)
        return [] if message is None else [message]

    def _keep_upload(self, upload: _Upload) -> None:
        if upload.kept:
            row = state.UploadRow(upload.writer.dump(), upload.stored)
            self._journal.put(
                state.UPLOAD, bytes.fromhex(upload.message), state.UPLOADS.encode(row)
            )

    def _keep_content(self, message_id: str, content: bytes, kept: bool) -> None:
        if not kept:
            self._whole[message_id] = content
            return
        name = bytes.fromhex(message_id)
        for place, start in enumerate(range(0, len(content), CHUNK)):
            chunk = content[start : start + CHUNK]
            self._journal.put(state.FILE, name + place.to_bytes(4, "big"), chunk)
