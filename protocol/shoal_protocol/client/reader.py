"""What a waiting slot asks for, and where; spec: client §5.

::

    waiting slot ─► the persona served longest ago ─► one that lacks a GET of all that it reads
                 ├► it lacks none, or has its share on the way: the next persona
                 └► nor do others, or enough wait already: a decoy, asked for in just the same way

What a persona reads is its :class:`~shoal_protocol.client.readings.Readings`; a stream names its
GETs itself (:mod:`~shoal_protocol.client.following`). Personas take turns, and each may have its
share of all GETs on the way whatever the others have: what contacts of one do costs another no
more than a fair share. All that a persona reads is as likely to have its turn, whatever happens
there: else filling an inbox would show in a stream. A decoy is a random address that is waited
at, asked again, and given up like a real one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client.association import Association
from shoal_protocol.client.courier import Question
from shoal_protocol.client.following import (
    BoxAsked,
    Following,
    Stream,
    edge_s,
    instead,
    live_days,
)
from shoal_protocol.client.mailbox import Asked, Mailbox
from shoal_protocol.client.readings import ReadingBox, Readings, Source
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import NetworkParameters, Preset
from shoal_protocol.pseudonyms import blinding
from shoal_protocol.pseudonyms.persona import INBOX_LABEL, PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.service import placement
from shoal_protocol.service.messages import RequestType
from shoal_protocol.streams import box

DECOY_LIFE_S: Final = 1800  # mean; as long as a stream stays hot
DECOY_INBOXES: Final = 2  # of the decoys
SHORT_SHARE: Final = 8  # one decoy in so many does not wait
DECOY_GETS: Final = (2, 3)  # waiting at a decoy, as at a stream's boxes


@dataclass(slots=True, eq=False)
class Decoy:
    """A random address that is waited at as if it were a stream's next box."""

    address: bytes
    ranked: list[bytes] = field(default_factory=list[bytes])
    view: int = -1
    out: dict[bytes, tuple[int, int]] = field(  # relay: newest GET there, made at, counts until
        default_factory=dict[bytes, tuple[int, int]]
    )
    vain: set[bytes] = field(default_factory=set[bytes])  # relays that had nothing, of course

    def ended(self, relay: bytes, at: int) -> None:
        """Note that a GET ended, as it always does: in vain."""
        if self.out.get(relay, (0, 0))[0] == at:
            del self.out[relay]
        self.vain.add(relay)


@dataclass(slots=True, eq=False)
class DecoyStream:
    """A stream that is none: as a real one's, its address changes with the day."""

    ends: int
    edge: int  # s around midnight
    gets: int  # that wait at it
    places: dict[int, Decoy] = field(default_factory=dict[int, Decoy])  # by day


@dataclass(frozen=True, slots=True)
class InboxGet:
    """A GET of an inbox on its way."""

    box: ReadingBox
    asked: Asked


@dataclass(frozen=True, slots=True)
class StreamGet:
    """A GET of a stream's box on its way, for a persona."""

    following: Following
    asked: BoxAsked
    persona: str


@dataclass(frozen=True, slots=True)
class FileGet:
    """A GET of a file's box on its way, for a persona; ``token`` is the source's."""

    source: Source
    token: object
    persona: str


@dataclass(frozen=True, slots=True)
class DecoyGet:
    """A GET that nobody wants answered."""

    decoy: Decoy
    relay: bytes
    at: int


Purpose = InboxGet | StreamGet | FileGet | DecoyGet


@dataclass(frozen=True, slots=True)
class Get:
    """A GET that is to go: what to ask, of whom, and what for."""

    question: Question
    relay: Descriptor
    purpose: Purpose


class Reader:
    """All that one node reads.

    Args:
        patience: ns after which an answer that does not wait is late; it may be set anew.
    """

    def __init__(self, params: NetworkParameters, preset: Preset, patience: int, rng: Rng) -> None:
        self._params = params
        self._preset = preset
        self.patience = patience
        self._rng = rng
        self._personas: dict[str, Readings] = {}
        self._decoy_inboxes: list[tuple[int, ReadingBox]] = []
        self._decoys: list[DecoyStream] = []
        slot_s = 1 / (preset.rate * (1 - preset.quick_share))
        mixing = params.path_mixes * preset.mean_delay_ms * clock.MILLISECOND
        self._lead: Final = clock.seconds(slot_s) + mixing
        self._outstanding = 0
        self._turn = 0
        self._relays: dict[bytes, Descriptor] = {}
        self._view = -1
        self._settled = False

    def add(self, persona: str, secrets: PersonaSecrets) -> None:
        """Begin to read a persona's inboxes, those of days with prekeys."""
        self._personas[persona] = Readings(persona, secrets, self._params, self._rng)

    def remove(self, persona: str) -> None:
        """Stop reading anything for a persona."""
        self._personas.pop(persona, None)

    def follow(self, persona: str, association: Association, now: int) -> None:
        """Begin to read a session's incoming stream; nothing if the persona reads it already."""
        streams = self._personas[persona].streams
        if association.id not in streams:
            streams[association.id] = Following(association, self._params, self._rng, now)

    def follow_invite(self, persona: str, line: Stream, now: int) -> None:
        """Begin to read the stream of an invite that a persona made."""
        following = Following(line, self._params, self._rng, now)
        self._personas[persona].invites[line.id] = following

    def follows(self, persona: str, session: bytes) -> bool:
        """Whether a persona reads the stream of this session."""
        return persona in self._personas and session in self._personas[persona].streams

    def stir(self, persona: str, session: bytes, now: int) -> None:
        """Note that a persona wrote something over a session: an answer may come."""
        if self.follows(persona, session):
            self._personas[persona].streams[session].stir(now)

    def unfollow(self, persona: str, session: bytes) -> None:
        """Stop reading the stream of a session, or of an invite."""
        if persona in self._personas:
            self._personas[persona].streams.pop(session, None)
            self._personas[persona].invites.pop(session, None)

    def add_source(self, persona: str, source: Source) -> None:
        """Ask for what a source wants, too, in the name of a persona."""
        self._personas[persona].sources.append(source)

    def remove_source(self, persona: str, source: Source) -> None:
        """Ask for it no more."""
        if persona in self._personas:
            self._personas[persona].sources.remove(source)

    @property
    def outstanding(self) -> int:
        """GETs of something real that are on their way, of all personas."""
        return self._outstanding

    def next_get(
        self, relays: dict[bytes, Descriptor], view: int, settled: bool, now: int
    ) -> Get | None:
        """Return the GET that fills a waiting slot, None while nobody can be asked.

        Args:
            relays: those that may be asked from behind the present guard, by id.
            view: a number that changes when they do.
            settled: whether all that came so far is durable.
        """
        self._relays, self._view, self._settled = relays, view, settled
        personas = list(self._personas.values())
        self._rng.shuffle(personas)
        enough = self._outstanding >= self._preset.outstanding_gets
        for own in sorted(personas, key=lambda one: one.served):
            if enough and own.outstanding >= self._share:
                continue
            get = self._wanted(own, now)
            if get is not None:
                self._outstanding += 1
                own.outstanding += 1
                self._turn = own.served = self._turn + 1
                return get
        return self._decoy(now)

    def _wanted(self, own: Readings, now: int) -> Get | None:
        """Return a GET that a persona wants; all that it reads is as likely to have it."""
        wants: list[Callable[[], Get | None]] = [
            *(partial(self._inbox, one, now) for one in own.hungry(self._top, now)),
            *(partial(self._stream, own, *pair, now) for pair in own.ordered(now)),
            *(partial(self._file, own, source, now) for source in own.sources),
        ]
        self._rng.shuffle(wants)
        return next((get for want in wants if (get := want()) is not None), None)

    @property
    def _share(self) -> int:
        """How many of a persona's GETs may be on their way, whatever others have there."""
        return -(-self._preset.outstanding_gets // max(1, len(self._personas)))

    def lost(self, purpose: Purpose, now: int) -> None:
        """Note that a GET drew no answer."""
        self.answered(purpose)
        match purpose:
            case InboxGet(one, asked):
                one.mailbox.lost(asked)
            case StreamGet(following, asked):
                following.lost(asked, now)
            case FileGet(source, token):
                source.lost(token)
            case DecoyGet():
                pass

    def answered(self, purpose: Purpose) -> None:
        """Note that a GET was answered; what the answer says is the caller's business."""
        match purpose:
            case InboxGet(one, _):
                self._end(one.persona)
            case StreamGet() | FileGet():
                self._end(purpose.persona)
            case DecoyGet(decoy, relay, at):
                decoy.ended(relay, at)

    def _end(self, persona: str | None) -> None:
        if persona is not None:
            self._outstanding -= 1
            if persona in self._personas:
                self._personas[persona].outstanding -= 1

    def _rank(self, address: bytes) -> list[bytes]:
        reach = self._params.replicas + self._params.replica_slack
        return placement.rank(address, self._relays, reach)

    def _top(self, one: ReadingBox) -> list[bytes]:
        if one.view != self._view:
            one.ranked = self._rank(one.mailbox.address)
            one.view = self._view
        return one.ranked

    def _inbox(self, one: ReadingBox, now: int) -> Get | None:
        ranked = self._top(one)
        if not ranked:
            return None
        mailbox, hungry_first = one.mailbox, self._rng.below(2) == 0

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

        _, relay = min(enumerate(ranked), key=order)
        descriptor = self._relays[relay]
        one.asked_at = now
        question, asked = mailbox.ask(relay, descriptor.instance, self._wait(), self._settled, now)
        return Get(question, descriptor, InboxGet(one, asked))

    def _stream(self, own: Readings, one: Following, hot: bool, now: int) -> Get | None:
        third = own.spare(self._share, now)
        found = one.next_ask(self._rank, self._view, hot, third, self.patience, now)
        if found is None:
            return None
        address, asked = found
        wait = self._wait() if asked.waits else 0
        one.sent(asked, self._until(wait, now) if asked.waits else now + self.patience)
        question = self._question(address, wait)
        return Get(question, self._relays[asked.relay], StreamGet(one, asked, own.name))

    def _file(self, own: Readings, source: Source, now: int) -> Get | None:
        found = source.next_ask(now)
        if found is None:
            return None
        address, place, token = found
        ranked = self._rank(address)
        if not ranked:
            return None
        relay = ranked[min(place, len(ranked) - 1)]
        return Get(
            self._question(address, 0), self._relays[relay], FileGet(source, token, own.name)
        )

    def _decoy(self, now: int) -> Get | None:
        self._decoys = [decoy for decoy in self._decoys if decoy.ends > now]
        self._decoy_inboxes = [(end, one) for end, one in self._decoy_inboxes if end > now]
        if len(self._decoy_inboxes) < DECOY_INBOXES:
            secret = blinding.SigningSecret(self._rng.bytes(32))
            day = clock.index_of(now, self._params.day_s)
            key = secret.blind(INBOX_LABEL, day, network=self._params.hash)
            one = ReadingBox(Mailbox(key, network=self._params.hash, rng=self._rng), None, day)
            self._decoy_inboxes.append((now + self._life(), one))
        for _, one in self._decoy_inboxes:
            waiting = sum(one.mailbox.outstanding(relay) for relay in self._top(one))
            if waiting < self._params.replicas:
                return self._inbox(one, now)
        for decoy in self._decoys:
            get = self._decoy_get(decoy, now)
            if get is not None:
                return get
        gets = self._rng.choice(DECOY_GETS)
        decoy = DecoyStream(now + self._life(), edge_s(self._rng), gets)
        self._decoys.append(decoy)
        return self._decoy_get(decoy, now)

    def _decoy_get(self, stream: DecoyStream, now: int) -> Get | None:
        days = live_days(now, stream.edge, self._params)
        stream.places = {day: one for day, one in stream.places.items() if day in days}
        for day in days:
            if day not in stream.places:
                stream.places[day] = Decoy(box.random_address(self._rng))
            get = self._decoy_at(stream.places[day], stream.gets, now)
            if get is not None:
                return get
        return None

    def _decoy_at(self, decoy: Decoy, gets: int, now: int) -> Get | None:
        if decoy.view != self._view:
            decoy.ranked = self._rank(decoy.address)
            decoy.view = self._view
        waiting = {relay for relay, (_, until) in decoy.out.items() if now < until}
        free = [relay for relay in decoy.ranked[:gets] if relay not in waiting]
        if not free:
            return None
        relay = instead(free[0], decoy.ranked, waiting, decoy.vain, self._rng)
        # Boxes of past days and of files are not waited for: nor are some decoys.
        waits = self._rng.below(SHORT_SHARE) > 0
        wait = self._wait() if waits else 0
        decoy.out[relay] = now, self._until(wait, now) if waits else now + self.patience
        return Get(
            self._question(decoy.address, wait), self._relays[relay], DecoyGet(decoy, relay, now)
        )

    def _until(self, wait_ms: int, now: int) -> int:
        """Return when the GET that follows one that waits may go, so as to come as it ends."""
        return now + wait_ms * clock.MILLISECOND - self._lead

    def _life(self) -> int:
        return clock.seconds(self._rng.exponential(DECOY_LIFE_S))

    def _wait(self) -> int:
        mean = self._preset.get_wait_mean_ms
        return min(round(self._rng.exponential(mean)), 3 * mean, self._params.get_wait_cap_ms)

    @staticmethod
    def _question(address: bytes, wait_ms: int) -> Question:
        record = address + bytes(RECORD_LENGTH - len(address))
        return Question(RequestType.BOX_GET, record, wait_ms=wait_ms)
