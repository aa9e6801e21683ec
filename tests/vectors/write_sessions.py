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


# Who seals; bodies are opened in another order, so that skips and steps are in the file.
SEALED: Final = (True, True, False, True, False, False, True, True)
OPENED: Final = (1, 2, 3, 5, 0, 6, 4, 7)


def bodies(rng: Rng, root: bytes, ephemeral: bytes) -> dict[str, Any]:
    """Texts that go to and fro over one session, with every draw and both ends' last states."""
    draws = list[bytes]()

    def recorded(size: int) -> bytes:
        draws.append(rng.bytes(size))
        return draws[-1]

    drawn = Rng(recorded)
    sides = {
        True: Session.begun(root, ephemeral),
        False: Session.answered(root, crypto.x25519_public(ephemeral), drawn),
    }
    first_key = draws.pop()
    texts, made = list[bytes](), list[bytes]()
    steps = list[dict[str, Any]]()
    for place in OPENED:
        while len(made) <= place:
            by_initiator = SEALED[len(made)]
            texts.append(rng.bytes(rng.below(60)))
            made.append(sides[by_initiator].seal(texts[-1], drawn))
            steps.append(
                {
                    "seal": len(made) - 1,
                    "by_initiator": by_initiator,
                    "text": texts[-1].hex(),
                    "nonce": draws.pop().hex(),
                    "body": made[-1].hex(),
                }
            )
        assert sides[not SEALED[place]].open(made[place], drawn) == texts[place]
        key = draws.pop().hex() if draws else None
        steps.append({"open": place, "by_initiator": not SEALED[place], "new_ratchet_key": key})
    return {
        "root": root.hex(),
        "ephemeral_private": ephemeral.hex(),
        "answerer_ratchet_key": first_key.hex(),
        "id": sides[True].id.hex(),
        "initiators_stream_root": sides[True].outgoing_root.hex(),
        "answerers_stream_root": sides[False].outgoing_root.hex(),
        "steps": steps,
        "initiator_dump": sides[True].dump().hex(),
        "answerer_dump": sides[False].dump().hex(),
    }


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
    next_nonce = rng.bytes(crypto.AEAD_NONCE_LENGTH)
    session_root, session_ephemeral = rng.bytes(32), rng.bytes(crypto.KEY_LENGTH)
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
            "next_nonce": next_nonce.hex(),
            "next_body": session.seal(b"next", Rng(lambda _: next_nonce)).hex(),
        },
        "cloak": {"nonce": nonce.hex(), "entry": entry.hex()},
        "session": bodies(rng, session_root, session_ephemeral),
        "safety_code": safety.safety_code(me.pseudonym, peer.pseudonym, NETWORK),
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
