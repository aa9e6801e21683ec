"""Fifty honest nodes: joining, putting, getting, dead nodes, revisions, upkeep."""

import logging

import pytest

from dht.network import TODAY, Network, Node, contact_of, key_of, record_of
from shoal_protocol.clock import SECOND
from shoal_protocol.dht import calls, contacts, messages
from shoal_protocol.errors import RemoteProtocolError
from support import START, seeded

COUNT = 50
K = 20


@pytest.fixture
def joined(request: pytest.FixtureRequest) -> Network:
    net = Network(getattr(request, "param", 24))
    net.join_all()
    net.calls.clear()
    net.log.clear()
    return net


def nearest_nodes(net: Network, key: bytes) -> list[Node]:
    return sorted(net.nodes, key=lambda n: contacts.distance(n.contact.position, key))[:K]


@pytest.mark.parametrize("joined", [COUNT], indirect=True)
def test_fifty_nodes_join_through_one_and_every_record_is_found(joined: Network) -> None:
    keys = [key_of(i) for i in range(60)]
    for i, key in enumerate(keys):
        node = joined.nodes[i % COUNT]
        assert joined.run(node, node.lookups.put(record_of(key), joined.now)) == K
    assert joined.calls["FindNode"] <= 22 * len(keys)
    joined.calls.clear()
    for i, key in enumerate(keys):
        node = joined.nodes[(7 * i + 3) % COUNT]
        found = joined.run(node, node.lookups.get(key, joined.now))
        assert found is not None
        assert found.record == record_of(key)
        assert found.calls <= 6
        assert found.rounds <= 2
    assert joined.calls["FindValue"] <= 4 * len(keys)


@pytest.mark.parametrize("joined", [COUNT], indirect=True)
def test_records_lie_at_the_nodes_nearest_to_their_keys(joined: Network) -> None:
    for i in range(10):
        key = key_of(i)
        joined.run(joined.nodes[i], joined.nodes[i].lookups.put(record_of(key), joined.now))
        holders = {n.contact for n in joined.nodes if n.store.get(key, joined.now)}
        assert holders == {n.contact for n in nearest_nodes(joined, key)}


@pytest.mark.parametrize("joined", [COUNT], indirect=True)
def test_with_a_third_dead_every_record_is_still_found(joined: Network) -> None:
    keys = [key_of(i) for i in range(40)]
    for key in keys:
        joined.run(joined.nodes[0], joined.nodes[0].lookups.put(record_of(key), joined.now))
    joined.kill(joined.nodes[::3])
    alive = [node for node in joined.nodes if node.alive]
    for i, key in enumerate(keys):
        node = alive[i % len(alive)]
        found = joined.run(node, node.lookups.get(key, joined.now))
        assert found is not None
        assert found.calls <= 12
    node = alive[1]
    assert joined.run(node, node.lookups.put(record_of(key_of("late")), joined.now)) == K


def test_dead_contacts_are_asked_no_more_once_they_were_silent(joined: Network) -> None:
    joined.kill(joined.nodes[1::2])
    node = joined.nodes[0]
    for _ in range(2):
        joined.calls.clear()
        joined.run(node, node.lookups.nearest(key_of("x"), joined.now))
    silent = [n.contact for n in joined.nodes if not n.alive]
    assert not set(node.table.nearest(key_of("x"), K)) & set(silent)


def test_the_highest_verified_revision_wins_wherever_it_lies(joined: Network) -> None:
    key = key_of("a")
    holders = nearest_nodes(joined, key)
    for i, holder in enumerate(holders):
        holder.store.put(record_of(key, revision=9 if i == 1 else 2), joined.now)
    asker = next(n for n in joined.nodes if n not in holders)
    found = joined.run(asker, asker.lookups.get(key, joined.now))
    assert found is not None
    assert found.record == record_of(key, revision=9)
    assert joined.run(asker, asker.lookups.repair(found)) == len(found.lagging) > 0
    for contact in found.lagging:
        peer = joined.peers[contact.peer_id]
        assert isinstance(peer, Node)
        assert peer.store.get(key, joined.now) == record_of(key, revision=9)


def test_the_first_record_seen_is_not_taken_for_the_best(joined: Network) -> None:
    key = key_of("a")
    revisions = [None, 1, None, 2, 9, None, 1, 1]
    for holder, revision in zip(nearest_nodes(joined, key), revisions, strict=False):
        if revision is not None:
            holder.store.put(record_of(key, revision), joined.now)
    asker = nearest_nodes(joined, key)[-1]
    found = joined.run(asker, asker.lookups.get(key, joined.now))
    assert found is not None
    assert found.record == record_of(key, 9)


def test_a_silent_node_is_asked_once_however_many_name_it(joined: Network) -> None:
    silent = joined.nodes[1::3]
    joined.kill(silent)
    for target in range(5):
        newcomer = Node(f"newcomer {target}", joined.now)
        newcomer.table.heard(joined.nodes[0].contact, joined.now)
        joined.log.clear()
        answered = joined.run(newcomer, newcomer.lookups.nearest(key_of(target), joined.now))
        assert len(joined.log) == len(set(joined.log))
        assert {node.contact for node in silent}.isdisjoint(answered)
        assert len(answered) >= K - len(silent)


def test_a_node_that_holds_a_record_still_asks_others_for_a_better_one(joined: Network) -> None:
    key = key_of("a")
    holders = nearest_nodes(joined, key)
    for i, holder in enumerate(holders):
        holder.store.put(record_of(key, revision=1 if i == 0 else 2), joined.now)
    found = joined.run(holders[0], holders[0].lookups.get(key, joined.now))
    assert found is not None
    assert found.record == record_of(key, revision=2)


def test_nothing_is_put_that_does_not_verify(joined: Network) -> None:
    node = joined.nodes[0]
    with pytest.raises(RemoteProtocolError, match="signature"):
        joined.run(node, node.lookups.put(bytes(2048), joined.now))
    with pytest.raises(RemoteProtocolError, match="period"):
        old = record_of(key_of("a"), period=TODAY - 2)
        joined.run(node, node.lookups.put(old, joined.now))
    assert not joined.calls


@pytest.mark.parametrize("joined", [COUNT], indirect=True)
def test_storers_put_records_again_so_that_newcomers_hold_them(joined: Network) -> None:
    key = key_of("a")
    joined.run(joined.nodes[0], joined.nodes[0].lookups.put(record_of(key), joined.now))
    first = nearest_nodes(joined, key)
    joined.kill(first[:15])
    for holder in first[15:]:
        joined.pass_time(3600)
        joined.run(holder, holder.lookups.maintain(joined.now))
    holders = [n for n in joined.nodes if n.alive and n.store.get(key, joined.now)]
    assert len(holders) >= K


def test_a_record_heard_again_puts_off_ones_own_turn_but_not_for_ever() -> None:
    node, record = Node("a", START), record_of(key_of("a"))
    node.store.put(record, START)
    for minute in range(1, 180):
        now = START + minute * 60 * SECOND
        node.store.holds(record, now)
        due = node.store.due(now, 10)
        if due:
            break
    assert 75 < minute <= 120
    assert due == [(key_of("a"), record)]


def test_a_node_alone_stores_and_finds_its_own_record() -> None:
    net = Network(1)
    node, record = net.nodes[0], record_of(key_of("a"))
    assert net.run(node, node.lookups.put(record, net.now)) == 1
    found = net.run(node, node.lookups.get(key_of("a"), net.now))
    assert found is not None
    assert found.record == record


def test_contacts_of_the_directory_are_pinged_before_they_stand_in_a_table(
    joined: Network,
) -> None:
    newcomer = Node("newcomer", joined.now)
    joined.add(newcomer)
    nowhere = [contact_of(f"nowhere {i}") for i in range(5)]
    heard = [*nowhere, joined.nodes[0].contact, joined.nodes[1].contact]
    assert joined.run(newcomer, newcomer.lookups.introduce(heard, joined.now)) == 2
    assert set(newcomer.table.contacts()) == {n.contact for n in joined.nodes[:2]}
    assert newcomer.table.nearest(key_of("x"), K, newcomer.contact.position)


def test_a_node_that_is_not_reachable_never_enters_a_table(joined: Network) -> None:
    hidden = Node("hidden", joined.now)  # asks, names an address, and answers no dial
    joined.run(hidden, hidden.lookups.bootstrap([joined.nodes[0].contact], joined.now))
    assert len(hidden.table) >= K
    for node in joined.nodes:
        joined.run(node, node.lookups.greet())
        assert hidden.contact not in node.table.contacts()
        assert not node.table.has_candidates


def test_the_same_draws_give_the_same_calls() -> None:
    logs = []
    for _ in range(2):
        net = Network(20)
        net.join_all()
        node = net.nodes[5]
        net.run(node, node.lookups.put(record_of(key_of("a")), net.now))
        net.run(node, node.lookups.get(key_of("a"), net.now))
        net.pass_time(3700)
        net.run(node, node.lookups.maintain(net.now))
        logs.append(net.log)
    assert logs[0] == logs[1]


def test_a_dropped_task_runs_no_further() -> None:
    node = Node("a", START)
    task = node.lookups.bootstrap([contact_of("b")], START)
    batch = task.send(None)
    assert isinstance(batch, calls.Calls)
    assert [call.contact for call in batch.batch] == [contact_of("b")]
    task.close()
    assert not node.lookups.counters


def test_nothing_about_peers_or_records_is_logged(
    joined: Network, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    node = joined.nodes[0]
    for revision in (1, 2):
        holder = nearest_nodes(joined, key_of("a"))[revision]
        holder.store.put(record_of(key_of("a"), revision), joined.now)
    joined.run(node, node.lookups.get(key_of("a"), joined.now))
    joined.run(node, node.lookups.nearest(key_of("a"), joined.now))
    text = caplog.text
    assert "memory/" not in text
    assert not any(str(int(n.contact.position.hex(), 16)) in text for n in joined.nodes)


def test_stale_ranges_are_looked_into_after_an_hour(joined: Network) -> None:
    node = joined.nodes[0]
    assert not node.table.stale(joined.now, seeded())
    joined.pass_time(3601)
    assert len(node.table.stale(joined.now, seeded())) == len(node.table.buckets)
    joined.run(node, node.lookups.maintain(joined.now))
    assert not node.table.stale(joined.now, seeded())
    assert joined.calls[messages.FindNode.__name__] > 0
