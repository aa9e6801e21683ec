"""Events: the hub's ring and buffers, and the WebSocket over it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws

import api_calls
from api_calls import PATIENCE, TOKEN, Served, serving
from shoal_node.api import events
from shoal_node.transport.interface import TaskStatus
from shoal_protocol.clock import SECOND
from support import START


async def test_a_subscriber_resumes_without_gaps() -> None:
    hub = events.Hub[int](START)
    first = hub.publish(1)
    hub.publish(2)
    async with hub.subscribe(first.seq) as following:
        hub.publish(3)
        assert [(await anext(following)).data for _ in range(2)] == [2, 3]


async def test_sequence_numbers_of_an_earlier_run_are_gone() -> None:
    earlier, later = events.Hub[int](START), events.Hub[int](START + SECOND)
    old = earlier.publish(1).seq
    later.publish(1)
    for since in (old, later.last + 1, 0):
        with pytest.raises(events.NotKept):
            async with later.subscribe(since):
                pass
    async with later.subscribe(later.last):
        pass
    assert later.last < 2**53


async def test_the_ring_is_bounded() -> None:
    hub = events.Hub[int](START)
    start = hub.last
    for number in range(events.RING_LENGTH + 1):
        hub.publish(number)
    with pytest.raises(events.NotKept):
        async with hub.subscribe(start):
            pass
    async with hub.subscribe(start + 1) as following:
        assert (await anext(following)).data == 1


async def test_a_slow_subscriber_is_dropped_and_the_others_go_on() -> None:
    hub = events.Hub[int](START)
    async with hub.subscribe() as slow, hub.subscribe() as quick:
        for number in range(events.BUFFER_LENGTH + 1):
            hub.publish(number)
            assert (await anext(quick)).data == number
        assert hub.dropped == 1
        taken = [event.data async for event in slow]
        assert taken == list(range(events.BUFFER_LENGTH))


async def test_subscribers_are_bounded() -> None:
    hub = events.Hub[int](START)
    async with trio.open_nursery() as nursery:

        async def follow(*, task_status: TaskStatus[None]) -> None:
            async with hub.subscribe():
                task_status.started(None)
                await trio.sleep_forever()

        for _ in range(events.MAX_SUBSCRIBERS):
            await nursery.start(follow)
        with pytest.raises(events.TooManySubscribers):
            async with hub.subscribe():
                pass
        nursery.cancel_scope.cancel()
    async with hub.subscribe():
        pass


class Follower:
    """A WebSocket client in trio."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._machine = WSConnection(ConnectionType.CLIENT)
        self._events: list[ws.Event] = []

    async def open(self, served: Served, since: int | None) -> None:
        request = ws.Request(
            host=served.host,
            target="/api/v1/events" + ("" if since is None else f"?since={since}"),
            subprotocols=["shoal.v1", f"bearer.{TOKEN}"],
        )
        await self._stream.send_all(self._machine.send(request))
        accepted = await self.event()
        assert isinstance(accepted, ws.AcceptConnection)
        assert accepted.subprotocol == "shoal.v1"

    async def event(self) -> ws.Event:
        with trio.fail_after(PATIENCE):
            while not self._events:
                data = await self._stream.receive_some(65_536)
                self._machine.receive_data(data or None)
                self._events += [e for e in self._machine.events() if not isinstance(e, ws.Ping)]
            return self._events.pop(0)

    async def frame(self) -> Any:
        text = ""
        while True:
            event = await self.event()
            assert isinstance(event, ws.TextMessage), event
            text += event.data
            if event.message_finished:
                return json.loads(text)

    async def send(self, event: ws.Event) -> None:
        await self._stream.send_all(self._machine.send(event))


@asynccontextmanager
async def following(served: Served, since: int | None = None) -> AsyncIterator[Follower]:
    async with await served.open() as stream:
        follower = Follower(stream)
        await follower.open(served, since)
        yield follower


async def test_the_socket_tells_the_state_then_each_event() -> None:
    async with serving() as served, following(served) as follower:
        hello = await follower.frame()
        assert hello["type"] == "network"
        assert hello["data"] == {"ready": True, "relays": 8, "queue": 0}
        assert hello["seq"] == served.node.events.last
        mine = await served.post("/personas", {})
        contact = await served.post(
            f"/personas/{mine['id']}/contacts", {"pseudonym": "shoal-other"}
        )
        path = f"/conversations/{contact['conversation']}/messages"
        sent = await served.post(path, {"text": "你好"})
        frames = [await follower.frame() for _ in range(6)]
        types = ["persona", "contact", *["status"] * 3, "message"]
        assert [frame["type"] for frame in frames] == types
        assert [frame["seq"] for frame in frames] == list(range(hello["seq"] + 1, hello["seq"] + 7))
        assert frames[0]["data"] == mine
        frames = frames[1:]
        assert [frame["data"]["status"] for frame in frames[1:4]] == ["stored", "fetched", "read"]
        assert frames[1]["data"]["id"] == sent["id"]
        assert frames[4]["data"]["from"] == "shoal-other" and frames[4]["data"]["text"] == "你好"

    async with serving() as served:
        status, problem, _ = await served.raw(
            api_calls.upgrade(served, f"/api/v1/events?since={hello['seq'] + 8}")
        )
        assert status == 410 and "no longer kept" in problem["detail"]


async def test_since_resumes_over_a_new_connection() -> None:
    async with serving() as served:
        async with following(served) as follower:
            seq = (await follower.frame())["seq"]
        mine = await served.post("/personas", {})
        path = f"/personas/{mine['id']}/contacts"
        await served.post(path, {"pseudonym": "shoal-a"})
        await served.post(path, {"pseudonym": "shoal-b"})
        async with following(served, seq + 2) as follower:
            assert (await follower.frame())["seq"] == seq + 2
            frame = await follower.frame()
            assert frame["seq"] == seq + 3 and frame["data"]["pseudonym"] == "shoal-b"


@pytest.mark.parametrize("query", ["since=x", "since=-1", "since=1&since=2", "until=3"])
async def test_a_bad_query_is_refused_before_the_handshake(query: str) -> None:
    async with serving() as served:
        request = api_calls.upgrade(served, f"/api/v1/events?{query}")
        status, problem, _ = await served.raw(request)
        assert status == 400 and problem["detail"]


async def test_what_a_follower_sends_is_ignored_or_ends_its_connection_only() -> None:
    async with serving() as served:
        for event in (
            ws.TextMessage(data="hello"),
            ws.BytesMessage(data=b"\0" * 100),
            ws.TextMessage(data="x" * 10_000),
            ws.CloseConnection(code=1000),
        ):
            async with following(served) as follower:
                await follower.frame()
                await follower.send(event)
                assert await served.get("/personas") == []
        assert served.node.events.dropped == 0


async def test_a_follower_that_does_not_read_is_dropped_and_the_node_goes_on() -> None:
    async with serving() as served, following(served):
        mine = await served.post("/personas", {})
        contact = await served.post(
            f"/personas/{mine['id']}/contacts", {"pseudonym": "shoal-other"}
        )
        path = f"/conversations/{contact['conversation']}/messages"
        text = "x" * 32_000
        for _ in range(2000):
            if served.node.events.dropped:
                break
            await served.node.send(contact["conversation"], text, None)
            await trio.lowlevel.checkpoint()
        assert served.node.events.dropped == 1
        assert len(await served.get(f"{path}?limit=1")) == 1
