"""What the API refuses, each with its HTTP status.

::

    UserError
    └── ApiError            carries the HTTP status; ``str()`` is the sentence for the user
        ├── BadRequest      400   the call is not understood
        ├── NotFound        404   no such persona, conversation, contact, message or invite
        ├── Conflict        409   the node's state forbids it
        ├── Gone            410   events were asked for that are no longer kept
        ├── Unsupported     415   the bytes are no picture that this node can read
        ├── Unprocessable   422   understood, and not possible: a bad pseudonym, too long a text
        ├── Locked          423   the store is locked: POST /unlock
        ├── TooMany         429   too many attempts: wait
        └── Unavailable     503   not ready yet, or a queue is full: try again
"""

from typing import ClassVar

from shoal_protocol.errors import UserError


class ApiError(UserError):
    """A call that is answered with a problem document (RFC 9457)."""

    status: ClassVar[int]
    title: ClassVar[str]

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Headers that go with the answer."""
        return ()


class BadRequest(ApiError):
    """The call is not understood."""

    status = 400
    title = "Bad request"


class Unauthorized(ApiError):
    """The caller may not have what it asks for."""

    status = 401
    title = "Unauthorized"


class NotFound(ApiError):
    """What the call names does not exist here."""

    status = 404
    title = "Not found"


class Conflict(ApiError):
    """The node's present state forbids the call."""

    status = 409
    title = "Conflict"


class Gone(ApiError):
    """What the call asks for was kept once and is no more."""

    status = 410
    title = "Gone"


class Unsupported(ApiError):
    """The bytes are of no kind that this node can read."""

    status = 415
    title = "Unsupported media type"


class Unprocessable(ApiError):
    """The call is understood and cannot be done as asked."""

    status = 422
    title = "Not possible"


class Locked(ApiError):
    """The person's store is locked, and nothing of it can be told or done."""

    status = 423
    title = "Locked"

    def __init__(self, sentence: str = "The node is locked: unlock it first.") -> None:
        super().__init__(sentence)


class TooMany(ApiError):
    """Too many attempts.

    Args:
        sentence: for the user.
        wait: seconds until the next one is looked at.
    """

    status = 429
    title = "Too many requests"

    def __init__(self, sentence: str, wait: int) -> None:
        super().__init__(sentence)
        self.wait = wait

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """When to come again."""
        return ((b"retry-after", str(self.wait).encode()),)


class Unavailable(ApiError):
    """The node cannot do it at the moment; the same call may succeed later."""

    status = 503
    title = "Not available now"
