"""Sessions: order, loss, repetition, forgery, and what a stolen state gives away."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.sessions import session as sessions
from shoal_protocol.sessions.session import AHEAD, BEHIND, Session, SessionIndex

ROOT = b"r" * 32


def pair(root: bytes = ROOT) -> tuple[Session, Session]:
    return Session(root, initiator=True), Session(root, initiator=False)


def secrets_of(thing: object) -> Iterator[bytes]:
    """Yield every bytes value that can be reached from ``thing``."""
    match thing:
        case bytes():
            yield thing
        case dict():
            for key, value in thing.items():
                yield from (*secrets_of(key), *secrets_of(value))
        case list() | tuple() | frozenset() | set():
            for item in thing:
                yield from secrets_of(item)
        case _:
            for slot in getattr(thing, "__slots__", ()):
                yield from secrets_of(getattr(thing, slot))


def state(session: Session) -> list[bytes]:
    return list(secrets_of(session))


def test_both_sides_read_each_other_and_have_one_id() -> None:
    ada, bob = pair()
    assert ada.id == bob.id
    assert bob.open(ada.seal(b"one")) == b"one"
    assert ada.open(bob.seal("二".encode())) == "二".encode()
    assert pair(b"s" * 32)[0].id != ada.id


@pytest.mark.parametrize("length", [0, 1, sessions.CAPACITY - 1, sessions.CAPACITY])
def test_texts_of_every_length_make_bodies_of_one_length(length: int) -> None:
    ada, bob = pair()
    body = ada.seal(b"x" * length)
    assert len(body) == sessions.BODY_LENGTH == 1987
    assert bob.open(body) == b"x" * length


def test_a_text_too_long_is_our_own_bug_and_changes_nothing() -> None:
    """Ledger: overlong message raises the wrong exception (Briar 2023)."""
    ada, bob = pair()
    before = state(ada)
    with pytest.raises(LocalProtocolError):
        ada.seal(bytes(sessions.CAPACITY + 1))
    assert state(ada) == before
    assert bob.open(ada.seal(b"next")) == b"next"


def test_a_message_is_not_read_by_its_own_sender() -> None:
    ada, _ = pair()
    with pytest.raises(RemoteProtocolError, match="session tag"):
        ada.open(ada.seal(b"reflected"))


def test_a_replayed_message_is_refused_and_changes_nothing() -> None:
    ada, bob = pair()
    bodies = [ada.seal(bytes([i])) for i in range(3)]
    bob.open(bodies[2])
    bob.open(bodies[0])
    before = state(bob)
    for body in (bodies[0], bodies[2]):
        with pytest.raises(RemoteProtocolError, match="session tag"):
            bob.open(body)
    assert state(bob) == before
    assert bob.open(bodies[1]) == b"\1"


@given(st.integers(0, 1986), st.integers(0, 7))
@settings(max_examples=80, deadline=None)
def test_any_flipped_bit_is_refused_and_changes_nothing(place: int, bit: int) -> None:
    ada, bob = pair()
    ada.seal(b"skipped")
    body = bytearray(ada.seal(b"text"))
    body[place] ^= 1 << bit
    before = state(bob)
    with pytest.raises(RemoteProtocolError):
        bob.open(bytes(body))
    assert state(bob) == before


def test_a_forged_text_under_a_skipped_tag_changes_nothing() -> None:
    ada, bob = pair()
    first, second = ada.seal(b"first"), ada.seal(b"second")
    bob.open(second)
    before = state(bob)
    with pytest.raises(RemoteProtocolError, match="aead"):
        bob.open(first[:-1] + bytes([first[-1] ^ 1]))
    assert state(bob) == before
    assert bob.open(first) == b"first"


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_arbitrary_bytes_are_only_ever_refused(data: bytes) -> None:
    _, bob = pair()
    tag = min(bob.expected_tags())
    for body in (data, data.ljust(1987, b"\0"), tag + data.ljust(1971, b"\0")):
        with pytest.raises(RemoteProtocolError):
            bob.open(body)


@pytest.mark.parametrize("length", [0, 16, 1986, 1988])
def test_another_length_is_refused(length: int) -> None:
    ada, bob = pair()
    body = ada.seal(b"text")
    with pytest.raises(RemoteProtocolError, match="session body"):
        bob.open(body[:length].ljust(length, b"\0"))
    assert bob.open(body) == b"text"


def test_the_last_message_of_the_window_is_read_and_the_next_is_not() -> None:
    ada, bob = pair()
    bodies = [ada.seal(str(i).encode()) for i in range(AHEAD + 1)]
    before = state(bob)
    with pytest.raises(RemoteProtocolError, match="session tag"):
        bob.open(bodies[AHEAD])
    assert state(bob) == before
    assert bob.open(bodies[AHEAD - 1]) == str(AHEAD - 1).encode()
    assert bob.open(bodies[AHEAD]) == str(AHEAD).encode()
    assert bob.open(bodies[0]) == b"0"


def test_giant_skips_and_forged_tags_are_refused_at_once() -> None:
    """T21: no skip can be claimed; what isn't expected costs one look-up."""
    _, bob = pair()
    before = state(bob)
    began = time.perf_counter()
    for i in range(1000):
        with pytest.raises(RemoteProtocolError, match="session tag"):
            bob.open(crypto.digest(bytes([i & 255, i >> 8]), size=16) + bytes(1971))
    assert (time.perf_counter() - began) / 1000 < 0.01
    assert state(bob) == before


def test_keys_of_skipped_messages_are_bounded_and_the_oldest_goes_first() -> None:
    """T21: at most 2,000 stored keys."""
    ada, bob = pair()
    held = []
    for _ in range(3 * BEHIND // (AHEAD - 1)):
        held += [ada.seal(b"held") for _ in range(AHEAD - 1)]
        bob.open(ada.seal(b"read"))
    assert len(bob.expected_tags()) == AHEAD + BEHIND <= 2000
    with pytest.raises(RemoteProtocolError, match="session tag"):
        bob.open(held[0])
    with pytest.raises(RemoteProtocolError, match="session tag"):
        bob.open(held[-BEHIND - 1])
    assert bob.open(held[-BEHIND]) == b"held"
    assert bob.open(held[-1]) == b"held"


def test_a_stolen_state_opens_nothing_that_was_read_or_sent_before() -> None:
    """Every 32-byte value in the states is tried as a key, and stepped on for a while."""
    ada, bob = pair()
    bodies = [ada.seal(b"past") for _ in range(4)]
    for body in (bodies[0], bodies[3], bodies[1]):
        bob.open(body)
    found = [value for side in (ada, bob) for value in state(side) if len(value) == 32]
    keys = set(found)
    for chain_key in found:
        for _ in range(5):
            wide = crypto.kdf(b"session step", chain_key, size=64)
            chain_key = wide[:32]
            keys |= {wide[:32], wide[32:]}
    for body in (bodies[0], bodies[1], bodies[3]):
        assert body[:16] not in bob.expected_tags()
        for key in keys:
            with pytest.raises(RemoteProtocolError):
                crypto.aead_open(key, bytes(12), body[16:], ada.id + body[:16])
    assert bob.open(bodies[2]) == b"past"


def test_tags_and_bodies_of_one_text_share_nothing() -> None:
    ada, bob = pair()
    bodies = [ada.seal(b"same"), ada.seal(b"same"), bob.seal(b"same")]
    runs = [{body[i : i + 4] for i in range(1984)} for body in bodies]
    assert not runs[0] & runs[1]
    assert not runs[0] & runs[2]


def test_representations_hold_no_secret() -> None:
    assert repr(pair()[0]) == "Session(<redacted>)"


def test_an_index_finds_each_session_and_keeps_up_with_it() -> None:
    pairs = [pair(bytes([i]) * 32) for i in range(5)]
    index = SessionIndex(bob for _, bob in pairs)
    assert len(index) == 5
    for _ in range(AHEAD + 5):
        for number, (ada, bob) in enumerate(pairs):
            assert index.open(ada.seal(bytes([number]))) == (bob, bytes([number]))
    late = pairs[0][0].seal(b"late")
    index.open(pairs[0][0].seal(b"early"))
    assert index.find(late) is pairs[0][1]
    assert index.open(late)[1] == b"late"
    with pytest.raises(RemoteProtocolError, match="session tag"):
        index.open(late)


def test_an_index_forgets_a_session_wholly() -> None:
    (ada, bob), (eve, dan) = pair(), pair(b"s" * 32)
    index = SessionIndex([bob, dan])
    index.remove(bob)
    index.remove(bob)
    assert index.find(ada.seal(b"text")) is None
    assert index.open(eve.seal(b"text")) == (dan, b"text")
    index.remove(dan)
    assert len(index) == 0
    assert not any(secrets_of(index))


def test_an_index_is_unchanged_by_what_it_refuses() -> None:
    ada, bob = pair()
    index = SessionIndex([bob])
    body = ada.seal(b"text")
    before = set(secrets_of(index))
    for wrong in (b"", body[:-1], body[:-1] + bytes([body[-1] ^ 1]), bytes(1987)):
        with pytest.raises(RemoteProtocolError):
            index.open(wrong)
    assert set(secrets_of(index)) == before
    assert index.open(body) == (bob, b"text")


class TwoParties(RuleBasedStateMachine):
    """Two sides over a network that loses, reorders, repeats and changes bodies."""

    on_way = Bundle("on_way")

    def __init__(self) -> None:
        super().__init__()
        self.sides = pair()
        self.indices = [SessionIndex([side]) for side in self.sides]
        self.sent: list[list[bytes]] = [[], []]  # bodies each side made
        self.texts: dict[bytes, bytes] = {}
        self.read: list[set[bytes]] = [set(), set()]
        self.highest = [-1, -1]  # of those read, by reader

    @rule(target=on_way, side=st.integers(0, 1), text=st.binary(max_size=40))
    def send(self, side: int, text: bytes) -> tuple[int, bytes]:
        return self.sealed(side, text)

    def sealed(self, side: int, text: bytes) -> tuple[int, bytes]:
        body = self.sides[side].seal(text)
        self.texts[body] = text
        self.sent[side].append(body)
        return 1 - side, body

    @rule(target=on_way, side=st.integers(0, 1), count=st.integers(1, AHEAD + 10))
    def send_many_that_are_lost_but_the_last(self, side: int, count: int) -> tuple[int, bytes]:
        for _ in range(count - 1):
            self.sealed(side, b"lost")
        return self.sealed(side, b"last")

    def deliver(self, to: int, body: bytes) -> None:
        place = self.sent[1 - to].index(body)
        readable = body not in self.read[to] and place <= self.highest[to] + AHEAD
        try:
            session, text = self.indices[to].open(body)
        except RemoteProtocolError as error:
            assert error.reason == "session tag"
            assert not readable or self.highest[to] - place >= BEHIND
        else:
            assert readable
            assert session is self.sides[to]
            assert text == self.texts[body]
            self.read[to].add(body)
            self.highest[to] = max(self.highest[to], place)

    @rule(item=on_way)
    def deliver_and_keep_for_repetition(self, item: tuple[int, bytes]) -> None:
        self.deliver(*item)

    @rule(item=consumes(on_way))
    def deliver_once(self, item: tuple[int, bytes]) -> None:
        self.deliver(*item)

    @rule(item=consumes(on_way))
    def lose(self, item: tuple[int, bytes]) -> None:
        pass

    @rule(item=on_way, place=st.integers(0, 1986), bit=st.integers(0, 7))
    def deliver_changed(self, item: tuple[int, bytes], place: int, bit: int) -> None:
        to, body = item
        before = state(self.sides[to])
        changed = bytearray(body)
        changed[place] ^= 1 << bit
        with pytest.raises(RemoteProtocolError):
            self.indices[to].open(bytes(changed))
        assert state(self.sides[to]) == before

    @rule(item=on_way)
    def deliver_to_its_sender(self, item: tuple[int, bytes]) -> None:
        to, body = item
        with pytest.raises(RemoteProtocolError, match="session tag"):
            self.indices[1 - to].open(body)

    @invariant()
    def what_is_stored_is_bounded(self) -> None:
        for side in self.sides:
            assert AHEAD <= len(side.expected_tags()) <= AHEAD + BEHIND


TestTwoParties = TwoParties.TestCase
TestTwoParties.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
