"""Two ratchets over a network that loses, reorders, repeats and forges; states that come back.

Every side is dumped and loaded at random points. The second machine also sets sides back to
older dumps, as a restored backup or a lost disk write would.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from sessions.pairs import pair
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.sessions import ratchet
from shoal_protocol.sessions.ratchet import Ratchet
from support import seeded

SIDES = st.integers(0, 1)
STEPS = 50
MOST_AT_ONCE = 15
ROOM = ratchet.MAX_SKIP - STEPS - MOST_AT_ONCE  # bodies up to which many may be added at once:
# all that both sides ever seal stays below the limits, so that every unread body opens


class TwoParties(RuleBasedStateMachine):
    """A body is (reader, bytes); ``read`` holds what each side has opened."""

    on_way = Bundle("on_way")

    def __init__(self) -> None:
        super().__init__()
        self.sides = list(pair("fuzz"))
        self.texts: dict[bytes, bytes] = {}
        self.read: list[set[bytes]] = [set(), set()]
        self.was_set_back = False
        self.rng = seeded("fuzz")

    @initialize(seed=st.integers(0, 2**16))
    def draw_from(self, seed: int) -> None:
        self.rng = seeded(seed)

    def sealed(self, side: int, text: bytes) -> tuple[int, bytes]:
        body = self.sides[side].seal(text, self.rng)
        assert len(body) == ratchet.BODY_LENGTH
        assert body not in self.texts
        self.texts[body] = text
        return 1 - side, body

    def refused(self, to: int, body: bytes) -> None:
        before = self.sides[to].dump()
        with pytest.raises(RemoteProtocolError):
            self.sides[to].open(body, self.rng)
        assert self.sides[to].dump() == before

    def deliver(self, to: int, body: bytes) -> None:
        if body in self.read[to]:
            self.refused(to, body)
            return
        before = self.sides[to].dump()
        try:
            text = self.sides[to].open(body, self.rng)
        except RemoteProtocolError:
            assert self.was_set_back
            assert self.sides[to].dump() == before
        else:
            assert text == self.texts[body]
            self.read[to].add(body)

    @rule(target=on_way, side=SIDES, text=st.binary(max_size=40))
    def send(self, side: int, text: bytes) -> tuple[int, bytes]:
        return self.sealed(side, text)

    @precondition(lambda self: len(self.texts) <= ROOM)
    @rule(target=on_way, side=SIDES, count=st.integers(1, MOST_AT_ONCE))
    def send_many_that_are_lost_but_the_last(self, side: int, count: int) -> tuple[int, bytes]:
        for _ in range(count - 1):
            self.sealed(side, b"lost")
        return self.sealed(side, b"last")

    @rule(side=SIDES)
    def send_and_read_at_once(self, side: int) -> None:
        self.deliver(*self.sealed(side, b"quick"))

    @rule(item=on_way)
    def deliver_and_keep_for_repetition(self, item: tuple[int, bytes]) -> None:
        self.deliver(*item)

    @rule(item=consumes(on_way))
    def deliver_once(self, item: tuple[int, bytes]) -> None:
        self.deliver(*item)

    @rule(item=consumes(on_way))
    def lose(self, item: tuple[int, bytes]) -> None:
        pass

    @rule(item=on_way, place=st.integers(0, ratchet.BODY_LENGTH - 1), bit=st.integers(0, 7))
    def deliver_changed(self, item: tuple[int, bytes], place: int, bit: int) -> None:
        to, body = item
        changed = bytearray(body)
        changed[place] ^= 1 << bit
        self.refused(to, bytes(changed))

    @rule(one=on_way, other=on_way)
    def deliver_a_header_before_another_body(
        self, one: tuple[int, bytes], other: tuple[int, bytes]
    ) -> None:
        cut = ratchet.HEADER_LENGTH
        if one[1] != other[1]:
            self.refused(one[0], one[1][:cut] + other[1][cut:])

    @rule(to=SIDES, noise=st.binary(min_size=1, max_size=64))
    def deliver_noise(self, to: int, noise: bytes) -> None:
        self.refused(to, (noise * ratchet.BODY_LENGTH)[: ratchet.BODY_LENGTH])

    @rule(item=on_way)
    def deliver_to_its_sender(self, item: tuple[int, bytes]) -> None:
        self.refused(1 - item[0], item[1])

    @rule(side=SIDES)
    def dump_and_load(self, side: int) -> None:
        dump = self.sides[side].dump()
        assert len(dump) <= ratchet.DUMP_LIMIT
        self.sides[side] = Ratchet.load(dump)
        assert self.sides[side].dump() == dump

    @invariant()
    def what_is_stored_is_bounded(self) -> None:
        for side in self.sides:
            assert side.stored <= ratchet.MAX_STORED


class TwoPartiesSetBack(TwoParties):
    """What was read since an older dump may be read again, or not; nothing else ever is."""

    older = Bundle("older")

    @rule(target=older, side=SIDES)
    def keep_a_dump(self, side: int) -> tuple[int, bytes, frozenset[bytes]]:
        return side, self.sides[side].dump(), frozenset(self.read[side])

    @rule(kept=older)
    def set_back(self, kept: tuple[int, bytes, frozenset[bytes]]) -> None:
        side, dump, read = kept
        self.sides[side] = Ratchet.load(dump)
        self.read[side] = set(read)
        self.was_set_back = True

    @precondition(lambda self: self.was_set_back)
    @rule(side=SIDES)
    def both_sides_still_seal(self, side: int) -> None:
        self.deliver(*self.sealed(side, b"after"))


TestTwoParties = TwoParties.TestCase
TestTwoParties.settings = settings(max_examples=80, stateful_step_count=STEPS)
TestTwoPartiesSetBack = TwoPartiesSetBack.TestCase
TestTwoPartiesSetBack.settings = settings(max_examples=80, stateful_step_count=STEPS)
