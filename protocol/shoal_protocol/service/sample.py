"""What a relay says of its directory: the relays nearest to a point that the asker draws.

::

    struct point  { u8 point[16];  u8 zero[2032]; }                      // request VIEW's record
    struct sample { u16 count;  u8 relay_id[16][count];  u8 zero[…]; }   // its reply's record

Near is by XOR, nearest first; at most SAMPLED. Ids are hashes, so that those around a random
point are a random sample of all, and whoever shows one node a directory of his own cannot know
beforehand where it will be looked at. spec: service §3.6
"""

import heapq
import itertools
import struct
from collections.abc import Iterable
from typing import Final

from shoal_protocol.constants import RECORD_LENGTH, RELAY_ID_LENGTH
from shoal_protocol.errors import RemoteProtocolError

SAMPLED: Final = 120  # relays in a sample, at most
POINT_LENGTH: Final = RELAY_ID_LENGTH

_COUNT: Final = struct.Struct(">H")


def question(point: bytes) -> bytes:
    """Return the record of a request for the sample around ``point`` (16 bytes)."""
    return point + bytes(RECORD_LENGTH - POINT_LENGTH)


def draw(relays: Iterable[bytes], point: bytes) -> list[bytes]:
    """Return the ids nearest to ``point``, nearest first."""
    goal = int.from_bytes(point, "big")
    return heapq.nsmallest(SAMPLED, relays, key=lambda i: int.from_bytes(i, "big") ^ goal)


def encode(sample: list[bytes]) -> bytes:
    """Return the record that carries a sample."""
    found = _COUNT.pack(len(sample)) + b"".join(sample)
    return found + bytes(RECORD_LENGTH - len(found))


def decode(record: bytes, point: bytes) -> list[bytes]:
    """Return the sample in ``record``.

    Raises:
        RemoteProtocolError: "view sample": another length, too many, not in order, or something
            behind.
    """
    if len(record) != RECORD_LENGTH:
        raise RemoteProtocolError("view sample")
    (count,) = _COUNT.unpack_from(record)
    ends = [_COUNT.size + place * RELAY_ID_LENGTH for place in range(min(count, SAMPLED) + 1)]
    found = [record[at:end] for at, end in itertools.pairwise(ends)]
    if draw(set(found), point) != found or encode(found) != record:
        raise RemoteProtocolError("view sample")
    return found


def compare(own: Iterable[bytes], sample: list[bytes], point: bytes) -> tuple[int, int]:
    """Return how many relays both have and how many one of both lacks, within the sample's reach.

    A full sample reaches to its farthest; beyond it nothing is known. One that is not full
    is all that there is.
    """
    goal = int.from_bytes(point, "big")
    mine, theirs = set(own), set(sample)
    if len(sample) == SAMPLED:
        reach = int.from_bytes(sample[-1], "big") ^ goal
        mine = {i for i in mine if int.from_bytes(i, "big") ^ goal <= reach}
    return len(mine & theirs), len(mine ^ theirs)
