"""What eclipsing a key costs: places by work, one node of a /16, two keys a record."""

from contextlib import suppress
from dataclasses import replace

from dht.network import PARAMETERS, Liar, Network, Node, contact_of, key_of, record_of, validate
from directory.world import Author
from shoal_protocol import crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.dht import contacts
from shoal_protocol.dht.contacts import Contact, distance
from shoal_protocol.dht.members import Members
from shoal_protocol.dht.messages import (
    FindNode,
    FindValue,
    Nodes,
    Pong,
    Reply,
    Request,
    Status,
    Store,
    Stored,
    Value,
)
from shoal_protocol.dht.routing import Table
from shoal_protocol.dht.storage import RecordStore
from shoal_protocol.directory.descriptor import decode_descriptor
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.parameters import LAB, NetworkParameters
from support import START, seeded

APART = replace(LAB, name="apart", distinct_subnets=True)
TWICE = replace(LAB, name="twice", dht_keys=2)
WORK = replace(LAB, name="work", descriptor_work_bits=4)
K = PARAMETERS.dht_k
KEY = key_of("wanted")
OTHER = contacts.keys_of(KEY, 2)[1]


def liars_near(key: bytes, count: int, address: str) -> list[Liar]:
    """The ``count`` of 4,000 identities that stand nearest to ``key``; they hide what they get."""
    ordered = sorted(range(4000), key=lambda i: distance(contact_of(f"liar {i}").position, key))
    friends: list[Contact] = []

    def say(request: Request) -> Reply:
        match request:
            case FindNode() | FindValue():
                return Nodes(tuple(friends))
            case Store():
                return Stored(int(Status.STORED))
            case _:
                return Pong()

    liars = [
        Liar(f"liar {i}", say, address.format(number=place))
        for place, i in enumerate(ordered[:count])
    ]
    friends += [liar.contact for liar in liars[:K]]
    return liars


def surrounded(params: NetworkParameters, address: str) -> tuple[Network, Node]:
    """Thirty honest nodes who all know the 20 liars that stand nearest to KEY; and a newcomer."""
    net = Network(30, params)
    net.join_all()
    for liar in liars_near(KEY, K, address):
        net.add(liar)
        for node in net.nodes:
            node.table.heard(liar.contact, net.now)
    asker = net.add(Node("asker", net.now, parameters=params, address="/ip4/99.9.9.9/tcp/1"))
    net.run(asker, asker.lookups.bootstrap([net.nodes[3].contact], net.now))
    return net, asker


def test_in_a_lab_a_place_is_what_it_always_was() -> None:
    author = Author(1)
    relay = decode_descriptor(author.descriptor(), LAB)
    place = crypto.kdf(b"dht position", author.peer_id, size=32)
    assert contacts.place_of(relay, LAB) == place
    assert contacts.by_key(contacts.contact_at(author.peer_id, "/memory/a")) == place
    assert contacts.keys_of(KEY, LAB.dht_keys) == (KEY,)


def test_a_place_follows_from_the_work_so_that_each_further_one_costs_it_again() -> None:
    author = Author(1, WORK)
    places: set[bytes] = set()
    tries = 0
    while len(places) < 3:
        tries += 1
        author.nonce = tries.to_bytes(8, "big")
        with suppress(LocalProtocolError):  # a descriptor whose work is too little
            places.add(contacts.place_of(decode_descriptor(author.descriptor(), WORK), WORK))
    assert tries > 2 * len(places)
    assert contacts.position_of(author.peer_id) not in places


def test_members_stand_where_their_signed_work_says_and_serve_where_they_signed() -> None:
    view, author = DirectoryView(WORK), Author(1, WORK)
    members = Members(view, lambda: START)
    contact = contacts.contact_at(author.peer_id, "/ip4/9.9.9.9/tcp/4001")
    assert members.place(contact) is None
    assert not members.admit(contact)
    view.add_descriptor(author.descriptor(), START)
    view.add_lease(author.lease(), START)
    assert members.place(contact) == contacts.position_of(author.peer_id, author.nonce)
    assert members.admit(contact)
    assert not members.admit(Contact(contact.public_key, "/ip4/9.9.9.8/tcp/4001"))


def test_a_table_lets_go_of_whoever_may_not_serve_any_more_or_stands_elsewhere() -> None:
    moved: dict[Contact, bytes] = {}
    table = Table(key_of("own"), 4, START, lambda contact: moved.get(contact, contact.position))
    those = [contact_of(i) for i in range(40)]
    for contact in those:
        table.heard(contact, START)
    held = table.contacts()
    moved[held[0]] = key_of("elsewhere")
    table.keep(lambda contact: contact != held[1])
    assert not {held[0], held[1]} & set(table.contacts())
    assert set(held[2:]) <= set(table.contacts())


def test_one_subnet_has_one_place_among_those_near_a_key_however_many_it_grinds() -> None:
    net, asker = surrounded(APART, "/ip4/77.7.{number}.1/tcp/1")
    assert net.run(asker, asker.lookups.put(record_of(KEY), net.now)) >= K - 1
    for node in net.nodes[:5]:
        assert net.run(node, node.lookups.get(KEY, net.now)) is not None


def test_without_that_rule_one_subnet_takes_all_places() -> None:
    net, asker = surrounded(PARAMETERS, "/ip4/77.7.{number}.1/tcp/1")
    net.run(asker, asker.lookups.put(record_of(KEY), net.now))
    assert not any(len(node.store) for node in net.nodes)


def test_a_false_or_silent_contact_keeps_nobody_of_its_subnet_out() -> None:
    net = Network(30, APART)
    net.join_all()
    near = sorted(net.nodes, key=lambda n: distance(n.contact.position, KEY))[:5]
    asker = net.nodes[-1] if net.nodes[-1] not in near else net.nodes[-2]
    ghosts = sorted(range(4000), key=lambda i: distance(contact_of(f"g {i}").position, KEY))
    for node, ghost in zip(near, ghosts, strict=False):
        subnet = node.contact.address.removesuffix(".7.1/tcp/4001")
        asker.table.heard(
            Contact(contact_of(f"g {ghost}").public_key, f"{subnet}.9.9/tcp/1"), net.now
        )
    assert net.run(asker, asker.lookups.put(record_of(KEY), net.now)) >= K - 1
    assert all(node.store.get(KEY, net.now) for node in near)


def test_a_record_whose_first_key_is_surrounded_is_found_under_its_second() -> None:
    net, asker = surrounded(TWICE, "/ip4/{number}.7.7.1/tcp/1")
    net.run(asker, asker.lookups.put(record_of(KEY), net.now))
    assert any(node.store.get(OTHER, net.now) for node in net.nodes)
    for node in net.nodes[:5]:
        found = net.run(node, node.lookups.get(KEY, net.now))
        assert found is not None
        assert found.record == record_of(KEY)


def test_an_old_record_that_liars_show_at_one_key_loses_to_the_newest_at_the_other() -> None:
    net = Network(60, TWICE)
    net.join_all()
    old, new = record_of(KEY, 1), record_of(KEY, 2)
    net.run(net.nodes[0], net.nodes[0].lookups.put(new, net.now))
    ordered = sorted(net.nodes, key=lambda node: distance(node.contact.position, KEY))

    def stale(request: Request) -> Reply:
        return Value(old) if isinstance(request, FindValue) else Pong()

    for node in ordered[:15]:
        net.replace(node, stale)
    asker = ordered[-1]
    found = net.run(asker, asker.lookups.get(KEY, net.now))
    assert found is not None
    assert found.record == new


def test_what_is_asked_under_one_key_must_be_a_record_of_it() -> None:
    net = Network(4, TWICE)
    net.join_all()
    node, forger = net.nodes[0], net.nodes[1]
    net.replace(forger, lambda _: Value(record_of(key_of("another"))))
    assert net.run(node, node.lookups.get(KEY, net.now)) is None
    assert node.lookups.counters["refused"]


def test_a_store_finds_a_record_under_each_key_and_forgets_it_under_each() -> None:
    store = RecordStore(OTHER, validate, TWICE, seeded("store"), most=2)
    for name in ("a", "b"):
        assert store.put(record_of(key_of(name)), START) is Status.STORED
    assert store.put(record_of(KEY), START) is Status.STORED  # its second key is this place
    assert store.get(OTHER, START) == store.get(KEY, START) == record_of(KEY)
    assert len(store) == 2
    later = START + 3 * TWICE.day_s * SECOND
    assert store.expire(later) == 2
    assert store.get(OTHER, START) is None
    assert store.get(KEY, START) is None
