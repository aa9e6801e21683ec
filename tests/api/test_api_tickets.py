"""One-time tickets: what a browser is started with instead of the token."""

import os
import socket
import sys
from pathlib import Path

import pytest
import trio

import fake_node
from api_calls import TOKEN, Served, serving
from shoal_node.api import tickets
from shoal_node.api.tickets import Tickets

NO_TOKEN = {"Authorization": None}


async def redeem(
    served: Served, ticket: str, headers: dict[str, str | None] | None = None
) -> tuple[int, object]:
    """Redeem a ticket as the page does, without a token."""
    given = NO_TOKEN | (headers or {})
    return (await served.call("POST", "/api/v1/ticket", {"ticket": ticket}, headers=given))[:2]


async def test_a_ticket_is_redeemed_for_the_token_once_and_without_it() -> None:
    async with serving() as served:
        ticket = (await served.post("/tickets", {}))["ticket"]
        assert len(ticket) >= 40 and TOKEN not in ticket
        assert await redeem(served, ticket) == (200, {"token": TOKEN})
        assert (await redeem(served, ticket))[0] == 401
        assert (await redeem(served, "x"))[0] == 401
        other = await served.post("/tickets", {})
        assert other["ticket"] != ticket


async def test_tickets_are_given_to_who_has_the_token_only() -> None:
    async with serving() as served:
        answer = await served.call("POST", "/api/v1/tickets", {}, headers=NO_TOKEN)
        assert answer[0] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://attacker.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "attacker.example"}, 421),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
async def test_another_site_cannot_redeem_a_ticket_and_does_not_use_it_up(
    headers: dict[str, str | None], status: int
) -> None:
    async with serving() as served:
        ticket = (await served.post("/tickets", {}))["ticket"]
        assert (await redeem(served, ticket, headers))[0] == status
        assert (await redeem(served, ticket))[0] == 200


async def test_while_the_node_is_locked_the_page_can_be_opened_and_a_relay_has_none() -> None:
    async with serving() as served:
        await served.node.lock()
        ticket = (await served.post("/tickets", {}))["ticket"]
        assert (await redeem(served, ticket))[0] == 200
    async with serving(fake_node.FakeRelay()) as served:
        assert (await redeem(served, "x"))[0] == 401


def test_a_ticket_lives_for_a_minute() -> None:
    now = [0.0]
    made = Tickets("token", lambda: now[0])
    early, late = made.issue(), made.issue()
    now[0] = tickets.LIFE - 1
    assert made.redeem(early) == "token"
    now[0] = tickets.LIFE
    assert made.redeem(late) is None


def test_a_ticket_that_a_person_clicks_lives_longer_and_never_more_than_an_hour() -> None:
    now = [0.0]
    made = Tickets("token", lambda: now[0])
    printed, longest = made.issue(tickets.PRINTED_LIFE), made.issue(10 * tickets.MAX_LIFE)
    now[0] = tickets.PRINTED_LIFE - 1
    assert made.redeem(printed) == "token"
    now[0] = tickets.MAX_LIFE
    assert made.redeem(longest) is None


async def test_how_long_a_ticket_lives_is_asked_for_within_bounds() -> None:
    async with serving() as served:
        ticket = (await served.post("/tickets", {"life_s": 3600}))["ticket"]
        assert (await redeem(served, ticket))[0] == 200
        for life in (0, 3601):
            asked = await served.call("POST", "/api/v1/tickets", {"life_s": life})
            assert asked[0] == 422


async def test_tickets_are_tried_a_few_at_once_and_then_one_a_second() -> None:
    async with serving() as served:
        ticket = (await served.post("/tickets", {}))["ticket"]
        for _ in range(tickets.BURST):
            assert (await redeem(served, "x"))[0] == 401
        status, _, headers = await served.call(
            "POST", "/api/v1/ticket", {"ticket": ticket}, headers=NO_TOKEN
        )
        assert status == 429 and headers["retry-after"] == "1"
    now = [0.0]
    made = Tickets("token", lambda: now[0])
    assert [made.try_once() for _ in range(tickets.BURST + 1)] == [0.0] * tickets.BURST + [1.0]
    now[0] = 2.0
    assert [made.try_once() for _ in range(3)] == [0.0, 0.0, 1.0]


def test_of_many_tickets_the_newest_stay() -> None:
    made = Tickets("token")
    issued = [made.issue() for _ in range(tickets.MAX_OPEN + 1)]
    assert [made.redeem(one) for one in issued] == [None] + ["token"] * tickets.MAX_OPEN


def test_after_too_many_wrong_ones_all_tickets_are_void() -> None:
    made = Tickets("token")
    first, second = made.issue(), made.issue()
    wrong = ["", "x", "é", first[:-1], second + "x"]
    for number in range(tickets.MAX_WRONG - 1):
        assert made.redeem(wrong[number % len(wrong)]) is None
    assert made.redeem(first) == "token"
    assert made.redeem(first) is None
    assert made.redeem(second) is None
    assert made.redeem(made.issue()) == "token"


HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
LINE = "   0: {} 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  {}        0 1 1\n"
MAPPED = "0000000000000000FFFF00000100007F:C350"


@pytest.mark.parametrize(
    ("end", "user", "ours"),
    [
        ("0100007F:C350", os.getuid(), True),
        ("0100007F:C350", 0, True),
        ("0100007F:C350", os.getuid() + 1, False),
        (MAPPED, os.getuid(), True),
        (MAPPED, os.getuid() + 1, False),
        ("0100007F:C351", os.getuid(), False),
    ],
)
def test_only_this_users_programs_redeem_where_the_system_tells(
    tmp_path: Path, end: str, user: int, ours: bool
) -> None:
    table = tmp_path / "tcp"
    table.write_text(HEAD + LINE.format("0100007F:0001", 7) + LINE.format(end, user))
    assert tickets.is_ours(("127.0.0.1", 50_000), [table]) is ours
    assert tickets.is_ours(("127.0.0.1", 50_000), [tmp_path / "none"])
    assert tickets.is_ours(None, [table])


async def test_a_connection_of_this_process_is_ours() -> None:
    async with serving() as served:
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
            host, port = stream.socket.getsockname()
            assert tickets.is_ours((host, port))
        with socket.socket(socket.AF_INET6) as mapped:
            mapped.connect(("::ffff:127.0.0.1", served.port))
            assert tickets.is_ours(("127.0.0.1", mapped.getsockname()[1]))


def test_an_end_that_was_closed_is_listed_as_roots_and_is_not_ours(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    host = f"{int.from_bytes(bytes((127, 0, 0, 1)), sys.byteorder):08X}"
    lines = (f"0: {host}:C350 {host}:1F90 {state} 0:0 0:0 0 0 0 0" for state in ("05", "06"))
    table.write_text("\n".join(("head", *lines)), encoding="ascii")
    assert not tickets.is_ours(("127.0.0.1", 50_000), [table])
