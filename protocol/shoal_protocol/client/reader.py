"""What a waiting slot asks for, and where; spec: client §5.

::

    waiting slot ─► one of: inboxes that lack a GET, streams and files that lack one, evenly
                 └► none, or enough wait already: a decoy, asked for in just the same way

Each inbox has one GET waiting at each of its replicas; a stream those that
:mod:`~shoal_protocol.client.following` names; at most :data:`HOT_STREAMS` streams are waited
at, the last to be used, and others have a turn now and then. All that want a slot are as
likely to have it, whatever happens in them: else filling one inbox would show in another.
A decoy is a random address that is waited at, asked again, and given up like a real one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from shoal_protocol import clock
from shoal_protocol.client import parcel
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
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import NetworkParameters, Preset
from shoal_protocol.pseudonyms import blinding
from shoal_protocol.pseudonyms.persona import INBOX_LABEL, PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.service import placement
from shoal_protocol.service.messages import Reply, RequestType
from shoal_protocol.streams import box

OLD_AGAIN: Final = 600 * clock.SECOND  # until an inbox of a day before is asked again
HOT_STREAMS: Final = 8  # waited at all the time
HOT_INVITES: Final = 2  # besides; the newest of those that nobody has used
HOT_STRANGERS: Final = 2  # of these at most, for requests that the person has not answered
STRANGERS_BOXES: Final = parcel.MAX_PARTS  # of a request that are read before it is answered
DECOY_LIFE_S: Final = 1800  # mean; as long as a stream stays hot
DECOY_INBOXES: Final = 2  # of the decoys
SHORT_SHARE: Final = 8  # one decoy in so many does not wait
DECOY_GETS: Final = (2, 3)  # waiting at a decoy, as at a stream's boxes


@dataclass(slots=True, eq=False)
class ReadingBox:
    """An inbox and whose it is; ``persona`` is None for a random address."""

    mailbox: Mailbox
    persona: str | None
    day: int
    ranked: list[bytes] = field(default_factory=list[bytes])
    view: int = -1
    asked_at: int = 0


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


@dataclass(frozen=True, slots=True)
class InboxGet:
    """A GET of an inbox on its way."""

    box: ReadingBox
    asked: Asked


@dataclass(frozen=True, slots=True)
class StreamGet:
    """A GET of a stream's box on its way."""

    following: Following
    asked: BoxAsked


@dataclass(frozen=True, slots=True)
class FileGet:
    """A GET of a file's box on its way; ``token`` is the source's."""

    source: Source
    token: object


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
        self._personas: dict[str, tuple[PersonaSecrets, int]] = {}
        self._boxes: dict[tuple[str, int], ReadingBox] = {}
        self._streams: dict[bytes, Following] = {}
        self._invites: dict[bytes, Following] = {}  # oldest first
        self._sources: list[Source] = []
        self._decoy_inboxes: list[tuple[int, ReadingBox]] = []
        self._decoys: list[DecoyStream] = []
        self._edge_s = edge_s(rng)
        slot_s = 1 / (preset.rate * (1 - preset.quick_share))
        mixing = params.path_mixes * preset.mean_delay_ms * clock.MILLISECOND
        self._lead: Final = clock.seconds(slot_s) + mixing
        self._outstanding = 0
        self._relays: dict[bytes, Descriptor] = {}
        self._view = -1
        self._settled = False

    def add(self, persona: str, secrets: PersonaSecrets, created: int) -> None:
        """Begin to read a persona's inboxes, those of days from its first on."""
        self._personas[persona] = secrets, clock.index_of(created, self._params.day_s)

    def remove(self, persona: str) -> None:
        """Stop reading a persona's inboxes."""
        self._personas.pop(persona, None)
        self._boxes = {key: box for key, box in self._boxes.items() if key[0] != persona}

    def follow(
        self, association: Association, now: int, *, stranger: Callable[[], bool] = lambda: False
    ) -> None:
        """Begin to read an association's incoming stream; nothing if it is read already.

        ``stranger`` says whether it is of a request that the person has not answered.
        """
        if association.id not in self._streams:
            following = Following(association, self._params, self._rng, now, stranger)
            self._streams[association.id] = following

    def follow_invite(self, line: Stream, now: int) -> None:
        """Begin to read the stream of an invite that was made."""
        self._invites[line.id] = Following(line, self._params, self._rng, now)

    def stir(self, session: bytes, now: int) -> None:
        """Note that something was written over a session: an answer may come."""
        following = self._streams.get(session)
        if following is not None:
            following.stir(now)

    def unfollow(self, session: bytes) -> None:
        """Stop reading the stream of a session, or of an invite."""
        self._streams.pop(session, None)
        self._invites.pop(session, None)

    def add_source(self, source: Source) -> None:
        """Ask for what a source wants, too."""
        self._sources.append(source)

    def remove_source(self, source: Source) -> None:
        """Ask for it no more."""
        self._sources.remove(source)

    @property
    def outstanding(self) -> int:
        """GETs of something real that are on their way."""
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
        if self._outstanding < self._preset.outstanding_gets:
            wants: list[Callable[[], Get | None]] = [
                *(partial(self._inbox, one, now) for one in self._hungry(now)),
                *(partial(self._stream, one, hot, now) for one, hot in self._ordered(now)),
                *(partial(self._file, source, now) for source in self._sources),
            ]
            self._rng.shuffle(wants)
            for want in wants:
                get = want()
                if get is not None:
                    self._outstanding += 1
                    return get
        return self._decoy(now)

    def lost(self, purpose: Purpose, now: int) -> None:
        """Note that a GET drew no answer."""
        match purpose:
            case InboxGet(one, asked):
                self._end(one.persona is not None)
                one.mailbox.lost(asked)
            case StreamGet(following, asked):
                self._end(True)
                following.lost(asked, now)
            case FileGet(source, token):
                self._end(True)
                source.lost(token)
            case DecoyGet(decoy, relay, at):
                decoy.ended(relay, at)

    def answered(self, purpose: Purpose) -> None:
        """Note that a GET was answered; what the answer says is the caller's business."""
        match purpose:
            case InboxGet(one, _):
                self._end(one.persona is not None)
            case StreamGet() | FileGet():
                self._end(True)
            case DecoyGet(decoy, relay, at):
                decoy.ended(relay, at)

    def _end(self, real: bool) -> None:
        self._outstanding -= real

    def _rank(self, address: bytes) -> list[bytes]:
        reach = self._params.replicas + self._params.replica_slack
        return placement.rank(address, self._relays, reach)

    def _hungry(self, now: int) -> list[ReadingBox]:
        """Return the inboxes at which a GET is lacking."""
        today = clock.index_of(now, self._params.day_s)
        live = live_days(now, self._edge_s, self._params)
        oldest = today - self._params.entry_life_s // self._params.day_s - 1
        self._boxes = {key: one for key, one in self._boxes.items() if key[1] >= oldest}
        hungry: list[ReadingBox] = []
        for name, (secrets, since) in self._personas.items():
            for day in range(max(oldest, since), today + 2):
                if day == today + 1 and day not in live:
                    continue
                one = self._box(name, secrets, day)
                total = sum(one.mailbox.outstanding(relay) for relay in self._top(one))
                if day in live:
                    flows = any(one.mailbox.hungry(relay) for relay in one.ranked)
                    if flows or total < self._params.replicas:
                        hungry.append(one)
                elif now - one.asked_at >= OLD_AGAIN or any(
                    one.mailbox.hungry(relay) for relay in one.ranked
                ):
                    hungry.append(one)
        return hungry

    def _top(self, one: ReadingBox) -> list[bytes]:
        if one.view != self._view:
            one.ranked = self._rank(one.mailbox.address)
            one.view = self._view
        return one.ranked

    def _box(self, name: str, secrets: PersonaSecrets, day: int) -> ReadingBox:
        one = self._boxes.get((name, day))
        if one is None:
            mailbox = Mailbox(secrets.inbox_key(day), network=self._params.hash, rng=self._rng)
            one = self._boxes[name, day] = ReadingBox(mailbox, name, day)
        return one

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

    def _ordered(self, now: int) -> list[tuple[Following, bool]]:
        """Return the streams, and whether each is among those that are waited at."""
        by_use = sorted(self._streams.values(), key=lambda one: -one.active)
        strangers = [
            one for one in by_use if one.stranger() and one.stream.come.next < STRANGERS_BOXES
        ]
        known = [one for one in by_use if not one.stranger()]
        places = HOT_STREAMS - min(len(strangers), HOT_STRANGERS)
        hot = {id(one) for one in (*known[:places], *strangers[:HOT_STRANGERS]) if one.hot(now)}
        ordered = [(one, id(one) in hot) for one in known]
        ordered += [(one, True) for one in strangers if id(one) in hot]
        newest = list(self._invites.values())[::-1]
        ordered += [(one, place < HOT_INVITES) for place, one in enumerate(newest)]
        cold = [one for one in strangers if id(one) not in hot]
        if cold:  # all of them share one chance: else many requests would have all slots
            ordered.append((self._rng.choice(cold), False))
        return ordered

    def _stream(self, one: Following, hot: bool, now: int) -> Get | None:
        # A third GET at a box only while half of all may still go: it takes nobody's place.
        spare = 2 * self._outstanding < self._preset.outstanding_gets
        found = one.next_ask(self._rank, self._view, hot, spare, self.patience, now)
        if found is None:
            return None
        address, asked = found
        wait = self._wait() if asked.waits else 0
        one.sent(asked, self._until(wait, now) if asked.waits else now + self.patience)
        question = self._question(address, wait)
        return Get(question, self._relays[asked.relay], StreamGet(one, asked))

    def _file(self, source: Source, now: int) -> Get | None:
        found = source.next_ask(now)
        if found is None:
            return None
        address, place, token = found
        ranked = self._rank(address)
        if not ranked:
            return None
        relay = ranked[min(place, len(ranked) - 1)]
        return Get(self._question(address, 0), self._relays[relay], FileGet(source, token))

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
