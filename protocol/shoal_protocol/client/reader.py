"""Which inbox a waiting slot asks, and where; spec: client §5.

Real inboxes come first, up to the preset's number of outstanding GETs; a slot beyond that
asks a random address in just the same way: for a while, at the relays where it would lie.
Real inboxes have equal shares whatever happens in them: else filling one of them would show
in the others whose they are. Within an inbox the store with the fewest GETs waiting is asked,
lower ranks first, so that a message is met by a GET that already waits; every other time one
that is known to hold more, so that no store can draw all questions to itself.
"""

from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client.courier import Question
from shoal_protocol.client.mailbox import Asked, Mailbox
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import NetworkParameters, Preset
from shoal_protocol.pseudonyms import blinding
from shoal_protocol.pseudonyms.persona import INBOX_LABEL, PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.service import placement

EDGE_S: Final = 3600  # around midnight both days' inboxes are asked
OLD_SHARE: Final = 16  # one slot in so many asks an inbox of the days before
DECOYS: Final = 4  # random addresses that are asked during the same time
DECOY_LIFE_S: Final = 3600  # mean


@dataclass(slots=True, eq=False)
class ReadingBox:
    """A mailbox and whose it is; ``persona`` is None for a random address."""

    mailbox: Mailbox
    persona: str | None
    day: int
    ranked: list[bytes] = field(default_factory=list[bytes])
    view: int = -1


@dataclass(frozen=True, slots=True)
class Get:
    """A GET that is to go: what to ask, of whom, and on whose behalf."""

    question: Question
    relay: Descriptor
    box: ReadingBox
    asked: Asked


class Reader:
    """All inboxes that one node reads."""

    def __init__(self, params: NetworkParameters, preset: Preset, rng: Rng) -> None:
        self._params = params
        self._preset = preset
        self._rng = rng
        self._personas: dict[str, tuple[PersonaSecrets, int]] = {}
        self._boxes: dict[tuple[str, int], ReadingBox] = {}
        self._decoys: list[tuple[int, ReadingBox]] = []
        self._outstanding = 0

    def add(self, persona: str, secrets: PersonaSecrets, now: int) -> None:
        """Begin to read a persona's inboxes, those of days from today on."""
        self._personas[persona] = secrets, clock.index_of(now, self._params.day_s)

    def remove(self, persona: str) -> None:
        """Stop reading a persona's inboxes."""
        self._personas.pop(persona, None)
        self._boxes = {key: box for key, box in self._boxes.items() if key[0] != persona}

    def next_get(self, relays: dict[bytes, Descriptor], view: int, now: int) -> Get | None:
        """Return the GET that fills a waiting slot, None while nobody can be asked.

        Args:
            relays: those that may be asked from behind the present guard, by id.
            view: a number that changes when they do.
        """
        boxes = self._wanted(now)
        if boxes and self._outstanding < self._preset.outstanding_gets:
            get = self._least_waiting(self._rng.choice(boxes), relays, view, now)
            if get is not None:
                self._outstanding += 1
                return get
        return self._least_waiting(self._decoy(now), relays, view, now)

    def lost(self, box: ReadingBox, asked: Asked) -> None:
        """Note that a GET drew no answer."""
        self._ended(box)
        box.mailbox.lost(asked)

    def ended(self, box: ReadingBox) -> None:
        """Note that a GET was answered."""
        self._ended(box)

    def _ended(self, box: ReadingBox) -> None:
        if box.persona is not None:
            self._outstanding -= 1

    def _wanted(self, now: int) -> list[ReadingBox]:
        today = clock.index_of(now, self._params.day_s)
        within = now // clock.SECOND % self._params.day_s
        days = [today]
        if within < EDGE_S:
            days.append(today - 1)
        if within >= self._params.day_s - EDGE_S:
            days.append(today + 1)
        if self._rng.below(OLD_SHARE) == 0:
            days = [today - 1 - self._rng.below(3)]
        wanted: list[ReadingBox] = []
        for name, (secrets, since) in self._personas.items():
            wanted += [self._box(name, secrets, day) for day in days if day >= since]
        if not wanted:
            wanted = [self._box(name, s, today) for name, (s, _) in self._personas.items()]
        oldest = today - self._params.entry_life_s // self._params.day_s - 1
        self._boxes = {key: box for key, box in self._boxes.items() if key[1] >= oldest}
        return wanted

    def _box(self, name: str, secrets: PersonaSecrets, day: int) -> ReadingBox:
        box = self._boxes.get((name, day))
        if box is None:
            mailbox = Mailbox(secrets.inbox_key(day), network=self._params.hash, rng=self._rng)
            box = self._boxes[name, day] = ReadingBox(mailbox, name, day)
        return box

    def _decoy(self, now: int) -> ReadingBox:
        self._decoys = [(end, box) for end, box in self._decoys if end > now]
        if len(self._decoys) < DECOYS:
            secret = blinding.SigningSecret(self._rng.bytes(32))
            day = clock.index_of(now, self._params.day_s)
            key = secret.blind(INBOX_LABEL, day, network=self._params.hash)
            box = ReadingBox(Mailbox(key, network=self._params.hash, rng=self._rng), None, day)
            life = clock.seconds(self._rng.exponential(DECOY_LIFE_S))
            self._decoys.append((now + life, box))
            return box
        return self._rng.choice(self._decoys)[1]

    def _least_waiting(
        self, box: ReadingBox, relays: dict[bytes, Descriptor], view: int, now: int
    ) -> Get | None:
        if box.view != view:
            reach = self._params.replicas + self._params.replica_slack
            box.ranked = placement.rank(box.mailbox.address, relays, reach)
            box.view = view
        if not box.ranked:
            return None
        mailbox, hungry_first = box.mailbox, self._rng.below(2) == 0

        def order(place: tuple[int, bytes]) -> tuple[bool, int, int, int]:
            rank, relay = place
            # Replicas beyond K hold something only when views differ: a quarter's share.
            share = 1 if rank < self._params.replicas else 4
            return (
                hungry_first and not mailbox.hungry(relay),
                mailbox.outstanding(relay) * share,
                mailbox.last_asked(relay),
                rank,
            )

        _, relay = min(enumerate(box.ranked), key=order)
        wait = min(
            round(self._rng.exponential(self._params.get_wait_mean_ms)),
            self._params.get_wait_cap_ms,
        )
        descriptor = relays[relay]
        question, asked = mailbox.ask(relay, descriptor.instance, wait, now)
        return Get(question, descriptor, box, asked)
