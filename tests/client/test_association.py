"""One session's exchange: order, loss, repetition, and bounds on what the other side can fill."""

from collections import deque

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shoal_protocol.client import parcel
from shoal_protocol.client.association import WINDOW, Association, Received
from shoal_protocol.client.parcel import Acks, Parcel, Part
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.rng import Rng
from shoal_protocol.sessions.session import Session
from support import seeded

ROOT = b"r" * 32


def pair() -> tuple[Association, Association]:
    first, second = Session(ROOT, initiator=True), Session(ROOT, initiator=False)
    return Association(first), Association(second)


def part(sequence: int, place: int = 0, count: int = 1, text: bytes = b"x") -> bytes:
    return parcel.encode(Parcel(Acks(), Part(sequence, 7, place, count, text)))


def taken(association: Association, data: bytes) -> str | None:
    whole = association.receive(data).whole
    return None if whole is None else whole.text


def came(association: Association) -> Acks:
    return parcel.decode(association.encode(None)).acks


def test_a_text_in_one_part_is_whole_at_once() -> None:
    ada, bob = pair()
    (one,) = ada.parts("你好".encode(), 100, 100, 42)
    received = bob.receive(ada.encode(one))
    assert received.wants_ack
    assert received.whole is not None
    assert (received.whole.text, received.whole.created) == ("你好", 42)


@pytest.mark.parametrize("seed", range(5))
def test_parts_in_any_order_make_each_text_once(seed: int) -> None:
    ada, bob = pair()
    rng = seeded(seed)
    texts = [rng.bytes(rng.below(60)).hex() for _ in range(8)]
    sent = [p for text in texts for p in ada.parts(text.encode(), 10, 20, 1)]
    assert [p.sequence for p in sent] == list(range(len(sent)))
    shuffled = [ada.encode(p) for p in sent[:WINDOW]]
    rng.shuffle(shuffled)
    got = [text for data in shuffled if (text := taken(bob, data)) is not None]
    got += [text for p in sent[WINDOW:] if (text := taken(bob, ada.encode(p))) is not None]
    assert sorted(got) == sorted(texts)
    assert came(bob) == Acks(len(sent), 0)


def test_a_part_that_comes_twice_is_acknowledged_and_shown_no_second_time() -> None:
    ada, bob = pair()
    first, second = ada.parts(b"ab", 1, 1, 0)
    for data in (ada.encode(second), ada.encode(second)):
        assert bob.receive(data) == Received(Acks(), True, None)
    assert taken(bob, ada.encode(first)) == "ab"
    for one in (first, second):
        assert bob.receive(ada.encode(one)).whole is None


def test_acknowledgements_ask_for_none() -> None:
    """Otherwise two nodes would acknowledge each other's acknowledgements for ever."""
    ada, bob = pair()
    assert not bob.receive(ada.encode(None)).wants_ack
    assert bob.confirmed
    assert not ada.confirmed


def test_acknowledgements_say_exactly_what_came() -> None:
    ada, bob = pair()
    parts = ada.parts(bytes(20), 1, 1, 0)
    for sequence in (0, 1, 3, 6, 2):
        bob.receive(ada.encode(parts[sequence]))
    acks = came(bob)
    assert acks == Acks(4, 0b10)
    assert [n for n in range(20) if acks.covers(n)] == [0, 1, 2, 3, 6]


def test_a_part_beyond_the_window_is_refused_and_changes_nothing() -> None:
    _, bob = pair()
    assert taken(bob, part(WINDOW)) == "x"
    for sequence in (WINDOW + 1, 2**32 - 1):
        with pytest.raises(RemoteProtocolError, match="window"):
            bob.receive(part(sequence))
    assert came(bob) == Acks(0, 1 << (WINDOW - 1))
    assert taken(bob, part(0)) == "x"
    assert taken(bob, part(WINDOW + 1)) == "x"


def test_a_malformed_parcel_does_not_confirm_a_session() -> None:
    _, bob = pair()
    for bad in (b"", part(2**32 - 1), bytes(40)):
        with pytest.raises(RemoteProtocolError):
            bob.receive(bad)
    assert not bob.confirmed


def test_parts_that_contradict_each_other_are_refused_and_not_acknowledged() -> None:
    _, bob = pair()
    bob.receive(part(1, 1, 3))
    with pytest.raises(RemoteProtocolError, match="parts"):
        bob.receive(part(2, 2, 4))
    assert not came(bob).covers(2)
    assert taken(bob, part(0, 0, 3)) is None
    assert taken(bob, part(2, 2, 3)) == "xxx"


def test_a_message_one_of_whose_sequences_went_to_another_is_forgotten() -> None:
    _, bob = pair()
    bob.receive(part(0, 0, 3))
    assert taken(bob, part(1)) == "x"
    assert taken(bob, part(2)) == "x"
    assert bob._partial == {}


def test_what_a_hostile_contact_can_leave_half_done_is_bounded() -> None:
    """Messages that never end: each has all parts but one, in every way that sequences allow."""
    for seed in range(4):
        _, bob = pair()
        rng = seeded(seed)
        next_ = 0
        for _ in range(3000):
            count = 1 + rng.below(parcel.MAX_PARTS)
            place = rng.below(min(count, next_ + 1))
            ahead = rng.below(4)
            try:
                bob.receive(part(next_ + ahead, place, count, b"y"))
            except RemoteProtocolError as error:
                assert error.reason in ("parts", "window", "parcel")
            next_ = came(bob).next
            held = sum(len(half.parts) for half in bob._partial.values())
            assert held <= 2 * WINDOW + 1
        assert next_ > 500


def test_invalid_utf_8_is_shown_with_replacements_rather_than_left_as_a_gap() -> None:
    _, bob = pair()
    assert taken(bob, part(0, text=b"ok \xff\xc3(")) == "ok ��("
    assert came(bob).next == 1


def test_a_text_of_too_many_parts_is_refused_before_it_takes_a_sequence() -> None:
    ada, _ = pair()
    assert len(ada.parts(bytes(parcel.MAX_PARTS), 1, 1, 0)) == parcel.MAX_PARTS
    with pytest.raises(ValueError, match="too long"):
        ada.parts(bytes(parcel.MAX_PARTS + 1), 1, 1, 0)
    assert ada.parts(b"", 1, 1, 0)[0].sequence == parcel.MAX_PARTS


@given(st.text(max_size=300), st.integers(1, 40))
@example("\0\ufeff\u202e🦕\U0010ffff", 1)
@settings(max_examples=150, deadline=None)
def test_any_text_arrives_exact_to_the_byte_however_it_is_cut(text: str, size: int) -> None:
    ada, bob = pair()
    size = max(size, len(text.encode()) // parcel.MAX_PARTS + 1)
    got = [taken(bob, ada.encode(p)) for p in ada.parts(text.encode(), size, size, 0)]
    assert got[-1] == text
    assert set(got[:-1]) <= {None}


class End:
    """One side of a lossy exchange: a window of bodies that are sent till they are acknowledged."""

    def __init__(self, association: Association, texts: list[str]) -> None:
        self.association = association
        self.waiting = deque(p for t in texts for p in association.parts(t.encode(), 4, 6, 0))
        self.bodies: dict[int, bytes] = {}
        self.peer_has = 0
        self.got: list[str] = []

    def send(self) -> list[bytes]:
        """Return what goes out now: all that is not acknowledged, and an acknowledgement."""
        while self.waiting and self.waiting[0].sequence < self.peer_has + WINDOW:
            p = self.waiting.popleft()
            self.bodies[p.sequence] = self.association.session.seal(self.association.encode(p))
        return [*self.bodies.values(), self.association.session.seal(self.association.encode(None))]

    def receive(self, body: bytes) -> None:
        try:
            received = self.association.receive(self.association.session.open(body))
        except RemoteProtocolError as error:
            assert error.reason == "session tag"  # it came before
            return
        self.peer_has = max(self.peer_has, received.acks.next)
        covers = received.acks.covers
        self.bodies = {n: body for n, body in self.bodies.items() if not covers(n)}
        if received.whole is not None:
            self.got.append(received.whole.text)


def deliver(bodies: list[bytes], rng: Rng, loss: float, to: End) -> None:
    """Lose some, repeat some, and mix up the order of the rest."""
    arriving = [b for b in bodies if rng.uniform() >= loss]
    arriving += [b for b in bodies if rng.uniform() < 0.2]
    rng.shuffle(arriving)
    for body in arriving:
        to.receive(body)


@given(st.integers(0, 2**32), st.floats(0, 0.7), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_everything_arrives_once_through_loss_disorder_and_repetition(
    seed: int, loss: float, ours: int, theirs: int
) -> None:
    rng = seeded(seed)
    texts = [[f"{n} " + "é" * rng.below(30) for n in range(count)] for count in (ours, theirs)]
    ada, bob = (End(a, t) for a, t in zip(pair(), texts, strict=True))
    for _ in range(60):
        deliver(ada.send(), rng, loss, bob)
        deliver(bob.send(), rng, loss, ada)
        if not (ada.bodies or bob.bodies or ada.waiting or bob.waiting):
            break
    assert not ada.bodies
    assert not bob.bodies
    assert sorted(bob.got) == sorted(texts[0])
    assert sorted(ada.got) == sorted(texts[1])
