"""A file on its way from relays: which fragment to ask for next, and what has come.

::

              next() ─► index ─► GET of reader(index).address(day), at rank after rank
                                      │                        │
                            take(index, plaintext)       missing(index)
                                      │                        │  one parity fragment of the
                            Keep, for the caller's rows        ▼  group joins the queue for it
                                      │                   hopeless: too many of a group missing
                 every group has k    ▼
                                 complete ─► assembly(read) ─► content

Data fragments come first, in the file's order, those of zeros not at all; parity only for
what is known to be missing. Fragments themselves are kept by the caller. spec: files §5
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.assembly import Assembly
from shoal_protocol.files.boxes import Boxes
from shoal_protocol.files.layout import FRAGMENT_LENGTH, Layout, Marks
from shoal_protocol.files.manifest import Manifest
from shoal_protocol.streams.capability import ReadCapability


@dataclass(frozen=True, slots=True)
class Keep:
    """A fragment that the caller keeps until the file is whole."""

    index: int
    plaintext: bytes

    def __repr__(self) -> str:
        return f"Keep({self.index}, …)"


class FileReceiver:
    """What has come of one file.

    Args:
        manifest: as :func:`manifests.decode` gave it.
        network: the network parameters' hash, 32 bytes.
        come: what :meth:`dump` gave, or nothing at first. Raises
            RemoteProtocolError("marks") when it belongs to another file, or has more of a
            group than is ever kept.
    """

    def __init__(self, manifest: Manifest, network: bytes, come: bytes = b"") -> None:
        self._manifest: Final = manifest
        self._layout: Final = manifest.layout
        self._boxes: Final = Boxes(manifests.reader(manifest, network))
        self._come: Final = Marks(self._layout.total, come)
        self._have: Final = [0] * self._layout.groups  # that came or are zeros, by group
        for index in range(self._layout.total):
            zeros = self._layout.padding(index)
            if zeros and index in self._come:
                raise RemoteProtocolError("marks")
            if zeros or index in self._come:
                self._have[index % self._layout.groups] += 1
        if any(have > self._layout.data for have in self._have):
            raise RemoteProtocolError("marks")
        self.again()

    def __repr__(self) -> str:
        return "FileReceiver(…)"

    @property
    def layout(self) -> Layout:
        """How the file is cut."""
        return self._layout

    @property
    def progress(self) -> tuple[int, int]:
        """Fragments that came, and fragments that are needed in all."""
        return self._come.count, self._layout.content

    @property
    def complete(self) -> bool:
        """Whether enough has come to work out all the rest."""
        return self._come.count == self._layout.content

    @property
    def hopeless(self) -> bool:
        """Whether so much of a group is missing that no fragment left to ask can mend it."""
        return any(missing > self._layout.parity for missing in self._lost)

    def again(self) -> None:
        """Begin asking anew for all that hasn't come; what was missing may be back."""
        layout = self._layout
        self._next = 0
        self._missing: set[int] = set()
        self._lost = [0] * layout.groups  # missing, by group
        self._queue: deque[int] = deque()  # parity to ask for
        self._tried = [layout.data] * layout.groups  # the place after the last parity queued
        # what came or may come of all that was or will be asked for, by group
        self._hope = list(self._have)
        for index in range(layout.content):
            if index not in self._come:
                self._hope[index % layout.groups] += 1

    def next(self) -> int | None:
        """Return the next fragment to ask for, each once, or None when nothing is left to ask."""
        while self._next < self._layout.content:
            index = self._next
            self._next += 1
            if self.wants(index):
                return index
        while self._queue:
            index = self._queue.popleft()
            if self.wants(index):
                return index
        return None

    def wants(self, index: int) -> bool:
        """Whether fragment ``index`` is of use: neither it nor enough of its group has come."""
        return index not in self._come and not self._full(index % self._layout.groups)

    def reader(self, index: int) -> ReadCapability:
        """Return what has the address of fragment ``index``'s box, and opens it, for the day."""
        self._layout.check(index)
        return self._boxes.at(index)

    @property
    def day(self) -> int:
        """The UTC day of all the file's boxes."""
        return self._manifest.day

    def take(self, index: int, plaintext: bytes) -> Keep | None:
        """Note that fragment ``index`` has come: what to keep, or None if it isn't needed.

        Args:
            plaintext: FRAGMENT_LENGTH bytes, as its box opened; LocalProtocolError else.
        """
        self._layout.check(index)
        if len(plaintext) != FRAGMENT_LENGTH:
            raise LocalProtocolError("a fragment of another length")
        group = index % self._layout.groups
        if self._full(group) or self._layout.padding(index) or not self._come.add(index):
            return None
        if not self._hoped(index):
            self._hope[group] += 1
        if index in self._missing:
            self._missing.remove(index)
            self._lost[group] -= 1
        self._have[group] += 1
        return Keep(index, plaintext)

    def missing(self, index: int) -> None:
        """Note that fragment ``index`` was asked for and not found; it may come all the same."""
        layout = self._layout
        layout.check(index)
        group = index % layout.groups
        if index in self._come or index in self._missing or layout.padding(index):
            return
        if self._hoped(index):
            self._hope[group] -= 1
        self._missing.add(index)
        self._lost[group] += 1
        while self._hope[group] < layout.data and self._tried[group] < layout.data + layout.parity:
            parity = layout.index(group, self._tried[group])
            self._tried[group] += 1
            if parity not in self._come and parity not in self._missing:
                self._queue.append(parity)
                self._hope[group] += 1

    def dump(self) -> bytes:
        """Return which fragments have come, for the next run."""
        return self._come.dump()

    def assembly(self, fragment: Callable[[int], bytes]) -> Assembly:
        """Return what puts the content together, in steps.

        Args:
            fragment: gives a kept fragment by its index.

        Raises LocalProtocolError while too little has come.
        """
        if not self.complete:
            raise LocalProtocolError("too little of the file has come")
        return Assembly(self._manifest, self._come, fragment)

    def whole(self, fragment: Callable[[int], bytes]) -> bytes:
        """Return the content at once, as :meth:`Assembly.whole`; seconds for a large one."""
        assembly = self.assembly(fragment)
        while not assembly.step():
            pass
        return assembly.whole()

    def _hoped(self, index: int) -> bool:
        """Whether what has not come yet was or will be asked for, and isn't known missing."""
        group, place = self._layout.place(index)
        return place < self._tried[group] and index not in self._missing

    def _full(self, group: int) -> bool:
        return self._have[group] >= self._layout.data
