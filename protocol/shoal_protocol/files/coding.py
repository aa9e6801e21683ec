"""Systematic Reed–Solomon over whole fragments; spec: files §3; ADR 16.

::

    data     d_0 … d_(k−1)    ┐ byte j of all of them is one codeword of the shortened
    parity   p_0 … p_(m−1)    ┘ (k+m, k) code of ``reedsolo``: GF(2^8) modulo x^8+x^4+x^3+x^2+1,
                                generator polynomial ∏ (x − 2^i), i = 0 … m−1

    p_i = Σ  c(i,j) · d_j          any k of the k+m give back the rest

The code is linear, so what ``reedsolo`` says of a few unit words gives all coefficients,
and a fragment times a coefficient is one ``bytes.translate``, a sum one XOR of integers:
1,928 columns at once. That makes a parity fragment of 64 data fragments in about 0.2 ms,
where the library's own loop over columns takes about 10, and recovery hundreds of times
faster; the codewords are the same.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import reedsolo

from shoal_protocol.errors import LocalProtocolError

MAX_CODEWORD: Final = 255  # fragments of a group, data and parity: GF(2^8) has no more places
SLICE: Final = 512  # products of a fragment and a coefficient between two yields: about 2 ms

_ORDER: Final = 255  # of the field's multiplicative group

# the library's tables are module state that is all ones until this call
_tables: Final = reedsolo.init_tables(prim=0x11D, generator=2, c_exp=8)
_LOG: Final = bytes(_tables[0][:256])
_EXP: Final = bytes(_tables[1][:_ORDER])


def _table(coefficient: int) -> bytes:
    """Return the 256 products of ``coefficient``, for ``bytes.translate``."""
    if not coefficient:
        return bytes(256)
    turn = _LOG[coefficient]
    products = _LOG.translate(_EXP[turn:] + _EXP[:turn] + b"\0")
    return b"\0" + products[1:]


_TIMES: Final = tuple(_table(coefficient) for coefficient in range(256))
_INVERSE: Final = b"\0" + bytes(_EXP[-_LOG[x] % _ORDER] for x in range(1, 256))


@lru_cache(maxsize=128)
def _columns(data: int, parity: int) -> tuple[bytes, ...]:
    """Return, by data fragment, its coefficient in each parity fragment.

    The parity of the unit word at place j is x^(k−1−j+m) modulo the generator, so each
    comes from the next by one shift.
    """
    first = bytes(reedsolo.rs_encode_msg(b"\1", parity)[1:])
    columns = [first]
    while len(columns) < data:
        last = columns[-1]
        columns.append(_xor(last[1:] + b"\0", first.translate(_TIMES[last[0]])))
    return tuple(reversed(columns))


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def _check(data: int, parity: int) -> None:
    if data < 1 or parity < 1 or data + parity > MAX_CODEWORD:
        raise LocalProtocolError("no such code")


def _sum(coefficients: Sequence[int], fragments: Sequence[bytes]) -> int:
    total = 0
    for coefficient, fragment in zip(coefficients, fragments, strict=True):
        if coefficient:
            total ^= int.from_bytes(fragment.translate(_TIMES[coefficient]), "little")
    return total


def parity(data: Sequence[bytes], count: int, index: int) -> bytes:
    """Return parity fragment ``index`` of ``count`` over ``data``, fragments of one length.

    Raises LocalProtocolError when the field has no room for so many.
    """
    _check(len(data), count)
    columns = _columns(len(data), count)
    total = _sum([column[index] for column in columns], data)
    return total.to_bytes(len(data[0]), "little")


def recover(come: Mapping[int, bytes], data: int, parity: int) -> Iterator[dict[int, bytes]]:
    """Work out the data fragments that are not in ``come``, some at each step.

    Args:
        come: at least ``data`` fragments of one group by their places: data 0 … data−1,
            then parity; all of one length. What is there beyond need is not read.

    Yields dicts of fragments by place, empty ones while it prepares; each step takes at most
    about 5 ms. Together they are all missing data fragments. Raises LocalProtocolError
    when too few have come. False fragments give false ones: the file's digest tells.
    """
    _check(data, parity)
    have = [place for place in range(data) if place in come]
    missing = [place for place in range(data) if place not in come]
    used = [i for i in range(parity) if data + i in come][: len(missing)]
    if len(used) < len(missing):
        raise LocalProtocolError("too few fragments to recover")
    if not missing:
        return
    columns = _columns(data, parity)
    length = len(come[data + used[0]])
    known = [come[place] for place in have]
    # parity minus what the data that came gives to it leaves the missing data's share
    shares: list[bytes] = []
    work = 0
    for i in used:
        share = _sum([columns[place][i] for place in have], known)
        share ^= int.from_bytes(come[data + i], "little")
        shares.append(share.to_bytes(length, "little"))
        work += len(have)
        if work >= SLICE:
            work = 0
            yield {}
    yield {}
    inverse = yield from _invert([bytes(columns[place][i] for place in missing) for i in used])
    yield {}
    found: dict[int, bytes] = {}
    for place, row in zip(missing, inverse, strict=True):
        found[place] = _sum(row, shares).to_bytes(length, "little")
        if len(found) * len(missing) >= SLICE:
            yield found
            found = {}
    yield found


def _invert(matrix: list[bytes]) -> Generator[dict[int, bytes], None, list[bytes]]:
    """Invert by Gauss and Jordan, yielding empty dicts now and then.

    Every square part of a systematic code's parity matrix that loses no distance is
    invertible (MacWilliams and Sloane, ch. 11, thm. 8), so a pivot is always found.
    """
    size = len(matrix)
    rows = [
        row + bytes(i) + b"\1" + bytes(size - 1 - i) for i, row in enumerate(matrix)
    ]  # matrix ‖ identity
    work = 0
    for at in range(size):
        pivot = next(r for r in range(at, size) if rows[r][at])
        rows[at], rows[pivot] = rows[pivot], rows[at]
        top = rows[at] = rows[at].translate(_TIMES[_INVERSE[rows[at][at]]])
        for r in range(size):
            factor = rows[r][at]
            if factor and r != at:
                rows[r] = _xor(rows[r], top.translate(_TIMES[factor]))
        work += size
        if work >= SLICE:
            work = 0
            yield {}
    return [row[size:] for row in rows]
