"""The DHT holds real announcements: built by a persona, found under the key its contacts derive."""

import pytest

from dht.network import contact_of
from shoal_protocol import clock
from shoal_protocol.dht import messages
from shoal_protocol.dht.messages import Status
from shoal_protocol.dht.routing import Table
from shoal_protocol.dht.server import DhtServer
from shoal_protocol.dht.storage import RecordStore
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import LAB
from shoal_protocol.pseudonyms import announcement, work
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from support import START, seeded

TODAY = clock.index_of(START, LAB.day_s)


def announce(persona: PersonaSecrets, revision: int, *, paid: bool = True) -> bytes:
    """Return a real announcement of ``persona`` for today."""
    blinded = announcement.blinded_key(persona.pseudonym, TODAY, LAB.hash)
    challenge = announcement.work_challenge(blinded, TODAY, revision, LAB.hash)
    nonce = work.solve(challenge, LAB.announce_work_bits if paid else 0, start=0)
    prekeys = persona.prekeys(TODAY, seeded("prekeys"))
    return announcement.build(persona, prekeys, revision=revision, nonce=nonce)


def validate(record: bytes, now: int) -> announcement.Stored:
    return announcement.validate(record, now, LAB)


def test_an_announcement_is_stored_found_and_replaced_by_a_higher_revision() -> None:
    persona = PersonaSecrets(bytes(32), network=LAB.hash)
    own = contact_of("a").position
    store = RecordStore(own, validate, LAB, seeded())
    server = DhtServer(Table(own, LAB.dht_k, START), store, LAB)
    key = announcement.lookup_key(persona.pseudonym, TODAY, LAB.hash)
    peer = contact_of("b").peer_id

    def ask(request: messages.Request) -> messages.Reply:
        reply = server.answer(peer, messages.encode_request(request), START)
        return messages.decode_reply(request, reply, LAB)

    first, second = announce(persona, 1), announce(persona, 2)
    for record, status in (
        (first, Status.STORED),
        (first, Status.HELD),
        (second, Status.STORED),
        (first, Status.STALE),
    ):
        assert ask(messages.Store(record)) == messages.Stored(status)
    reply = ask(messages.FindValue(key))
    assert reply == messages.Value(second)
    found = announcement.open_record(persona.pseudonym, second, period=TODAY, network=LAB.hash)
    assert found.revision == 2


def test_unpaid_and_altered_announcements_are_refused() -> None:
    persona = PersonaSecrets(bytes(32), network=LAB.hash)
    store = RecordStore(bytes(32), validate, LAB, seeded())
    record = announce(persona, 1)
    with pytest.raises(RemoteProtocolError, match="work"):
        store.put(announce(persona, 3, paid=False), START)
    for place in (33, 36, 100, 2047):
        altered = bytearray(record)
        altered[place] ^= 1
        with pytest.raises(RemoteProtocolError):
            store.put(bytes(altered), START)
    assert len(store) == 0
