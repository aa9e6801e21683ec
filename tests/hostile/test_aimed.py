"""A flood of records at one key's storers: what it takes to push out one record (T12's edge)."""

from dht.network import PARAMETERS, key_of, record_of, validate
from shoal_protocol.dht.contacts import distance
from shoal_protocol.dht.messages import Status
from shoal_protocol.dht.storage import RecordStore
from support import START, seeded

ROOM = 64  # records of one storer here; 16,384 in a node
STORERS = 8
NODES = 40


def storers(key: bytes) -> list[RecordStore]:
    """Return the nodes that keep a record, each with room for few."""
    places = sorted(
        (key_of(f"place {n}") for n in range(NODES)), key=lambda place: distance(place, key)
    )
    rng = seeded("storers")
    return [RecordStore(at, validate, PARAMETERS, rng, ROOM) for at in places[:STORERS]]


def held_after(records: int, *, aimed: bool) -> int:
    """Return how many storers still hold a record after so many others came to each."""
    key = key_of("victim")
    nodes = storers(key)
    for node in nodes:
        assert node.put(record_of(key), START) is Status.STORED
        for number in range(records):
            other = key_of(f"flood {number}")
            node.put(record_of(key[:2] + other[2:] if aimed else other), START)
    return sum(node.get(key, START) is not None for node in nodes)


def test_a_flood_that_is_not_aimed_leaves_a_record_at_its_nearest_storers() -> None:
    assert held_after(2 * ROOM, aimed=False) >= STORERS - 2


def test_a_flood_aimed_at_one_record_needs_more_records_than_a_storer_holds() -> None:
    assert held_after(ROOM // 2, aimed=True) == STORERS
    assert held_after(8 * ROOM, aimed=True) < STORERS // 2  # said in the threat model
