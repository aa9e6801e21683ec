"""Every error that Shoal raises on purpose, in one tree.

::

    ShoalError
    ├── LocalProtocolError    our own bug or misuse of a machine; crashes loudly
    ├── RemoteProtocolError   the other side's fault; dropped and counted by ``reason``
    ├── StoreError            a store could not do a transaction, and nothing of it happened
    │   ├── StoreFull         no room on the disk
    │   └── StoreFailed       it cannot be read or written
    └── UserError             carries the sentence that the user reads

The split into local and remote is h11's (h11/_util.py).
"""


class ShoalError(Exception):
    """Root of the tree; never raised itself."""


class LocalProtocolError(ShoalError):
    """This side called a machine in a way that its contract forbids: a bug of ours."""


class RemoteProtocolError(ShoalError):
    """Bytes from a peer were refused.

    Args:
        reason: a short fixed label, never made from the peer's bytes: it is a counter's
            name and may stand in a log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StoreError(ShoalError):
    """A store could not perform a transaction; nothing of it has happened."""


class StoreFull(StoreError):
    """There is no room on the disk."""


class StoreFailed(StoreError):
    """The store cannot be read or written."""


class UserError(ShoalError):
    """Something that the user can mend; ``str()`` is the sentence to show."""
