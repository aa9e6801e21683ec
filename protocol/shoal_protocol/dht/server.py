"""How a node answers others: limits first, then decoding, then the store.

::

    message ── this peer's tokens spent ──► RemoteProtocolError "dht rate"
       └─ decode ── garbage ──────────────► RemoteProtocolError "wire"
            ├ Ping       ► Pong; the asker is to be dialled at the address that it names
            ├ FindNode   ► Nodes
            ├ FindValue  ► Value, or Nodes
            └ Store      ► Stored: HELD for known bytes; BUSY when this peer's puts are spent;
                           FAR, REFUSED, STALE, FULL or STORED

A put is paid for from the peer's bucket before any signature is looked at, and one that
doesn't verify costs ten. Whoever asks enters no table by asking. spec: dht §6
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final, assert_never

from shoal_protocol.dht import contacts, messages, routing
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.dht.messages import Status
from shoal_protocol.dht.storage import RecordStore
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.relay.limits import PeerLimiter

FAR_PER_K: Final = 2  # a key is refused when so many times k known nodes are nearer; spec: dht §6


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one peer may ask, in tokens: a request costs one, a put one of the others as well."""

    requests_burst: int = 512
    requests_per_s: float = 64
    puts_burst: int = 256
    puts_per_s: float = 4
    refused_put_cost: int = 10  # tokens
    greetings_burst: int = 4  # times that this node dials one peer because it asked to be
    greetings_per_s: float = 1 / 30
    peers: int = 4096  # peers whose tokens aren't all back; see relay.limits


class DhtServer:
    """Answers requests from ``table`` and ``store``.

    ``counters`` counts requests by kind, puts by status and refusals by reason.
    """

    def __init__(
        self,
        table: routing.Table,
        store: RecordStore,
        parameters: NetworkParameters,
        limits: ServerLimits | None = None,
    ) -> None:
        self._table = table
        self._store = store
        self._parameters = parameters
        self._contacts = min(parameters.dht_k, messages.CONTACTS_LIMIT)
        self._far = FAR_PER_K * parameters.dht_k
        self._limits = limits = limits or ServerLimits()
        self._requests = PeerLimiter(limits.requests_per_s, limits.requests_burst, limits.peers)
        self._greetings = PeerLimiter(limits.greetings_per_s, limits.greetings_burst, limits.peers)
        self._puts = PeerLimiter(limits.puts_per_s, limits.puts_burst, limits.peers)
        self.counters: Counter[str] = Counter()

    def answer(self, peer_id: bytes, message: bytes, now: int) -> bytes:
        """Return the reply's bytes to a request's.

        Args:
            peer_id: 38 bytes, authenticated by the channel.
            message: as ``messages.split`` gives it.

        Raises:
            RemoteProtocolError: "dht rate" or "wire"; nothing changed but the peer's tokens.
        """
        if not self._requests.take(peer_id, now):
            self.counters["dht rate"] += 1
            raise RemoteProtocolError("dht rate")
        try:
            request = messages.decode_request(message)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            raise
        self.counters[type(request).__name__] += 1
        return messages.encode_reply(self._reply(request, peer_id, now))

    def _reply(self, request: messages.Request, peer_id: bytes, now: int) -> messages.Reply:
        match request:
            case messages.Ping(address):
                if address:
                    self._greet(contacts.contact_at(peer_id, address), now)
                return messages.Pong()
            case messages.FindNode(target):
                return self._nodes(target, peer_id)
            case messages.FindValue(key):
                record = self._store.get(key, now)
                return self._nodes(key, peer_id) if record is None else messages.Value(record)
            case messages.Store(record):
                status = self._put(record, peer_id, now)
                self.counters[status.name] += 1
                return messages.Stored(int(status))
            case _:
                assert_never(request)

    def _greet(self, contact: Contact, now: int) -> None:
        try:
            contacts.check(contact, self._parameters)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            return
        if self._table.wants(contact) and self._greetings.take(contact.peer_id, now):
            self._table.asked(contact)

    def _nodes(self, target: bytes, peer_id: bytes) -> messages.Nodes:
        asker = self._table.node_of(contacts.contact_at(peer_id, ""))
        exclude = b"" if asker is None else asker.id
        return messages.Nodes(tuple(self._table.nearest(target, self._contacts, exclude)))

    def _put(self, record: bytes, peer_id: bytes, now: int) -> Status:
        if self._store.holds(record, now):
            return Status.HELD
        if not self._puts.take(peer_id, now):
            return Status.BUSY
        try:
            verified = self._store.validate(record, now)
        except RemoteProtocolError as error:
            for _ in range(self._limits.refused_put_cost - 1):
                self._puts.take(peer_id, now)
            self.counters[error.reason] += 1
            return Status.REFUSED
        keys = contacts.keys_of(verified.key, self._parameters.dht_keys)
        if all(self._table.nearer_than_own(key) >= self._far for key in keys):
            return Status.FAR
        return self._store.keep(record, verified, now)
