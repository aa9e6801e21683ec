"""Somebody who asks a relay: requests with reply blocks that can be opened again."""

from dataclasses import replace
from typing import Final

from shoal_protocol import clock
from shoal_protocol.packets import surb as surbs
from shoal_protocol.packets import unwrap
from shoal_protocol.packets.keys import Hop, MixKeyring
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.pseudonyms import work
from shoal_protocol.pseudonyms.blinding import BlindedSecret
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.relay.mix import SendPacket
from shoal_protocol.service import desk, messages
from shoal_protocol.service.messages import (
    BODY_LENGTH,
    InboxQuery,
    Reply,
    Request,
    RequestType,
)
from shoal_protocol.streams.capability import WriteCapability
from support import START, seeded

DAY: Final = clock.index_of(START, LAB.day_s)
RELAY: Final = b"o" * 16  # the relay asked
OTHER_NETWORK: Final = bytes(32)


def record_at(address: bytes, number: int = 0) -> bytes:
    """Return an entry for ``address`` that differs by ``number``."""
    return (address + number.to_bytes(8, "big")).ljust(2048, b"\5")


def paid(request: Request, bits: int, params: NetworkParameters = LAB) -> Request:
    """Return a PUT with proof of work of ``bits``."""
    challenge = desk.put_challenge(request.record[:32], request.record, params.hash)
    return replace(request, effort=bits, nonce=work.solve(challenge, bits, start=0))


class Asker:
    """One person with an inbox and a stream, behind a guard whose keys the test holds."""

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
        self._blocks: dict[bytes, bytes] = {}
        secrets = PersonaSecrets(self.rng.bytes(32), network=params.hash)
        self.key: Final[BlindedSecret] = secrets.inbox_key(DAY)
        self.address: Final = self.key.public
        self.stream: Final = WriteCapability.create(self.rng, params.hash)

    def surb(self) -> bytes:
        """Return a fresh reply block whose answer :meth:`reply` opens."""
        block, secret = surbs.create([self._hop], self.id, network=self.params.hash, rng=self.rng)
        self._secrets[secret.id] = secret
        self._blocks[secret.id] = block
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

    def box(self, content: int = 0, index: int = 0, day: int = DAY) -> bytes:
        """Return a box of this person's stream."""
        return self.stream.at(index).seal(day, bytes([content]) * 1928)

    def put_box(self, record: bytes, bits: int | None = None) -> Request:
        """Return a BOX_PUT, by default for the least price that is taken."""
        request = Request(RequestType.BOX_PUT, self.surb(), record)
        return paid(request, self.params.put_work_bits if bits is None else bits, self.params)

    def get_box(self, address: bytes, wait_ms: int = 0) -> Request:
        """Return a BOX_GET."""
        return Request(RequestType.BOX_GET, self.surb(), address + bytes(2016), wait_ms)

    def reply(self, event: object) -> Reply:
        """Open the one packet that answers a request; each block answers once."""
        return self.answer(event)[1]

    def answer(self, event: object) -> tuple[bytes, Reply]:
        """Return which block a packet answers, and its reply."""
        assert isinstance(event, SendPacket)
        assert event.next_id == self.guard
        crossed = unwrap.unwrap(event.packet, self._keyring)
        assert isinstance(crossed, unwrap.ToClient)
        name = surbs.id_of(crossed.packet)
        body = surbs.open(self._secrets.pop(name), crossed.packet)
        assert len(body) == BODY_LENGTH
        return self._blocks.pop(name), messages.decode_reply(body)
