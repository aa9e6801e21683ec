"""Single-use reply blocks: answers to somebody whom the answerer cannot name; spec: packet §5.

::

    client ── create ──> SURB (first hop 16 │ payload key 32 │ header 416) ── in a body ──> S
    S ── use ──> packet ──> A′ ──> B′ ──> G ──> client: knows the SURB by 48 bytes, opens it

The last hop's slot says CLIENT: *next id* is the client's, and the fields for a next hop's
KEM ciphertext and MAC hold the SURB's random id, so that the packet from guard to client has
the shape of every other. Every hop "decrypts" what was never encrypted for it; the client,
who knows all keys, undoes that. Sphinx §3.4.
"""

from collections.abc import Sequence
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.constants import RELAY_ID_LENGTH
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.packets import build, keys, lioness
from shoal_protocol.packets.geometry import (
    BODY_LENGTH,
    GEOMETRY,
    HEADER_LENGTH,
    PACKET_LENGTH,
    PAYLOAD_TAG,
    SURB_ID_LENGTH,
    SURB_LENGTH,
    VERSION,
    Command,
)
from shoal_protocol.packets.keys import Hop
from shoal_protocol.rng import Rng
from shoal_protocol.values import value

_KEY_START: Final = GEOMETRY.relay_id
_HEADER_START: Final = _KEY_START + GEOMETRY.payload_key
_RESERVED_CLEAR: Final = bytes(GEOMETRY.clear - 2)


@value
class SurbSecret:
    """What the client keeps of a SURB until the reply comes or 30 minutes are over.

    Args:
        id: 48 bytes by which :func:`id_of` knows the reply; not a secret from the guard.
        payload_key: 32 bytes, shared with the answerer.
        hop_keys: each hop's LIONESS key, first hop first.
    """

    id: bytes
    payload_key: bytes
    hop_keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "SurbSecret(…)"


def _lioness_key(payload_key: bytes) -> bytes:
    return crypto.keystream(crypto.kdf(b"surb payload", payload_key), lioness.KEY_LENGTH)


def create(
    path: Sequence[Hop], client: bytes, *, network: bytes, rng: Rng
) -> tuple[bytes, SurbSecret]:
    """Return a SURB of 464 bytes and what opens its reply.

    Args:
        path: 1 to 5 hops of the reply, the answerer's neighbour first, the guard last.
        client: 16 bytes by which the guard knows this client.
        network: 32 bytes, the hash of the network's parameters.
        rng: the source of everything random.

    Raises LocalProtocolError on other lengths, RemoteProtocolError("low-order point") on a
    mix key that no honest relay has.
    """
    if len(client) != RELAY_ID_LENGTH or not path:
        raise LocalProtocolError("a client's id has 16 bytes and a path 1 to 5 hops")
    random = rng.bytes(SURB_ID_LENGTH)
    # A KEM ciphertext has its top bit clear.
    ciphertext = random[: GEOMETRY.ciphertext - 1] + bytes(
        (random[GEOMETRY.ciphertext - 1] & 0x7F,)
    )
    tag = random[GEOMETRY.ciphertext :]
    payload_key = rng.bytes(GEOMETRY.payload_key)
    last = path[-1]
    last_slot = build.routing(Command.CLIENT, keys.index_of(last.epoch), last.delay_ms)
    built = build.header(path, last_slot + client + tag + ciphertext, network=network, rng=rng)
    secret = SurbSecret(ciphertext + tag, payload_key, built.payload_keys)
    return path[0].id + payload_key + built.head, secret


def use(surb: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return (first hop's id, packet for it) that carries ``body`` along ``surb``.

    Args:
        surb: as it came out of a request.
        body: exactly 2,640 bytes.

    Raises RemoteProtocolError("surb") on a SURB that no relay would take, LocalProtocolError
    on a body of another length. Nothing here is random: one SURB, one packet.
    """
    if len(body) != BODY_LENGTH:
        raise LocalProtocolError("a packet's body has 2,640 bytes")
    if len(surb) != SURB_LENGTH:
        raise RemoteProtocolError("surb")
    header = surb[_HEADER_START:]
    if header[0] != VERSION or header[2 : GEOMETRY.clear] != _RESERVED_CLEAR:
        raise RemoteProtocolError("surb")
    key = _lioness_key(surb[_KEY_START:_HEADER_START])
    return surb[:_KEY_START], header + lioness.encrypt(key, PAYLOAD_TAG + body)


def loop(
    path: Sequence[Hop], client: bytes, *, network: bytes, rng: Rng
) -> tuple[bytes, SurbSecret]:
    """Return a packet for ``path[0]`` that comes back to ``client``, and what opens it.

    It is one's own SURB, used at once over a random body; args and errors as :func:`create`.
    """
    surb, secret = create(path, client, network=network, rng=rng)
    return use(surb, rng.bytes(BODY_LENGTH))[1], secret


def id_of(packet: bytes) -> bytes:
    """Return the 48 bytes by which a client looks up the SURB of ``packet``.

    Raises RemoteProtocolError("packet length").
    """
    if len(packet) != PACKET_LENGTH:
        raise RemoteProtocolError("packet length")
    return packet[GEOMETRY.clear : GEOMETRY.clear + SURB_ID_LENGTH]


def open(secret: SurbSecret, packet: bytes) -> bytes:
    """Return the body, 2,640 bytes, of the reply ``packet``.

    Raises RemoteProtocolError: "packet length", "surb id" for another SURB's packet,
    "payload tag" for one that was changed on its way. The caller forgets ``secret`` either way.
    """
    if not crypto.equal(id_of(packet), secret.id):
        raise RemoteProtocolError("surb id")
    payload = packet[HEADER_LENGTH:]
    for key in reversed(secret.hop_keys):
        payload = lioness.encrypt(key, payload)
    payload = lioness.decrypt(_lioness_key(secret.payload_key), payload)
    if not crypto.equal(payload[: GEOMETRY.payload_tag], PAYLOAD_TAG):
        raise RemoteProtocolError("payload tag")
    return payload[GEOMETRY.payload_tag :]
