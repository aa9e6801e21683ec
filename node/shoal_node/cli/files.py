"""Files from a terminal: ``shoal send --file`` reads one, ``shoal save`` writes one that came.

A file that came is written under its name made safe once more, to a new file only: what is
there already is never written over.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shoal_node.cli import console, options
from shoal_protocol.errors import UserError

if TYPE_CHECKING:
    from shoal_node.api.client import Client

MAX_FILE: Final = 10 * 2**20  # bytes, what the API takes
MAX_FILE_TEXT: Final = 4096  # bytes of a text that goes with a file, what the API takes
TIMEOUT: Final = 3600.0  # s of --wait, where a file is on its way
ANY_MEDIA_TYPE: Final = "application/octet-stream"


def add(commands: options.Commands) -> None:
    """Add the command."""
    save = options.command(
        commands,
        "save",
        _save,
        "save the file of a message that came; never over a file that is there",
        "shoal save MESSAGE -o picture.jpg --wait",
    )
    options.add_data(save)
    options.add_json(save)
    save.add_argument("message", metavar="MESSAGE", help="the message's id, as the inbox shows it")
    save.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="where to: a new file, or a directory (default: its name, in this directory)",
    )
    save.add_argument("--wait", action="store_true", help="wait until all of it is here")
    save.add_argument(
        "--timeout",
        metavar="S",
        type=options.seconds,
        default=TIMEOUT,
        help=f"seconds to wait (default {TIMEOUT:.0f})",
    )


def read(path: Path, most: int = MAX_FILE) -> bytes:
    """Return what is to be sent; raises UserError when it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > most:
        raise UserError(f"A file may have at most {most // 2**20} MiB.")
    return content


def send(
    client: "Client",
    conversation: str,
    path: Path,
    content: bytes,
    beside: Mapping[str, str],
    key: str,
    *,
    picture: bool = False,
) -> dict[str, Any]:
    """Send a file, or a picture, with what goes beside it (text, reply_to, expires_after)."""
    import mimetypes

    kind, encoding = mimetypes.guess_type(path.name)
    if picture:
        if kind is None or not kind.startswith("image/"):
            kind = f"image/{path.suffix.lower().lstrip('.') or 'png'}"
        return _sent(client, conversation, "pictures", content, beside, kind, key)
    if kind is None or encoding is not None:
        kind = ANY_MEDIA_TYPE
    name = path.name.encode(errors="replace")[-255:].decode(errors="ignore") or "file"
    query = {"name": name, "media_type": kind} | dict(beside)
    return _sent(client, conversation, "files", content, query, ANY_MEDIA_TYPE, key)


def _sent(
    client: "Client",
    conversation: str,
    route: str,
    content: bytes,
    query: Mapping[str, str],
    kind: str,
    key: str,
) -> dict[str, Any]:
    sent: dict[str, Any] = client.post_file(
        "conversations", conversation, route, content=content, query=query, kind=kind, key=key
    )
    return sent


def shown(file: dict[str, Any]) -> str:
    """A file in one line: name, size, and how far it is."""
    states = {
        "waiting": "waits for its turn",
        "sending": f"{file['done']} of {file['total']} pieces stored",
        "fetching": f"{file['done']} of {file['total']} pieces here",
        "whole": "whole",
        "failed": "cannot be had",
    }
    return f"[{console.clean(file['name'])}, {size(file['size'])}, {states[file['state']]}]"


def size(count: int) -> str:
    """A number of bytes, for people."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB"


class Bar:
    """The progress of one file on a terminal's standard error; nothing elsewhere."""

    def __init__(self, progress: console.Progress, what: str) -> None:
        self._progress = progress
        self._what = what
        self._report: Callable[[int], None] | None = None

    def show(self, file: dict[str, Any] | None) -> None:
        """Show how far ``file`` is."""
        if file is None or not file["total"]:
            return
        if self._report is None:
            self._report = self._progress.step(self._what, file["total"])
        self._report(file["done"])


def _find(client: "Client", message_id: str) -> dict[str, Any]:
    from shoal_node.cli.chat import history

    for conversation in client.get("conversations"):
        for message in history(client, conversation["id"]):
            if message["id"] == message_id:
                return message
    raise UserError("There is no such message.")


def _save(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    message = _find(client, arguments.message)
    file = message["file"]
    if file is None:
        raise UserError("This message has no file.")
    path = _target(arguments.output, file["name"])
    if path.exists():
        raise UserError(f"{path} is there already: name another file with -o.")
    if arguments.wait and not message["outgoing"]:
        _await_whole(client, message, arguments.timeout)
    content = client.get_bytes(
        "conversations", message["conversation"], "messages", message["id"], "file"
    )
    write_new(path, content)
    if arguments.json:
        console.out_json({"id": message["id"], "file": str(path), "size": len(content)})
    else:
        console.out(f"{console.clean(str(path))}  {size(len(content))}")


def _target(output: Path | None, name: str) -> Path:
    from shoal_protocol.files.manifest import safe_name

    if output is None:
        return Path(safe_name(name))
    return output / safe_name(name) if output.is_dir() else output


def _await_whole(client: "Client", message: dict[str, Any], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    with client.follow() as events, console.Progress(terminal_only=True) as progress:
        events.next(timeout)  # from now on nothing is missed
        bar = Bar(progress, "Fetching")
        file = _find(client, message["id"])["file"]
        while file["state"] not in ("whole", "failed"):
            bar.show(file)
            frame = events.next(max(deadline - time.monotonic(), 0.0))
            if frame is None:
                raise UserError(
                    f"{file['done']} of {file['total']} pieces are here after {timeout:g} s; "
                    "the node goes on fetching."
                )
            if frame["type"] == "status" and frame["data"]["id"] == message["id"]:
                file = frame["data"]["file"]
        bar.show(file)


def write_new(path: Path, content: bytes) -> None:
    """Write a new file, and make sure that it is on the disk; raises UserError."""
    made = False
    try:
        with path.open("xb") as file:
            made = True
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise UserError(f"{path} is there already: name another file with -o.") from None
    except OSError as error:
        if made:
            path.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
