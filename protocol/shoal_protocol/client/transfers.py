"""Files that go and come with messages, fragment by fragment; spec: client §9, files.

::

    send ─► content, durable ─► fragments ─► Outbox, one copy each ─► all stored ─► the message
                                                                          goes, with the manifest
    message with a manifest ─► GETs of fragments ─► rows ─► all here ─► content, durable

A message with a file is numbered and written only once every fragment is stored, so that
*stored* means the same for it as for any other, and nothing said meanwhile waits for it. One
file goes up and one comes down at a time, in the order of their messages. Fragments that came
are durable, and so is which of one's own are stored: a restart goes on where it was. What a
stranger sends is not fetched before the person has answered.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import state
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.outbox import Outbox, Outgoing, record_key
from shoal_protocol.client.reader import Reader
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.assembly import Assembly
from shoal_protocol.files.manifest import Manifest
from shoal_protocol.files.receiving import FileReceiver
from shoal_protocol.files.sending import FileSender
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng
from shoal_protocol.service.messages import Reply, Status
from shoal_protocol.streams.capability import WriteCapability

CHUNK: Final = 32_768  # bytes of content in one row
MAX_UPLOADS: Final = 16  # files that wait to go up
MAX_ASKED: Final = 16  # fragments asked for at once
AGAIN: Final = 600 * clock.SECOND  # until fragments that were nowhere are asked for anew


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


@dataclass(slots=True, eq=False)
class _Download:
    message: str
    correspondence: Correspondence
    manifest: Manifest
    kept: bool
    come: bytes
    fragments: dict[int, bytes] = field(default_factory=dict[int, bytes])
    receiver: FileReceiver | None = None
    assembly: Assembly | None = None
    asked: dict[int, int] = field(default_factory=dict[int, int])  # index: rank asked
    again: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    pause_until: int = 0


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
        self._reader = reader
        self._journal = journal
        self._uploads: dict[str, _Upload] = {}  # by message, oldest first
        self._downloads: dict[str, _Download] = {}
        self._whole: dict[str, bytes] = {}  # contents of personas that are not kept
        self._failed: set[str] = set()
        self._source: _Source | None = None

    def send(
        self,
        correspondence: Correspondence,
        message_id: str,
        text: str,
        content: bytes,
        name: str,
        media_type: str,
        now: int,
    ) -> Message:
        """Queue a file with a text; the message goes once the file is stored.

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
        message = correspondence.hold(message_id, text, manifests.encode(manifest), now)
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
            self._failed.add(message.id)  # shown as a file that cannot be had
            return
        download = _Download(message.id, correspondence, manifest, correspondence.kept, b"")
        self._downloads[message.id] = download
        self._keep_download(download)

    def progress(self, message: Message) -> Progress | None:
        """Return how far the file of ``message`` has come; None when it has none."""
        if message.file is None:
            return None
        upload, download = self._uploads.get(message.id), self._downloads.get(message.id)
        if upload is not None:
            if upload.sender is None:
                return Progress(TransferState.WAITING, 0, upload.manifest.layout.total)
            return Progress(TransferState.SENDING, *upload.sender.progress)
        if download is not None:
            if download.receiver is None:
                return Progress(TransferState.WAITING, 0, download.manifest.layout.content)
            return Progress(TransferState.FETCHING, *download.receiver.progress)
        failed = message.id in self._failed or message.state is MessageState.FAILED
        return Progress(TransferState.FAILED if failed else TransferState.WHOLE, 0, 0)

    def content(self, message_id: str) -> bytes | None:
        """Return the content of a whole file that no store keeps, or None."""
        return self._whole.get(message_id)

    @property
    def working(self) -> bool:
        """Whether :meth:`work` has a slice to do."""
        return any(one.assembly is not None for one in self._downloads.values())

    def work(self) -> Message | None:
        """Do a slice of putting a file together; returns the message whose file is whole."""
        for download in self._downloads.values():
            if download.assembly is not None and download.assembly.step():
                return self._finish(download)
        return None

    def tick(self, now: int) -> None:
        """Fill the outbox with fragments, and let the next file come."""
        upload = next(iter(self._uploads.values()), None)
        if upload is not None:
            self._fill(upload, now)
        if self._source is not None and self._source.download.message in self._downloads:
            return
        self._source = None
        for download in self._downloads.values():
            if download.assembly is None and not download.correspondence.pending:
                self._start(download, now)
                return

    def stored(self, outgoing: Outgoing) -> Correspondence | None:
        """Note that a fragment is stored; the conversation whose message may go now."""
        upload = self._uploads.get(outgoing.message)
        self._outbox.done([outgoing.key])
        if upload is None or upload.sender is None:
            return None
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
        self._uploads.pop(message.id, None)
        self._downloads.pop(message.id, None)
        self._whole.pop(message.id, None)
        self._failed.discard(message.id)
        if self._source is not None and self._source.download.message == message.id:
            self._stop_source()
        self._outbox.done([o.key for o in self._outbox.records() if o.message == message.id])
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
            if data:
                self._failed.add(name.hex())
                continue
            manifest = manifests.decode(found[1].file, self._params.hash)
            self._downloads[name.hex()] = _Download(name.hex(), found[0], manifest, True, b"")
        for key, data in kept.of(state.FRAGMENT):
            download = self._downloads.get(key[:12].hex())
            if download is not None:
                download.fragments[int.from_bytes(key[12:], "big")] = data

    def _fill(self, upload: _Upload, now: int) -> None:
        if upload.sender is None:
            upload.sender = FileSender(
                upload.manifest, upload.content, upload.writer, upload.stored
            )
        index = upload.sender.next()
        if index is None:
            return
        record = upload.sender.record(index)
        self._outbox.add(
            Outgoing(
                record_key(record),
                record,
                now,
                needs_ack=False,
                batch=upload.batch,
                copies=1,
                fragment=True,
                index=index,
                message=upload.message,
                conversation=upload.correspondence.id,
            )
        )

    def _start(self, download: _Download, now: int) -> None:
        if not download.manifest.kept(clock.index_of(now, self._params.day_s)):
            self._fail(download)
            return
        download.receiver = FileReceiver(download.manifest, self._params.hash)
        for index, plaintext in download.fragments.items():
            download.receiver.take(index, plaintext)
        if download.receiver.complete:
            download.assembly = download.receiver.assembly(download.fragments.__getitem__)
            return
        self._source = _Source(download, self, self._params)
        self._reader.add_source(self._source)

    def came(self, download: _Download, index: int, plaintext: bytes) -> None:
        """Take a fragment that was asked for."""
        assert download.receiver is not None, "it asked"
        keep = download.receiver.take(index, plaintext)
        if keep is None:
            return
        download.fragments[keep.index] = keep.plaintext
        if download.kept:
            name = bytes.fromhex(download.message) + index.to_bytes(4, "big")
            self._journal.put(state.FRAGMENT, name, keep.plaintext)
        if download.receiver.complete:
            self._stop_source()
            download.assembly = download.receiver.assembly(download.fragments.__getitem__)

    def _stop_source(self) -> None:
        if self._source is not None:
            self._reader.remove_source(self._source)
            self._source = None

    def _finish(self, download: _Download) -> Message | None:
        assert download.assembly is not None, "it worked"
        message = download.correspondence.history.get(download.message)
        try:
            content = download.assembly.whole()
        except RemoteProtocolError:
            self._fail(download)
            return message
        del self._downloads[download.message]
        name = bytes.fromhex(download.message)
        if download.kept:
            self._journal.delete(state.DOWNLOAD, name)
            for index in download.fragments:
                self._journal.delete(state.FRAGMENT, name + index.to_bytes(4, "big"))
        self._keep_content(download.message, content, download.kept)
        return message

    def _fail(self, download: _Download) -> None:
        del self._downloads[download.message]
        self._failed.add(download.message)
        if download.kept:
            name = bytes.fromhex(download.message)
            self._journal.put(state.DOWNLOAD, name, b"failed")
            for index in download.fragments:
                self._journal.delete(state.FRAGMENT, name + index.to_bytes(4, "big"))

    def _keep_upload(self, upload: _Upload) -> None:
        if upload.kept:
            row = state.UploadRow(upload.writer.dump(), upload.stored)
            self._journal.put(
                state.UPLOAD, bytes.fromhex(upload.message), state.UPLOADS.encode(row)
            )

    def _keep_download(self, download: _Download) -> None:
        if download.kept:
            self._journal.put(state.DOWNLOAD, bytes.fromhex(download.message), b"")

    def _keep_content(self, message_id: str, content: bytes, kept: bool) -> None:
        if not kept:
            self._whole[message_id] = content
            return
        name = bytes.fromhex(message_id)
        for place, start in enumerate(range(0, len(content), CHUNK)):
            chunk = content[start : start + CHUNK]
            self._journal.put(state.FILE, name + place.to_bytes(4, "big"), chunk)


class _Source:
    """The fragments of the file that comes down now; see :class:`reader.Source`."""

    def __init__(
        self, download: _Download, transfers: Transfers, params: NetworkParameters
    ) -> None:
        self.download: Final = download
        self._transfers = transfers
        self._ranks = params.replicas + params.replica_slack

    def next_ask(self, now: int) -> tuple[bytes, int, object] | None:
        """Return (address, rank, token) of the fragment that is wanted next, or None."""
        download = self.download
        receiver = download.receiver
        if receiver is None or len(download.asked) >= MAX_ASKED or now < download.pause_until:
            return None
        if download.again:
            index, rank = download.again.popleft()
        else:
            found = receiver.next()
            if found is None:
                if not download.asked:
                    download.pause_until = now + AGAIN
                    receiver.again()
                return None
            index, rank = found, 0
        download.asked[index] = rank
        return receiver.reader(index).address(receiver.day), rank, index

    def answered(self, token: object, reply: Reply) -> None:
        """Take the answer to what :meth:`next_ask` wanted."""
        assert isinstance(token, int)
        rank = self.download.asked.pop(token, None)
        receiver = self.download.receiver
        if rank is None or receiver is None:
            return
        if reply.status is Status.OK:
            try:
                plaintext = receiver.reader(token).open(reply.record, receiver.day)
            except RemoteProtocolError:
                self._elsewhere(token, rank)
            else:
                self._transfers.came(self.download, token, plaintext)
            return
        self._elsewhere(token, rank)

    def lost(self, token: object) -> None:
        """Note that no answer came."""
        assert isinstance(token, int)
        rank = self.download.asked.pop(token, None)
        if rank is not None:
            self._elsewhere(token, rank)

    def _elsewhere(self, index: int, rank: int) -> None:
        if rank + 1 < self._ranks:
            self.download.again.append((index, rank + 1))
        elif self.download.receiver is not None:
            self.download.receiver.missing(index)
