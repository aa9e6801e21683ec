"""What a peer may say in the gossip, and what it may cost."""

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.world import Author
from shoal_protocol import clock
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory import frames, pull, sync, tree
from shoal_protocol.directory.frames import CODEC, Record
from shoal_protocol.directory.sync import Changed, DirectorySync, Drop, SendFrame
from shoal_protocol.directory.tree import Item
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.parameters import LAB
from support import START, seeded

EPOCH = clock.index_of(START, LAB.epoch_s)
PEER, OTHER = b"peer" * 4, b"other-peer-id-16"
AUTHORS = sorted((Author(f"sync {number}") for number in range(30)), key=lambda a: a.relay_id)
ALICE, BOB = AUTHORS[:2]


def machine(authors: Sequence[Author] = AUTHORS[:4], *, serve: bool = True) -> DirectorySync:
    """Return a machine whose view holds ``authors``, with PEER connected."""
    view = DirectoryView(LAB)
    for author in authors:
        view.add_descriptor(author.descriptor(), START)
        view.add_lease(author.lease(), START)
    made = DirectorySync(view, rng=seeded(), serve=serve)
    made.connected(PEER, START)
    return made


def greeted(authors: Sequence[Author] = AUTHORS[:4]) -> DirectorySync:
    """Return a relay to which PEER has said Hello, its first pull ended."""
    made = machine(authors)
    made.receive(PEER, CODEC.encode(frames.Hello()), START)
    made.receive(PEER, CODEC.encode(frames.Same()), START)
    return made


def say(
    to: DirectorySync, frame: frames.Frame, now: int = START, peer: bytes = PEER
) -> list[frames.Frame]:
    """Let a peer say ``frame``; return what is sent back to it."""
    events = to.receive(peer, CODEC.encode(frame), now)
    sent = [e for e in events if isinstance(e, SendFrame) and e.peer == peer]
    return [CODEC.decode(event.frame) for event in sent]


def refused(to: DirectorySync, frame: frames.Frame | bytes, now: int = START) -> str:
    """Let PEER say what is refused and changes nothing; return the reason."""
    view = to.view
    before = view.tree.root(), view.revision, len(view), view.next_expiry, to.peers
    data = frame if isinstance(frame, bytes) else CODEC.encode(frame)
    with pytest.raises(RemoteProtocolError) as caught:
        to.receive(PEER, data, now)
    assert (view.tree.root(), view.revision, len(view), view.next_expiry, to.peers) == before
    return caught.value.reason


def record(author: Author, *, serial: int = 0, whole: bool = True) -> Record:
    descriptor = author.descriptor(serial=serial) if whole else b""
    return Record(descriptor, author.lease(serial=serial))


def news(*records: Record, proofs: Sequence[frames.Proof] = ()) -> frames.News:
    return frames.News(records, tuple(proofs))


def test_a_relay_says_hello_and_pulls_when_greeted() -> None:
    view = DirectoryView(LAB)
    relay = DirectorySync(view, rng=seeded(), serve=True)
    (hello,) = relay.connected(PEER, START)
    assert isinstance(hello, SendFrame)
    assert CODEC.decode(hello.frame) == frames.Hello()
    assert say(relay, frames.Hello()) == [frames.Ask(view.tree.root())]


def test_a_relay_greets_with_its_own_entry() -> None:
    relay = machine([])
    relay.publish(ALICE.descriptor(), ALICE.lease(), START)
    told, _ = say(relay, frames.Hello())
    assert told == news(record(ALICE))


def test_equal_roots_end_the_exchange() -> None:
    relay = machine()
    assert say(relay, frames.Ask(relay.view.tree.root())) == [frames.Same()]


def test_few_items_are_listed_at_once_and_many_by_buckets() -> None:
    (few,) = say(machine(AUTHORS[:4]), frames.Ask(b""))
    assert isinstance(few, frames.Lists)
    assert len(few.items) == 4
    (many,) = say(machine(AUTHORS), frames.Ask(b""))
    assert isinstance(many, frames.Buckets)
    assert len(many.hashes) == 16 << many.bits


def test_wanted_records_are_given_whole_or_as_leases() -> None:
    relay = machine()
    unknown = Author("nobody").relay_id
    want = frames.Want((ALICE.relay_id, unknown), (BOB.relay_id,))
    (given_,) = say(relay, want)
    assert given_ == frames.Records((record(ALICE), record(BOB, whole=False)), ())


def test_a_frame_holds_as_many_whole_records_as_fit() -> None:
    authors = [Author(f"many {number}") for number in range(90)]
    view = DirectoryView(LAB)
    addresses = [f"/memory/{'x' * 60}{number}" for number in range(4)]
    for author in authors:
        view.add_descriptor(author.descriptor(addresses=addresses), START)
        view.add_lease(author.lease(), START)
    relay = DirectorySync(view, rng=seeded(), serve=True)
    (event, *_) = relay.connected(PEER, START)
    want = frames.Want(tuple(author.relay_id for author in authors), ())
    (event,) = relay.receive(PEER, CODEC.encode(want), START)
    assert isinstance(event, SendFrame)
    assert 60_000 < len(event.frame) <= frames.MAX_FRAME


def test_a_view_is_pulled_whole_from_one_peer() -> None:
    server = machine(AUTHORS)
    client = DirectorySync(DirectoryView(LAB), rng=seeded(), serve=False)
    pending = list(client.connected(PEER, START))
    changed = 0
    while pending:
        event = pending.pop(0)
        changed += isinstance(event, Changed)
        if isinstance(event, SendFrame):
            for answer in server.receive(PEER, event.frame, START):
                assert isinstance(answer, SendFrame)
                pending += client.receive(PEER, answer.frame, START)
    assert client.view.tree.root() == server.view.tree.root()
    assert changed == 1
    assert client.overlap() == 1.0


def test_news_is_told_to_three_others_once() -> None:
    relay = greeted([])
    for number in range(6):
        peer = bytes([number]) * 16
        relay.connected(peer, START)
        say(relay, frames.Hello(), peer=peer)
    events = relay.receive(PEER, CODEC.encode(news(record(ALICE))), START)
    told = [event for event in events if isinstance(event, SendFrame)]
    assert len({event.peer for event in told}) == len(told) == sync.FANOUT
    assert PEER not in {event.peer for event in told}
    assert all(CODEC.decode(event.frame) == news(record(ALICE)) for event in told)
    assert Changed() in events
    assert relay.receive(PEER, CODEC.encode(news(record(ALICE))), START) == []


def test_a_renewed_lease_is_told_without_its_descriptor() -> None:
    relay = greeted([ALICE])
    relay.connected(OTHER, START)
    say(relay, frames.Hello(), peer=OTHER)
    later = START + 10 * SECOND
    lease = Record(b"", ALICE.lease(later))
    (event,) = relay.receive(PEER, CODEC.encode(news(lease)), later)
    assert event == SendFrame(OTHER, CODEC.encode(news(lease)))


def test_clients_are_not_told_news() -> None:
    relay = greeted([])
    relay.connected(OTHER, START)
    events = relay.receive(PEER, CODEC.encode(news(record(ALICE))), START)
    assert not any(isinstance(event, SendFrame) for event in events)


def test_a_proof_bars_and_is_told_on() -> None:
    relay = greeted([])
    relay.connected(OTHER, START)
    say(relay, frames.Hello(), peer=OTHER)
    proof = frames.Proof(ALICE.descriptor(), ALICE.descriptor(software="other"))
    events = relay.receive(PEER, CODEC.encode(news(proofs=[proof])), START)
    assert SendFrame(OTHER, CODEC.encode(news(proofs=[proof]))) in events
    assert relay.view.proof_of(ALICE.relay_id) == (proof.first, proof.second)
    assert relay.receive(PEER, CODEC.encode(news(record(ALICE))), START) == []
    (answer,) = say(relay, frames.Want((ALICE.relay_id,), ()))
    assert answer == frames.Records((), (proof,))


def test_a_persons_node_tells_nothing_and_answers_nothing() -> None:
    client = machine(serve=False)
    (ask,) = DirectorySync(client.view, rng=seeded(), serve=False).connected(PEER, START)
    assert isinstance(ask, SendFrame)
    assert CODEC.decode(ask.frame) == frames.Ask(b""), "not even its root"
    assert say(client, frames.Hello()) == []
    for asked in (frames.Ask(b""), frames.List(0, b"\1"), frames.Want((), ())):
        assert refused(client, asked) == "no server here"
    assert refused(client, news(record(ALICE))) == "unasked news"
    listing = frames.Lists(0, b"\1", ())
    assert say(client, listing) == [], "nothing is pushed, though the peer lacks all"


def test_answers_that_were_not_asked_for_are_refused() -> None:
    relay = greeted()
    unasked: list[frames.Frame] = [
        frames.Same(),
        frames.Buckets(0, bytes(16)),
        frames.Lists(0, b"\1", ()),
        frames.Records((), ()),
    ]
    for frame in unasked:
        assert refused(relay, frame) == "unasked answer"
    assert refused(relay, frames.Hello()) == "hello repeated"


def test_news_of_one_who_is_no_relay_is_refused() -> None:
    assert refused(machine(), news(record(AUTHORS[9]))) == "unasked news"


def listed(*authors: Author) -> frames.Lists:
    items = [
        Item(author.relay_id, EPOCH, False, 0, START // SECOND + 9, bytes(8)) for author in authors
    ]
    return frames.Lists(0, b"\1", tuple(items))


def test_lists_that_break_their_own_form_are_refused() -> None:
    relay = machine([])
    say(relay, frames.Hello())
    assert refused(relay, frames.Buckets(1, bytes(16))) == "buckets"
    assert refused(relay, frames.Lists(0, b"\0", ())) == "buckets"
    assert refused(relay, frames.Lists(0, b"\2", ())) == "buckets"
    assert refused(relay, frames.Lists(0, b"\1\0", ())) == "buckets"
    assert refused(relay, listed(BOB, ALICE)) == "items"
    assert refused(relay, listed(ALICE, ALICE)) == "items"
    (asked,) = say(relay, frames.Buckets(8, bytes(16 << 8)))
    assert asked == frames.List(8, b"\xff" * 32)
    outside = frames.Lists(
        8, frames.to_map({(ALICE.relay_id[0] + 1) % 256}, 8), listed(ALICE).items
    )
    assert refused(relay, outside) == "items"
    for bits, buckets in ((8, bytes(32)), (8, bytes(31)), (3, b"\0"), (2, b"\x10")):
        assert refused(machine(), frames.List(bits, buckets)) == "buckets"


def wanting(*authors: Author) -> DirectorySync:
    """Return a relay that has asked PEER for the records of ``authors``."""
    server = machine(authors)
    (lists,) = say(server, frames.Ask(b""))
    relay = machine([])
    say(relay, frames.Hello())
    (want,) = say(relay, lists)
    assert want == frames.Want(tuple(author.relay_id for author in authors), ())
    return relay


def test_records_that_were_not_wanted_are_refused() -> None:
    relay = wanting(ALICE)
    frame = frames.Records((record(ALICE), record(BOB)), ())
    assert refused(relay, frame) == "unasked record"


def test_one_bad_record_refuses_its_whole_frame() -> None:
    good, bad = record(ALICE), record(BOB)
    broken = Record(bad.descriptor[:-1] + b"\xff", bad.lease)
    unleased = Record(bad.descriptor, bad.lease[:-1] + b"\xff")
    mixed = Record(good.descriptor, bad.lease)
    behind = Record(bad.descriptor, BOB.lease(serial=1))
    assert refused(wanting(ALICE, BOB), frames.Records((good, broken), ())) == "signature"
    assert refused(wanting(ALICE, BOB), frames.Records((good, mixed), ())) == "record pair"
    assert refused(wanting(ALICE, BOB), frames.Records((good, behind), ())) == "record pair"
    assert refused(wanting(ALICE, BOB), frames.Records((bad, good), ())) == "record order"
    assert refused(wanting(ALICE, BOB), frames.Records((good, good), ())) == "record order"
    assert refused(greeted([]), news(good, broken)) == "signature"
    assert refused(wanting(ALICE, BOB), frames.Records((good, unleased), ())) == "signature"


def test_a_server_that_gives_nothing_is_asked_no_further() -> None:
    relay = wanting(ALICE, BOB)
    assert say(relay, frames.Records((), ())) == []


def test_a_server_that_gives_a_part_is_asked_for_the_rest() -> None:
    relay = wanting(ALICE, BOB)
    assert say(relay, frames.Records((record(ALICE),), ())) == [frames.Want((BOB.relay_id,), ())]
    assert say(relay, frames.Records((record(BOB),), ())) == []
    assert len(relay.view.relays(START)) == 2


def test_a_listing_peer_is_pushed_what_it_lacks() -> None:
    relay = machine([ALICE])
    say(relay, frames.Hello())
    assert say(relay, frames.Lists(0, b"\1", ())) == [news(record(ALICE))]


def test_a_peer_that_owes_an_answer_too_long_is_dropped() -> None:
    relay = machine()
    say(relay, frames.Hello())
    due = START + pull.ANSWER_S * SECOND
    assert not any(isinstance(event, Drop) for event in relay.handle_timer(due - 1))
    assert Drop(PEER, "stalled") in relay.handle_timer(due)
    assert relay.peers == ()


def test_one_channel_a_peer() -> None:
    relay = machine()
    with pytest.raises(LocalProtocolError):
        relay.connected(PEER, START)


def test_an_own_record_that_is_refused_is_a_fault_of_ours() -> None:
    with pytest.raises(LocalProtocolError):
        machine([]).publish(bytes(50), ALICE.lease(), START)


def test_oversized_truncated_and_lengthened_frames_are_refused() -> None:
    relay = greeted()
    assert refused(relay, bytes(frames.MAX_FRAME + 1)) == "frame size"
    data = CODEC.encode(news(record(AUTHORS[9])))
    for length in range(len(data)):
        assert refused(greeted_once, data[:length]) == "wire"
    assert refused(relay, data + b"\0") == "wire"


greeted_once = greeted()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    try:
        CODEC.decode(data)
    except RemoteProtocolError:
        assert refused(greeted_once, data, START + 10**6 * SECOND) == "wire"


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte_of_news_changes_nothing_or_is_a_fault(place: int, value: int) -> None:
    relay = greeted()
    data = bytearray(CODEC.encode(news(record(AUTHORS[9]))))
    place %= len(data)
    if data[place] != value:
        data[place] = value
        root = relay.view.tree.root()
        with contextlib.suppress(RemoteProtocolError):
            relay.receive(PEER, bytes(data), START)
        assert relay.view.tree.root() == root


def test_a_flood_of_frames_is_cut_before_it_is_decoded() -> None:
    relay = greeted()
    taken = 0
    with pytest.raises(RemoteProtocolError, match="flood"):
        for _ in range(sync.FRAME_BURST + 10):
            relay.receive(PEER, CODEC.encode(frames.Ask(b"")), START)
            taken += 1
    assert taken <= sync.FRAME_BURST
    assert refused(relay, b"garbage") == "flood"
    later = START + SECOND
    for _ in range(sync.FRAME_RATE // 2):
        relay.receive(PEER, CODEC.encode(frames.Ask(b"")), later)


def test_large_frames_cost_by_their_bytes() -> None:
    relay = greeted()
    frame = CODEC.encode(frames.Want(tuple(author.relay_id for author in AUTHORS) * 4, ()))
    count = 0
    with pytest.raises(RemoteProtocolError, match="flood"):
        while True:
            relay.receive(PEER, frame, START)
            count += 1
    assert count < sync.FRAME_BURST * 1024 / len(frame)


def test_a_flood_of_signatures_costs_no_more_than_the_allowance() -> None:
    """A peer that makes up versions has so many signatures checked, and others lose nothing."""
    relay = greeted([])
    relay.connected(OTHER, START)
    say(relay, frames.Hello(), peer=OTHER)
    versions = [(a, e, s) for a in AUTHORS[:2] for e in (-1, 0, 1) for s in range(256)]
    with pytest.raises(RemoteProtocolError, match="flood"):
        for author, epoch, serial in versions:
            descriptor = author.descriptor(epoch=EPOCH + epoch, serial=serial)
            made = Record(descriptor, author.lease(epoch=EPOCH + epoch, serial=serial))
            relay.receive(PEER, CODEC.encode(news(made)), START)
    assert sync.CHECK_BURST <= relay.view.checks <= sync.CHECK_BURST + 2
    events = relay.receive(OTHER, CODEC.encode(news(record(AUTHORS[9]))), START)
    assert Changed() in events


def test_forged_signatures_are_charged_too() -> None:
    relay = greeted([])
    forged = Record(ALICE.descriptor()[:-1] + b"\xff", ALICE.lease())
    assert refused(relay, news(forged)) == "signature"
    assert relay.view.checks == 1
    with pytest.raises(RemoteProtocolError, match="flood"):
        for _ in range(2 * sync.CHECK_BURST):
            with contextlib.suppress(RemoteProtocolError):
                relay.receive(PEER, CODEC.encode(news(forged)), START)
            relay.receive(PEER, CODEC.encode(news()), START)
    assert relay.view.checks <= sync.CHECK_BURST


def test_gossip_keeps_about_its_interval_and_picks_idle_relays() -> None:
    relay = greeted()
    now, pulls = START, 0
    while now < START + 20 * SECOND:
        now = max(now + MILLISECOND, relay.next_deadline() or now)
        for event in relay.handle_timer(now):
            if isinstance(event, SendFrame) and now < START + 15 * SECOND:
                pulls += 1
                say(relay, frames.Same(), now)
    assert 12 <= pulls <= 18


@pytest.mark.parametrize("bits", range(9))
def test_a_map_of_buckets_is_read_as_it_was_written(bits: int) -> None:
    rng = seeded(bits)
    buckets = {rng.below(1 << bits) for _ in range(5)}
    data = frames.to_map(buckets, bits)
    assert frames.from_map(data, bits) == buckets
    assert frames.from_map(data + b"\0", bits) is None
    if bits < 3:
        assert frames.from_map(b"\xff", bits) is None


def test_comparison_grows_finer_with_the_number_of_items() -> None:
    bits = [tree.bits_for(count) for count in (0, 7, 8, 50, 1000, 16_384)]
    assert bits == [0, 0, 1, 3, 7, 8]
