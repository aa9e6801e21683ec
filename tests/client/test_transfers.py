"""Files on their way: what one of them lacks holds up no other, and nothing waits for ever."""

from dataclasses import dataclass, field

import pytest

from client.neighbours import BOX_LIFE, PARAMS, TODAY, Neighbour, met
from shoal_protocol import clock
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.downloads import AGAIN, LOOKED, MAX_ASKED, MAX_HELD, Downloads
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.outbox import Outgoing
from shoal_protocol.client.state import Journal
from shoal_protocol.client.transfers import TransferState
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.layout import MAX_FILE_LENGTH, Layout
from shoal_protocol.files.sending import FileSender
from shoal_protocol.service.messages import Reply, Status
from shoal_protocol.streams.capability import WriteCapability
from support import START, seeded

DAY = clock.seconds(PARAMS.day_s)


@dataclass
class Relays:
    """All boxes by address; what is not there is there at no rank."""

    boxes: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    asked: int = 0

    def reply(self, address: bytes) -> Reply:
        self.asked += 1
        record = self.boxes.get(address)
        status = Status.NOT_FOUND if record is None else Status.OK
        return Reply(status, record or bytes(RECORD_LENGTH))


@dataclass
class Shelf:
    """Downloads with conversations to fetch for, and relays to ask."""

    relays: Relays
    downloads: Downloads
    talks: list[Correspondence]
    now: int = START
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def announce(
        self, talk: int, name: str, size: int, *, there: bool = True, day: int = TODAY
    ) -> str:
        """Let a message with a file come; returns its id."""
        rng = seeded(f"file {name}")
        writer, content = WriteCapability.create(rng, PARAMS.hash), rng.bytes(size)
        digest = manifests.content_digest(content)
        manifest = manifests.describe(writer.read(), day, size, digest, name, "a/b")
        if there:
            sender = FileSender(manifest, content, writer)
            for index in range(manifest.layout.total):
                self.relays.boxes[sender.address(index)] = sender.record(index)
        message = Message(rng.bytes(12).hex(), False, name, MessageState.FETCHED, created=self.now)
        self.talks[talk].history.add(message)
        self.downloads.add(self.talks[talk], message.id, manifest)
        return message.id

    def wanted(self) -> tuple[bytes, int, object] | None:
        """Return what the persona's files want next."""
        return self.downloads.next_ask(self.talks[0].persona, self.now)

    def ask(self, times: int = 1) -> int:
        """Answer as many questions, one at a time; returns how many there were."""
        for count in range(times):
            wanted = self.wanted()
            if wanted is None:
                return count
            self.downloads.answered(wanted[2], self.relays.reply(wanted[0]))
            while self.downloads.working:
                fetched = self.downloads.work()
                if fetched is not None and fetched.content is not None:
                    self.contents[fetched.message] = fetched.content
        return times

    def wait(self, duration: int) -> list[Message]:
        self.now += duration
        return self.downloads.tick(self.now)


@pytest.fixture
def shelf() -> Shelf:
    bob, ada, _ = met()
    carol = Neighbour("carol")
    talks = [bob.talk(ada), bob.open(carol, START)]
    return Shelf(Relays(), Downloads(PARAMS, bob.reader, Journal()), talks)


def test_a_file_that_is_nowhere_holds_up_no_later_one_of_its_conversation(shelf: Shelf) -> None:
    phantom = shelf.announce(0, "phantom", 5_000, there=False)
    real = shelf.announce(0, "real", 5_000)
    shelf.ask(1_000)
    assert real in shelf.contents
    assert not shelf.downloads.failed(phantom)
    assert shelf.ask() == 0  # the phantom rests


def test_a_large_file_that_is_nowhere_holds_up_no_file_of_others(shelf: Shelf) -> None:
    shelf.announce(0, "phantom", 10 * 2**20, there=False)
    real = shelf.announce(1, "real", 5_000)
    shelf.ask(10)
    assert real in shelf.contents


def test_questions_that_nobody_answers_leave_half_of_all_to_another_conversation(
    shelf: Shelf,
) -> None:
    shelf.announce(0, "phantom", 10**6, there=False)
    slow = [shelf.wanted() for _ in range(MAX_ASKED)]
    assert None not in slow
    assert shelf.wanted() is None
    shelf.announce(1, "real", 10**6)
    for count, wanted in enumerate(slow):
        assert wanted is not None
        shelf.downloads.lost(wanted[2])
        fresh = shelf.wanted()
        assert fresh is not None
        if count < MAX_ASKED // 2:
            assert fresh[0] in shelf.relays.boxes


def test_a_file_that_was_nowhere_is_asked_for_again_and_comes(shelf: Shelf) -> None:
    late = shelf.announce(0, "late", 5_000)
    boxes, shelf.relays.boxes = shelf.relays.boxes, {}
    shelf.ask(1_000)
    shelf.relays.boxes = boxes
    shelf.wait(AGAIN - 1)
    assert shelf.ask() == 0
    shelf.wait(1)
    shelf.ask(1_000)
    assert late in shelf.contents


def test_a_file_beyond_hope_is_asked_for_no_further_until_later(shelf: Shelf) -> None:
    shelf.announce(0, "phantom", 10_000, there=False)
    ranks = PARAMS.replicas + PARAMS.replica_slack
    layout = Layout.of(10_000)
    shelf.ask(1_000)
    assert layout.parity * ranks < shelf.relays.asked <= layout.total * ranks


def test_a_file_whose_days_are_over_fails_and_its_message_says_so(shelf: Shelf) -> None:
    phantom = shelf.announce(0, "phantom", 5_000, there=False)
    shelf.ask(1_000)
    assert shelf.wait(14 * DAY) == []
    (failed,) = shelf.wait(DAY)
    assert failed.id == phantom
    assert shelf.downloads.failed(phantom)
    assert shelf.downloads.progress(phantom) is None
    assert shelf.ask() == 0


def test_a_file_of_days_long_past_or_far_ahead_holds_up_nothing(shelf: Shelf) -> None:
    past = shelf.announce(0, "past", 5_000, day=TODAY - 15)
    ahead = shelf.announce(0, "ahead", 5_000, day=TODAY + 2)
    real = shelf.announce(0, "real", 5_000)
    shelf.ask(1_000)
    assert list(shelf.contents) == [real]
    assert [message.id for message in shelf.wait(DAY)] == [past]
    shelf.ask(1_000)
    assert ahead in shelf.contents  # its clock was right, and ours was not


def test_a_clock_that_is_set_back_lets_no_file_rest_for_long(shelf: Shelf) -> None:
    late = shelf.announce(0, "late", 5_000)
    boxes, shelf.relays.boxes = shelf.relays.boxes, {}
    shelf.wait(DAY)
    shelf.ask(1_000)
    shelf.relays.boxes = boxes
    shelf.wait(-DAY)
    shelf.ask(1_000)
    assert late in shelf.contents


def test_a_file_whose_message_gave_way_is_fetched_no_more(shelf: Shelf) -> None:
    gone = shelf.announce(0, "gone", 5_000)
    shelf.talks[0].history.clear()
    assert shelf.wait(0) == []
    assert shelf.downloads.progress(gone) is None
    assert shelf.ask() == 0


def pieces(node: Neighbour) -> list[Outgoing]:
    return [outgoing for outgoing in node.outbox.records() if outgoing.fragment]


def upload(node: Neighbour, to: Neighbour, text: str, size: int, now: int) -> Message:
    content = seeded(text).bytes(size)
    message = node.people.send_file(node.talk(to), text, content, "a.bin", "a/b", now)
    node.commit()
    return message


def store_all(node: Neighbour, now: int) -> None:
    """Let relays store every fragment, however often they have to be put."""
    for _ in range(1_000):
        node.people.tick(now)
        for outgoing in pieces(node):
            node.people.stored(outgoing, now)
        node.commit()


@pytest.mark.parametrize("restarted", [False, True])
def test_an_upload_that_a_fortnight_overtakes_fails_with_its_message_and_the_next_goes_on(
    restarted: bool,
) -> None:
    ada, bob, now = met()
    old = upload(ada, bob, "old", 60_000, now)
    for _ in range(40):
        ada.people.tick(now)
    assert pieces(ada)
    now += 16 * DAY
    if restarted:
        ada.restart(now)
    new = upload(ada, bob, "new", 2_000, now)
    ada.people.tick(now)
    ada.commit()
    talk, transfers = ada.talk(bob), ada.people.transfers
    failed = talk.history.get(old.id)
    assert failed is not None
    assert failed.state is MessageState.FAILED
    progress = transfers.progress(failed)
    assert progress is not None
    assert progress.state is TransferState.FAILED
    assert not any(outgoing.message == old.id for outgoing in pieces(ada))
    assert ada.disk.count("upload") == 1
    store_all(ada, now)
    queued = talk.history.get(new.id)
    assert queued is not None
    assert transfers.progress(queued) is not None
    assert queued.number < 100  # it has its number: the file is stored
    ada.restart(now)
    again = ada.talk(bob).history.get(old.id)
    assert again is not None
    assert again.state is MessageState.FAILED


def test_a_file_for_somebody_who_is_blocked_goes_nowhere_until_that_is_taken_back() -> None:
    ada, bob, now = met()
    message = upload(ada, bob, "file", 60_000, now)
    for _ in range(40):
        ada.people.tick(now)
    assert pieces(ada)
    ada.people.block(ada.talk(bob), now)
    for _ in range(40):
        ada.people.tick(now)
    assert pieces(ada) == []
    ada.people.unblock(ada.talk(bob), now)
    store_all(ada, now)
    queued = ada.talk(bob).history.get(message.id)
    assert queued is not None
    assert queued.number < 100


def test_fragments_that_waited_too_long_in_the_outbox_are_put_anew() -> None:
    ada, bob, now = met()
    message = upload(ada, bob, "file", 5_000, now)
    for _ in range(40):
        ada.people.tick(now)
    before = {outgoing.record for outgoing in pieces(ada)}
    ada.outbox.done([outgoing.key for outgoing in pieces(ada)])  # as those that expire go
    for _ in range(40):
        ada.people.tick(now)
    assert {outgoing.record for outgoing in pieces(ada)} == before
    store_all(ada, now)
    queued = ada.talk(bob).history.get(message.id)
    assert queued is not None
    assert queued.number < 100


def test_a_fragment_put_late_on_the_last_day_is_not_lost_as_its_file_still_may_go() -> None:
    ada, bob, now = met()
    upload(ada, bob, "file", 5_000, now)
    for _ in range(40):
        ada.people.tick(now)
    count = len(pieces(ada))
    assert count
    now += BOX_LIFE  # the outbox gives up what it was given then; relays take the day's still
    assert clock.index_of(now, PARAMS.day_s) == TODAY + PARAMS.box_days
    for _ in range(40):
        ada.people.tick(now)
    assert len(pieces(ada)) == count


def fetch(shelf: Shelf, at: dict[bytes, int]) -> list[int]:
    """Answer all questions, each box being there at the rank that ``at`` says, else 0.

    Returns the ranks asked.
    """
    ranks: list[int] = []
    while (wanted := shelf.wanted()) is not None:
        address, rank, token = wanted
        ranks.append(rank)
        there = at.get(address, 0) == rank
        shelf.downloads.answered(
            token, shelf.relays.reply(address) if there else Reply(Status.EMPTY)
        )
        while shelf.downloads.working:
            fetched = shelf.downloads.work()
            if fetched is not None and fetched.content is not None:
                shelf.contents[fetched.message] = fetched.content
    return ranks


def test_a_fragment_that_two_ranks_lack_gives_way_to_parity(shelf: Shelf) -> None:
    """One in seven lies where the reader never asks: its own guard."""
    name = shelf.announce(0, "file", 200_000)
    hidden = dict.fromkeys(list(shelf.relays.boxes)[::7], 99)
    ranks = fetch(shelf, hidden)
    assert name in shelf.contents
    assert max(ranks) == LOOKED - 1
    assert len(ranks) < 1.4 * 200_000 / 1928


def test_further_ranks_are_asked_when_parity_is_not_enough(shelf: Shelf) -> None:
    name = shelf.announce(0, "file", 100_000)
    deep = {address: 2 + place % 3 for place, address in enumerate(shelf.relays.boxes)}
    ranks = fetch(shelf, deep)
    assert name in shelf.contents
    assert max(ranks) >= LOOKED
    assert ranks == sorted(ranks, key=lambda rank: rank >= LOOKED)  # last of all


def test_a_fragment_that_is_nowhere_is_asked_for_once_at_each_rank_before_the_file_rests(
    shelf: Shelf,
) -> None:
    name = shelf.announce(0, "phantom", 5_000, there=False)
    ranks = fetch(shelf, {})
    every = PARAMS.replicas + PARAMS.replica_slack
    assert sorted(ranks) == sorted(list(range(every)) * (len(ranks) // every))
    assert len(ranks) <= every * shelf.downloads._downloads[name].manifest.layout.total


def small() -> Shelf:
    """Return a shelf with room for three files of 10,000 bytes."""
    bob, ada, _ = met()
    carol = Neighbour("carol")
    talks = [bob.talk(ada), bob.open(carol, START)]
    return Shelf(Relays(), Downloads(PARAMS, bob.reader, Journal(), room=32_000), talks)


def begun(shelf: Shelf) -> set[str]:
    files = shelf.downloads._downloads.items()
    return {name for name, one in files if one.receiver is not None}


def test_fragments_in_memory_are_bounded_and_files_at_rest_give_way() -> None:
    shelf = small()
    names = list[str]()
    for number in range(3):
        names.append(shelf.announce(0, f"phantom {number}", 10_000, there=False))
        fetch(shelf, {})
        shelf.wait(1)
    assert begun(shelf) == set(names)
    downloads = shelf.downloads._downloads
    downloads[names[0]].fragments[0] = bytes(1928)
    real = shelf.announce(1, "real", 10_000)
    shelf.ask()
    assert begun(shelf) == {*names[1:], real}
    assert not downloads[names[0]].fragments
    fetch(shelf, {})
    assert real in shelf.contents
    assert MAX_HELD >= 3 * MAX_FILE_LENGTH


def test_without_room_a_file_waits_until_others_come_to_an_end() -> None:
    shelf = small()
    names = [shelf.announce(0, f"phantom {n}", 10_000, there=False) for n in range(3)]
    for name in names:
        shelf.downloads._begin(shelf.downloads._downloads[name])
    real = shelf.announce(1, "real", 10_000)
    for _ in range(5):
        assert shelf.wanted() is not None
    assert begun(shelf) == set(names)
    shelf.downloads.forget(names[1])
    fetch(shelf, {})
    assert real in shelf.contents
