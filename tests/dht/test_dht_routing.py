"""The routing table: bounds of buckets, eviction discipline, exact neighbours."""

from dht.network import contact_of, key_of
from shoal_protocol.clock import SECOND
from shoal_protocol.dht import contacts
from shoal_protocol.dht.routing import Bucket, Table, node_of
from shoal_protocol.dht.routing import contact_of as contact_of_node
from support import START, seeded

K = 4


def filled(count: int, k: int = K) -> tuple[Table, list[contacts.Contact]]:
    table = Table(contact_of("own").position, k, START)
    those = [contact_of(i) for i in range(count)]
    for contact in those:
        table.heard(contact, START)
    return table, those


def crowded(table: Table) -> Bucket:
    """A full bucket that can't split."""
    return next(b for b in table.buckets if b.replacement_nodes)


def test_every_position_belongs_to_exactly_the_bucket_whose_range_holds_it() -> None:
    table, those = filled(300)
    assert len(table.buckets) > 5
    for one, other in zip(table.buckets, table.buckets[1:], strict=False):
        assert one.range[1] + 1 == other.range[0]
    assert table.buckets[0].range[0] == 0
    assert table.buckets[-1].range[1] == 2**256 - 1
    for index, bucket in enumerate(table.buckets):
        for edge in bucket.range:
            node = node_of(those[0], those[0].position)
            node.long_id = edge
            assert table.get_bucket_for(node) == index
        assert all(bucket.has_in_range(node) for node in bucket.nodes.values())
        assert len(bucket) <= K


def test_neighbours_are_the_nearest_of_the_whole_table() -> None:
    table, _ = filled(300)
    held = table.contacts()
    for i in range(50):
        target = key_of(i)
        expected = sorted(held, key=lambda c: contacts.distance(c.position, target))[:K]
        assert table.nearest(target, K) == expected


def test_live_old_contacts_stay_however_many_new_ones_come() -> None:
    table, _ = filled(200)
    before = set(table.contacts())
    bucket = crowded(table)
    lower, upper = bucket.range
    newcomers = [contact_of(f"new {i}") for i in range(3000)]
    for contact in newcomers:
        if lower <= int.from_bytes(contact.position, "big") <= upper:
            table.heard(contact, START + SECOND)
    assert before <= set(table.contacts())
    assert {contact_of_node(n) for n in bucket.nodes.values()} <= before


def test_the_head_of_a_full_bucket_is_checked_and_replaced_only_when_dead() -> None:
    table, _ = filled(200)
    bucket = crowded(table)
    head = contact_of_node(bucket.head())
    assert head in table.checks()
    table.heard(head, START)
    assert head not in table.checks()
    assert contact_of_node(list(bucket.nodes.values())[-1]) == head

    victim = contact_of_node(bucket.head())
    table.failed(victim, START)
    assert victim in table.contacts()
    assert victim in table.checks()
    waiting = set(bucket.replacement_nodes)
    table.failed(victim, START)
    assert victim not in table.contacts()
    assert len(bucket) == K
    assert waiting & set(bucket.nodes)


def test_an_outage_of_ones_own_does_not_empty_the_table() -> None:
    table, those = filled(3)
    for contact in those:
        table.failed(contact, START)
        table.failed(contact, START)
    assert len(table) == 3
    assert len(table.nearest(key_of("x"), K)) == 3
    table.heard(those[0], START)
    assert table.nearest(key_of("x"), K) == [those[0]]
    for _ in range(3):
        table.failed(those[1], START)
    assert those[1] not in table.contacts()


def test_a_false_address_does_not_speak_against_the_node_it_names() -> None:
    table, those = filled(5)
    false = contacts.Contact(those[0].public_key, "/memory/elsewhere")
    for _ in range(10):
        table.failed(false, START)
    assert those[0] in table.nearest(key_of("x"), 10)
    assert table.find(those[0].position) == those[0]


def test_a_contact_that_moved_is_held_at_its_new_address() -> None:
    table, those = filled(5)
    moved = contacts.Contact(those[0].public_key, "/memory/elsewhere")
    table.heard(moved, START)
    assert table.find(moved.position) == moved
    assert len(table) == 5


def test_a_table_never_holds_its_own_node_and_stays_bounded() -> None:
    table = Table(contact_of("own").position, K, START)
    table.heard(contact_of("own"), START)
    assert len(table) == 0
    assert not table.wants(contact_of("own"))
    for i in range(5000):
        table.asked(contact_of(i))
    assert len(table.candidates(10_000)) == 256
    assert not table.has_candidates


def test_draws_in_a_range_lie_in_it() -> None:
    table, _ = filled(200)
    targets = table.stale(START + 4000 * SECOND, seeded())
    assert len(targets) == len(table.buckets)
    for bucket, target in zip(table.buckets, targets, strict=True):
        assert bucket.range[0] <= int.from_bytes(target, "big") <= bucket.range[1]
