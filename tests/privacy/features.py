"""What a thief of a relay's disk, and the relay itself, may compare two boxes by.

Of the disk: every byte and bit (``Row`` in order of its fields), distances of fields as numbers
and in bits, prices, days, and how far apart two rows came. Of the process besides: when an
address was first asked for, put, handed out, and by which hop; how soon after one box was
handed out another was asked for.
"""

from collections.abc import Callable
from functools import lru_cache
from math import log2
from typing import Final, NamedTuple

from privacy.linking import Feature
from privacy.town import Row, Sight

NONCE_LENGTH: Final = 8
FIELDS: Final = {
    "address": slice(0, 32),
    "signature": slice(32, 96),
    "sealed": slice(104, 2048),
    "nonce": slice(2048, 2048 + NONCE_LENGTH),
}
NEVER: Final = 99.0  # for times that are not there; beyond all logarithms of ns


class Seen(NamedTuple):
    """A box with what the process saw of its address."""

    row: Row
    sight: Sight


def _of_rows(name: str, of: Callable[[Row, Row], float]) -> Feature[Row]:
    return Feature(name, of)


def _of_sights(name: str, of: Callable[[Seen, Seen], float]) -> Feature[Seen]:
    return Feature(name, of)


@lru_cache(maxsize=4096)
def data_of(row: Row) -> bytes:
    """Return all bytes of a row but for its place in the order."""
    small = (row.day & 255, row.tombstone, row.effort)
    return row.record + row.nonce + bytes(small)


@lru_cache(maxsize=65_536)
def _number(row: Row, start: int, end: int) -> int:
    return int.from_bytes(data_of(row)[start:end])


def _bits_apart(field: str) -> Feature[Row]:
    part = FIELDS[field]

    def of(a: Row, b: Row) -> float:
        x = _number(a, part.start, part.stop) ^ _number(b, part.start, part.stop)
        return float(x.bit_count())

    return Feature(f"{field}: bits apart", of)


def _apart(field: str, start: int) -> Feature[Row]:
    """How far apart eight bytes of a field are as a number, in bits."""
    begin = FIELDS[field].start + start

    def of(a: Row, b: Row) -> float:
        x, y = (_number(one, begin, begin + 8) for one in (a, b))
        return float(abs(x - y).bit_length())

    return Feature(f"{field}: apart from byte {start}", of)


CONTENT: Final = (
    *(_bits_apart(field) for field in FIELDS),
    *(_apart(field, 0) for field in FIELDS),
    _apart("signature", 32),
    _apart("sealed", 1936),
    _of_rows("effort", lambda a, b: float(a.effort == b.effort)),
    _of_rows("day", lambda a, b: float(a.day == b.day)),
    _of_rows("tombstone", lambda a, b: float(a.tombstone == b.tombstone)),
)
ORDER: Final = (_of_rows("order: rows between", lambda a, b: log2(abs(a.order - b.order))),)


def _log(ns: int) -> float:
    return log2(ns) if ns > 0 else 0.0


def _asked_apart(a: Seen, b: Seen) -> float:
    if not a.sight.asked or not b.sight.asked:
        return NEVER
    return _log(abs(a.sight.asked[0][0] - b.sight.asked[0][0]))


def _put_apart(a: Seen, b: Seen) -> float:
    if not a.sight.put or not b.sight.put:
        return NEVER
    return _log(abs(a.sight.put[0][0] - b.sight.put[0][0]))


def _follows(a: Seen, b: Seen) -> float:
    """How soon one was asked for first after the other was first handed out."""
    gaps = [
        second.sight.asked[0][0] - first.sight.given[0]
        for first, second in ((a, b), (b, a))
        if first.sight.given and second.sight.asked
    ]
    return min((_log(gap) for gap in gaps if gap > 0), default=NEVER)


def _same_asker(a: Seen, b: Seen) -> float:
    hops = {hop for _, hop, _ in a.sight.asked}
    return float(any(hop in hops for _, hop, _ in b.sight.asked))


def _same_putter(a: Seen, b: Seen) -> float:
    hops = {hop for _, hop in a.sight.put}
    return float(any(hop in hops for _, hop in b.sight.put))


def _asked_times(a: Seen, b: Seen) -> float:
    return float(abs(len(a.sight.asked) - len(b.sight.asked)))


ASKED_AFTER: Final = _of_sights("asked for after the other was handed out", _follows)
PROCESS: Final = (
    ASKED_AFTER,
    _of_sights("first asked for: time between", _asked_apart),
    _of_sights("put: time between", _put_apart),
    _of_sights("asked for by way of the same hop", _same_asker),
    _of_sights("put by way of the same hop", _same_putter),
    _of_sights("how often asked for", _asked_times),
)
HOPS: Final = PROCESS[3:5]
