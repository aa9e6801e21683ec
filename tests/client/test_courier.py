"""Round trips: each block answers once, and what answers nothing is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.crowd import EPOCH
from shoal_protocol import clock
from shoal_protocol.client.courier import Courier, Question
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets import surb as surbs
from shoal_protocol.packets import unwrap
from shoal_protocol.packets.keys import Hop, MixKeyring
from shoal_protocol.parameters import LAB
from shoal_protocol.service import messages
from shoal_protocol.service.messages import Reply, Request, RequestType, Status
from support import START, seeded

QUESTION = Question(RequestType.INBOX_GET, b"q" * 2048, wait_ms=7, cursor=9)


class Route:
    """A courier and the one relay that is its guard, its mixes and its service."""

    def __init__(self) -> None:
        self.rng = seeded("route")
        self.keyring = MixKeyring(LAB.hash)
        self.keyring.advance(EPOCH, self.rng)
        self.hop = Hop(b"g" * 16, EPOCH, dict(self.keyring.public())[EPOCH], 0)
        self.courier: Courier[str] = Courier(b"c" * 16, network=LAB.hash, rng=self.rng)

    def ask(self, purpose: str = "why", after_s: float = 10) -> Request:
        """Send a question; return what the service reads."""
        deadline = START + clock.seconds(after_s)
        packet = self.courier.ask(QUESTION, [self.hop], [self.hop], purpose, deadline)
        arrived = unwrap.unwrap(packet, self.keyring)
        assert isinstance(arrived, unwrap.Exit)
        return messages.decode_request(arrived.body)

    def down(self, packet: bytes) -> bytes:
        """Let the guard take its layer off."""
        arrived = unwrap.unwrap(packet, self.keyring)
        assert isinstance(arrived, unwrap.ToClient)
        assert arrived.client_id == b"c" * 16
        return arrived.packet

    def answer(self, request: Request, body: bytes | None = None) -> bytes:
        """Return the packet that comes down with a reply to ``request``."""
        body = Reply(Status.OK, b"r" * 2048, 10).encode() if body is None else body
        return self.down(surbs.use(request.surb, body)[1])


def test_a_question_arrives_whole_and_its_answer_names_its_purpose_once() -> None:
    route = Route()
    request = route.ask()
    assert (request.type, request.record) == (QUESTION.type, QUESTION.record)
    assert (request.wait_ms, request.cursor) == (7, 9)
    packet = route.answer(request)
    assert len(route.courier) == 1
    assert route.courier.receive(packet) == ("why", Reply(Status.OK, b"r" * 2048, 10))
    assert len(route.courier) == 0
    with pytest.raises(RemoteProtocolError, match="unknown surb"):
        route.courier.receive(packet)


def test_answers_in_any_order_find_their_own_purposes() -> None:
    route = Route()
    packets = {name: route.answer(route.ask(name)) for name in "abcdef"}
    for name in "fbadce":
        assert route.courier.receive(packets[name])[0] == name


@given(st.binary(max_size=3100))
@settings(max_examples=60)
def test_arbitrary_bytes_are_only_ever_refused(junk: bytes) -> None:
    route = Route()
    route.ask()
    for packet in (junk, junk.ljust(3072, b"\0")[:3072]):
        with pytest.raises(RemoteProtocolError):
            route.courier.receive(packet)
    assert len(route.courier) == 1


@pytest.mark.parametrize("place", [416, 417, 1500, 3071])
def test_a_packet_changed_on_its_way_is_refused_and_the_true_one_still_answers(place: int) -> None:
    route = Route()
    packet = route.answer(route.ask())
    changed = bytearray(packet)
    changed[place] ^= 1
    with pytest.raises(RemoteProtocolError, match="payload tag"):
        route.courier.receive(bytes(changed))
    assert route.courier.receive(packet)[0] == "why"


def test_a_malformed_reply_is_refused_and_its_round_trip_ends_at_its_deadline() -> None:
    route = Route()
    packet = route.answer(route.ask(after_s=3), bytes([99]) + bytes(2639))
    with pytest.raises(RemoteProtocolError, match="reply"):
        route.courier.receive(packet)
    assert route.courier.expire(START + 3 * clock.SECOND) == ["why"]


def test_what_is_overdue_is_given_up_once_and_its_answer_comes_too_late() -> None:
    route = Route()
    slow, quick = route.ask("slow", 5), route.ask("quick", 2)
    assert route.courier.next_deadline() == START + 2 * clock.SECOND
    assert route.courier.expire(START + 2 * clock.SECOND - 1) == []
    assert route.courier.expire(START + 2 * clock.SECOND) == ["quick"]
    assert route.courier.expire(START + 2 * clock.SECOND) == []
    with pytest.raises(RemoteProtocolError, match="unknown surb"):
        route.courier.receive(route.answer(quick))
    assert route.courier.next_deadline() == START + 5 * clock.SECOND
    route.courier.receive(route.answer(slow))
    assert route.courier.next_deadline() is None
    assert route.courier.expire(START + 60 * clock.SECOND) == []


def test_a_reset_gives_everything_up_and_no_old_answer_counts() -> None:
    route = Route()
    requests = [route.ask(name) for name in "abc"]
    assert route.courier.reset() == ["a", "b", "c"]
    assert (len(route.courier), route.courier.next_deadline()) == (0, None)
    with pytest.raises(RemoteProtocolError, match="unknown surb"):
        route.courier.receive(route.answer(requests[0]))
