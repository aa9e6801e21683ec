"""Where requests that came through the onion are taken and their replies made.

::

    request body ──decode──► INBOX_PUT, INBOX_GET ──► InboxService ──► SendPacket
                      │      ECHO ──► SendPacket
                      │      DHT_PUT, DHT_GET ──────► DhtPut, DhtGet ──(driver)──► finish()
                      └─ malformed: one REFUSED reply, counted

Every request whose payload was whole draws exactly one reply, whatever it asked, so that
what goes down to a person tells nothing about how it went.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, assert_never

from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets import surb as surbs
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import work
from shoal_protocol.relay.mix import SendPacket
from shoal_protocol.service import inbox, messages, placement
from shoal_protocol.service.messages import Reply, Request, RequestType, Status

MAX_LOOKUPS: Final = 256  # DHT operations under way at once; beyond it the answer is UNAVAILABLE


@dataclass(frozen=True, slots=True)
class DhtPut:
    """The driver stores ``record`` and calls :meth:`ServiceDesk.finish` with ``surb``."""

    surb: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class DhtGet:
    """The driver looks ``key`` (32 bytes) up and calls :meth:`ServiceDesk.finish`."""

    surb: bytes
    key: bytes


Event = SendPacket | DhtPut | DhtGet


def put_challenge(address: bytes, record: bytes, network: bytes) -> bytes:
    """Return what the proof of work of an inbox PUT is over."""
    return work.challenge(b"inbox put", network, address, record)


class ServiceDesk:
    """The services of one relay.

    Args:
        own_id: this relay's id, 16 bytes.
        relays: gives the ids of the relays in the directory now, own included.
        store: the inboxes.
    """

    def __init__(
        self,
        own_id: bytes,
        *,
        params: NetworkParameters,
        relays: Callable[[], Iterable[bytes]],
        store: inbox.InboxService,
    ) -> None:
        self._own_id = own_id
        self._params = params
        self._relays = relays
        self._store = store
        self._lookups = 0
        self.counters: Counter[str] = Counter()

    def request(self, body: bytes, now: int) -> list[Event]:
        """Take the body of one packet that ended here."""
        try:
            request = messages.decode_request(body)
            self.counters[request.type.name.lower()] += 1
            return self._serve(request, now)
        except RemoteProtocolError as error:
            self.counters[f"refused {error.reason}"] += 1
            return self._answer(messages.surb_of(body), Reply(Status.REFUSED))

    def finish(self, surb: bytes, reply: Reply) -> list[Event]:
        """Answer a DHT operation that the driver has done."""
        self._lookups -= 1
        return self._answer(surb, reply)

    def next_deadline(self) -> int | None:
        """When :meth:`handle_timer` has work."""
        return self._store.next_deadline()

    def handle_timer(self, now: int) -> list[Event]:
        """Answer the GETs whose wait is over."""
        return self._deliver(self._store.handle_timer(now))

    def _serve(self, request: Request, now: int) -> list[Event]:
        match request.type:
            case RequestType.INBOX_PUT:
                return self._put(request, now)
            case RequestType.INBOX_GET:
                query = messages.decode_query(request, self._own_id, self._params.hash)
                if query.instance == self._store.instance:
                    self._store.release(query.address, request.floor)
                return self._deliver(
                    self._store.get(
                        query.address,
                        query.instance,
                        request.cursor,
                        request.wait_ms,
                        request.surb,
                        now,
                    )
                )
            case RequestType.ECHO:
                return self._answer(request.surb, Reply(Status.OK))
            case RequestType.DHT_PUT | RequestType.DHT_GET:
                if self._lookups >= MAX_LOOKUPS:
                    return self._answer(request.surb, Reply(Status.UNAVAILABLE))
                self._lookups += 1
                if request.type is RequestType.DHT_PUT:
                    return [DhtPut(request.surb, request.record)]
                return [DhtGet(request.surb, request.record[: messages.DHT_KEY_LENGTH])]
            case _:
                assert_never(request.type)

    def _put(self, request: Request, now: int) -> list[Event]:
        address = request.record[:32]
        if request.effort:
            challenge = put_challenge(address, request.record, self._params.hash)
            work.check(challenge, request.nonce, request.effort)
        reach = self._params.replicas + self._params.replica_slack
        if self._own_id not in placement.rank(address, self._relays(), reach):
            return self._answer(request.surb, Reply(Status.NOT_RANKED))
        status, replies = self._store.put(address, request.record, request.effort, now)
        return self._answer(request.surb, Reply(status)) + self._deliver(replies)

    def _deliver(self, replies: list[inbox.SendReply]) -> list[Event]:
        events: list[Event] = []
        for send in replies:
            events += self._answer(send.surb, send.reply)
        return events

    def _answer(self, surb: bytes, reply: Reply) -> list[Event]:
        try:
            next_id, packet = surbs.use(surb, reply.encode())
        except RemoteProtocolError as error:
            self.counters[f"refused {error.reason}"] += 1
            return []
        return [SendPacket(next_id, packet)]
