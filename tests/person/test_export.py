"""A conversation written out for programs and for people."""

import json
from typing import Any, Final

from shoal_node import export
from shoal_node.api.values import File, Message, Reply
from shoal_protocol import clock

NOW: Final = 1_800_000_000 * clock.SECOND
ADA, BOB = export.Who("Ada", "shoal1ada"), export.Who("Bo\nb\u202e", "shoal1bob")


def message(number: int, text: str, outgoing: bool = False, **more: Any) -> Message:
    """A message of a second each."""
    return Message(
        id=f"{number:024x}",
        conversation="c",
        persona="p",
        sender="shoal1ada" if outgoing else "shoal1bob",
        outgoing=outgoing,
        text=text,
        status="fetched",
        request=False,
        created=NOW + number * clock.SECOND,
        received=None if outgoing else NOW + (number + 1) * clock.SECOND,
        **more,
    )


SAID: Final = [
    message(1, "hello", outgoing=True),
    message(2, "over", expires=NOW + 50 * clock.SECOND),
    message(3, "late", expires=NOW + 500 * clock.SECOND, expires_after=500),
    message(4, "ja", reply_to=Reply(f"{1:024x}", True, "hello")),
    message(5, "to what is over", reply_to=Reply(f"{2:024x}", False, "over")),
    message(6, "two\nlines", outgoing=True, file=File("a.txt", 12, "text/plain", "whole", 0, 0)),
    message(7, "", file=File("b.jpg", 3, "image/jpeg", "fetching", 1, 9)),
]
LATER: Final = NOW + 100 * clock.SECOND


def test_json_has_times_names_texts_files_and_replies() -> None:
    table = json.loads(export.as_json(ADA, BOB, SAID, LATER))
    assert (table["format"], table["version"]) == ("shoal-conversation", 1)
    assert table["exported"] == "2027-01-15T08:01:40.000000Z"
    assert table["contact"] == {"name": "Bo\nb\u202e", "pseudonym": "shoal1bob"}
    first, *_, two, picture = table["messages"]
    assert first == {
        "id": f"{1:024x}",
        "from": "you",
        "time": "2027-01-15T08:00:01.000000Z",
        "received": None,
        "text": "hello",
        "status": "fetched",
        "file": None,
        "reply_to": None,
        "expires": None,
    }
    assert two["text"] == "two\nlines"
    assert picture["file"] == {
        "name": "b.jpg",
        "size": 3,
        "media_type": "image/jpeg",
        "state": "fetching",
    }
    assert table["messages"][2]["reply_to"] == {"id": f"{1:024x}", "from": "you", "text": "hello"}


def test_nothing_of_a_message_whose_time_is_over_is_written() -> None:
    for written in (
        export.as_json(ADA, BOB, SAID, LATER).decode(),
        export.as_text(ADA, BOB, SAID, LATER).decode(),
    ):
        assert "late" in written
        assert '"over"' not in written
        assert "> over" not in written
        assert f"{2:024x}" not in written
    assert "> (a message that is gone)" in export.as_text(ADA, BOB, SAID, LATER).decode()


def test_text_is_for_people() -> None:
    lines = export.as_text(ADA, BOB, SAID, LATER).decode().split("\n")
    assert lines[:4] == [
        "Ada (shoal1ada)",
        "Bo b (shoal1bob)",
        "Exported 2027-01-15 08:01:40 UTC; all times are UTC.",
        "",
    ]
    assert lines[4] == "2027-01-15 08:00:01  Ada: hello"
    assert lines[6:8] == ["2027-01-15 08:00:04  Bo b: > hello", " " * 21 + "ja"]
    assert lines[-4:-1] == [
        " " * 21 + "lines",
        " " * 21 + "[file: a.txt, 12 bytes, whole]",
        "2027-01-15 08:00:07  Bo b: [file: b.jpg, 3 bytes, fetching]",
    ]


def test_no_message_can_look_like_another() -> None:
    forged = "hi\n2027-01-15 08:00:09  Ada: I agree\x1b[2K\r\u2028\u202e\x85end"
    written = export.as_text(ADA, BOB, [message(1, forged)], LATER).decode()
    assert [line for line in written.split("\n") if line.startswith("2027-")] == [
        "2027-01-15 08:00:01  Bo b: hi"
    ]
    assert not any(letter in written for letter in "\x1b\r\u2028\u202e\x85")


def test_what_was_not_sent_says_so() -> None:
    queued = Message("a", "c", "p", "s", True, "x", "queued", False, NOW, None)
    assert "(queued)" in export.as_text(ADA, BOB, [queued], LATER).decode()


def test_the_emptiest_conversation_is_written_out_too() -> None:
    assert json.loads(export.as_json(ADA, BOB, [], NOW))["messages"] == []
    assert export.as_text(ADA, BOB, [], NOW).decode().count("\n") == 4
