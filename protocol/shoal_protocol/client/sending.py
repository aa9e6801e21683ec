"""What an association has on its way, and when an announcement is looked up; spec: client §6."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client.association import Association
from shoal_protocol.client.outbox import Outgoing
from shoal_protocol.rng import Rng

NUDGE_FIRST: Final = 300 * clock.SECOND  # of silence, while something is unacknowledged
NUDGE_LONGEST: Final = 48 * 3600 * clock.SECOND
LOOKUP_FIRST: Final = clock.SECOND
LOOKUP_LONGEST: Final = 1800 * clock.SECOND


@dataclass(slots=True)
class Sending:
    """What an association has on its way."""

    association: Association
    on_way: dict[int, Outgoing] = field(default_factory=dict[int, Outgoing])  # by index
    contact: Outgoing | None = None  # the first contact that began it
    heard: int = 0  # ns; when something last came over it, or it began
    nudges: int = 0

    def records(self) -> Iterator[Outgoing]:
        """Return everything that is on its way."""
        yield from self.on_way.values()
        if self.contact is not None:
            yield self.contact

    def wants_nudge(self, blocked: bool, now: int) -> bool:
        """Whether the contact has been silent so long that it is asked for an acknowledgement.

        ``blocked``: messages wait for room here.
        """
        pause = min(NUDGE_FIRST << min(self.nudges, 16), NUDGE_LONGEST)
        asking = [outgoing for outgoing in self.on_way.values() if outgoing.needs_ack]
        if asking:
            asked = min((o.created for o in asking if o.stored), default=now)
            return max(self.heard, asked) + pause <= now
        # Only acknowledgements fill the window: nothing on its way would draw one of theirs.
        return blocked and (not self.nudges or self.heard + pause <= now)


@dataclass(slots=True)
class Lookup:
    """When the contact's announcement is to be asked for next."""

    due: int
    began: int
    attempts: int = 0
    in_flight: bool = False

    def failed(self, rng: Rng, now: int) -> None:
        """Ask again later: it was not found, or no answer came."""
        growth = min(self.attempts, 24)
        pause = min(LOOKUP_FIRST * 3**growth // 2**growth, LOOKUP_LONGEST)
        self.in_flight = False
        self.attempts += 1
        self.due = now + round(pause * (0.5 + rng.uniform()))
