"""``shoal send`` and ``shoal inbox``: chat from a terminal."""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shoal_node.cli import console, files, options, people
from shoal_node.usage import UsageError
from shoal_protocol.errors import UserError

if TYPE_CHECKING:
    from shoal_node.api.client import Client

ORDER: Final = ("queued", "stored", "fetched", "read")
MAX_TEXT: Final = 32_768  # bytes, what the API takes
DEFAULT_TIMEOUT: Final = 120.0  # s of --wait
PAGE: Final = 500  # messages a call
KEYS: Final = (
    "id",
    "from",
    "text",
    "status",
    "received",
    "request",
    "persona",
    "conversation",
    "file",
    "reply_to",
    "expires",
)


def add(commands: options.Commands) -> None:
    """Add the commands."""
    send = options.command(
        commands,
        "send",
        _send,
        "send a message; the first one to a pseudonym is a contact request",
        'shoal send --from ID --to PSEUDONYM "see you at eight" --wait fetched',
    )
    options.add_data(send)
    options.add_json(send)
    send.add_argument(
        "--from",
        dest="persona",
        metavar="ID",
        help="your persona (may be left out where there is one only)",
    )
    send.add_argument(
        "--to",
        metavar="PSEUDONYM_OR_CONTACT",
        required=True,
        help="a pseudonym, or a contact's id or name",
    )
    send.add_argument("text", metavar="TEXT", nargs="?", help="the text, or - for standard input")
    send.add_argument(
        "--file", metavar="F", type=Path, help="send a file of up to 10 MiB, with TEXT or alone"
    )
    send.add_argument(
        "--picture",
        metavar="F",
        type=Path,
        help="send a picture, without anything beside what it shows, with TEXT or alone",
    )
    send.add_argument("--reply-to", metavar="MESSAGE", help="the id of the message that it answers")
    send.add_argument(
        "--expires-after",
        metavar="TIME",
        type=options.expiry,
        help="let it disappear at both ends after TIME: 30s, 5m, 2h, 1d, up to 4w",
    )
    send.add_argument(
        "--wait",
        choices=("stored", "fetched", "read"),
        help="wait until it is so; without receipts, read ends at fetched",
    )
    send.add_argument(
        "--timeout",
        metavar="S",
        type=options.seconds,
        help=f"seconds to wait (default {DEFAULT_TIMEOUT:.0f}; with a file {files.TIMEOUT:.0f})",
    )
    inbox = options.command(
        commands,
        "inbox",
        _inbox,
        "print the messages that came, oldest first; reading changes nothing",
        "shoal inbox --persona ID --follow --json",
    )
    options.add_data(inbox)
    options.add_json(inbox)
    inbox.add_argument("--persona", metavar="ID", help="only those to this persona")
    inbox.add_argument("--follow", action="store_true", help="go on with new ones")


def _attachment(arguments: argparse.Namespace) -> Path | None:
    """The file or picture that goes along."""
    if arguments.file is not None and arguments.picture is not None:
        raise UsageError("send: a message bears a file or a picture, not both.")
    found: Path | None = arguments.file if arguments.picture is None else arguments.picture
    return found


def _text(given: str | None, *, alone: bool) -> str:
    """The text to send, ``alone`` or with a file."""
    if given is None:
        if alone:
            raise UsageError("send: give TEXT, or - for standard input, or --file F.")
        return ""
    most = MAX_TEXT if alone else files.MAX_FILE_TEXT
    if given == "-":
        data = sys.stdin.buffer.read(most + 1)
    else:
        data = given.encode("utf-8", "surrogateescape")
    if len(data) > most or (alone and not data):
        raise UserError(
            f"A message has 1 to {MAX_TEXT} bytes."
            if alone
            else f"A text that goes with a file has at most {most} bytes."
        )
    try:
        return str(data.decode())
    except UnicodeDecodeError:
        raise UserError("The text is not UTF-8.") from None


def _conversation(client: "Client", persona: str, to: str) -> str:
    """The conversation of ``persona`` with the contact or pseudonym ``to``, made if need be."""
    contacts = client.get("personas", persona, "contacts")
    for contact in contacts:
        if to in (contact["id"], contact["pseudonym"]):
            return str(contact["conversation"])
    if any(people.shown(contact) == to for contact in contacts):
        return str(people.contact(client, persona, to)["conversation"])
    if not to.startswith("shoal"):
        raise UserError("There is no such contact, and this is no pseudonym.")
    added = client.post("personas", persona, "contacts", body={"pseudonym": to})
    return str(added["conversation"])


def _send(arguments: argparse.Namespace) -> None:
    path = _attachment(arguments)
    text = _text(arguments.text, alone=path is None)
    content = None if path is None else files.read(path)
    client = options.client(arguments)
    persona = people.persona(client, arguments.persona)
    conversation = _conversation(client, persona["id"], arguments.to)
    key = secrets.token_hex(16)
    beside: dict[str, Any] = {"text": text}
    if arguments.reply_to is not None:
        beside["reply_to"] = arguments.reply_to
    if arguments.expires_after is not None:
        beside["expires_after"] = arguments.expires_after

    def send() -> dict[str, Any]:
        if path is not None and content is not None:
            picture = arguments.picture is not None
            return files.send(client, conversation, path, content, beside, key, picture=picture)
        sent: dict[str, Any] = client.post(
            "conversations", conversation, "messages", body=beside, key=key
        )
        return sent

    if arguments.wait is None:
        sent = send()
        status = sent["status"]
    else:
        usual = DEFAULT_TIMEOUT if content is None else files.TIMEOUT
        wanted = _knowable(arguments.wait, persona)
        sent, status = _await(client, send, wanted, arguments.timeout or usual)
    if arguments.json:
        console.out_json({"id": sent["id"], "status": status})
    else:
        console.out(f"{status}  {console.clean(sent['id'])}")
    if status == "failed":
        raise UserError(f"Message {sent['id']} could not be delivered.")


def _knowable(wanted: str, persona: dict[str, Any]) -> str:
    """The state that can be waited for: nobody tells of reading where our receipts are off."""
    return "fetched" if wanted == "read" and not persona["receipts"] else wanted


def _await(
    client: "Client", send: Callable[[], dict[str, Any]], wanted: str, timeout: float
) -> tuple[dict[str, Any], str]:
    """Send, and wait until the message is so far or failed; returns it and its status."""
    deadline = time.monotonic() + timeout
    with client.follow() as events, console.Progress(terminal_only=True) as progress:
        events.next(timeout)  # from now on nothing is missed
        sent = send()
        status = str(sent["status"])
        bar = files.Bar(progress, "Sending")
        bar.show(sent["file"])
        while status != "failed" and not _reached(status, wanted):
            frame = events.next(max(deadline - time.monotonic(), 0.0))
            if frame is None:
                raise UserError(
                    f"Message {sent['id']} is {status}, not {wanted}, after "
                    f"{timeout:g} s; the node goes on trying."
                )
            if frame["type"] == "status" and frame["data"]["id"] == sent["id"]:
                status = frame["data"]["status"]
                bar.show(frame["data"]["file"])
        return sent, status


def _reached(status: str, wanted: str) -> bool:
    return ORDER.index(status) >= ORDER.index(wanted)


def history(client: "Client", conversation: str) -> list[dict[str, Any]]:
    """All messages of a conversation, oldest first."""
    found: list[dict[str, Any]] = []
    before = None
    while True:
        page = client.get("conversations", conversation, "messages", before=before, limit=PAGE)
        found[:0] = page
        if len(page) < PAGE:
            return found
        before = page[0]["id"]


def received(client: "Client", persona: str | None) -> list[dict[str, Any]]:
    """All messages that came to ``persona``, or to any, oldest first."""
    found = [
        message
        for conversation in client.get("conversations")
        if persona in (None, conversation["persona"])
        for message in history(client, conversation["id"])
        if not message["outgoing"]
    ]
    return sorted(found, key=lambda message: (message["received"], message["id"]))


def _inbox(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    if arguments.persona is not None:
        arguments.persona = people.persona(client, arguments.persona)["id"]
    messages = (
        following(client, arguments.persona)
        if arguments.follow
        else iter(received(client, arguments.persona))
    )
    for message in messages:
        _print(message, as_json=arguments.json)


def following(client: "Client", persona: str | None) -> Iterator[dict[str, Any]]:
    """The whole history, then each new message once, for as long as the node runs."""
    from shoal_node.api.client import NodeGone

    seen: set[str] = set()
    while True:
        with client.follow() as events:
            for message in received(client, persona):
                if message["id"] not in seen:
                    seen.add(message["id"])
                    yield message
            try:
                while True:
                    frame = events.next()
                    if frame is None or frame["type"] != "message":
                        continue
                    message = frame["data"]
                    fresh = not message["outgoing"] and message["id"] not in seen
                    if fresh and persona in (None, message["persona"]):
                        seen.add(message["id"])
                        yield message
            except NodeGone:
                client.get("status")  # raises when the node itself has gone


def _print(message: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.out_json({key: message[key] for key in KEYS})
        return
    sender = console.clean(message["from"]) + ("  (contact request)" if message["request"] else "")
    lines = []
    if message["reply_to"] is not None:
        quoted = message["reply_to"]["text"]
        lines.append("> " + ("…" if quoted is None else console.clean(quoted)))
    if message["text"] or message["file"] is None:
        lines.append(console.clean(message["text"]))
    if message["file"] is not None:
        lines.append(f"{files.shown(message['file'])}  shoal save {console.clean(message['id'])}")
    if message["expires"] is not None:
        lines.append(f"(disappears at {message['expires']})")
    if not sys.stdout.isatty():  # one record a line
        console.out("\t".join([message["received"], sender, *lines]))
        return
    console.out(f"{message['received']}  {sender}")
    for line in lines:
        console.out(f"    {line}")
