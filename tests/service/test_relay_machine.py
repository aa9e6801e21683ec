"""A relay without sockets and disk: what ends here reaches the store, and its answer goes out."""

import pytest

from service.asker import RELAY, Asker
from service.served import Served
from shoal_protocol import clock
from shoal_protocol.packets import build
from shoal_protocol.packets.keys import Hop, MixKeyring
from shoal_protocol.parameters import LAB
from shoal_protocol.relay.machine import RelayMachine
from shoal_protocol.relay.mix import MixMachine
from shoal_protocol.service.desk import EXPIRE_INTERVAL, Access
from shoal_protocol.service.messages import Reply, Request, Status
from shoal_protocol.service.storage import Expire, GetBox, PutBox
from support import START, seeded

PEER = b"the peer's id 16"


class World:
    """One relay, and packets that end at it."""

    def __init__(self) -> None:
        self.rng = seeded("relay machine")
        self.served = Served()
        mixer = MixMachine(MixKeyring(LAB.hash), RELAY, LAB, now=START, rng=self.rng)
        self.relay = RelayMachine(mixer, self.served.desk)
        (expire,) = self.relay.handle_timer(START)
        assert isinstance(expire, Access)
        assert isinstance(expire.operation, Expire)
        assert self.relay.stored(expire.ticket, 0, START) == []

    def packet(self, request: Request, delay_ms: int = 0) -> bytes:
        epoch = clock.index_of(START, LAB.epoch_s)
        hop = Hop(RELAY, epoch, dict(self.relay.mix.public_keys())[epoch], delay_ms)
        return build.forward([hop], request.encode(), network=LAB.hash, rng=self.rng)


def test_a_request_reaches_the_store_when_its_delay_is_over() -> None:
    world, asker = World(), Asker()
    packet = world.packet(asker.put_box(asker.box()), delay_ms=700)
    assert world.relay.receive(packet, PEER, START) == []
    due = START + 700 * clock.MILLISECOND
    assert world.relay.next_deadline() == due
    (access,) = world.relay.handle_timer(due)
    assert isinstance(access, Access)
    assert isinstance(access.operation, PutBox)
    (event,) = world.relay.stored(access.ticket, Status.OK, due)
    assert asker.reply(event) == Reply(Status.OK)
    assert world.relay.next_deadline() == START + EXPIRE_INTERVAL


@pytest.mark.parametrize("full", [True, False])
def test_what_the_store_could_not_do_is_told(full: bool) -> None:
    world, asker = World(), Asker()
    requests = asker.put_box(asker.box()), asker.get_box(asker.box()[:32], 1000)
    accesses = [
        event
        for request in requests
        for event in world.relay.receive(world.packet(request), PEER, START)
    ]
    replies = []
    for access in accesses:
        assert isinstance(access, Access)
        (event,) = world.relay.store_failed(access.ticket, START, full=full)
        replies.append(asker.reply(event))
    assert replies == [
        Reply(Status.FULL if full else Status.UNAVAILABLE),
        Reply(Status.UNAVAILABLE),
    ]


def test_the_end_of_a_wait_is_a_deadline_of_the_relay() -> None:
    world, asker = World(), Asker()
    packet = world.packet(asker.get_box(asker.box()[:32], 1500))
    (access,) = world.relay.receive(packet, PEER, START)
    assert isinstance(access, Access)
    assert isinstance(access.operation, GetBox)
    assert world.relay.stored(access.ticket, None, START) == []
    end = START + 1500 * clock.MILLISECOND
    assert world.relay.next_deadline() == end
    (event,) = world.relay.handle_timer(end)
    assert asker.reply(event) == Reply(Status.EMPTY)
