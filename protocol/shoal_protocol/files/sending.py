"""A file on its way to relays: which fragment next, its record, which ones are stored.

::

               next() ─► index ─► record(index) ─► PUT at the relays of its address
                 ▲                                       │ one relay says "stored"
      at most WINDOW out at once                         ▼
                 └──────── dropped(index) or stored(index)              all stored: done

Each index is handed out once; the caller sends its record again, and elsewhere, until one
relay has stored it, or says that it sends it no more: then it is handed out again. Records
are made when they are asked for, the same bytes each time, and parity is worked out fragment
by fragment, so no call takes more than about a millisecond. What survives a restart is the
manifest, the write capability, the content and :meth:`dump`.
spec: files §4
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.files import coding
from shoal_protocol.files.boxes import Boxes
from shoal_protocol.files.layout import FRAGMENT_LENGTH, Layout, Marks
from shoal_protocol.files.manifest import Manifest
from shoal_protocol.streams.capability import WriteCapability

Reader = Callable[[int, int], bytes]  # from an offset and a length to that many bytes of content

WINDOW: Final = 32  # fragments out at once; spec: files §4


class FileSender:
    """The fragments of one file.

    Args:
        manifest: of this file.
        content: the whole content, or what reads it: the same bytes at every call.
        writer: of the stream that the manifest reads, at box 0.
        stored: what :meth:`dump` gave, or nothing at first. Raises
            RemoteProtocolError("marks") when it belongs to another file.
        window: fragments out at once.
    """

    def __init__(
        self,
        manifest: Manifest,
        content: bytes | Reader,
        writer: WriteCapability,
        stored: bytes = b"",
        *,
        window: int = WINDOW,
    ) -> None:
        if writer.read().pack() != manifest.capability:
            raise LocalProtocolError("the manifest is of another stream")
        self._layout: Final = manifest.layout
        self._day: Final = manifest.day
        self._content: Final = content
        self._boxes: Final = Boxes(writer)
        self._window: Final = window
        self._stored: Final = Marks(self._layout.total, stored)
        self._out: set[int] = set()
        self._dropped: deque[int] = deque()
        self._next = 0

    def __repr__(self) -> str:
        return "FileSender(…)"

    @property
    def layout(self) -> Layout:
        """How the file is cut."""
        return self._layout

    @property
    def progress(self) -> tuple[int, int]:
        """Fragments stored, and fragments in all."""
        return self._stored.count, self._layout.total

    @property
    def done(self) -> bool:
        """Whether every fragment was stored by a relay."""
        return self._stored.count == self._layout.total

    def next(self) -> int | None:
        """Return the next fragment to put, or None while the window is full or nothing is left."""
        while len(self._out) < self._window:
            if self._dropped:
                index = self._dropped.popleft()
            elif self._next < self._layout.total:
                index = self._next
                self._next += 1
            else:
                break
            if index not in self._stored:
                self._out.add(index)
                return index
        return None

    def stored(self, index: int) -> bool:
        """Note that a relay has stored fragment ``index``; whether that was news."""
        self._layout.check(index)
        self._out.discard(index)
        return self._stored.add(index)

    def dropped(self, index: int) -> None:
        """Note that fragment ``index`` was handed out and is not on its way any more."""
        if index in self._out:
            self._out.remove(index)
            self._dropped.append(index)

    def address(self, index: int) -> bytes:
        """Return the address of fragment ``index``'s box, 32 bytes."""
        self._layout.check(index)
        return self._boxes.at(index).address(self._day)

    def record(self, index: int) -> bytes:
        """Return the box of fragment ``index``, 2,048 bytes, the same each time."""
        return self._boxes.at(index).seal(self._day, self.fragment(index))

    def fragment(self, index: int) -> bytes:
        """Return fragment ``index``, FRAGMENT_LENGTH bytes, as it goes into its box.

        Raises LocalProtocolError when the content is shorter than the manifest says.
        """
        self._layout.check(index)
        group, place = self._layout.place(index)
        if place < self._layout.data:
            return self._data(index)
        data = [self._data(self._layout.index(group, p)) for p in range(self._layout.data)]
        return coding.parity(data, self._layout.parity, place - self._layout.data)

    def dump(self) -> bytes:
        """Return which fragments are stored, for the next run."""
        return self._stored.dump()

    def _data(self, index: int) -> bytes:
        start = index * FRAGMENT_LENGTH
        length = max(0, min(FRAGMENT_LENGTH, self._layout.size - start))
        if not length:
            return bytes(FRAGMENT_LENGTH)
        if isinstance(self._content, bytes):
            piece = self._content[start : start + length]
        else:
            piece = self._content(start, length)
        if len(piece) != length:
            raise LocalProtocolError("the content is not what the manifest says")
        return piece.ljust(FRAGMENT_LENGTH, b"\0")
