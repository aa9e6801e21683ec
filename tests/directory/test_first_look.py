"""What a person's node that has seen nobody is led to believe by a source that is hostile."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from directory.world import Author
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import frames
from shoal_protocol.directory.descriptor import decode_descriptor
from shoal_protocol.directory.lease import peek_lease
from shoal_protocol.directory.sync import DirectorySync, SendFrame
from shoal_protocol.directory.tenure import Tenure
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import MAIN, NetworkParameters
from support import START, seeded

RULES = replace(MAIN, name="first look", descriptor_work_bits=0)
HONEST = [Author(f"honest {i}", RULES) for i in range(60)]
FRIENDS = [Author(f"friend {i}", RULES) for i in range(32)]  # two hours old
HOSTS = {a.relay_id: f"{20 + i}.1.1.1" for i, a in enumerate(HONEST)}
HOSTS |= {a.relay_id: f"{130 + i}.9.9.9" for i, a in enumerate(FRIENDS)}
FRIENDLY = {author.relay_id for author in FRIENDS}
GOOD, OTHER, EVIL = HONEST[0], HONEST[1], FRIENDS[0]
HOUR = 3600 * SECOND


def address(author: Author) -> list[str]:
    return [f"/ip4/{HOSTS[author.relay_id]}/tcp/4001"]


def relays_view() -> DirectoryView:
    """What a relay holds that has watched 90 hours."""
    view = DirectoryView(RULES)
    data = [author.descriptor(addresses=address(author)) for author in (*HONEST, *FRIENDS)]
    found = [decode_descriptor(each, RULES) for each in data]
    now = START - 90 * HOUR
    while now < START - view.tenure.look:
        now += view.tenure.look
        young = now > START - 2 * HOUR
        view.tenure.watch(found if young else found[: len(HONEST)], now)
    for author, each in zip((*HONEST, *FRIENDS), data, strict=True):
        view.add_descriptor(each, START)
        view.add_lease(author.lease(), START)
    view.review(START)
    return view


HELD = relays_view()


class Link:
    """A person's channel to a source, whose frames come when the test says so."""

    def __init__(self, source: Author, person: DirectorySync, held: DirectoryView = HELD) -> None:
        self._source = source.relay_id
        self._person = person
        self._sync = DirectorySync(held, rng=seeded(), serve=True)
        self._sync.connected(b"client", START)
        self._asked = self._frames(person.connected(self._source, START))
        self._answers: list[bytes] = []

    def tells(self, frame: bytes) -> bytes | None:
        """Return what is told in place of an honest answer."""
        return frame

    def step(self) -> bool:
        """Answer all, and deliver one answer; whether there was any."""
        for asked in self._asked:
            told = map(self.tells, self._frames(self._sync.receive(b"client", asked, START)))
            self._answers += [frame for frame in told if frame is not None]
        self._asked = []
        if not self._answers:
            return False
        events = self._person.receive(self._source, self._answers.pop(0), START)
        self._asked = self._frames(events)
        return True

    @staticmethod
    def _frames(events: Iterable[object]) -> list[bytes]:
        return [event.frame for event in events if isinstance(event, SendFrame)]


class SlowWithOthers(Link):
    """Tells true lists and ages, and hands over the true records of friends alone."""

    def tells(self, frame: bytes) -> bytes | None:
        answer = frames.CODEC.decode(frame)
        if not isinstance(answer, frames.Records):
            return frame
        mine = tuple(r for r in answer.records if peek_lease(r.lease)[0].relay_id in FRIENDLY)
        return frames.CODEC.encode(frames.Records(mine, ())) if mine else None


class FriendsAreOld(Link):
    """Tells truly who there is, and that friends alone are old."""

    def tells(self, frame: bytes) -> bytes:
        if not isinstance(frames.CODEC.decode(frame), frames.Ages):
            return frame
        old = tuple(frames.Age(each, 65_535) for each in sorted(FRIENDLY))
        return frames.CODEC.encode(frames.Ages(65_535, old))


def run(*links: Link) -> None:
    while sum(link.step() for link in links):
        pass


def person(*sources: Author, params: NetworkParameters = RULES) -> DirectorySync:
    view = DirectoryView(params, tenure=Tenure(params, told=True))
    view.dial_from({source.relay_id: address(source) for source in sources})
    return DirectorySync(view, rng=seeded(), serve=False)


def serving(node: DirectorySync) -> Counter[str]:
    relays = node.view.relays(START)
    return Counter("friend" if relay.relay_id in FRIENDLY else "honest" for relay in relays)


def test_one_quick_source_of_two_that_shows_its_friends_first_makes_none_of_them_serve() -> None:
    node = person(GOOD, EVIL)
    run(SlowWithOthers(EVIL, node))
    link = Link(GOOD, node)
    while link.step():
        assert not serving(node)["friend"]


def test_one_slow_guard_of_three_is_not_alone_with_its_friends() -> None:
    node = person(GOOD, EVIL, OTHER)
    run(SlowWithOthers(EVIL, node))
    good, other = Link(GOOD, node), Link(OTHER, node)
    while good.step() | other.step():
        assert not serving(node)["friend"]
    assert serving(node) == {"honest": len(HONEST)}


def test_nobody_serves_before_the_only_source_has_shown_all() -> None:
    node, seen = person(GOOD), set[int]()
    link = Link(GOOD, node)
    while link.step():
        seen.add(len(node.view.relays(START)))
    assert seen == {0, len(HONEST)}


def test_who_was_asleep_compares_with_two_sources_again() -> None:
    node = person(GOOD, OTHER)
    run(Link(GOOD, node), Link(OTHER, node))
    assert serving(node)["honest"]
    node.view.expire(START + HOUR)
    assert not len(node.view)
    node.disconnected(GOOD.relay_id)
    run(Link(GOOD, node))
    assert not serving(node)


def test_one_lying_source_of_two_makes_no_young_relay_stand_in_for_the_old_ones() -> None:
    node = person(GOOD, EVIL)
    run(FriendsAreOld(EVIL, node))
    link = Link(GOOD, node)
    while link.step():
        assert not serving(node)


def test_the_word_of_one_source_of_two_is_not_enough() -> None:
    node = person(GOOD, EVIL)
    run(FriendsAreOld(EVIL, node))
    assert not node.view.tenure.ripe
    run(Link(GOOD, node))
    assert node.view.tenure.ripe
