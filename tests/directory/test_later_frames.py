"""Frames of a later version are answered and cost no channel."""

import msgpack
import pytest

from directory.world import Author
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import frames, sync
from shoal_protocol.directory.frames import CODEC
from shoal_protocol.directory.survey import Survey
from shoal_protocol.directory.sync import DirectorySync, SendFrame
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import LAB
from support import START, seeded

PEER = b"a later version\0"
LATER = [12, b"something", [1, [2, "new"]], None]


def machine(*, serve: bool = True) -> DirectorySync:
    view = DirectoryView(LAB)
    author = Author("known")
    view.add_descriptor(author.descriptor(), START)
    view.add_lease(author.lease(), START)
    made = DirectorySync(view, rng=seeded(), serve=serve)
    made.connected(PEER, START)
    return made


def test_a_frame_of_a_later_version_is_answered_so_and_the_channel_goes_on() -> None:
    relay = machine()
    later: list[bytes] = [msgpack.packb([tag, *LATER[1:]]) for tag in (12, 100, 127)]
    for tag, frame in zip((12, 100, 127), later, strict=True):
        assert relay.receive(PEER, frame, START) == [
            SendFrame(PEER, CODEC.encode(frames.Unknown(tag)))
        ]
    (same,) = relay.receive(PEER, CODEC.encode(frames.Ask(relay.view.tree.root())), START)
    assert same == SendFrame(PEER, CODEC.encode(frames.Same()))
    assert relay.counters == {"frame of a later version": 3}


def test_a_persons_node_says_nothing_to_it_and_goes_on() -> None:
    assert machine(serve=False).receive(PEER, msgpack.packb(LATER), START) == []


@pytest.mark.parametrize(
    "frame",
    [
        msgpack.packb([128, 1]),
        msgpack.packb([-1, 1]),
        msgpack.packb(["12", 1]),
        msgpack.packb([True]),
        msgpack.packb([]),
        msgpack.packb(12),
        msgpack.packb([12, {"a": 1}]),
        msgpack.packb([12]) + b"\0",
        msgpack.packb([1, 2]),
        b"\xdd\xff\xff\xff\xff\x0c",
    ],
    ids=range(10),
)
def test_what_no_version_would_send_closes_the_channel(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="wire"):
        machine().receive(PEER, frame, START)


def test_frames_of_later_versions_are_within_a_peers_allowance() -> None:
    relay, count = machine(), 0
    frame: bytes = msgpack.packb(LATER)
    with pytest.raises(RemoteProtocolError, match="flood"):
        while True:
            relay.receive(PEER, frame, START)
            count += 1
    assert count <= sync.FRAME_BURST
    relay.receive(PEER, frame, START + SECOND)


def test_who_does_not_know_our_question_is_not_waited_for_and_who_was_not_asked_is_at_fault() -> (
    None
):
    survey = Survey()
    survey.start(START)
    survey.not_known()
    assert survey.deadline is None
    with pytest.raises(RemoteProtocolError, match="unasked answer"):
        machine().receive(PEER, CODEC.encode(frames.Unknown(9)), START)
