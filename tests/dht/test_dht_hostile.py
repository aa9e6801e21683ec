"""Liars, floods and garbage: what a hostile node can't do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dht.network import (
    PARAMETERS,
    TODAY,
    Liar,
    Network,
    Node,
    Say,
    contact_of,
    key_of,
    record_of,
)
from shoal_protocol import parameters
from shoal_protocol.clock import SECOND
from shoal_protocol.dht import crawl, messages
from shoal_protocol.dht.contacts import Contact, distance
from shoal_protocol.dht.messages import FindNode, FindValue, Nodes, Reply, Request, Status, Value
from shoal_protocol.dht.server import ServerLimits
from shoal_protocol.errors import RemoteProtocolError
from support import START, seeded

K = 20
KEY = key_of("wanted")


def surrounded(count: int, say: Say) -> tuple[Network, Node, list[Liar]]:
    """Twelve honest nodes hold the record of KEY; ``count`` liars stand nearest to it.

    The asker, an honest node that lost its copy, knows them all.
    """
    net = Network(12)
    net.join_all()
    asker = net.nodes[0]
    net.run(asker, asker.lookups.put(record_of(KEY, 5), net.now))
    asker.store.expire(net.now + 10**18)
    nearest = sorted(range(300), key=lambda i: distance(contact_of(f"liar {i}").position, KEY))
    liars = [net.add(Liar(f"liar {i}", say)) for i in nearest[:count]]
    for liar in liars:
        asker.table.heard(liar.contact, net.now)
    net.calls.clear()
    return net, asker, liars


def nodes(those: list[Contact]) -> Nodes:
    return Nodes(tuple(those[:K]))


LIES: dict[str, Reply | bytes | None] = {
    "silence": None,
    "garbage": b"\xff" * 100,
    "empty": b"",
    "truncated": messages.encode_reply(Value(record_of(KEY)))[:-1],
    "trailing": messages.encode_reply(Value(record_of(KEY))) + b"\0",
    "oversized": bytes(60_000),
    "unsigned": Value(bytes(2048)),
    "forged": Value(record_of(KEY, 99)[:-1] + b"\0"),
    "stale": Value(record_of(KEY, 1)),
    "out of period": Value(record_of(KEY, 99, TODAY - 2)),
    "too far ahead": Value(record_of(KEY, 99, TODAY + 4)),
    "another key": Value(record_of(key_of("other"), 99)),
    "another question": messages.Pong(),
    "nobody": nodes([]),
    "nowhere": nodes([contact_of(f"nowhere {i}") for i in range(K)]),
    "the asker": nodes([contact_of(0)] * K),
    "themselves": nodes([contact_of(f"liar {i}") for i in range(K)]),
    "false addresses": nodes([Contact(contact_of(i).public_key, "/memory/x") for i in range(12)]),
    "bad form": nodes([Contact(contact_of(i).public_key, "http://x/ y") for i in range(12)]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_neither_hides_nor_replaces_the_record(lie: str) -> None:
    net, asker, liars = surrounded(2 if lie == "stale" else 8, lambda _: LIES[lie])
    found = net.run(asker, asker.lookups.get(KEY, net.now))
    assert found is not None
    assert found.record == record_of(KEY, 5)
    assert net.calls.total() <= 60
    honest = {node.contact for node in net.nodes}
    assert set(asker.table.contacts()) <= honest | {liar.contact for liar in liars}


@pytest.mark.parametrize("lie", ["garbage", "forged", "another key", "bad form", "silence"])
def test_who_lies_provably_is_treated_as_dead(lie: str) -> None:
    net, asker, liars = surrounded(3, lambda _: LIES[lie])
    net.run(asker, asker.lookups.nearest(liars[0].contact.position, net.now))
    net.run(asker, asker.lookups.get(liars[0].contact.position, net.now))
    sound = asker.table.nearest(liars[0].contact.position, K)
    assert liars[0].contact not in sound


def test_lists_without_end_lead_to_bounded_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawl, "ROUNDS_MOST", 2)  # 24 is more than liars reach without grinding
    net = Network(1)
    serial = 0

    def say(request: Request) -> Reply:
        nonlocal serial
        assert isinstance(request, FindNode | FindValue)
        fresh = []
        for _ in range(K):
            serial += 1
            fresh.append(net.add(Liar(f"endless {serial}", say)).contact)
        return nodes(fresh)

    first = net.add(Liar("first", say))
    asker = net.nodes[0]
    asker.table.heard(first.contact, net.now)
    assert net.run(asker, asker.lookups.get(KEY, net.now)) is None
    assert net.calls.total() == 1 + PARAMETERS.dht_alpha
    net.calls.clear()
    answered = net.run(asker, asker.lookups.nearest(KEY, net.now))
    assert net.calls.total() == 2 * PARAMETERS.dht_alpha
    assert {contact.address for contact in answered} <= {asked for _, asked in net.log}


def test_ten_thousand_contacts_in_a_reply_are_refused_undecoded() -> None:
    many = b"\x92\x01\xdd" + (10_000).to_bytes(4, "big") + bytes(10_000)
    with pytest.raises(RemoteProtocolError, match="wire"):
        messages.decode_reply(FindNode(KEY), many, PARAMETERS)
    above = messages.Nodes(tuple(contact_of(i) for i in range(K + 1)))
    with pytest.raises(RemoteProtocolError, match="wire"):
        messages.decode_reply(FindNode(KEY), messages.encode_reply(above), PARAMETERS)


def test_private_addresses_are_refused_outside_labs() -> None:
    reply = messages.encode_reply(nodes([Contact(KEY, "/ip4/127.0.0.1/tcp/80")]))
    assert messages.decode_reply(FindNode(KEY), reply, parameters.LAB)
    with pytest.raises(RemoteProtocolError, match="address private"):
        messages.decode_reply(FindNode(KEY), reply, parameters.MAIN)


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_arbitrary_requests_raise_one_error_and_change_nothing(data: bytes) -> None:
    node = Node("a", START)
    try:
        node.server.answer(contact_of("b").peer_id, data, START)
    except RemoteProtocolError as error:
        assert error.reason == "wire"
    assert len(node.table) == 0
    assert len(node.store) == 0


@given(st.binary(max_size=300), st.sampled_from([FindNode(KEY), FindValue(KEY), messages.Ping()]))
@settings(max_examples=300)
def test_arbitrary_replies_raise_one_error(data: bytes, request: Request) -> None:
    try:
        messages.decode_reply(request, data, PARAMETERS)
    except RemoteProtocolError as error:
        assert error.reason in {"wire", "dht reply", "address form"}


REQUESTS = [
    messages.Ping(),
    messages.Ping("/memory/1"),
    FindNode(KEY),
    FindValue(KEY),
    messages.Store(record_of(KEY)),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: type(r).__name__)
def test_requests_come_through_and_one_byte_less_or_more_does_not(request_: Request) -> None:
    data = messages.encode_request(request_)
    assert messages.decode_request(data) == request_
    for bad in (data[:-1], data + b"\0"):
        with pytest.raises(RemoteProtocolError):
            messages.decode_request(bad)


def test_exchanges_are_bounded() -> None:
    assert messages.split(messages.join(2**32 - 1, b"x")) == (2**32 - 1, b"x")
    for bad in (b"", b"1234", bytes(8192 + 5)):
        with pytest.raises(RemoteProtocolError, match="dht frame"):
            messages.split(bad)


def put(node: Node, peer: str, record: bytes, now: int) -> Status:
    message = messages.encode_request(messages.Store(record))
    reply = node.answer(contact_of(peer).peer_id, message, now)
    assert reply is not None
    stored = messages.decode_reply(messages.Store(record), reply, PARAMETERS)
    assert isinstance(stored, messages.Stored)
    return Status(stored.status)


def test_a_flood_of_puts_from_one_peer_is_bounded_and_honest_records_survive() -> None:
    net = Network(30)
    net.join_all()
    keys = [key_of(f"honest {i}") for i in range(20)]
    for key in keys:
        net.run(net.nodes[0], net.nodes[0].lookups.put(record_of(key), net.now))
    node = net.nodes[3]
    held = len(node.store)
    statuses = [put(node, "flooder", record_of(key_of(f"flood {i}")), net.now) for i in range(400)]
    assert statuses.count(Status.STORED) <= ServerLimits().puts_burst
    assert statuses[-1] is Status.BUSY
    assert len(node.store) <= held + ServerLimits().puts_burst
    assert put(node, "honest", record_of(key_of("later")), net.now) in (Status.STORED, Status.HELD)
    for key in keys:
        assert net.run(net.nodes[9], net.nodes[9].lookups.get(key, net.now))


def test_puts_that_do_not_verify_cost_ten_and_signatures_stop_being_checked() -> None:
    node = Node("a", START)
    statuses = [put(node, "b", bytes([i]) * 2048, START) for i in range(100)]
    refused = statuses.count(Status.REFUSED)
    assert refused <= ServerLimits().puts_burst // 10 + 1
    assert set(statuses[refused:]) == {Status.BUSY}
    assert node.server.counters["signature"] == refused
    later = START + 60 * SECOND
    assert put(node, "b", record_of(KEY), later) is Status.STORED


def test_too_many_requests_of_one_peer_are_refused_and_others_served() -> None:
    node, ping = Node("a", START), messages.encode_request(messages.Ping())
    flooder, honest = contact_of("b").peer_id, contact_of("c").peer_id
    for _ in range(ServerLimits().requests_burst):
        node.server.answer(flooder, ping, START)
    with pytest.raises(RemoteProtocolError, match="dht rate"):
        node.server.answer(flooder, ping, START)
    assert node.server.answer(honest, ping, START)
    assert node.server.answer(flooder, ping, START + SECOND)


def test_a_key_that_others_are_much_nearer_to_is_refused() -> None:
    node = Node("a", START)
    key = bytes(byte ^ 0xFF for byte in node.contact.position)
    for i in range(60):
        node.table.heard(contact_of(i), START)
    assert node.table.nearer_than_own(key) > 2 * K
    assert put(node, "b", record_of(key), START) is Status.FAR
    assert put(node, "b", record_of(node.contact.position), START) is Status.STORED
    assert put(node, "b", record_of(node.contact.position, 0), START) is Status.STALE


def test_who_asks_to_be_dialled_again_and_again_is_dialled_a_few_times() -> None:
    node, peer = Node("a", START), contact_of("b")
    ping = messages.encode_request(messages.Ping(peer.address))
    dialled = 0
    for second in range(60):
        node.server.answer(peer.peer_id, ping, START + second * SECOND)
        dialled += len(node.table.candidates(10))
    assert dialled <= 6
    assert len(node.table) == 0


def test_a_third_of_the_network_naming_only_itself_hides_no_record() -> None:
    net = Network(60)
    net.join_all()
    keys = [key_of(f"k {i}") for i in range(40)]
    for key in keys:
        net.run(net.nodes[1], net.nodes[1].lookups.put(record_of(key, 5), net.now))
    liars = [Liar(index, lambda _: None) for index in range(0, 60, 3)]
    names = [liar.contact for liar in liars]

    def say(request: Request) -> Reply:
        if isinstance(request, FindValue):
            return nodes(sorted(names, key=lambda c: distance(c.position, request.key)))
        return nodes(names)

    for index in range(0, 60, 3):
        net.add(Liar(index, say))
    rng = seeded("askers")
    honest = [net.nodes[i] for i in range(60) if i % 3]
    found = 0
    for key in keys:
        asker = rng.choice(honest)
        found += net.run(asker, asker.lookups.get(key, net.now)) is not None
    assert found == len(keys)
