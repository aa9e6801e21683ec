"""Somebody who asks a relay: requests with reply blocks that can be opened again."""

from typing import Final

from shoal_protocol import clock
from shoal_protocol.packets import surb as surbs
from shoal_protocol.packets import unwrap
from shoal_protocol.packets.keys import Hop, MixKeyring
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.pseudonyms.blinding import BlindedSecret
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.relay.mix import SendPacket
from shoal_protocol.service import messages
from shoal_protocol.service.messages import (
    BODY_LENGTH,
    InboxQuery,
    Reply,
    Request,
    RequestType,
)
from support import START, seeded

DAY: Final = clock.index_of(START, LAB.day_s)
RELAY: Final = b"o" * 16  # the relay asked
OTHER_NETWORK: Final = bytes(32)


def record_at(address: bytes, number: int = 0) -> bytes:
    """Return an entry for ``address`` that differs by ``number``."""
    return (address + number.to_bytes(8, "big")).ljust(2048, b"\5")


class Asker:
    """One person with an inbox, behind a guard whose keys the test holds."""

    def __init__(self, seed: int | str = 0, params: NetworkParameters = LAB) -> None:
        self.rng: Final = seeded(f"asker {seed}")
        self.params: Final = params
        self.id: Final = self.rng.bytes(16)
        self.guard: Final = self.rng.bytes(16)
        self._keyring = MixKeyring(params.hash)
        epoch = clock.index_of(START, params.epoch_s)
        self._keyring.advance(epoch, self.rng)
        key = dict(self._keyring.public())[epoch]
        self._hop = Hop(self.guard, epoch, key, 0)
        self._secrets: dict[bytes, surbs.SurbSecret] = {}
        secrets = PersonaSecrets(self.rng.bytes(32), network=params.hash)
        self.key: Final[BlindedSecret] = secrets.inbox_key(DAY)
        self.address: Final = self.key.public

    def surb(self) -> bytes:
        """Return a fresh reply block whose answer :meth:`reply` opens."""
        block, secret = surbs.create([self._hop], self.id, network=self.params.hash, rng=self.rng)
        self._secrets[secret.id] = secret
        return block

    def query(
        self,
        instance: bytes,
        cursor: int = 0,
        wait_ms: int = 0,
        floor: int = 0,
        network: bytes | None = None,
    ) -> Request:
        """Return an INBOX_GET signed for :data:`RELAY`."""
        nonce = self.rng.bytes(16)
        network = self.params.hash if network is None else network
        numbers = (wait_ms, cursor, floor)
        message = messages.query_message(self.address, RELAY, instance, nonce, numbers, network)
        record = InboxQuery(self.address, instance, nonce, self.key.sign(message)).encode()
        return Request(RequestType.INBOX_GET, self.surb(), record, wait_ms, cursor, floor)

    def put(self, number: int = 0, address: bytes | None = None) -> Request:
        """Return an INBOX_PUT, by default into one's own inbox."""
        record = record_at(self.address if address is None else address, number)
        return Request(RequestType.INBOX_PUT, self.surb(), record)

    def reply(self, event: object) -> Reply:
        """Open the one packet that answers a request; each block answers once."""
        assert isinstance(event, SendPacket)
        assert event.next_id == self.guard
        crossed = unwrap.unwrap(event.packet, self._keyring)
        assert isinstance(crossed, unwrap.ToClient)
        body = surbs.open(self._secrets.pop(surbs.id_of(crossed.packet)), crossed.packet)
        assert len(body) == BODY_LENGTH
        return messages.decode_reply(body)
