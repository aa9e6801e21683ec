"""A stranger who passes for a relay and tells what was never signed, is over, or was replaced.

::

    all that relays ever published ─► old pairs, pairs that do not belong together,
                                      pairs with a bit turned ─► Hello, News, Records, …

Its frames keep the form, so that they are refused for what they say.
"""

from shoal_protocol.directory import frames
from shoal_protocol.directory.frames import CODEC, MAX_RECORDS, News, Proof, Record
from shoal_protocol.rng import Rng


class Liar:
    """Remembers what relays published and makes frames of it."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._heard: dict[bytes, dict[bytes, list[bytes]]] = {}  # relay id, descriptor: leases

    def hear(self, relay_id: bytes, descriptor: bytes, lease: bytes) -> None:
        """Remember a relay's own words."""
        self._heard.setdefault(relay_id, {}).setdefault(descriptor, []).append(lease)

    def frames(self) -> list[bytes]:
        """Return a Hello and some lies."""
        made: list[frames.Frame] = [frames.Hello()]
        for _ in range(1 + self._rng.below(3)):
            made.append(News(self._records(), self._proofs()))
        return [CODEC.encode(frame) for frame in made]

    def _records(self) -> tuple[Record, ...]:
        """Return a record of each relay, mostly an old one; at times one of them is forged."""
        rng, records = self._rng, list[Record]()
        for _, said in sorted(self._heard.items()):
            descriptor = rng.choice(list(said))
            lease = said[descriptor][-1] if rng.below(4) else rng.choice(said[descriptor])
            if rng.below(8) == 0:
                lease = rng.choice(said[rng.choice(list(said))])
            if rng.below(8) == 0:
                descriptor = b""
            records.append(Record(descriptor, lease))
        if records and rng.below(2) == 0:
            place = rng.below(len(records))
            one = records[place]
            if one.descriptor and rng.below(2) == 0:
                records[place] = Record(self._turned(one.descriptor), one.lease)
            else:
                records[place] = Record(one.descriptor, self._turned(one.lease))
        return tuple(records[:MAX_RECORDS])

    def _proofs(self) -> tuple[Proof, ...]:
        """Return, at times, a proof that proves nothing."""
        if not self._heard or self._rng.below(4):
            return ()
        said = self._rng.choice(sorted(self._heard.items()))[1]
        first, second = self._rng.choice(list(said)), self._rng.choice(list(said))
        if self._rng.below(2) == 0:
            second = self._turned(first)
        return (Proof(first, second),)

    def _turned(self, data: bytes) -> bytes:
        """Return ``data`` with one bit of it turned."""
        place = self._rng.below(len(data))
        turned = data[place] ^ (1 << self._rng.below(8))
        return data[:place] + bytes((turned,)) + data[place + 1 :]
