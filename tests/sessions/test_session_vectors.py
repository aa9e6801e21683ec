"""tests/vectors/sessions.json: building gives these bytes, and parsing takes them."""

import json
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.pseudonyms.persona import PersonaSecrets, Prekeys
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import cloak, handshake
from shoal_protocol.sessions.handshake import SeenEphemerals
from shoal_protocol.sessions.session import Session
from support import seeded
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
    peer, text, session = handshake.accept(
        me, prekeys, plaintext[1:], seen=SeenEphemerals(), rng=seeded()
    )
    initiator = PersonaSecrets(field("initiator_root"), network=NETWORK)
    assert peer == initiator.public
    assert text == field("text")
    assert session.id == field("session_id")
    assert session.open(field("next_body"), seeded()) == b"next"


def test_the_vectors_bodies_are_sealed_and_opened_step_by_step() -> None:
    """A second reading of the file, from its draws alone, with a dump and load at every step."""
    vector = VECTORS["session"]
    root, ephemeral = (bytes.fromhex(vector[name]) for name in ("root", "ephemeral_private"))
    first_key = draw(vector["answerer_ratchet_key"])
    sides = {
        True: Session.begun(root, ephemeral),
        False: Session.answered(root, crypto.x25519_public(ephemeral), first_key),
    }
    assert {side.id.hex() for side in sides.values()} == {vector["id"]}
    for by_initiator, name in ((True, "initiators"), (False, "answerers")):
        assert sides[by_initiator].outgoing_root.hex() == vector[f"{name}_stream_root"]
        assert sides[not by_initiator].incoming_root.hex() == vector[f"{name}_stream_root"]
    made: dict[int, dict[str, str]] = {}
    for step in vector["steps"]:
        side = Session.load(sides[step["by_initiator"]].dump())
        if "seal" in step:
            made[step["seal"]] = step
            body = side.seal(bytes.fromhex(step["text"]), draw(step["nonce"]))
            assert body.hex() == step["body"]
        else:
            sealed = made[step["open"]]
            text = side.open(bytes.fromhex(sealed["body"]), draw(step["new_ratchet_key"]))
            assert text.hex() == sealed["text"]
        sides[step["by_initiator"]] = side
    assert sides[True].dump().hex() == vector["initiator_dump"]
    assert sides[False].dump().hex() == vector["answerer_dump"]


def draw(recorded: str | None) -> Rng:
    """Return a source that gives the recorded draw; nothing must be drawn where there is none."""

    def source(size: int) -> bytes:
        assert recorded is not None
        assert len(recorded) == 2 * size
        return bytes.fromhex(recorded)

    return Rng(source)
