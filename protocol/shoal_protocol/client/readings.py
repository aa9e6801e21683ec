"""What one persona reads: its inboxes, the streams of its contacts and invites, its files.

::

    persona ─┬─ inboxes of these days ─┐
             ├─ streams ── 8 hot ──────┼─► what wants a slot, evenly ─► Reader
             ├─ invites ── 2 hot ──────┤
             └─ files ─────────────────┘

Every persona has places of its own at which streams are waited at all the time, an edge of its
own around midnight, and its own count of GETs on their way: nothing here depends on what
another persona of the node does. Spec: client §5.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from shoal_protocol import clock
from shoal_protocol.client.following import Following, edge_s, live_days
from shoal_protocol.client.mailbox import Mailbox
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.service.messages import Reply

OLD_AGAIN: Final = 600 * clock.SECOND  # until an inbox of a day before is asked again
HOT_STREAMS: Final = 8  # of one persona, waited at all the time
HOT_INVITES: Final = 2  # besides; the newest of those that nobody has used
GETS_OF_STREAM: Final = 4  # that wait at a hot stream: two boxes, at two ranks each


@dataclass(slots=True, eq=False)
class ReadingBox:
    """An inbox and whose it is; ``persona`` is None for a random address."""

    mailbox: Mailbox
    persona: str | None
    day: int
    ranked: list[bytes] = field(default_factory=list[bytes])
    view: int = -1
    asked_at: int = 0


class Source(Protocol):
    """Boxes that somebody wants beside the streams of conversations: those of a file."""

    def next_ask(self, now: int) -> tuple[bytes, int, object] | None:
        """Return (address, rank, token) of the box that is wanted next, or None.

        ``rank`` says at which of the address's relays it is looked for, the best being 0.
        """
        ...

    def answered(self, token: object, reply: Reply) -> None:
        """Take the answer to what :meth:`next_ask` wanted."""
        ...

    def lost(self, token: object) -> None:
        """Note that no answer came."""
        ...


class Readings:
    """All that one persona reads.

    Args:
        name: the persona's.
    """

    def __init__(
        self, name: str, secrets: PersonaSecrets, params: NetworkParameters, rng: Rng
    ) -> None:
        self.name: Final = name
        self.streams: Final[dict[bytes, Following]] = {}
        self.invites: Final[dict[bytes, Following]] = {}  # oldest first
        self.sources: Final[list[Source]] = []
        self.outstanding = 0  # its GETs that are on their way
        self.served = 0  # the turn in which it last had a slot
        self._secrets = secrets
        self._params = params
        self._rng = rng
        self._boxes: dict[int, ReadingBox] = {}
        self._edge_s = edge_s(rng)

    def hungry(self, top: Callable[[ReadingBox], list[bytes]], now: int) -> list[ReadingBox]:
        """Return the inboxes at which a GET is lacking; ``top`` ranks the relays of one."""
        today = clock.index_of(now, self._params.day_s)
        live = live_days(now, self._edge_s, self._params)
        oldest = today - self._params.entry_life_s // self._params.day_s - 1
        self._boxes = {day: one for day, one in self._boxes.items() if day >= oldest}
        hungry: list[ReadingBox] = []
        # Who writes needs an announcement, so there are entries where there are prekeys: also on
        # a day before the persona's first one, if its clock ran ahead then.
        for day in self._secrets.prekey_days():
            if day < oldest or (day > today and day not in live):
                continue
            one = self._box(day)
            total = sum(one.mailbox.outstanding(relay) for relay in top(one))
            flows = any(one.mailbox.hungry(relay) for relay in one.ranked)
            if day in live:
                wanted = total < self._params.replicas
            else:
                wanted = now - one.asked_at >= OLD_AGAIN
            if flows or wanted:
                hungry.append(one)
        return hungry

    def ordered(self, now: int) -> list[tuple[Following, bool]]:
        """Return all streams, and whether each is among those that are waited at."""
        by_use = sorted(self.streams.values(), key=lambda one: -one.active)
        newest = list(self.invites.values())[::-1]
        return [
            *((one, place < HOT_STREAMS and one.hot(now)) for place, one in enumerate(by_use)),
            *((one, place < HOT_INVITES) for place, one in enumerate(newest)),
        ]

    def spare(self, share: int, now: int) -> bool:
        """Whether boxes are waited for at a third rank: when that takes no other stream's place.

        Args:
            share: GETs that the persona may have on their way.

        How many streams are hot decides, and not what happens to be on its way: that depends on
        the node's other personas.
        """
        hot = sum(one.hot(now) for one in self.streams.values())
        needed = self._params.replicas + GETS_OF_STREAM * min(hot, HOT_STREAMS)
        return 2 * needed <= share

    def _box(self, day: int) -> ReadingBox:
        one = self._boxes.get(day)
        if one is None:
            key = self._secrets.inbox_key(day)
            mailbox = Mailbox(key, network=self._params.hash, rng=self._rng)
            one = self._boxes[day] = ReadingBox(mailbox, self.name, day)
        return one
