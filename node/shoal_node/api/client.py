"""The API's client for commands: plain HTTP and the events' WebSocket, without a framework.

::

    api.json ──> Client ──request──> answer, or UserError with the problem's sentence
                   └──follow──> Events ──next(timeout)──> frame | None

    url http://127.0.0.1:PORT   TCP on loopback
        unix:/path              a Unix socket; the requests name the host ``localhost``

Synchronous on purpose: a command does one thing at a time, and starts faster without an
event loop. Only this side of the WebSocket needs ``wsproto``, imported when it is used.
"""

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from shoal_node import home
from shoal_protocol.errors import UserError

BASE: Final = "/api/v1"
JSON_TYPE: Final = "application/json"
BYTES_TYPE: Final = "application/octet-stream"
TIMEOUT: Final = 30.0  # s for an answer
MAX_ANSWER: Final = 64 * 2**20  # bytes
UNIX: Final = "unix:"  # a URL that names a socket's path instead of a host
_READ: Final = 65_536  # bytes


class NodeGone(UserError):
    """The node does not answer, or no longer does."""


class Refused(UserError):
    """The node answered with a problem document.

    Args:
        sentence: its detail.
        status: its HTTP status.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


def connect(address: str, timeout: float) -> socket.socket:
    """Connect to ``HOST:PORT`` or ``unix:PATH``; raises OSError."""
    if not address.startswith(UNIX):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout)
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this platform has no Unix sockets")
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.settimeout(timeout)
        found.connect(address.removeprefix(UNIX))
    except OSError:
        found.close()
        raise
    return found


def host_of(address: str) -> str:
    """What a request to ``address`` names as its host."""
    return "localhost" if address.startswith(UNIX) else address


class _Connection(http.client.HTTPConnection):
    """A connection to ``HOST:PORT`` or ``unix:PATH``."""

    def __init__(self, address: str, timeout: float) -> None:
        super().__init__(host_of(address), timeout=timeout)
        self._place = address
        self._patience = timeout

    def connect(self) -> None:
        """Open the socket."""
        self.sock = connect(self._place, self._patience)


def path_of(*parts: str) -> str:
    """Join ``parts`` below the API's base, each quoted."""
    return "/".join([BASE, *(quote(part, safe="") for part in parts)])


class Client:
    """Calls one node's API.

    Args:
        api: what the node's ``api.json`` says.
        timeout: seconds that an answer may take.
    """

    def __init__(self, api: home.ApiFile, timeout: float = TIMEOUT) -> None:
        self.api: Final = api
        self._address = api.url.removeprefix("http://")
        self._timeout = timeout

    @classmethod
    def of(cls, data: Path, timeout: float = TIMEOUT) -> Self:
        """A client of the node whose home is ``data``; raises UserError when none runs."""
        return cls(home.read_api(data), timeout)

    def get(self, *parts: str, **query: str | int | None) -> Any:
        """GET the path of ``parts``; raises UserError."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._json("GET", path_of(*parts) + (f"?{urlencode(given)}" if given else ""))

    def get_bytes(self, *parts: str, **query: str | int | None) -> bytes:
        """GET the bytes of a file; raises UserError."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", path_of(*parts) + (f"?{urlencode(given)}" if given else ""))

    def post(self, *parts: str, body: Mapping[str, object], key: str | None = None) -> Any:
        """POST ``body``, with an Idempotency-Key if given; raises UserError."""
        return self._json("POST", path_of(*parts), json.dumps(body).encode(), JSON_TYPE, key)

    def patch(self, *parts: str, body: Mapping[str, object]) -> Any:
        """PATCH with ``body``; raises UserError."""
        return self._json("PATCH", path_of(*parts), json.dumps(body).encode(), JSON_TYPE)

    def post_file(
        self,
        *parts: str,
        content: bytes,
        query: Mapping[str, str],
        kind: str = BYTES_TYPE,
        key: str | None = None,
    ) -> Any:
        """POST the bytes of a file, with what the query says of it; raises UserError."""
        target = f"{path_of(*parts)}?{urlencode(query)}"
        return self._json("POST", target, content, kind, key)

    def save(self, *parts: str, body: Mapping[str, object], timeout: float) -> Iterator[bytes]:
        """POST ``body``, and yield the bytes of the answer, of any length; raises UserError.

        Args:
            timeout: seconds that each piece of it may take.
        """
        connection = _Connection(self._address, timeout)
        gone = NodeGone(f"The node at {self._address} does not answer.")
        try:
            connection.request(
                "POST", path_of(*parts), json.dumps(body).encode(), self._headers(JSON_TYPE)
            )
            response = connection.getresponse()
            if response.status >= 400:
                raise self._refused(response.status, response.read(MAX_ANSWER))
            while piece := response.read(_READ):
                yield piece
            if response.length:
                raise gone
        except (OSError, http.client.HTTPException):
            raise gone from None
        finally:
            connection.close()

    def delete(self, *parts: str) -> None:
        """DELETE the path of ``parts``; raises UserError."""
        self._call("DELETE", path_of(*parts))

    def _json(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        kind: str | None = None,
        key: str | None = None,
    ) -> Any:
        return self._parsed(self._call(method, target, body, kind, key))

    def _parsed(self, text: bytes) -> Any:
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise UserError(f"What answers at {self._address} is not Shoal.") from None

    def _call(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        kind: str | None = None,
        key: str | None = None,
    ) -> bytes:
        connection = _Connection(self._address, self._timeout)
        try:
            connection.request(method, target, body, self._headers(kind, key))
            response = connection.getresponse()
            text = response.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException):
            raise NodeGone(f"The node at {self._address} does not answer.") from None
        finally:
            connection.close()
        if response.status >= 400:
            raise self._refused(response.status, text)
        return text

    def _headers(self, kind: str | None, key: str | None = None) -> dict[str, str]:
        given = {
            "Authorization": f"Bearer {self.api.token}",
            "Content-Type": kind,
            "Idempotency-Key": key,
        }
        return {name: value for name, value in given.items() if value is not None}

    def _refused(self, status: int, text: bytes) -> Refused:
        answer = self._parsed(text)
        detail = answer.get("detail") if isinstance(answer, dict) else None
        return Refused(str(detail or f"The node refused: {status}."), status)

    def follow(self, since: int | None = None) -> "Events":
        """Open the events' WebSocket, from the event ``since`` on or from now; raises UserError."""
        return Events(self._address, self.api.token, since, self._timeout)


class Events:
    """The node's events, one frame at a time; a context manager that closes the socket.

    ``last`` is the number of the newest frame that was returned: resume with it.
    """

    def __init__(self, address: str, token: str, since: int | None, timeout: float) -> None:
        from wsproto import ConnectionType, WSConnection
        from wsproto.events import Request

        target = path_of("events") + ("" if since is None else f"?since={since}")
        self._gone = NodeGone(f"The node at {address} does not answer.")
        self._machine = WSConnection(ConnectionType.CLIENT)
        self._frames: list[dict[str, Any]] = []
        self._text = ""
        self._open = False
        self._ended = False
        self.last = since
        try:
            self._socket = connect(address, timeout)
        except OSError:
            raise self._gone from None
        try:
            hello = Request(
                host=host_of(address), target=target, subprotocols=["shoal.v1", f"bearer.{token}"]
            )
            self._write(self._machine.send(hello))
            deadline = time.monotonic() + timeout
            while not self._open:
                if not self._read(deadline):
                    raise self._gone
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def next(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Return the next frame ``{"seq", "type", "data"}``, or None after ``timeout`` seconds.

        Raises NodeGone when the node ended the connection.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._frames:
            if not self._read(deadline):
                return None
        frame = self._frames.pop(0)
        self.last = int(frame["seq"])
        return frame

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            raise self._gone from None

    def _read(self, deadline: float | None) -> bool:
        """Read once; False when the deadline passed first."""
        if self._ended:
            raise self._gone
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(_READ)
        except TimeoutError:
            return False
        except OSError:
            raise self._gone from None
        self._machine.receive_data(data or None)
        self._take_events()
        return True

    def _take_events(self) -> None:
        from wsproto.events import (
            AcceptConnection,
            CloseConnection,
            Ping,
            RejectConnection,
            RejectData,
            TextMessage,
        )

        for event in self._machine.events():
            match event:
                case AcceptConnection():
                    self._open = True
                case RejectConnection(status_code=status, has_body=has_body):
                    self._status = status
                    if not has_body:
                        raise Refused(f"The node refused: {status}.", status)
                case RejectData(data=data, body_finished=finished):
                    self._text += bytes(data).decode()
                    if finished:
                        raise Refused(str(json.loads(self._text)["detail"]), self._status)
                case TextMessage(data=text, message_finished=finished):
                    self._text += text
                    if finished:
                        self._frames.append(json.loads(self._text))
                        self._text = ""
                case Ping():
                    self._write(self._machine.send(event.response()))
                case CloseConnection():
                    self._ended = True
                case _:
                    pass
