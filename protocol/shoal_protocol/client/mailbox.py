"""Reading an inbox from the relays that keep it; spec: client §5.

Each store numbers its entries; a mailbox knows, for each store, which numbers are here,
which are missing, and how many GETs wait there. A GET names the highest number that it
has heard of, or the one before a missing entry; an entry that was handed out and lost on the way
is simply asked for again.
"""

from dataclasses import dataclass, field
from typing import Final

from shoal_protocol.client.courier import Question
from shoal_protocol.pseudonyms.blinding import BlindedSecret
from shoal_protocol.rng import Rng
from shoal_protocol.service import messages, storage
from shoal_protocol.service.messages import InboxQuery, Reply, RequestType, Status

MAX_MISSING: Final = 1024  # entry numbers remembered as missing at one store
_LAST_NUMBER: Final = 2**64 - 1


@dataclass(slots=True)
class _Store:
    instance: bytes
    floor: int = 0  # every number up to this one is here or gone
    released: int = 0  # the floor as of when everything here was durable
    here: set[int] = field(default_factory=set[int])  # numbers here, or gone, above the floor
    known: int = 0  # the highest number that the store has spoken of
    asked: set[int] = field(default_factory=set[int])  # missing numbers now asked for
    outstanding: int = 0
    last_asked: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One GET on its way: where it went and what it asked for."""

    relay_id: bytes
    instance: bytes
    cursor: int
    missing: int | None  # the entry number that it is to fill, when it fills a gap


class Mailbox:
    """One inbox address, or a random one that is asked like it.

    Args:
        secret: the daily key that is the address and signs GETs.
    """

    def __init__(self, secret: BlindedSecret, *, network: bytes, rng: Rng) -> None:
        self._secret = secret
        self._network = network
        self._rng = rng
        self._stores: dict[bytes, _Store] = {}

    @property
    def address(self) -> bytes:
        """The 32-byte address."""
        return self._secret.public

    def outstanding(self, relay_id: bytes) -> int:
        """GETs that are at ``relay_id`` or on their way."""
        store = self._stores.get(relay_id)
        return 0 if store is None else store.outstanding

    def last_asked(self, relay_id: bytes) -> int:
        """When ``relay_id`` was last asked (ns), 0 for never."""
        store = self._stores.get(relay_id)
        return 0 if store is None else store.last_asked

    def hungry(self, relay_id: bytes) -> bool:
        """Whether ``relay_id`` is known to hold entries that nobody has asked for yet."""
        store = self._stores.get(relay_id)
        return store is not None and self._missing(store) is not None

    def ask(
        self, relay_id: bytes, instance: bytes, wait_ms: int, settled: bool, now: int
    ) -> tuple[Question, Asked]:
        """Make the next GET for ``relay_id``, whose descriptor names ``instance``.

        ``settled`` says that all that came so far is durable: only then may the relay be
        told that it need keep it no more.
        """
        store = self._stores.get(relay_id)
        if store is None:
            store = self._stores[relay_id] = _Store(instance)
        if settled:
            store.released = store.floor
        missing = self._missing(store)
        if missing is None:
            cursor = max(store.known, store.floor)
        else:
            store.asked.add(missing)
            cursor = missing - 1
        nonce = self._rng.bytes(16)
        message = messages.query_message(
            self.address,
            relay_id,
            store.instance,
            nonce,
            (wait_ms, cursor, store.released),
            self._network,
        )
        query = InboxQuery(self.address, store.instance, nonce, self._secret.sign(message))
        store.outstanding += 1
        store.last_asked = now
        question = Question(
            RequestType.INBOX_GET,
            query.encode(),
            wait_ms=wait_ms,
            cursor=cursor,
            floor=store.released,
        )
        return question, Asked(relay_id, store.instance, cursor, missing)

    def lost(self, asked: Asked) -> None:
        """Note that no answer came; a gap that it was to fill is open again."""
        store = self._stores[asked.relay_id]
        store.outstanding -= 1
        if asked.missing is not None and asked.instance == store.instance:
            store.asked.discard(asked.missing)

    def answered(self, asked: Asked, reply: Reply) -> bytes | None:
        """Take a reply and return its entry (2,048 bytes) when it is new from this store."""
        self.lost(asked)
        store = self._stores[asked.relay_id]
        if reply.status is Status.WRONG_INSTANCE:
            if reply.instance != store.instance and asked.instance == store.instance:
                fresh = _Store(reply.instance, outstanding=store.outstanding)
                self._stores[asked.relay_id] = fresh
            return None
        if reply.status is not Status.OK or asked.instance != store.instance:
            return None
        if reply.cursor <= asked.cursor:
            return None  # the store contradicts itself
        return reply.record if self._take(store, asked, reply) else None

    @staticmethod
    def _take(store: _Store, asked: Asked, reply: Reply) -> bool:
        number = reply.cursor
        base = number >> storage.NUMBER_BITS << storage.NUMBER_BITS
        if base > store.floor:  # the inbox began anew: what it held before is gone
            store.floor = base
            store.here = {n for n in store.here if n > base}
        if asked.missing is not None and number > asked.missing:
            # A store gives the first entry beyond the cursor: what lay between is gone.
            if number - asked.missing > MAX_MISSING:
                store.floor = max(store.floor, number - 1)
            else:
                store.here.update(range(max(asked.missing, store.floor + 1), number))
        new = number > store.floor and number not in store.here
        if new and len(store.here) < 2 * MAX_MISSING:
            store.here.add(number)
        known = min(number + min(reply.remaining, MAX_MISSING), _LAST_NUMBER)
        store.known = max(store.known, known)
        while store.floor + 1 in store.here:
            store.floor += 1
            store.here.discard(store.floor)
        return new

    @staticmethod
    def _missing(store: _Store) -> int | None:
        if store.floor == 0:
            return None
        top = min(store.known, store.floor + MAX_MISSING)
        for number in range(store.floor + 1, top + 1):
            if number not in store.here and number not in store.asked:
                return number
        return None
