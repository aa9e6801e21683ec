"""The content from its fragments, in steps of at most about 5 ms; spec: files §6.

::

    group 0 ─► group 1 ─► … ─► group G−1 ─► digest, 1 MiB a step ─► whole()
      │
      all its data came: nothing to do;  else coding.recover
"""

from collections.abc import Callable, Iterator
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.files import coding
from shoal_protocol.files.layout import FRAGMENT_LENGTH, Marks
from shoal_protocol.files.manifest import Manifest

HASHED_AT_ONCE: Final = 512  # fragments, about 1 MiB: a millisecond
_ZEROS: Final = bytes(FRAGMENT_LENGTH)


class Assembly:
    """Puts one file together.

    Args:
        manifest: of the file.
        come: which fragments are there: enough of each group.
        fragment: gives one of those by its index; asked for each at most once.
    """

    def __init__(self, manifest: Manifest, come: Marks, fragment: Callable[[int], bytes]) -> None:
        self._layout: Final = manifest.layout
        self._digest: Final = manifest.digest
        self._come: Final = come
        self._fragment: Final = fragment
        self._pieces: Final[list[bytes]] = [_ZEROS] * self._layout.content
        self._matches = False
        self._work: Final = self._run()
        self._finished = False

    def __repr__(self) -> str:
        return "Assembly(…)"

    def step(self) -> bool:
        """Do a slice of the work; whether all is done."""
        self._finished = self._finished or next(self._work, True)
        return self._finished

    def whole(self) -> bytes:
        """Return the content.

        Raises:
            RemoteProtocolError: "file digest", when it isn't what the manifest promised: only
                the sender can have caused that.
            LocalProtocolError: before the last step.
        """
        if not self._finished:
            raise LocalProtocolError("the file is not yet put together")
        if not self._matches:
            raise RemoteProtocolError("file digest")
        return b"".join(self._pieces)

    def _run(self) -> Iterator[bool]:
        for group in range(self._layout.groups):
            yield from self._group(group)
            yield False
        if self._pieces:
            self._pieces[-1] = self._pieces[-1][: self._layout.size - self._start_of_last()]
        state = crypto.blake2b(digest_size=32)
        for at in range(0, len(self._pieces), HASHED_AT_ONCE):
            state.update(b"".join(self._pieces[at : at + HASHED_AT_ONCE]))
            yield False
        self._matches = crypto.equal(state.digest(), self._digest)

    def _start_of_last(self) -> int:
        return (self._layout.content - 1) * FRAGMENT_LENGTH

    def _group(self, group: int) -> Iterator[bool]:
        layout = self._layout
        there: dict[int, bytes] = {}
        for place in range(layout.data + layout.parity):
            index = layout.index(group, place)
            if index in self._come:
                there[place] = self._fragment(index)
            elif layout.padding(index):
                there[place] = _ZEROS
        for place in range(layout.data):
            self._put(layout.index(group, place), there.get(place, _ZEROS))
        for found in coding.recover(there, layout.data, layout.parity):
            for place, fragment in found.items():
                self._put(layout.index(group, place), fragment)
            yield False

    def _put(self, index: int, fragment: bytes) -> None:
        if index < self._layout.content:
            self._pieces[index] = fragment
