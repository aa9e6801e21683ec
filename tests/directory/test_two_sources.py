"""A person's node uses what two guards in different networks showed it, byte for byte."""

from dataclasses import replace

import pytest

from directory.world import Author
from shoal_protocol.clock import SECOND
from shoal_protocol.directory.sync import DirectorySync, SendFrame
from shoal_protocol.directory.tenure import Tenure
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import LAB, NetworkParameters
from support import START, seeded

RULES = replace(LAB, name="two", two_sources=True)
AUTHORS = sorted((Author(f"two {i}", RULES) for i in range(40)), key=lambda a: a.relay_id)
ALICE, BOB = AUTHORS[:2]
ONE, TWO, THREE = b"guard-one-sixteen", b"guard-two-sixteen", b"guard-three-sixte"
APART = {
    ONE: ["/ip4/9.1.1.1/tcp/1"],
    TWO: ["/ip4/9.1.2.1/tcp/1"],
    THREE: ["/ip4/9.3.1.1/tcp/1"],
}


class Person:
    """A person's node that pulls from relays, to the end of each pull."""

    def __init__(
        self, sources: dict[bytes, list[str]] | None = None, params: NetworkParameters = RULES
    ) -> None:
        self.view = DirectoryView(params, tenure=Tenure(params, told=True))
        self.view.dial_from(APART if sources is None else sources)
        self.now = START
        self._pulls = 0

    def pull(self, guard: bytes, held: DirectoryView) -> None:
        """Bring over what a guard's view holds that is new here."""
        self._pulls += 1
        mine = DirectorySync(self.view, rng=seeded(), serve=False)
        theirs = DirectorySync(held, rng=seeded(), serve=True)
        theirs.connected(b"client", self.now)
        todo = list(mine.connected(guard, self.now))
        while todo:
            event = todo.pop(0)
            if isinstance(event, SendFrame):
                for answer in theirs.receive(b"client", event.frame, self.now):
                    if isinstance(answer, SendFrame):
                        todo += mine.receive(guard, answer.frame, self.now)

    def uses(self, author: Author = ALICE) -> str | None:
        """The software that the descriptor in use names, if there is one."""
        found = self.view.serving(author.relay_id, self.now)
        return None if found is None else found.software


def holding(*said: tuple[Author, int, str], now: int = START) -> DirectoryView:
    """A guard's view: of each author the descriptor with this serial and software."""
    view = DirectoryView(RULES)
    for author, serial, software in said:
        view.add_descriptor(author.descriptor(now, serial=serial, software=software), now)
        view.add_lease(author.lease(now, serial=serial), now)
    return view


def test_a_descriptor_is_used_once_two_networks_showed_it() -> None:
    person, held = Person(), holding((ALICE, 0, "a"))
    person.pull(ONE, held)
    assert person.uses() is None
    person.pull(ONE, held)
    person.pull(TWO, held)
    assert person.uses() is None, "one /16"
    person.pull(THREE, held)
    assert person.uses() == "a"


def test_a_newer_one_takes_its_place_when_two_showed_it_and_not_before() -> None:
    person, old, new = Person(), holding((ALICE, 0, "a")), holding((ALICE, 1, "b"))
    person.pull(ONE, old)
    person.pull(THREE, old)
    before = person.view.revision
    person.pull(ONE, new)
    assert person.uses() == "a"
    person.pull(THREE, old)
    assert person.uses() == "a"
    person.pull(THREE, new)
    assert person.uses() == "b"
    assert person.view.revision > before


def test_one_made_for_us_alone_is_not_used_and_bars_its_relay_when_the_other_comes() -> None:
    person = Person()
    person.pull(ONE, holding((ALICE, 0, "for-you"), (BOB, 0, "b")))
    person.pull(THREE, holding((ALICE, 0, "for-all"), (BOB, 0, "b")))
    assert person.uses() is None
    assert person.view.proof_of(ALICE.relay_id) is not None
    assert person.uses(BOB) == "b"


def test_of_many_relays_those_in_equal_buckets_are_seen_at_both() -> None:
    said = [(author, 0, "s") for author in AUTHORS]
    person, held = Person(), holding(*said)
    person.pull(ONE, held)
    assert person.view.relays(START) == ()
    person.pull(THREE, held)
    assert len(person.view.relays(START)) == len(AUTHORS)


def test_a_node_that_knows_one_network_believes_it() -> None:
    for sources in ({ONE: APART[ONE]}, {ONE: APART[ONE], TWO: APART[TWO]}):
        person = Person(sources)
        person.pull(ONE, holding((ALICE, 0, "a")))
        assert person.uses() == "a"


def test_who_is_no_guard_any_more_shows_nothing() -> None:
    person, held = Person(), holding((ALICE, 0, "a"))
    person.pull(ONE, held)
    person.view.dial_from({THREE: APART[THREE], TWO: APART[TWO]})
    person.pull(THREE, held)
    assert person.uses() is None
    person.pull(TWO, held)
    assert person.uses() == "a"


def test_what_nobody_showed_twice_ends_with_its_keys() -> None:
    person, held = Person(), holding((ALICE, 0, "a"))
    person.pull(ONE, held)
    person.pull(THREE, held)
    for epoch in range(1, 3):
        assert person.uses() == "a"
        person.now = START + epoch * RULES.epoch_s * SECOND
        person.pull(ONE, holding((ALICE, 0, "later"), now=person.now))
    assert person.uses() is None


@pytest.mark.parametrize("told", [True, False])
def test_labs_and_relays_use_what_one_shows(told: bool) -> None:
    params = LAB if told else RULES
    view = DirectoryView(params, tenure=Tenure(params, told=told))
    author = Author(1, params)
    view.add_descriptor(author.descriptor(), START, ONE)
    view.add_lease(author.lease(), START)
    assert len(view.relays(START)) == 1
