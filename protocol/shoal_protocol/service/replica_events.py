"""What replication asks of its driver, and the bounds that it keeps; spec: replication §5."""

from dataclasses import dataclass
from typing import Final

from shoal_protocol.service.desk import Access
from shoal_protocol.service.storage import Item


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send ``frame`` to the relay ``peer`` (16 bytes).

    An ``answer`` goes over the channel that the peer opened, a request over one that this
    relay opens; what can't be sent is dropped, and ``Replicator.failed`` called for a request.
    """

    peer: bytes
    frame: bytes
    answer: bool


@dataclass(frozen=True, slots=True)
class Keep:
    """Make ``data`` durable in the place of what was kept before; nobody waits for it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Spare:
    """These items rank this relay no longer, and all relays that should hold them do.

    A store that is short of room may drop them, and for no other reason.
    """

    items: tuple[Item, ...]


Event = SendFrame | Access | Keep | Spare


@dataclass(frozen=True, slots=True)
class Limits:
    """One relay's choice, not the network's; times in seconds.

    Args:
        settle_leases: after a change of the directory, in leases, a walk begins.
        isolated_leases: a directory that lost more than half of its relays at once is
            believed after so many leases: more likely this relay was cut off.
        hashes: placement hashes in one step of a walk, about 1 µs each.
        rest_s: between two steps, so that a walk takes a fifth of a processor at most.
        reply_s: that a request waits for its answer.
        tries: of one request before its peer is passed over in this pass.
        later_s: before an item that was answered LATER is named again, doubling.
        laters: how often.
        pass_s: before the next pass over what a peer left unanswered, doubling.
        pass_most_s: at most.
        passes: of one walk; then those peers are taken for gone.
        leaving_passes: of one walk of a relay that is leaving, likewise.
        frame_rate, frame_burst: frames of one peer a second, and at once.
        item_rate, item_burst: items, a pushed record counting twice.
        serving: requests of one peer that the store hasn't answered.
        promises: items that one peer may be about to push.
        promise_s: and for how long.
    """

    settle_leases: float = 0.1
    isolated_leases: int = 4
    hashes: int = 8192
    rest_s: float = 0.04
    reply_s: float = 15.0
    tries: int = 2
    later_s: float = 1.0
    laters: int = 4
    pass_s: float = 5.0
    pass_most_s: float = 300.0
    passes: int = 10
    leaving_passes: int = 4
    frame_rate: float = 64.0
    frame_burst: float = 512.0
    item_rate: float = 256.0
    item_burst: float = 2048.0
    serving: int = 4
    promises: int = 256
    promise_s: float = 30.0


LIMITS: Final = Limits()
