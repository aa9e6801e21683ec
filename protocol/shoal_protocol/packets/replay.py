"""Which packets a mix key has seen: flat tables of 16-byte tags, bounded, never evicting.

::

    tag ── first two bytes name one of 65,536 tables ── table: tag ‖ tag ‖ tag ‖ …

A table is one bytearray that grows by itself, so that no packet ever waits for a rehash of
millions, and a look-up is one substring search in 1 KiB when the filter is full. Python's own
set is 0.7 µs faster a packet, but keeps each tag as an object: 4 times the memory, and pauses
of 120 ms when it grows (docs/spec/packet.md §6). A match across the border of two tags would
need 128 chosen bits, and tags come out of the packet's key derivation: nobody chooses them.

Hash flooding (TROVE-2021-005) would mean to send tags of one prefix. Only the maker of a packet
can compute its tag, and a try at two chosen bytes costs a point addition and two hashes and is
wasted 65,535 times of 65,536: some ten such packets a second from one core. Search is linear
with no worst case behind it, so an hour of that makes a table of 0.6 MB, whose search costs
the relay less time for each further packet than the packet cost its maker.
"""

from typing import Final

from shoal_protocol.errors import RemoteProtocolError

TAG_LENGTH: Final = 16  # bytes; spec: packet §6
DEFAULT_CAPACITY: Final = 2**22  # tags a key: 1,165 packets a second for an hour, 96 MiB

_TABLES: Final = 2**16  # one for each value of a tag's first two bytes


class ReplayFilter:
    """The replay tags of one mix key.

    Args:
        capacity: tags to hold; past it every packet under this key is refused, because
            to forget a tag is to let its packet through again (nym 5682, hopr 5409).
    """

    __slots__ = ("_count", "_tables", "capacity")

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self.capacity: Final = capacity
        self._count = 0
        self._tables: list[bytearray | None] = [None] * _TABLES

    def __len__(self) -> int:
        return self._count

    def __contains__(self, tag: bytes) -> bool:
        table = self._tables[tag[0] << 8 | tag[1]]
        return table is not None and tag in table

    def add(self, tag: bytes) -> None:
        """Remember a 16-byte ``tag``.

        Raises RemoteProtocolError: "replay" if it is known, "replay filter full".
        """
        place = tag[0] << 8 | tag[1]
        table = self._tables[place]
        if table is not None and tag in table:
            raise RemoteProtocolError("replay")
        if self._count >= self.capacity:
            raise RemoteProtocolError("replay filter full")
        if table is None:
            self._tables[place] = bytearray(tag)
        else:
            table += tag
        self._count += 1
