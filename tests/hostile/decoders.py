"""Every decoder of bytes that come from somebody else, with valid encodings, and what hurts them.

::

    tests/vectors/*.json ─► seeds ─► mutations(…) ─► Decoder.read ─► value, or the one error

Signatures and seals stop most mutations at once, which is their purpose; where a decoder's own
form lies behind one, it is listed a second time under a key of the attacker's own.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from hostile import handed
from packet_support import CLIENT, NETWORK, relays
from sessions import pairs
from shoal_node.api.errors import ApiError
from shoal_node.transport import address as addresses
from shoal_node.transport import framing
from shoal_node.usage import UsageError
from shoal_protocol import dialback, parameters
from shoal_protocol.client import contents, parcel
from shoal_protocol.dht import messages as dht
from shoal_protocol.directory import descriptor, envelope, frames, lease
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.files import manifest
from shoal_protocol.packets import build, geometry, surb, unwrap
from shoal_protocol.pseudonyms import address, announcement, invite
from shoal_protocol.pseudonyms.persona import PersonaSecrets, Prekeys, PublicPersona
from shoal_protocol.service import messages, replica_frames, sample
from shoal_protocol.sessions import cloak, handshake
from shoal_protocol.sessions.ratchet import Ratchet
from shoal_protocol.sessions.session import Session
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import ReadCapability, WriteCapability
from support import seeded
from vectors import (
    write_client,
    write_directory,
    write_files,
    write_invites,
    write_pseudonyms,
    write_replication,
    write_service,
    write_sessions,
    write_streams,
)

Read = Callable[[bytes], object]

_INTERESTING: Final = (0, 1, 0x7F, 0x80, 0x90, 0x91, 0xC0, 0xC4, 0xDC, 0xDD, 0xDF, 0xFE, 0xFF)
_LAB: Final = parameters.LAB


@dataclass(frozen=True, slots=True)
class Decoder:
    """One way in.

    Args:
        name: in failures.
        read: what takes the bytes; it may raise ``error`` and nothing else.
        seeds: encodings to begin from, which ``read`` takes.
        error: the one error.
        dear: whether an input costs more than 0.1 ms, so that fewer are tried.
    """

    name: str
    read: Read
    seeds: tuple[bytes, ...]
    error: type[Exception] = RemoteProtocolError
    dear: bool = field(default=False, kw_only=True)


def mutations(seeds: tuple[bytes, ...], count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` inputs near ``seeds``: bits, bytes, cuts, splices, lengths, and noise."""
    chance = Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(8):
                case 0 if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
                case 1 if at < len(data):
                    data[at] = chance.choice(_INTERESTING)
                case 2:
                    del data[at:]
                case 3:
                    del data[at : at + chance.randrange(1, 9)]
                case 4:
                    data[at:at] = chance.randbytes(chance.randrange(1, 9))
                case 5:
                    other = chance.choice(seeds)
                    data[at:] = other[chance.randrange(len(other) + 1) :]
                case 6:
                    data[at : at + 8] = chance.choice((b"\xff", b"\0")) * 8
                case _:
                    data[at:] = chance.randbytes(max(0, len(data) - at))
        yield bytes(data)


def _table(place: Any) -> Any:
    return json.loads(place.read_text())


def _all(rows: list[dict[str, Any]], key: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(row[key]) for row in rows)


def _texts(read: Callable[[str], object]) -> Read:
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


def _resigned(row: dict[str, Any]) -> Read:
    """Return what decodes a body under a signature of the identity of ``row``, its owner's."""
    seed, version = bytes.fromhex(row["seed"]), Version(row["epoch"], row["serial"])
    net, label = write_directory.NETWORK, b"relay descriptor"
    return lambda data: descriptor.decode_descriptor(
        envelope.seal(seed, label, version, data, net), net
    )


def _framed(protocol: str) -> Read:
    return lambda data: framing.Decoder(framing.framing_of(protocol)).feed(data)


def _packets() -> list[Decoder]:
    (relay,) = relays(1, seeded("decoders"))
    rng = seeded("packets for decoders")
    path = [relay.hop()]
    body = rng.bytes(geometry.BODY_LENGTH)
    forward = build.forward(path, body, network=NETWORK, rng=rng)
    packet, looped = surb.loop(path, CLIENT, network=NETWORK, rng=rng)
    arrived = unwrap.unwrap(packet, relay.keyring)
    assert isinstance(arrived, unwrap.ToClient)
    return [
        Decoder(
            "packet at a relay",
            lambda data: unwrap.unwrap(data, relay.keyring),
            (forward,),
            dear=True,
        ),
        Decoder("reply at its client", lambda data: surb.open(looped, data), (arrived.packet,)),
    ]


def _directory() -> list[Decoder]:
    net, rows = write_directory.NETWORK, _table(write_directory.PLACE)
    signed = _all(rows["relays"], "descriptor")
    body = signed[0][envelope.HEADER_LENGTH :]
    return [
        Decoder("descriptor", lambda data: descriptor.decode_descriptor(data, net), signed),
        Decoder("descriptor's body", _resigned(rows["relays"][0]), (body,), dear=True),
        Decoder("lease", lambda data: lease.decode_lease(data, net), _all(rows["relays"], "lease")),
        Decoder("directory frame", frames.CODEC.decode, _all(rows["frames"], "bytes")),
        Decoder(
            "directory stream",
            _framed(framing.DIRECTORY),
            tuple(
                len(data).to_bytes(framing.PREFIX_LENGTH, "big") + data
                for data in _all(rows["frames"], "bytes")
            ),
        ),
    ]


def _dht() -> list[Decoder]:
    value, asked = bytes(2048), dht.FindNode(bytes(32))
    requests: list[dht.Request] = [dht.Ping(), asked, dht.FindValue(bytes(32)), dht.Store(value)]
    replies: list[dht.Reply] = [dht.Pong(), dht.Nodes(()), dht.Value(value)]
    coded = tuple(dht.encode_request(each) for each in requests)
    answers = tuple(dht.encode_reply(each) for each in replies)
    return [
        Decoder("DHT exchange", dht.split, tuple(dht.join(7, each) for each in coded)),
        Decoder("DHT request", dht.decode_request, coded),
        Decoder("DHT nodes", lambda data: dht.decode_reply(asked, data, _LAB), (answers[1],)),
        Decoder(
            "DHT value",
            lambda data: dht.decode_reply(dht.FindValue(bytes(32)), data, _LAB),
            answers[1:],
        ),
    ]


def _service() -> list[Decoder]:
    rows = _table(write_service.PLACE)
    point = sample.encode(sample.draw([bytes([n]) * 16 for n in range(40)], bytes(16)))
    return [
        Decoder("request", messages.decode_request, _all(rows["requests"], "body")),
        Decoder("reply", messages.decode_reply, _all(rows["replies"], "body")),
        Decoder("sample of a view", lambda data: sample.decode(data, bytes(16)), (point,)),
        Decoder(
            "replica frame",
            replica_frames.CODEC.decode,
            _all(_table(write_replication.PLACE)["frames"], "bytes"),
        ),
    ]


def _boxes() -> list[Decoder]:
    rows = _table(write_streams.PLACE)
    net = bytes.fromhex(rows["network_hash"])
    day = rows["boxes"][0]["day"]
    read, write = (bytes.fromhex(rows[f"{kind}_capability"]) for kind in ("read", "write"))
    reader = ReadCapability.parse(read, net)
    records = _all(rows["boxes"], "record")
    return [
        Decoder("box at a store", lambda data: box.check(data, day, net), records, dear=True),
        Decoder("box at its reader", lambda data: reader.open(data, day), records[:1]),
        Decoder(
            "read capability", lambda data: ReadCapability.parse(data, net), (read,), dear=True
        ),
        Decoder(
            "write capability", lambda data: WriteCapability.load(data, net), (write,), dear=True
        ),
    ]


def _pseudonyms() -> list[Decoder]:
    rows = _table(write_pseudonyms.PLACE)
    net = bytes.fromhex(rows["network_hash"])
    announced = rows["announcement"][0]
    who = PublicPersona.parse(bytes.fromhex(announced["bundle"])).pseudonym
    period = announced["day"]
    invited = _table(write_invites.PLACE)
    return [
        Decoder(
            "announcement",
            lambda data: announcement.open_record(who, data, period=period, network=net),
            (bytes.fromhex(announced["record"]),),
            dear=True,
        ),
        Decoder("bundle", PublicPersona.parse, _all(rows["announcement"], "bundle"), dear=True),
        Decoder(
            "pseudonym",
            _texts(address.decode),
            tuple(row["text"].encode() for row in rows["address"]),
            UserError,
        ),
        Decoder(
            "invite",
            _texts(invite.decode),
            tuple(row[key].encode() for row in rows["invite"] for key in ("text", "link")),
            UserError,
        ),
        Decoder(
            "invite's record",
            lambda data: box.check(data, invited["day"], bytes.fromhex(invited["network"])),
            _all(invited["invites"], "record"),
            dear=True,
        ),
    ]


def _sessions() -> list[Decoder]:
    rows = _table(write_sessions.PLACE)
    net, first = write_sessions.NETWORK, rows["first_contact"]
    me = PersonaSecrets(bytes.fromhex(first["answerer_root"]), network=net)
    day = first["day"]
    keys = Prekeys(day, *(bytes.fromhex(first[name]) for name in ("prekey_private", "kem_seed")))
    dumps = tuple(
        bytes.fromhex(rows["session"][f"{who}_dump"]) for who in ("initiator", "answerer")
    )
    rng = seeded("sessions for decoders")
    one, other = pairs.pair("decoders")
    bodies = tuple(one.seal(text, rng) for text in (b"", b"to", b"and fro"))
    return [
        Decoder(
            "entry of an inbox",
            lambda data: cloak.open(me.pseudonym, me.public.inbox_root, day, data, net),
            (bytes.fromhex(rows["cloak"]["entry"]),),
            dear=True,
        ),
        Decoder(
            "first contact",
            lambda data: handshake.accept(
                me, keys, data, seen=handshake.SeenEphemerals(), rng=seeded("accept")
            ),
            (bytes.fromhex(first["message"]),),
            dear=True,
        ),
        Decoder(
            "body under a ratchet",
            lambda data: other.open(data, rng),
            bodies,
            dear=True,
        ),
        Decoder("session's dump", Session.load, dumps, dear=True),
        Decoder("ratchet's dump", Ratchet.load, (one.dump(), other.dump()), dear=True),
    ]


def _messages() -> list[Decoder]:
    rows, files = _table(write_client.PLACE), _table(write_files.PLACE)
    net = bytes.fromhex(files["network"])
    said = _all(rows["messages"], "data")
    return [
        Decoder("parcel", parcel.decode, _all(rows["parcels"] + rows["lines"], "parcel")),
        *(
            Decoder(f"content of kind {kind}", _content(kind), said)
            for kind in sorted({row["kind"] for row in rows["messages"]})
        ),
        Decoder("profile", contents.read_profile, said),
        Decoder("receipt", contents.read_receipt, said),
        Decoder(
            "manifest",
            lambda data: manifest.decode(data, net),
            _all(files["files"], "manifest"),
            dear=True,
        ),
    ]


def _node() -> list[Decoder]:
    peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    known = [f"/ip4/192.0.2.7/tcp/4001/p2p/{peer}", f"/dns6/relay.example/tcp/1/p2p/{peer}"]
    known += ["/ip6/2001:db8::7/tcp/65535", "/memory/7"]
    asked: list[dialback.Frame] = [dialback.Ask(bytes(16), bytes(38), known[0])]
    asked += [dialback.Answer(3), dialback.Proof(bytes(16))]
    dialled = tuple(map(dialback.CODEC.encode, asked))
    return [
        Decoder("dial-back frame", dialback.CODEC.decode, dialled),
        Decoder(
            "dial-back stream",
            _framed(framing.DIALBACK),
            tuple(len(data).to_bytes(framing.PREFIX_LENGTH, "big") + data for data in dialled),
        ),
        Decoder("address", _texts(addresses.parse), tuple(text.encode() for text in known)),
    ]


def _handed() -> list[Decoder]:
    toml = handed.configuration()
    return [
        *(
            Decoder(f"body of {form.__name__}", handed.body(form), (seed,), ApiError)
            for form, seed in handed.BODIES
        ),
        *(
            Decoder(f"query of {form.__name__}", handed.query(form), (seed,), ApiError)
            for form, seed in handed.QUERIES
        ),
        Decoder("configuration", toml, handed.CONFIGURATIONS, UsageError, dear=True),
    ]


def _content(kind: int) -> Read:
    return lambda data: contents.read(kind, data)


def every() -> list[Decoder]:
    """Return all decoders."""
    groups = (
        _packets,
        _directory,
        _dht,
        _service,
        _boxes,
        _pseudonyms,
        _sessions,
        _messages,
        _node,
        _handed,
    )
    return [each for group in groups for each in group()]


def attack(decoder: Decoder, count: int, seed: int) -> int:
    """Give a decoder ``count`` hostile inputs; returns how many it took.

    Any error but the decoder's own is raised, with the input in its notes.
    """
    taken = 0
    for data in mutations(decoder.seeds, count, seed):
        try:
            decoder.read(data)
        except decoder.error:
            continue
        except BaseException as error:
            error.add_note(f"{decoder.name}: {data.hex()}")
            raise
        taken += 1
    return taken
