"""Personas of one node: what is done to one costs another no more than its fair share."""

import heapq
from collections.abc import Callable
from itertools import count, pairwise

import pytest

from client.crowd import crowd
from client.neighbours import sides
from client.test_outbox import Sender, outgoing
from shoal_protocol import clock
from shoal_protocol.client.following import Following
from shoal_protocol.client.outbox import Outgoing
from shoal_protocol.client.reader import DecoyGet, Get, InboxGet, Reader, StreamGet
from shoal_protocol.client.readings import HOT_STREAMS
from shoal_protocol.parameters import LAB, PRESETS, Preset
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.service.messages import Reply, Status
from support import START, seeded

DAY = clock.index_of(START, LAB.day_s)
MINUTE = 60 * clock.SECOND
HOUR = 60 * MINUTE
QUIET_LEAST = 2 / 3  # of the GETs that a stream has while nothing happens elsewhere


class Node:
    """A reader of three personas whose GETs wait at relays that have nothing, in virtual time.

    Persona 0 has one contact; ``loud`` contacts write to persona 1 every ten seconds.
    """

    def __init__(self, preset: Preset, loud: int = 0, seed: str = "") -> None:
        self.preset = preset
        self.rng = seeded(f"turns {preset.name} {seed}")
        self.relays = {r.relay_id: r for r in crowd(self.rng, 12)}
        self.reader = Reader(LAB, preset, 3 * clock.SECOND, self.rng)
        for name in ("0", "1", "2"):
            secrets = PersonaSecrets(self.rng.bytes(32), network=LAB.hash)
            secrets.prekeys(DAY, seeded("prekeys"))
            self.reader.add(name, secrets)
        self.now = START
        self.gets: list[tuple[int, Get]] = []
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = count()
        self.quiet = self._follow("0", 0)
        self.reader.stir("0", self.quiet, START)
        for number in range(loud):
            self._write("1", self._follow("1", number))
        self._slot()

    def _follow(self, persona: str, number: int) -> bytes:
        mine, _ = sides(f"{self.preset.name} {persona} {number}", day=DAY)
        self.reader.follow(persona, mine, START)
        return mine.id

    def _at(self, when: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._count), action))

    def _write(self, persona: str, session: bytes) -> None:
        self.reader.stir(persona, session, self.now)
        self._at(self.now + 10 * clock.SECOND, lambda: self._write(persona, session))

    def _mixing(self) -> int:
        delays = (self.rng.exponential(self.preset.mean_delay_ms) for _ in range(3))
        return round(sum(delays) * clock.MILLISECOND)

    def _slot(self) -> None:
        pause = self.rng.exponential(1 / (self.preset.rate * (1 - self.preset.quick_share)))
        self._at(self.now + clock.seconds(pause), self._slot)
        get = self.reader.next_get(self.relays, 0, True, self.now)
        assert get is not None
        self.gets.append((self.now, get))
        wait = get.question.wait_ms * clock.MILLISECOND
        self._at(self.now + self._mixing() + wait + self._mixing(), lambda: self._answered(get))

    def _answered(self, get: Get) -> None:
        self.reader.answered(get.purpose)
        match get.purpose:
            case InboxGet(box, asked):
                box.mailbox.answered(asked, Reply(Status.EMPTY))
            case StreamGet(following, asked):
                following.empty(asked, self.now)
            case _:
                pass

    def run(self, duration: int) -> None:
        end = self.now + duration
        while self._heap[0][0] <= end:
            self.now, _, action = heapq.heappop(self._heap)
            action()
        self.now = end

    def asked(self, session: bytes, since: int) -> list[int]:
        """Return when GETs for the stream of a session went."""
        return [
            at
            for at, get in self.gets
            if at >= since
            and isinstance(get.purpose, StreamGet)
            and get.purpose.following.stream.id == session
        ]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_eight_hot_conversations_of_one_persona_let_no_stream_of_another_go_cold(
    preset: str,
) -> None:
    """Who writes to two personas would else see by the one whether the other is on its node."""
    asked, gaps = list[int](), list[int]()
    hours = {"saver": 6}.get(preset, 1)
    for loud in (0, HOT_STREAMS):
        node, since = Node(PRESETS[preset], loud), START
        for _ in range(4 * hours):
            node.run(15 * MINUTE)
            node.reader.stir("0", node.quiet, node.now)  # now and then something is said
        times = node.asked(node.quiet, since)
        asked.append(len(times))
        gaps.append(max(b - a for a, b in pairwise(times)))
    assert asked[1] >= QUIET_LEAST * asked[0]
    assert gaps[1] <= 4 * max(gaps[0], PRESETS[preset].get_wait_mean_ms * clock.MILLISECOND)


def test_as_many_slots_are_filled_and_wait_as_long_whatever_personas_read() -> None:
    """Every slot has a GET, and decoys take what personas leave."""
    shares = []
    for loud in (0, HOT_STREAMS):
        node = Node(PRESETS["balanced"], loud)
        node.run(HOUR)
        rate = PRESETS["balanced"].rate * (1 - PRESETS["balanced"].quick_share)
        assert abs(len(node.gets) - 3600 * rate) < 5 * (3600 * rate) ** 0.5
        shares.append(
            sum(isinstance(get.purpose, DecoyGet) for _, get in node.gets) / len(node.gets)
        )
        waits = [g.question.wait_ms for _, g in node.gets if g.question.wait_ms]
        mean = PRESETS["balanced"].get_wait_mean_ms * (1 - 2.718281828**-3)
        assert abs(sum(waits) / len(waits) - mean) < 0.1 * mean
    assert shares[0] > shares[1] > 0.05


def test_a_persona_has_its_share_of_gets_though_another_has_all() -> None:
    for preset in PRESETS.values():
        node = Node(preset, loud=HOT_STREAMS)
        node.run(10 * MINUTE)
        readings = node.reader._personas
        share = -(-preset.outstanding_gets // len(readings))
        most = preset.outstanding_gets + (len(readings) - 1) * share
        assert node.reader.outstanding == sum(one.outstanding for one in readings.values())
        assert node.reader.outstanding <= most
        node.run(10 * MINUTE)
        counts = dict.fromkeys(readings, 0)
        for _ in range(3 * share):
            get = node.reader.next_get(node.relays, 0, True, node.now)
            if get is not None and isinstance(get.purpose, StreamGet):
                counts[get.purpose.persona] += 1
        assert readings["0"].outstanding <= most


def test_personas_wait_for_a_slot_for_one_turn_of_each_other() -> None:
    """All want more than there is: each has a third, one after the other."""
    node = Node(PRESETS["saver"], loud=HOT_STREAMS)
    node.run(HOUR)
    served = list[str]()
    for _, get in node.gets:
        match get.purpose:
            case InboxGet(box, _) if box.persona is not None:
                served.append(box.persona)
            case StreamGet():
                served.append(get.purpose.persona)
            case _:
                pass
    shares = [served.count(name) / len(served) for name in ("0", "1", "2")]
    assert all(share > 0.25 for share in shares)


def test_a_third_rank_depends_on_the_personas_own_streams_alone() -> None:
    node = Node(PRESETS["fast"], loud=HOT_STREAMS)
    share = PRESETS["fast"].outstanding_gets // 3
    readings = node.reader._personas
    before = readings["0"].spare(share, node.now)
    node.run(30 * MINUTE)
    node.reader.stir("0", node.quiet, node.now)
    assert readings["0"].spare(share, node.now) is before is True
    assert readings["1"].spare(share, node.now) is False


def test_personas_change_days_each_at_its_own_edge() -> None:
    node = Node(PRESETS["fast"])
    edges = {one._edge_s for one in node.reader._personas.values()}
    assert len(edges) == 3


def test_two_personas_of_one_node_follow_the_two_sides_of_their_session() -> None:
    node = Node(PRESETS["fast"])
    mine, theirs = sides("within", day=DAY)
    assert mine.id == theirs.id
    node.reader.follow("1", mine, START)
    node.reader.follow("2", theirs, START)
    followed: list[Following] = [
        node.reader._personas[name].streams[mine.id] for name in ("1", "2")
    ]
    assert [one.stream for one in followed] == [mine, theirs]
    node.reader.unfollow("1", mine.id)
    assert not node.reader.follows("1", mine.id) and node.reader.follows("2", mine.id)


def owned(owner: str, *numbers: int, fragment: bool = False) -> list[Outgoing]:
    """Return records of a persona; the lower the number, the longer they are due."""
    records = [outgoing(number, created=START + number) for number in numbers]
    for record in records:
        record.owner, record.fragment = owner, fragment
        record.copies = 1 if fragment else record.copies
    return records


@pytest.mark.parametrize("fragments", [False, True])
def test_words_of_one_persona_wait_for_one_slot_of_another_that_has_much_to_put(
    fragments: bool,
) -> None:
    sender = Sender(*owned("1", *range(40), fragment=fragments))
    for _ in range(5):
        sender.put()
    (word,) = owned("0", 99)
    sender.add(word)
    sender.let_all_be_due()
    owners = [sender.put()[0].owner for _ in range(7)]
    assert owners == ["0", "1", "0", "1", "0", "1", "1"]


def test_a_personas_own_fragments_wait_for_its_words() -> None:
    sender = Sender(*owned("0", *range(8), fragment=True), *owned("0", 99))
    sender.let_all_be_due()
    assert [sender.put()[0].fragment for _ in range(5)] == [False, False, False, True, True]


def test_turns_of_a_persona_that_is_burnt_are_forgotten() -> None:
    sender = Sender(*owned("0", 1))
    sender.put()
    assert sender.outbox._served == {"0": 1}
    sender.outbox.forget("0")
    assert sender.outbox._served == {}
