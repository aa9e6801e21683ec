"""Write sessions.json: what docs/spec/sessions.md must give, from a fixed rng.

Run as ``python tests/vectors/write_sessions.py``. ML-KEM encapsulation draws from OpenSSL
alone, so the file records one, which is used again as long as it fits the key.
"""

import json
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.pseudonyms.persona import PersonaSecrets, Prekeys
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import cloak, handshake, safety
from shoal_protocol.sessions.session import Session

PLACE: Final = Path(__file__).with_name("sessions.json")
NETWORK: Final = bytes(range(32))  # of no table of parameters
DAY: Final = 20_833
TEXT: Final = "你好, shoal 👋".encode()


def encapsulation(public: bytes, seed: bytes) -> tuple[bytes, bytes]:
    """Return the recorded (secret, ciphertext) if it is one for this key, else a new one."""
    if PLACE.exists():
        recorded = json.loads(PLACE.read_text())["first_contact"]
        secret = bytes.fromhex(recorded["kem_secret"])
        ciphertext = bytes.fromhex(recorded["kem_ciphertext"])
        if crypto.mlkem_decapsulate(seed, ciphertext) == secret:
            return secret, ciphertext
    return crypto.mlkem_encapsulate(public)


def bodies(rng: Rng, root: bytes) -> list[dict[str, Any]]:
    """Texts that go to and fro over one session."""
    sides = {True: Session(root, initiator=True), False: Session(root, initiator=False)}
    out = []
    for by_initiator in (True, True, False, True, False):
        text = rng.bytes(rng.below(60))
        body = sides[by_initiator].seal(text)
        out.append({"by_initiator": by_initiator, "text": text.hex(), "body": body.hex()})
    return out


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    rng = Rng(crypto.seeded_source(b"shoal session vectors"))
    roots = rng.bytes(32), rng.bytes(32)
    me, peer = (PersonaSecrets(root, network=NETWORK) for root in roots)
    private, seed = rng.bytes(crypto.KEY_LENGTH), rng.bytes(crypto.MLKEM_SEED_LENGTH)
    prekeys = Prekeys(DAY, private, seed)
    record = announcement.build(peer, prekeys, revision=1, nonce=bytes(8))
    announced = announcement.open_record(peer.pseudonym, record, period=DAY, network=NETWORK)
    secret, ciphertext = encapsulation(prekeys.kem_public, seed)
    ephemeral = rng.bytes(crypto.KEY_LENGTH)
    message, session = handshake.initiate(
        me,
        announced,
        TEXT,
        rng=Rng(lambda _: ephemeral),
        encapsulate=lambda _: (secret, ciphertext),
    )
    nonce = rng.bytes(crypto.AEAD_NONCE_LENGTH)
    plaintext = bytes([cloak.FIRST_CONTACT]) + message
    inbox_root = peer.public.inbox_root
    entry = cloak.seal(peer.pseudonym, inbox_root, DAY, plaintext, Rng(lambda _: nonce), NETWORK)
    session_root = rng.bytes(32)
    return {
        "network_hash": NETWORK.hex(),
        "first_contact": {
            "initiator_root": roots[0].hex(),
            "answerer_root": roots[1].hex(),
            "day": DAY,
            "prekey_private": private.hex(),
            "kem_seed": seed.hex(),
            "ephemeral_private": ephemeral.hex(),
            "kem_secret": secret.hex(),
            "kem_ciphertext": ciphertext.hex(),
            "text": TEXT.hex(),
            "message": message.hex(),
            "session_id": session.id.hex(),
            "next_body": session.seal(b"next").hex(),
        },
        "cloak": {"nonce": nonce.hex(), "entry": entry.hex()},
        "session": {
            "root": session_root.hex(),
            "id": Session(session_root, initiator=True).id.hex(),
            "bodies": bodies(rng, session_root),
        },
        "safety_code": safety.safety_code(me.pseudonym, peer.pseudonym, NETWORK),
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
