"""How a file is cut into fragments and groups, which follows from its size alone; spec: files §2.

::

    content  │ c_0 │ c_1 │ … │ c_n │ zeros        1,928 bytes each; the number of data fragments
                                                  is padded to a class (Padmé)
    group    0  1  2  0  1  2  …                  fragment i: group i mod G, place i div G
    index    0  1  2  3  4  5  …  G·k │ …         data in the file's order, then parity

Neighbours lie in different groups, so that a run of losses is shared out. A group of k data
fragments has k + 8 parity fragments: small groups need the spare ones, since their losses
scatter more (ADR 16). Padmé: Nikitin et al., "Reducing metadata leakage from encrypted files
and communication with PURBs", PoPETs 2019, §4.
"""

from dataclasses import dataclass
from typing import Final

from shoal_protocol import constants
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.parameters import Preset

FRAGMENT_LENGTH: Final = constants.BOX_PLAINTEXT_LENGTH  # bytes; spec: files §2
MAX_FILE_LENGTH: Final = 10 * 2**20  # bytes; spec: files §1
GROUP_DATA: Final = 64  # data fragments of a group at most; spec: files §2
SPARE: Final = 8  # parity fragments of a group beyond its data fragments; spec: files §3


def padme(count: int) -> int:
    """Return the least class of at least ``count`` ≥ 1, at most 12 % more.

    A class has no more significant bits than the number of its exponent's bits.
    """
    exponent = count.bit_length() - 1
    low = max(0, exponent - exponent.bit_length())
    return (count + (1 << low) - 1) >> low << low


@dataclass(frozen=True, slots=True)
class Layout:
    """The fragments of a file of ``size`` bytes.

    Made by :meth:`of`. ``content`` of its data fragments hold bytes of the file, the rest of
    them zeros; ``groups`` groups of ``data`` + ``parity`` fragments each.
    """

    size: int
    content: int
    groups: int
    data: int
    parity: int

    @classmethod
    def of(cls, size: int) -> "Layout":
        """Return the layout of ``size`` bytes, 0 to MAX_FILE_LENGTH.

        Raises LocalProtocolError on another size; callers check what a peer or a user says.
        """
        if not 0 <= size <= MAX_FILE_LENGTH:
            raise LocalProtocolError("no file has this size")
        content = -(-size // FRAGMENT_LENGTH)
        padded = padme(max(1, content))
        groups = -(-padded // GROUP_DATA)
        data = -(-padded // groups)
        return cls(size, content, groups, data, data + SPARE)

    @property
    def data_total(self) -> int:
        """Data fragments of all groups; their indices come first."""
        return self.groups * self.data

    @property
    def total(self) -> int:
        """Fragments in all."""
        return self.groups * (self.data + self.parity)

    def check(self, index: int) -> None:
        """Raise LocalProtocolError unless ``index`` is one of a fragment."""
        if not 0 <= index < self.total:
            raise LocalProtocolError("no such fragment")

    def place(self, index: int) -> tuple[int, int]:
        """Return (group, place in it) of a fragment; places from ``data`` on are parity."""
        return index % self.groups, index // self.groups

    def index(self, group: int, place: int) -> int:
        """Return the index of a group's fragment."""
        return place * self.groups + group

    def padding(self, index: int) -> bool:
        """Whether a data fragment is zeros that nobody needs to fetch."""
        return self.content <= index < self.data_total

    def seconds_to_send(self, preset: Preset) -> float:
        """Return how long all fragments take if they have the quick slots to themselves."""
        return self.total / (preset.rate * preset.quick_share)

    def seconds_to_fetch(self, preset: Preset) -> float:
        """Return how long the content takes if it has the waiting slots to itself."""
        return self.content / (preset.rate * (1 - preset.quick_share))


class Marks:
    """Which fragments of ``total`` are done: a set of indices that packs into bits.

    Args:
        packed: what :meth:`dump` gave, or nothing. Raises RemoteProtocolError("marks") when
            it is of another length or marks what does not exist.
    """

    def __init__(self, total: int, packed: bytes = b"") -> None:
        self._bits = bytearray(packed) if packed else bytearray(-(-total // 8))
        if len(self._bits) != -(-total // 8) or int.from_bytes(self._bits, "little") >> total:
            raise RemoteProtocolError("marks")
        self.count = int.from_bytes(self._bits, "little").bit_count()

    def __contains__(self, index: int) -> bool:
        return bool(self._bits[index >> 3] >> (index & 7) & 1)

    def add(self, index: int) -> bool:
        """Mark ``index``; whether it was new."""
        if index in self:
            return False
        self._bits[index >> 3] |= 1 << (index & 7)
        self.count += 1
        return True

    def dump(self) -> bytes:
        """Return bit i mod 8 of byte i div 8 for index i; at most about 1.5 KB for any file."""
        return bytes(self._bits)
