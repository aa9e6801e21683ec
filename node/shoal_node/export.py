"""A conversation written out, as JSON for programs and as plain text for people.

::

    JSON   {"format", "version", "exported", "you", "contact", "messages": [{"id", "from",
            "time", "received", "text", "status", "file", "reply_to", "expires"}]}
    text   2026-11-22 18:05:07  Ada: what was said
                                and its second line
                                > what it answers     [file: name, 1234 bytes, whole]

Nothing of it is encrypted, and whoever has it has what was said: the person decides where to.
Messages whose time is over are not in it, nor what others quoted of them. In the text form a
message's lines are indented, and what would move a cursor or turn the direction of writing is
left out, so that no message can look like another's; JSON has every character. Files are
named, and not in it. Times are UTC: a time zone would say where.
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shoal_node.api.schema import timestamp
from shoal_node.api.values import File, Message

FORMAT: Final = "shoal-conversation"
VERSION: Final = 1

_INDENT: Final = " " * 21  # as wide as a time and two spaces
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # Unicode's general categories
_JOINERS: Final = "\u200c\u200d"  # of the unseen, what some scripts and emoji need


@dataclass(frozen=True, slots=True)
class Who:
    """One side of a conversation: the name that is shown, and the pseudonym's text."""

    name: str
    pseudonym: str


def as_json(you: Who, contact: Who, messages: Sequence[Message], now: int) -> bytes:
    """Return a conversation as JSON in UTF-8, for programs.

    Args:
        messages: in the order in which they are shown.
        now: ns; what has expired by then is left out.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "exported": timestamp(now),
        "you": {"name": you.name, "pseudonym": you.pseudonym},
        "contact": {"name": contact.name, "pseudonym": contact.pseudonym},
        "messages": [_table(message, gone) for message, gone in _alive(messages, now)],
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def as_text(you: Who, contact: Who, messages: Sequence[Message], now: int) -> bytes:
    """Return a conversation as plain text in UTF-8, for people; arguments as of JSON."""
    lines = [
        f"{_line(you.name)} ({you.pseudonym})",
        f"{_line(contact.name)} ({contact.pseudonym})",
        f"Exported {_moment(now)} UTC; all times are UTC.",
        "",
    ]
    for message, gone in _alive(messages, now):
        lines += _lines(message, _line((you if message.outgoing else contact).name), gone)
    return ("\n".join(lines) + "\n").encode()


def _alive(messages: Sequence[Message], now: int) -> Iterable[tuple[Message, bool]]:
    """Yield messages whose time is not over, and whether what they answer is gone."""
    over = {m.id for m in messages if m.expires is not None and m.expires <= now}
    for message in messages:
        if message.id not in over:
            yield message, message.reply_to is not None and message.reply_to.id in over


def _table(message: Message, answers_what_is_gone: bool) -> dict[str, Any]:
    reply = message.reply_to
    return {
        "id": message.id,
        "from": "you" if message.outgoing else "contact",
        "time": timestamp(message.created),
        "received": None if message.received is None else timestamp(message.received),
        "text": message.text,
        "status": message.status,
        "file": None if message.file is None else _file(message.file),
        "reply_to": None
        if reply is None
        else {
            "id": None if answers_what_is_gone else reply.id,
            "from": "you" if reply.outgoing else "contact",
            "text": None if answers_what_is_gone else reply.text,
        },
        "expires": None if message.expires is None else timestamp(message.expires),
    }


def _file(file: File) -> dict[str, Any]:
    return {
        "name": file.name,
        "size": file.size,
        "media_type": file.media_type,
        "state": file.state,
    }


def _lines(message: Message, name: str, answers_what_is_gone: bool) -> list[str]:
    said: list[str] = []
    if message.reply_to is not None:
        quoted = None if answers_what_is_gone else message.reply_to.text
        said.append("> " + ("(a message that is gone)" if quoted is None else _line(quoted)))
    said += [_visible(line) for line in message.text.splitlines()] if message.text else []
    if message.file is not None:
        file = message.file
        said.append(f"[file: {_line(file.name)}, {file.size} bytes, {file.state}]")
    if message.outgoing and message.status in ("queued", "failed"):
        said.append(f"({message.status})")
    first, *rest = said or [""]
    head = f"{_moment(message.created)}  {name}: {first}".rstrip()
    return [head, *(f"{_INDENT}{line}".rstrip() for line in rest)]


def _moment(time: int) -> str:
    return timestamp(time)[:19].replace("T", " ")


def _line(text: str) -> str:
    return " ".join(_visible(line) for line in text.splitlines())


def _visible(text: str) -> str:
    """Return ``text`` without characters that control instead of showing."""
    return "".join(
        letter
        for letter in text.replace("\t", " ")
        if letter in _JOINERS or unicodedata.category(letter) not in _UNSEEN
    )
