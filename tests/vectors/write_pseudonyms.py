"""Write pseudonyms.json: what docs/spec/pseudonyms.md must give, from a fixed rng.

Run as ``python tests/vectors/write_pseudonyms.py``; the same code gives the same bytes.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from shoal_protocol import clock, crypto
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import address, announcement, blinding, invite, persona, work
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng

PLACE: Final = Path(__file__).with_name("pseudonyms.json")


class VectorNetwork(NetworkParameters):
    """A network whose hash stays when a parameter is added that these vectors don't use."""

    @cached_property
    def hash(self) -> bytes:
        """32 bytes of no table."""
        return bytes(range(32))


NETWORK: Final = VectorNetwork(
    name="vectors",
    day_s=86_400,
    announce_days_behind=1,
    announce_days_ahead=3,
    announce_work_bits=8,
)
NOW: Final = 1_800_000_000 * clock.SECOND
DAY: Final = clock.index_of(NOW, NETWORK.day_s)
LABELS: Final = (announcement.LABEL, persona.INBOX_LABEL, b"")


def blindings(rng: Rng) -> list[dict[str, Any]]:
    """Blinded keys and a signature by each."""
    out = []
    for period in (0, 1, DAY, 2**64 - 1):
        for label in LABELS:
            seed, message = rng.bytes(32), rng.bytes(period % 7)
            secret = blinding.SigningSecret(seed)
            blinded = secret.blind(label, period, network=NETWORK.hash)
            out.append(
                {
                    "seed": seed.hex(),
                    "public": secret.public.hex(),
                    "label": label.decode(),
                    "period": period,
                    "blinded": blinded.public.hex(),
                    "message": message.hex(),
                    "signature": blinded.sign(message).hex(),
                }
            )
    return out


def addresses(rng: Rng) -> list[dict[str, Any]]:
    """Pseudonyms and their texts."""
    keys = [blinding.SigningSecret(rng.bytes(32)).public for _ in range(5)]
    return [{"public": key.hex(), "text": address.encode(key)} for key in keys]


def invites(rng: Rng) -> list[dict[str, Any]]:
    """Invites, their texts and links."""
    out = []
    for day in (0, DAY + 7, 2**16 - 1):
        pseudonym = blinding.SigningSecret(rng.bytes(32)).public
        one = invite.Invite(NETWORK.hash[: invite.NETWORK_LENGTH], pseudonym, rng.bytes(16), day)
        out.append(
            {
                "network": one.network.hex(),
                "pseudonym": one.pseudonym.hex(),
                "secret": one.secret.hex(),
                "expires_day": one.expires_day,
                "text": invite.encode(one),
                "link": one.link,
            }
        )
    return out


def works(rng: Rng) -> list[dict[str, Any]]:
    """Challenges and the first nonce from a start on."""
    out = []
    for bits in (0, 1, 8, 12):
        parts = [rng.bytes(size) for size in (0, 5, 32)]
        start = int.from_bytes(rng.bytes(8), "big")
        challenge = work.challenge(b"vector", *parts)
        nonce = work.solve(challenge, bits, start=start)
        out.append(
            {
                "label": "vector",
                "parts": [part.hex() for part in parts],
                "challenge": challenge.hex(),
                "bits": bits,
                "start": start,
                "nonce": nonce.hex(),
            }
        )
    return out


def announcements(rng: Rng) -> list[dict[str, Any]]:
    """Personas, a day's prekeys, and the record that announces them."""
    out = []
    for ahead in (-1, 0, 3):
        root, day = rng.bytes(32), DAY + ahead
        me = PersonaSecrets(root, network=NETWORK.hash)
        private, seed = rng.bytes(crypto.KEY_LENGTH), rng.bytes(crypto.MLKEM_SEED_LENGTH)
        prekeys = persona.Prekeys(day, private, seed)
        revision = announcement.revision_at(me, day, NOW, NETWORK)
        blinded = announcement.blinded_key(me.pseudonym, day, NETWORK.hash)
        challenge = announcement.work_challenge(blinded, day, revision, NETWORK.hash)
        start = int.from_bytes(rng.bytes(8), "big")
        nonce = work.solve(challenge, NETWORK.announce_work_bits, start=start)
        record = announcement.build(me, prekeys, revision=revision, nonce=nonce, effort=ahead + 1)
        out.append(
            {
                "root": root.hex(),
                "bundle": me.public.pack().hex(),
                "inbox_address": me.inbox_key(day).public.hex(),
                "day": day,
                "prekey_private": private.hex(),
                "kem_seed": seed.hex(),
                "now": NOW,
                "revision": revision,
                "effort": ahead + 1,
                "work_start": start,
                "nonce": nonce.hex(),
                "dht_key": announcement.dht_key(blinded, NETWORK.hash).hex(),
                "record": record.hex(),
            }
        )
    return out


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    rng = Rng(crypto.seeded_source(b"shoal pseudonym vectors"))
    return {
        "network_hash": NETWORK.hash.hex(),
        "blinding": blindings(rng),
        "address": addresses(rng),
        "work": works(rng),
        "announcement": announcements(rng),
        "invite": invites(rng),
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
