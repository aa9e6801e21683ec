"""A desk with its store, and the few lines of a driver between them."""

from collections.abc import Callable, Iterable
from typing import Final

from service.asker import RELAY, Asker
from shoal_protocol.errors import StoreError, StoreFull
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.service.desk import Access, DhtGet, DhtPut, Event, ServiceDesk
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.messages import Reply, Request
from support import START

INSTANCE: Final = b"i" * 16


class Served:
    """One relay's services; accesses wait in :attr:`queue` until they are committed."""

    def __init__(
        self,
        params: NetworkParameters = LAB,
        relays: Callable[[], Iterable[bytes]] = lambda: [RELAY],
    ) -> None:
        self.store: Final = MemoryStore(params, INSTANCE)
        self.desk: Final = ServiceDesk(RELAY, params=params, relays=relays, instance=INSTANCE)
        self.queue: Final[list[Access]] = []

    def take(self, body: bytes, now: int = START) -> list[Event]:
        """Take a request; return what goes out before any access to the store is done."""
        return self.split(self.desk.request(body, now))

    def tick(self, now: int) -> list[Event]:
        """Let the time pass, likewise."""
        return self.split(self.desk.handle_timer(now))

    def split(self, events: list[Event]) -> list[Event]:
        """Queue the accesses among ``events`` and return the rest."""
        self.queue.extend(event for event in events if isinstance(event, Access))
        return [event for event in events if not isinstance(event, Access)]

    def commit(self, now: int = START) -> list[Event]:
        """Do all that is queued as one transaction; return what goes out then."""
        batch, events = self.queue[:], list[Event]()
        self.queue.clear()
        try:
            outcomes = self.store.execute([access.operation for access in batch], now)
        except StoreError as error:
            for access in batch:
                full = isinstance(error, StoreFull)
                events += self.desk.store_failed(access.ticket, now, full=full)
            return events
        for access, outcome in zip(batch, outcomes, strict=True):
            events += self.desk.stored(access.ticket, outcome, now)
        return events

    def go(self, request: Request | bytes, now: int = START) -> list[Event]:
        """Take a request and commit at once; return all that goes out."""
        body = request.encode() if isinstance(request, Request) else request
        return self.take(body, now) + self.commit(now)

    def ask(self, asker: Asker, request: Request, now: int = START) -> Reply:
        """Ask for what is answered at once."""
        (event,) = self.go(request, now)
        assert not isinstance(event, DhtPut | DhtGet)
        return asker.reply(event)
