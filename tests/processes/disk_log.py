"""What a process did to the files of its home, and the disks that a power cut may leave of it.

::

    child with LD_PRELOAD (disk_log.c) ──► log ──parse──► Disk.apply, record by record
                                                             └─ at any: leave(directory, rng)

A disk keeps what was synced. Of what was not, it keeps what it likes (ALICE, Pillai et al., OSDI
2014): each write since a file's last sync is there or not, in pieces of a page, and one of them
torn at 512 bytes; cuts of length likewise. Names (made, renamed, unlinked) since a directory's
last sync are there up to some point, in their order, as file systems with a journal keep them;
a sync of a file alone keeps its name on none.
"""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shoal_protocol.rng import Rng

PAGE: Final = 4096  # bytes that a disk writes or does not, beside others
SECTOR: Final = 512  # bytes that it never tears
_SOURCE: Final = Path(__file__).with_name("disk_log.c")
_HEAD: Final = struct.Struct("<cIIQQ")  # op, length of a, of b, inode, number


@dataclass(frozen=True, slots=True)
class Record:
    """One operation; disk_log.c says what each holds."""

    op: str
    inode: int
    number: int
    a: bytes
    b: bytes


def build(directory: Path) -> Path:
    """Compile the logger into ``directory``; returns the library."""
    library = directory / "disk_log.so"
    command = ("cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-lpthread")
    subprocess.run(command, check=True)
    return library


def environment(library: Path, home: Path, log: Path) -> dict[str, str]:
    """The environment of a child whose home is ``home``, an absolute path, and is logged."""
    mine = {"LD_PRELOAD": str(library), "SHOAL_DISK_HOME": str(home), "SHOAL_DISK_LOG": str(log)}
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **mine}


def parse(data: bytes) -> Iterator[Record]:
    """Read a log; a record at the end that is not whole is left out."""
    at = 0
    while at + _HEAD.size <= len(data):
        op, first, second, inode, number = _HEAD.unpack_from(data, at)
        begins = at + _HEAD.size
        at = begins + first + second
        if at > len(data):
            return
        middle = begins + first
        yield Record(op.decode(), inode, number, data[begins:middle], data[middle:at])


Change = tuple[int, bytes | None]  # offset and data, or a length and None


@dataclass(slots=True)
class _File:
    """One inode: what is on the disk, and what waits since the last sync."""

    kept: bytearray = field(default_factory=bytearray)
    waiting: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.waiting:
            _change(self.kept, change)
        self.waiting.clear()


@dataclass(frozen=True, slots=True)
class _Naming:
    """A change of names: ``name`` is ``file`` from now on, or nothing; ``gone`` was its name."""

    name: str
    file: _File | None
    gone: str = ""


def _change(content: bytearray, change: Change) -> None:
    at, data = change
    if data is None:
        del content[at:]
        content.extend(bytes(at - len(content)))
    else:
        content.extend(bytes(max(0, at - len(content))))
        content[at : at + len(data)] = data


class Disk:
    """The files below one home, flat or in directories that were there before."""

    def __init__(self) -> None:
        self.told = b""  # what the process told until now
        self._inodes: dict[int, _File] = {}
        self._directories: dict[int, str] = {}
        self._names: dict[str, _File] = {}  # as the process sees them
        self._kept: dict[str, _File] = {}  # as they are on the disk
        self._waiting: list[_Naming] = []

    def apply(self, record: Record) -> None:
        """Go on by one operation."""
        path = record.a.decode(errors="replace") if record.op in "CDRU" else ""
        match record.op:
            case "A":
                self.told += record.a
            case "C":
                file = self._inodes[record.inode] = self._names[path] = _File()
                self._waiting.append(_Naming(path, file))
            case "D":
                self._directories[record.inode] = path
            case "R":
                target = record.b.decode()
                moved = self._names[target] = self._names.pop(path)
                self._waiting.append(_Naming(target, moved, gone=path))
            case "U":
                del self._names[path]
                self._waiting.append(_Naming(path, None))
            case "S" if record.inode in self._directories:
                self._sync_names(self._directories[record.inode])
            case "S":
                self._inodes[record.inode].sync()
            case "W":
                self._inodes[record.inode].waiting.append((record.number, record.a))
            case "T":
                self._inodes[record.inode].waiting.append((record.number, None))
            case other:
                raise AssertionError(other)

    def _sync_names(self, directory: str) -> None:
        rest: list[_Naming] = []
        for naming in self._waiting:
            if os.path.dirname(naming.name) == directory:
                _rename(self._kept, naming)
            else:
                rest.append(naming)
        self._waiting = rest

    def leave(self, home: str, into: Path, rng: Rng) -> None:
        """Write what a cut now may leave of the files below ``home`` into ``into``.

        Chances are drawn once: nothing unsynced, all of it, or any part.
        """
        chance = (0.0, 1.0, rng.uniform(), rng.uniform())[rng.below(4)]
        names = dict(self._kept)
        most = len(self._waiting)
        for naming in self._waiting[
            : round(chance * most) if chance in (0, 1) else rng.below(most + 1)
        ]:
            _rename(names, naming)
        for name, file in names.items():
            if os.path.dirname(name) == home:
                content = bytearray(file.kept)
                for change in file.waiting:
                    _partly(content, change, chance, rng)
                (into / os.path.basename(name)).write_bytes(content)


def _rename(names: dict[str, _File], naming: _Naming) -> None:
    names.pop(naming.gone, None)
    if naming.file is None:
        names.pop(naming.name, None)
    else:
        names[naming.name] = naming.file


def _partly(content: bytearray, change: Change, chance: float, rng: Rng) -> None:
    """Apply a change that was not synced, or parts of it, or nothing."""
    at, data = change
    if data is None:
        if rng.uniform() < chance:
            _change(content, change)
        return
    torn = 0.0 < chance < 1.0 and rng.below(8) == 0
    begin = 0
    while begin < len(data):
        end = min(begin + PAGE - (at + begin) % PAGE, len(data))
        if rng.uniform() < chance:
            whole = end
            if torn:
                whole = begin + rng.below((end - begin) // SECTOR + 1) * SECTOR
            if whole > begin:
                _change(content, (at + begin, data[begin:whole]))
        begin = end
