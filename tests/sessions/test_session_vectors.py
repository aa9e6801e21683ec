"""tests/vectors/sessions.json: building gives these bytes, and parsing takes them."""

import json
from typing import Any, Final

from shoal_protocol.pseudonyms.persona import PersonaSecrets, Prekeys
from shoal_protocol.sessions import cloak, handshake
from shoal_protocol.sessions.handshake import SeenEphemerals
from shoal_protocol.sessions.session import Session
from vectors import write_sessions

NETWORK: Final = write_sessions.NETWORK
VECTORS: Final[dict[str, Any]] = json.loads(write_sessions.PLACE.read_text())
CONTACT: Final[dict[str, Any]] = VECTORS["first_contact"]


def field(name: str) -> bytes:
    return bytes.fromhex(CONTACT[name])


def test_building_gives_every_byte_of_the_vectors() -> None:
    assert write_sessions.make() == VECTORS


def test_the_vectors_entry_is_opened_and_its_first_contact_accepted() -> None:
    me = PersonaSecrets(field("answerer_root"), network=NETWORK)
    entry = bytes.fromhex(VECTORS["cloak"]["entry"])
    plaintext = cloak.open(me.pseudonym, me.public.inbox_root, CONTACT["day"], entry, NETWORK)
    assert plaintext == bytes([cloak.FIRST_CONTACT]) + field("message")
    prekeys = Prekeys(CONTACT["day"], field("prekey_private"), field("kem_seed"))
    peer, text, session = handshake.accept(me, prekeys, plaintext[1:], seen=SeenEphemerals())
    initiator = PersonaSecrets(field("initiator_root"), network=NETWORK)
    assert peer == initiator.public
    assert text == field("text")
    assert session.id == field("session_id")
    assert session.open(field("next_body")) == b"next"


def test_the_vectors_bodies_are_read_by_the_other_side_in_any_order() -> None:
    vector = VECTORS["session"]
    root = bytes.fromhex(vector["root"])
    readers = {True: Session(root, initiator=False), False: Session(root, initiator=True)}
    assert {reader.id.hex() for reader in readers.values()} == {vector["id"]}
    for item in reversed(vector["bodies"]):
        reader = readers[item["by_initiator"]]
        assert reader.open(bytes.fromhex(item["body"])).hex() == item["text"]
