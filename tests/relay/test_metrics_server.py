"""The metrics' own port: what it answers, what it refuses, and who cannot block it."""

from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio
import trio.testing

from shoal_node import metrics_server
from shoal_protocol.errors import UserError

TEXT = b"# HELP shoal_ready x\n# TYPE shoal_ready gauge\nshoal_ready 1.0\n"


async def start(nursery: trio.Nursery, host: str = "127.0.0.1") -> int:
    url: str = await nursery.start(partial(metrics_server.run_metrics, lambda: TEXT, host, 0))
    assert url.endswith("/metrics")
    return int(url.rpartition(":")[2].partition("/")[0])


async def ask(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Return the head and the body of the answer."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(request)
        answer = b"".join([bytes(part) async for part in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_a_scrape_gets_the_text_whole_with_its_type(nursery: trio.Nursery) -> None:
    port = await start(nursery)
    with trio.fail_after(10):
        for request in (
            b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9469\r\nAccept-Encoding: gzip\r\n\r\n",
            b"GET /metrics?x=1 HTTP/1.0\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nhost: localhost:1\r\n\r\n",
        ):
            head, body = await ask(port, request)
            assert head.startswith(b"HTTP/1.0 200 OK\r\n")
            assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
            assert b"Content-Length: %d" % len(TEXT) in head
            assert body == TEXT


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1", 405),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1", 404),
        (b"GET /metrics/../ HTTP/1.1\r\nHost: 127.0.0.1", 404),
        (b"GET /metrics", 400),
        (b"\x16\x03\x01\x00", 400),
        (b"GET /metrics\xff HTTP/1.1", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1.evil.example:80", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1]:9469", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: ", 421),
    ],
)
def test_anything_else_is_refused(request_head: bytes, status: int) -> None:
    assert metrics_server.judge(request_head + b"\r\n\r\n", strict=True) == status


def test_where_others_may_ask_a_name_is_as_good_as_an_address() -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: relay.example:9469\r\n\r\n"
    assert metrics_server.judge(request, strict=False) == 200


async def test_a_refused_request_ends_with_its_status_and_tells_nothing(
    nursery: trio.Nursery,
) -> None:
    port = await start(nursery)
    with trio.fail_after(10):
        head, body = await ask(port, b"GET /secret HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 404 ")
        assert body == b"Not Found\n"
        head, _ = await ask(port, b"GET /metrics HTTP/1.1\r\nX: " + bytes(8_200))
        assert head.startswith(b"HTTP/1.0 431 ")


async def test_silent_connections_give_way_to_one_that_asks(nursery: trio.Nursery) -> None:
    port = await start(nursery)
    async with AsyncExitStack() as held:
        with trio.fail_after(4):
            for _ in range(20):
                await held.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
            head, body = await ask(port, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert body == TEXT


async def test_a_slow_connection_is_hung_up_on_in_time(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    mine, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(metrics_server.Server(lambda: TEXT, strict=True), theirs)
    began = trio.current_time()
    await mine.send_all(b"GET /metrics HTTP/1.1\r\n")
    assert bytes(await mine.receive_some()) == b""
    assert trio.current_time() - began == pytest.approx(metrics_server.REQUEST_S, abs=0.1)


async def test_a_port_that_is_taken_is_one_sentence(nursery: trio.Nursery) -> None:
    port = await start(nursery)
    with pytest.raises(UserError, match=r"^metrics\.listen: nothing can listen on 127"):
        await metrics_server.run_metrics(lambda: TEXT, "127.0.0.1", port)


async def test_an_open_port_warns_and_a_closed_one_does_not(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    await start(nursery)
    assert not caplog.records
    await start(nursery, "0.0.0.0")
    assert [record.message for record in caplog.records] == [metrics_server.OPEN]
