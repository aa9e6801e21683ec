"""Whatever a crash loses, the rows give a machine that goes on: nothing twice, nothing gone.

A script of two people is run once for each commit in it, and both nodes crash there: right
before the batch is durable, so that it is lost, or right after.
"""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.neighbours import BOX_LIFE, MINUTE, Neighbour, pass_on, settle
from shoal_protocol.client import state
from shoal_protocol.client.contents import Profile
from shoal_protocol.client.history import MessageState
from support import START

WHISPER = "it disappears"
Step = Callable[["Exchange"], None]


class Crash(Exception):
    """Both nodes stop."""


class Careful(Neighbour):
    """A node whose commits are counted."""

    exchange: "Exchange | None" = None

    def commit(self) -> None:
        exchange = self.exchange
        changes = self.journal.take()
        if changes is None:
            return
        if exchange is not None:
            exchange.commits += 1
            if exchange.commits == exchange.crash_at and not exchange.after:
                raise Crash
        self.disk.commit(changes)
        self.journal.committed(changes.number)
        if exchange is not None and exchange.commits == exchange.crash_at and exchange.after:
            raise Crash


class Exchange:
    """Two people who write and read, and what each was told to be sent."""

    def __init__(self, crash_at: int = 0, *, after: bool = True) -> None:
        self.crash_at, self.after = crash_at, after
        self.commits = self.crashes = 0
        self.now = START
        self.ada, self.bob = Careful("ada"), Careful("bob")
        for one in (self.ada, self.bob):
            one.people.set_receipts(one.persona, True)
            one.commit()
            one.exchange = self
        self.said: dict[str, list[str]] = {"ada": [], "bob": []}
        self.tried: dict[str, str] = {}

    def other(self, one: Careful) -> Careful:
        return self.bob if one is self.ada else self.ada

    def say(self, one: Careful, text: str) -> None:
        """Write; the text counts as sent once it is durable, as the API has it."""
        text = f"{len(self.said[one.name])} {text}"
        one.open(self.other(one), self.now)
        self.tried[one.name] = text
        one.people.send(one.talk(self.other(one)), text, self.now)
        one.commit()
        self.said[one.name].append(text)
        self.tried.clear()
        one.look_up(self.other(one), self.now)
        one.commit()

    def whisper(self, one: Careful) -> None:
        """Write what disappears, whether it has come by then or not."""
        talk = one.open(self.other(one), self.now)
        one.people.send(talk, f"{WHISPER} {self.now}", self.now, expires_s=90)
        one.commit()
        one.look_up(self.other(one), self.now)
        one.commit()

    def see(self, one: Careful) -> None:
        """Read what has come."""
        for talk in one.persona.conversations.values():
            for message in list(talk.history)[-1:]:
                one.people.mark_read(talk, message.id, self.now)
        one.commit()

    def show(self, one: Careful, name: str) -> None:
        """Show another name."""
        one.people.set_profile(one.persona, Profile(name))
        one.commit()

    def carry(self, one: Careful) -> None:
        pass_on(one, self.other(one), self.now)

    def wait(self) -> None:
        self.now += MINUTE
        for one in (self.ada, self.bob):
            one.people.tick(self.now)
            one.people.work(self.now)
            one.commit()

    def restart(self) -> None:
        for one in (self.ada, self.bob):
            one.restart(self.now)
            one.commit()
        for name, text in self.tried.items():  # nobody was told; it may be there all the same
            one = self.ada if name == "ada" else self.bob
            if any(row.text == text and row.outgoing for row in one.disk.messages.values()):
                self.said[name].append(text)
        self.tried.clear()

    def run(self, steps: list[Step]) -> None:
        """Take the steps; after a crash go on with the next."""
        for step in steps:
            try:
                step(self)
            except Crash:
                self.crashes += 1
                self.restart()

    def finish(self) -> None:
        """Carry everything; check that all that was sent was read, once and in order."""
        self.crash_at = 0
        for _ in range(3):
            settle(self.ada, self.bob, self.now, rounds=3)
            self.now += 10 * MINUTE
        assert lasting(self.bob) == self.said["ada"]
        assert lasting(self.ada) == self.said["bob"]
        told = {MessageState.FETCHED, MessageState.READ}
        assert set(self.ada.states() + self.bob.states()) <= told
        self.finish_reading()
        for one in (self.ada, self.bob):
            one.restart(self.now)
            one.commit()
        assert (self.bob.got(), self.ada.got()) == (self.said["ada"], self.said["bob"])

    def finish_reading(self) -> None:
        """Let all be read, and what disappears be gone; nothing of either is left to do."""
        for one in (self.ada, self.bob):
            self.see(one)
        settle(self.ada, self.bob, self.now, rounds=3)
        for one in (self.ada, self.bob):
            one.people.work(self.now)
            one.commit()
            assert set(one.states()) <= {MessageState.READ}
            assert one.disk.count(state.NOTICE) == 0
            assert not any(WHISPER in row.text for row in one.disk.messages.values())


def lasting(one: Careful) -> list[str]:
    """Return what came and does not disappear."""
    return [text for text in one.got() if WHISPER not in text]


def ada_says(text: str) -> Step:
    return lambda e: e.say(e.ada, text)


def bob_says(text: str) -> Step:
    return lambda e: e.say(e.bob, text)


def to_bob(e: Exchange) -> None:
    e.carry(e.ada)


def to_ada(e: Exchange) -> None:
    e.carry(e.bob)


def wait(e: Exchange) -> None:
    e.wait()


TALK: list[Step] = [
    ada_says("hello"),
    to_bob,
    bob_says("x" * 4000),
    ada_says("both at once"),
    bob_says("short"),
    to_ada,
    wait,
    to_bob,
    to_ada,
    ada_says("y" * 9000),
    ada_says("behind"),
    to_bob,
    wait,
    to_ada,
]
CROSSING: list[Step] = [
    ada_says("from ada"),
    bob_says("from bob"),
    ada_says("z" * 3000),
    to_bob,
    to_ada,
    bob_says("second"),
    wait,
    to_ada,
    to_bob,
]


def commits_of(steps: list[Step]) -> int:
    exchange = Exchange()
    exchange.run(steps)
    return exchange.commits


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("steps", [TALK, CROSSING])
def test_a_crash_at_any_commit_loses_nothing_and_shows_nothing_twice(
    steps: list[Step], after: bool
) -> None:
    count = commits_of(steps)
    assert count > len(steps)
    for crash_at in range(1, count + 1):
        exchange = Exchange(crash_at, after=after)
        exchange.run(steps)
        assert exchange.crashes == 1
        exchange.finish()


STEPS = st.sampled_from(
    [*(ada_says(t) for t in ("a", "b" * 2500)), bob_says("c"), bob_says("d" * 5000)]
)
MOVES = st.sampled_from([to_bob, to_ada, wait, Exchange.restart])
ASIDES = st.sampled_from(
    [
        lambda e: e.whisper(e.ada),
        lambda e: e.whisper(e.bob),
        lambda e: e.see(e.ada),
        lambda e: e.see(e.bob),
        lambda e: e.show(e.ada, "ada"),
        lambda e: e.show(e.bob, "bob"),
        lambda e: e.show(e.bob, "b" * 64),
    ]
)


@given(st.lists(STEPS | MOVES | ASIDES, max_size=14), st.integers(0, 30), st.booleans())
@settings(max_examples=40)
def test_whatever_happens_between_two_crashes_everything_arrives_in_order(
    steps: list[Step], crash_at: int, after: bool
) -> None:
    exchange = Exchange(crash_at, after=after)
    exchange.run(steps)
    exchange.finish()


def test_a_node_that_was_off_for_long_goes_on_where_it_was() -> None:
    exchange = Exchange()
    exchange.run([ada_says("hello"), to_bob, bob_says("welcome"), to_ada, ada_says("are you off?")])
    exchange.ada.commit()
    fresh = exchange.ada.outgoing()
    for outgoing in fresh:
        exchange.bob.keep(outgoing)
    exchange.now += BOX_LIFE - 10 * MINUTE
    exchange.restart()
    exchange.finish()


def test_restoring_twice_from_the_same_rows_gives_the_same_people() -> None:
    exchange = Exchange()
    exchange.run(TALK)
    ada = exchange.ada
    ada.commit()

    def picture() -> tuple[object, ...]:
        ada.restart(exchange.now)
        return (
            [(p.id, p.created, p.name, p.secrets.pseudonym) for p in ada.people.personas()],
            list(ada.talk(exchange.bob).history),
            sorted((o.key, o.index, o.session, o.batch) for o in ada.outbox.records()),
            [a.row(b"talk no1") for a in ada.associations()],
        )

    assert picture() == picture()
