"""Files that come down: a queue for each conversation, and turns between these; spec: client §9.

::

    message with a manifest ─► ready ─► first in its queue: GETs of fragments ─► all here
                                 ▲        │ nothing left to ask, or hopeless        │
                                 └─ AGAIN ┴─ at rest        too late: failed        ▼
                                                                       content, put together

One file of a conversation is fetched at a time; the others wait until it is whole or has asked
for everything once. Conversations take turns, the one with the fewest questions under way
first, so no contact's file holds up another's. A fragment that two ranks lack gives way to a
parity fragment of its group, which is likelier to be there than at a rank further down: one in
so many lies at the reader's own guard. Fragments that came are durable, and those in memory
bounded: a file that rests is begun anew when others need its room. What a stranger sends is not
fetched before the person has answered.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import state
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message
from shoal_protocol.client.reader import Reader
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.files.assembly import Assembly
from shoal_protocol.files.manifest import Manifest
from shoal_protocol.files.receiving import FileReceiver
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.service.messages import Reply, Status

MAX_ASKED: Final = 16  # fragments asked for at once, of all files of a persona
LOOKED: Final = 2  # ranks that lack a fragment before parity is asked for
MAX_HELD: Final = 32 * 2**20  # bytes of files begun, and so of their fragments in memory
AGAIN: Final = 600 * clock.SECOND  # until fragments that were nowhere are asked for anew


@dataclass(slots=True, eq=False)
class _Download:
    message: str
    queue: "_Queue"
    manifest: Manifest
    kept: bool
    fragments: dict[int, bytes] = field(default_factory=dict[int, bytes])
    receiver: FileReceiver | None = None
    assembly: Assembly | None = None
    asked: dict[int, int] = field(default_factory=dict[int, int])  # index: rank asked
    again: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    late: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    rested: int = 0  # ns; since when it has been at rest


@dataclass(slots=True, eq=False)
class _Queue:
    """What comes down for one conversation."""

    correspondence: Correspondence
    ready: deque[_Download] = field(default_factory=deque[_Download])
    resting: deque[_Download] = field(default_factory=deque[_Download])  # the first rests longest
    asked: int = 0
    turn: int = 0


@dataclass(slots=True, eq=False)
class _Files:
    """What comes down for one persona: a :class:`~shoal_protocol.client.readings.Source`."""

    downloads: "Downloads"
    persona: str

    def next_ask(self, now: int) -> tuple[bytes, int, object] | None:
        """Return (address, rank, token) of the fragment that is wanted next, or None."""
        return self.downloads.next_ask(self.persona, now)

    def answered(self, token: object, reply: Reply) -> None:
        """Take the answer to what :meth:`next_ask` wanted."""
        self.downloads.answered(token, reply)

    def lost(self, token: object) -> None:
        """Note that no answer came."""
        self.downloads.lost(token)


@dataclass(frozen=True, slots=True)
class _Fragment:
    """Which fragment a question is about."""

    download: _Download
    index: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that came to an end; ``content`` is None when it is not what was announced."""

    correspondence: Correspondence
    message: str
    content: bytes | None
    kept: bool


class Downloads:
    """All files of one node that come down; each persona's are asked for in its own slots.

    Args:
        room: bytes that the files may have together that were begun.
    """

    def __init__(
        self,
        params: NetworkParameters,
        reader: Reader,
        journal: state.Journal,
        room: int = MAX_HELD,
    ) -> None:
        self._params = params
        self._room: Final = room
        self._ranks: Final = params.replicas + params.replica_slack
        self._reader = reader
        self._journal = journal
        self._downloads: dict[str, _Download] = {}  # by message
        self._queues: dict[str, _Queue] = {}  # by conversation
        self._assembling: deque[_Download] = deque()
        self._failed: set[str] = set()
        self._over: list[Message] = []  # failed since the last tick
        self._asked = Counter[str]()  # by persona
        self._turns = 0
        self._listed: dict[str, _Files] = {}  # personas for whom the reader asks here
        self._day = -1  # of the last look at what is too late

    def add(self, correspondence: Correspondence, message_id: str, manifest: Manifest) -> None:
        """Begin to fetch the file of a message."""
        self._enter(correspondence, message_id, manifest, correspondence.kept)
        if correspondence.kept:
            self._journal.put(state.DOWNLOAD, bytes.fromhex(message_id), b"")

    def refuse(self, message_id: str) -> None:
        """Take a message whose file can't be had."""
        self._failed.add(message_id)

    def restore(
        self, correspondence: Correspondence, message_id: str, manifest: Manifest, row: bytes
    ) -> None:
        """Go on with what a store kept; a row that is not empty is of one that failed."""
        if row:
            self._failed.add(message_id)
        else:
            self._enter(correspondence, message_id, manifest, True)

    def restore_fragment(self, message_id: str, index: int, plaintext: bytes) -> None:
        """Take a fragment that a store kept."""
        download = self._downloads.get(message_id)
        if download is not None:
            download.fragments[index] = plaintext

    def progress(self, message_id: str) -> tuple[bool, int, int] | None:
        """Return whether it began, fragments that came and fragments needed; None if unknown."""
        download = self._downloads.get(message_id)
        if download is None:
            return None
        if download.receiver is None:
            return False, 0, download.manifest.layout.content
        return True, *download.receiver.progress

    def failed(self, message_id: str) -> bool:
        """Whether this message's file can't be had."""
        return message_id in self._failed

    def forget(self, message_id: str) -> None:
        """Stop fetching; what is kept of fragments is deleted."""
        self._failed.discard(message_id)
        download = self._downloads.get(message_id)
        if download is not None:
            self._remove(download)

    @property
    def working(self) -> bool:
        """Whether :meth:`work` has a slice to do."""
        return bool(self._assembling)

    def work(self) -> Fetched | None:
        """Do a slice of putting a file together; returns one that came to its end."""
        if not self._assembling:
            return None
        download = self._assembling[0]
        assert download.assembly is not None, "it came whole"
        if not download.assembly.step():
            return None
        content: bytes | None
        try:
            content = download.assembly.whole()
        except RemoteProtocolError:
            content = None
            self._fail(download)
        else:
            self._remove(download)
        return Fetched(download.queue.correspondence, download.message, content, download.kept)

    def tick(self, now: int) -> list[Message]:
        """Give up what relays keep no more; returns messages whose file failed."""
        today = clock.index_of(now, self._params.day_s)
        if today != self._day:
            self._day = today
            for download in list(self._downloads.values()):
                if download.assembly is not None:
                    continue
                if download.queue.correspondence.history.get(download.message) is None:
                    self._remove(download)  # the message gave way to newer ones
                elif download.manifest.past(today):
                    self._fail(download)
        wanting = {queue.correspondence.persona for queue in self._queues.values()}
        for persona in sorted(self._listed.keys() - wanting):
            self._reader.remove_source(persona, self._listed.pop(persona))
        for persona in sorted(wanting - self._listed.keys()):
            files = self._listed[persona] = _Files(self, persona)
            self._reader.add_source(persona, files)
        over, self._over = self._over, []
        return over

    def next_ask(self, persona: str, now: int) -> tuple[bytes, int, object] | None:
        """Return (address, rank, token) of what is wanted next for a persona, or None."""
        if self._asked[persona] >= MAX_ASKED:
            return None
        queues = [q for q in self._queues.values() if q.correspondence.persona == persona]
        for queue in sorted(queues, key=lambda one: (one.asked, one.turn)):
            while (download := self._front(queue, now)) is not None:
                found = self._wanted(download)
                if found is not None:
                    return self._ask(download, *found)
                if download.asked:
                    break  # what is under way may bring something to ask
                self._rest(download, now)
        return None

    def answered(self, token: object, reply: Reply) -> None:
        """Take the answer to what :meth:`next_ask` wanted."""
        download, index, rank = self._end(token)
        receiver = download.receiver
        if receiver is None or self._downloads.get(download.message) is not download:
            return
        if reply.status is Status.OK:
            try:
                plaintext = receiver.reader(index).open(reply.record, receiver.day)
            except RemoteProtocolError:
                self._elsewhere(download, index, rank)
            else:
                self._came(download, receiver, index, plaintext)
            return
        self._elsewhere(download, index, rank)

    def lost(self, token: object) -> None:
        """Note that no answer came."""
        self._elsewhere(*self._end(token))

    def _enter(
        self, correspondence: Correspondence, message_id: str, manifest: Manifest, kept: bool
    ) -> None:
        queue = self._queues.get(correspondence.id)
        if queue is None:
            queue = self._queues[correspondence.id] = _Queue(correspondence)
        download = _Download(message_id, queue, manifest, kept)
        self._downloads[message_id] = download
        queue.ready.append(download)

    def _front(self, queue: _Queue, now: int) -> _Download | None:
        """Return what the conversation's turn goes to, begun."""
        if queue.correspondence.pending or queue.correspondence.blocked:
            return None
        while queue.resting and not 0 <= now - queue.resting[0].rested < AGAIN:
            queue.ready.append(queue.resting.popleft())
        today = clock.index_of(now, self._params.day_s)
        while queue.ready:
            download = queue.ready[0]
            if download.manifest.past(today):
                self._fail(download)
            elif not download.manifest.kept(today):
                self._rest(download, now)  # a clock is wrong, and may be set right
            elif not self._has_room(download):
                return None  # those that were begun come to an end, or to rest
            elif self._begin(download).complete:
                self._put_together(download)
            else:
                return download
        return None

    def _has_room(self, download: _Download) -> bool:
        """Whether a file may be begun; the files at rest give way, the longest first."""
        if download.receiver is not None:
            return True
        held = [
            one
            for one in self._downloads.values()
            if one is not download and (one.fragments or one.receiver is not None)
        ]
        room = self._room - download.manifest.size - sum(one.manifest.size for one in held)
        resting = [one for one in held if one in one.queue.resting]
        for one in sorted(resting, key=lambda one: one.rested):
            if room >= 0:
                break
            self._empty(one)
            room += one.manifest.size
        return room >= 0

    def _empty(self, download: _Download) -> None:
        """Forget the fragments that came: they are asked for again."""
        if download.kept:
            for index in download.fragments:
                name = bytes.fromhex(download.message) + index.to_bytes(4, "big")
                self._journal.delete(state.FRAGMENT, name)
        download.fragments.clear()
        download.receiver = None

    def _begin(self, download: _Download) -> FileReceiver:
        if download.receiver is None:
            download.receiver = FileReceiver(download.manifest, self._params.hash)
            for index, plaintext in download.fragments.items():
                download.receiver.take(index, plaintext)
        return download.receiver

    @staticmethod
    def _wanted(download: _Download) -> tuple[int, int] | None:
        """Return (index, rank) of the fragment to ask for; None when nothing is left."""
        receiver = download.receiver
        if receiver is None:
            return None
        if not download.again and not receiver.hopeless:
            index = receiver.next()
            if index is not None:
                return index, 0
        if not download.again and not download.asked:  # parity was not enough
            download.again, download.late = download.late, deque[tuple[int, int]]()
        while download.again:
            index, rank = download.again.popleft()
            if receiver.wants(index):
                return index, rank
        return None

    def _ask(self, download: _Download, index: int, rank: int) -> tuple[bytes, int, object]:
        assert download.receiver is not None, "it began"
        download.asked[index] = rank
        download.queue.asked += 1
        self._asked[download.queue.correspondence.persona] += 1
        self._turns += 1
        download.queue.turn = self._turns
        address = download.receiver.reader(index).address(download.receiver.day)
        return address, rank, _Fragment(download, index)

    def _end(self, token: object) -> tuple[_Download, int, int]:
        assert isinstance(token, _Fragment), "of next_ask"
        download = token.download
        download.queue.asked -= 1
        persona = download.queue.correspondence.persona
        self._asked[persona] -= 1
        if not self._asked[persona]:
            del self._asked[persona]
        return download, token.index, download.asked.pop(token.index)

    def _elsewhere(self, download: _Download, index: int, rank: int) -> None:
        if rank + 1 < self._ranks and rank + 1 != LOOKED:
            download.again.append((index, rank + 1))
        elif download.receiver is not None:
            download.receiver.missing(index)
            if rank + 1 == LOOKED < self._ranks:
                download.late.append((index, LOOKED))

    def _rest(self, download: _Download, now: int) -> None:
        """Let the conversation's next file go on; all that is lacking is asked for later."""
        download.queue.ready.remove(download)
        download.queue.resting.append(download)
        download.rested = now
        download.again.clear()
        download.late.clear()
        if download.receiver is not None:
            download.receiver.again()

    def _came(
        self, download: _Download, receiver: FileReceiver, index: int, plaintext: bytes
    ) -> None:
        keep = receiver.take(index, plaintext)
        if keep is None:
            return
        download.fragments[keep.index] = keep.plaintext
        if download.kept:
            name = bytes.fromhex(download.message) + index.to_bytes(4, "big")
            self._journal.put(state.FRAGMENT, name, keep.plaintext)
        if receiver.complete:
            self._put_together(download)

    def _put_together(self, download: _Download) -> None:
        self._unqueue(download)
        download.assembly = self._begin(download).assembly(download.fragments.__getitem__)
        self._assembling.append(download)

    @staticmethod
    def _unqueue(download: _Download) -> None:
        for waiting in (download.queue.ready, download.queue.resting):
            if download in waiting:
                waiting.remove(download)

    def _fail(self, download: _Download) -> None:
        self._remove(download)
        self._failed.add(download.message)
        message = download.queue.correspondence.history.get(download.message)
        if download.kept:
            self._journal.put(state.DOWNLOAD, bytes.fromhex(download.message), b"failed")
        if message is not None and download.assembly is None:
            self._over.append(message)

    def _remove(self, download: _Download) -> None:
        queue = download.queue
        del self._downloads[download.message]
        self._unqueue(download)
        if download in self._assembling:
            self._assembling.remove(download)
        if not any(one.queue is queue for one in self._downloads.values()):
            self._queues.pop(queue.correspondence.id, None)
        if download.kept:
            name = bytes.fromhex(download.message)
            self._journal.delete(state.DOWNLOAD, name)
            for index in download.fragments:
                self._journal.delete(state.FRAGMENT, name + index.to_bytes(4, "big"))
