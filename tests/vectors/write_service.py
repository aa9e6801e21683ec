"""Write service.json: what docs/spec/service.md must give, from a fixed rng.

Run as ``python tests/vectors/write_service.py``.
"""

import json
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.pseudonyms import work
from shoal_protocol.pseudonyms.blinding import SigningSecret
from shoal_protocol.pseudonyms.persona import INBOX_LABEL
from shoal_protocol.rng import Rng
from shoal_protocol.service import desk, messages, placement
from shoal_protocol.service.messages import InboxQuery, Reply, Request, RequestType, Status
from shoal_protocol.streams.capability import WriteCapability

PLACE: Final = Path(__file__).with_name("service.json")
NETWORK: Final = bytes(range(32))  # of no table of parameters
RELAY: Final = bytes(range(16))
DAY: Final = 20_833
BITS: Final = 12


def paid(record: bytes) -> bytes:
    """Return the nonce of the work for putting ``record``."""
    challenge = desk.put_challenge(record[:32], record, NETWORK)
    return work.solve(challenge, BITS, start=0)


def requests(rng: Rng) -> list[dict[str, Any]]:
    """One request of each type, and a paid PUT into an inbox."""
    seed, instance, nonce = rng.bytes(32), rng.bytes(16), rng.bytes(16)
    key = SigningSecret(seed).blind(INBOX_LABEL, DAY, network=NETWORK)
    cursor = 1_800_000_000_000 << 20 | 7
    numbers = 19_500, cursor, cursor - 2
    message = messages.query_message(key.public, RELAY, instance, nonce, numbers, NETWORK)
    query = InboxQuery(key.public, instance, nonce, key.sign(message)).encode()
    entry = key.public + rng.bytes(2016)
    stream = WriteCapability.create(rng, NETWORK)
    kept, grave = stream.seal(DAY, rng.bytes(1928)), stream.tombstone(DAY)
    made = {
        "inbox put": Request(RequestType.INBOX_PUT, rng.bytes(464), entry),
        "inbox put, paid": Request(
            RequestType.INBOX_PUT,
            rng.bytes(464),
            entry,
            effort=BITS,
            nonce=paid(entry),
        ),
        "inbox get": Request(RequestType.INBOX_GET, rng.bytes(464), query, *numbers),
        "dht put": Request(RequestType.DHT_PUT, rng.bytes(464), rng.bytes(2048)),
        "dht get": Request(RequestType.DHT_GET, rng.bytes(464), rng.bytes(32) + bytes(2016)),
        "echo": Request(RequestType.ECHO, rng.bytes(464), bytes(2048)),
        "box put": Request(
            RequestType.BOX_PUT, rng.bytes(464), kept, effort=BITS, nonce=paid(kept)
        ),
        "box put, tombstone": Request(
            RequestType.BOX_PUT, rng.bytes(464), grave, effort=BITS, nonce=paid(grave)
        ),
        "box get": Request(
            RequestType.BOX_GET, rng.bytes(464), kept[:32] + bytes(2016), numbers[0]
        ),
    }
    return [
        {
            "name": name,
            "type": request.type.value,
            "surb": request.surb.hex(),
            "record": request.record.hex(),
            "wait_ms": request.wait_ms,
            "cursor": request.cursor,
            "floor": request.floor,
            "effort": request.effort,
            "nonce": request.nonce.hex(),
            "body": request.encode().hex(),
        }
        for name, request in made.items()
    ]


def get_record(rng: Rng) -> dict[str, Any]:
    """How the record of an inbox GET is signed."""
    seed, instance, nonce = rng.bytes(32), rng.bytes(16), rng.bytes(16)
    key = SigningSecret(seed).blind(INBOX_LABEL, DAY, network=NETWORK)
    numbers = 20_000, 12_345, 12_300
    message = messages.query_message(key.public, RELAY, instance, nonce, numbers, NETWORK)
    return {
        "inbox_root_seed": seed.hex(),
        "day": DAY,
        "address": key.public.hex(),
        "instance": instance.hex(),
        "nonce": nonce.hex(),
        "wait_ms": numbers[0],
        "cursor": numbers[1],
        "floor": numbers[2],
        "message": message.hex(),
        "record": InboxQuery(key.public, instance, nonce, key.sign(message)).encode().hex(),
    }


def replies(rng: Rng) -> list[dict[str, Any]]:
    """One reply of each status."""
    instance, entry = rng.bytes(16), rng.bytes(2048)
    made = [
        Reply(Status.OK, rng.bytes(2048), 1_800_000_000_000 << 20 | 8, 3, instance),
        Reply(Status.OK, entry, 1_800_000_000_000 << 20 | 11, 0, instance, BITS, paid(entry)),
        *(Reply(status, instance=instance) for status in Status if status is not Status.OK),
    ]
    return [
        {
            "status": reply.status.value,
            "name": reply.status.name,
            "record": reply.record.hex(),
            "cursor": reply.cursor,
            "remaining": reply.remaining,
            "instance": reply.instance.hex(),
            "effort": reply.effort,
            "nonce": reply.nonce.hex(),
            "body": reply.encode().hex(),
        }
        for reply in made
    ]


def ranks(rng: Rng) -> dict[str, Any]:
    """Where three addresses lie among seven relays."""
    relays = [rng.bytes(16) for _ in range(7)]
    addresses = [rng.bytes(32) for _ in range(3)]
    return {
        "relays": [relay.hex() for relay in relays],
        "addresses": [
            {
                "address": address.hex(),
                "ranked": [relay.hex() for relay in placement.rank(address, relays, 5)],
            }
            for address in addresses
        ],
    }


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    rng = Rng(crypto.seeded_source(b"shoal service vectors"))
    return {
        "network_hash": NETWORK.hex(),
        "relay": RELAY.hex(),
        "requests": requests(rng),
        "get_record": get_record(rng),
        "replies": replies(rng),
        "placement": ranks(rng),
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
