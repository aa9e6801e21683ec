"""Keeping views alike by gossip: anti-entropy and rumours (Demers et al. 1987).

::

                      ┌──────────────────────────────────────────┐
    connected ───────►│ relay   Hello to everybody               │
    receive(frame) ──►│         every ~1 s pulls from one relay  │──► SendFrame(peer, frame)
    handle_timer ────►│         passes news on to 3 relays       │──► Changed()
    disconnected ────►│ client  pulls from each guard in turn,   │──► Drop(peer, reason)
                      │         tells nothing of what it holds   │
                      └──────────────────────────────────────────┘

A relay pulls from those who said Hello, and passes on what came as News and was news: once,
to three of them at random, never what a pull brought (that is old to the others). What
rumours miss, pulls find. A person's node says no Hello, answers nothing, sends no root and no
News; its view is the union of its guards' views. What one peer may cost is bounded by two
token buckets: frames with their bytes, and signatures checked. spec: directory §6–8
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory import answers, frames, intake
from shoal_protocol.directory.allowance import Allowance
from shoal_protocol.directory.pull import Answer, Pull, Stage
from shoal_protocol.directory.survey import Survey
from shoal_protocol.directory.tenure import Word
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.rng import Rng

FANOUT: Final = 3  # relays that a rumour is passed on to; spec: directory §6
FRAME_RATE: Final = (
    256  # tokens a second: a frame, a KiB of it or of its answer; spec: directory §8
)
FRAME_BURST: Final = 4_096
CHECK_RATE: Final = 128  # signatures in News a second; spec: directory §8
CHECK_BURST: Final = 2_048
CLIENT_PULLS: Final = 12  # a lease; spec: directory §6


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send ``frame`` to ``peer``; when there is no room it may be dropped."""

    peer: bytes
    frame: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """The set of live descriptors is another one."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the channel to ``peer``, which owes an answer for too long."""

    peer: bytes
    reason: str


Event = SendFrame | Changed | Drop


class _Peer:
    __slots__ = ("checks", "frames", "pull", "serves", "survey")

    def __init__(self, pull: Pull, now: int) -> None:
        self.pull = pull
        self.survey = Survey()
        self.serves = False
        self.frames = Allowance(FRAME_RATE, FRAME_BURST, now)
        self.checks = Allowance(CHECK_RATE, CHECK_BURST, now)


class DirectorySync:
    """The gossip of one node about one view.

    Args:
        view: filled and served.
        rng: for whom to pull from and tell, and when.
        serve: whether this is a relay; False for a person's node.

    ``counters`` counts what was left out for want of allowance.
    """

    def __init__(self, view: DirectoryView, *, rng: Rng, serve: bool) -> None:
        self.view: Final = view
        self.serve: Final = serve
        self.counters: Final[Counter[str]] = Counter()
        self._rng = rng
        self._peers: dict[bytes, _Peer] = {}
        self._own: bytes | None = None
        self._words: dict[bytes, Word] = {}  # of surveys that ended while others go on
        self._next_survey: int | None = None
        self._revision = view.revision
        self._next_pull: int | None = None
        interval = view.params.gossip_interval_ms
        if not serve:
            interval = max(interval, view.params.lease_s * 1000 // CLIENT_PULLS)
        self._interval = interval * MILLISECOND

    @property
    def peers(self) -> tuple[bytes, ...]:
        """The relay ids of those connected, sorted."""
        return tuple(sorted(self._peers))

    def connected(self, peer: bytes, now: int) -> list[Event]:
        """Note a channel to ``peer`` (relay id, 16 bytes); one at a time."""
        if peer in self._peers:
            raise LocalProtocolError("one channel a peer")
        self._peers[peer] = _Peer(Pull(self.view, peer, open_hand=self.serve), now)
        self._schedule(now)
        if self.serve:
            return [_send(peer, frames.Hello())]
        return [self._pull(peer, now), *self._ask_ages([peer], now)]

    def disconnected(self, peer: bytes) -> None:
        """Forget a channel; what it brought stays."""
        del self._peers[peer]

    def publish(self, descriptor: bytes, lease: bytes, now: int) -> list[Event]:
        """Take this relay's own records and tell them; the same descriptor again renews the lease.

        Raises:
            LocalProtocolError: they are refused here already.
        """
        try:
            changed = self.view.add_descriptor(descriptor, now)
            found = self.view.check_lease(lease, now)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"own record: {error}") from error
        renewed = found is not None and self.view.accept_lease(found, now)
        if found:
            self._own = found.relay_id
        own = (found.relay_id,) if found else ()
        news = intake.News(own if changed else (), own if renewed and not changed else ())
        return [*self._tell(news, b""), *self._changed()]

    def receive(self, peer: bytes, frame: bytes, now: int) -> list[Event]:
        """Take a frame from a connected peer.

        Raises:
            RemoteProtocolError: the frame is refused and nothing has changed. After "flood"
                the driver reads more slowly; after anything else it closes the channel.
        """
        state = self._peers[peer]
        if len(frame) > frames.MAX_FRAME:
            raise RemoteProtocolError("frame size")
        if state.frames.left(now) < 1:
            raise RemoteProtocolError("flood")
        cost = 1 + len(frame) / 1024
        state.frames.spend(cost, now)
        try:
            decoded = frames.CODEC.decode(frame)
        except RemoteProtocolError:
            tag = frames.CODEC.later(frame)
            if tag is None:
                raise
            self.counters["frame of a later version"] += 1
            return [_send(peer, frames.Unknown(tag))] if self.serve else []
        match decoded:
            case frames.Hello():
                events = self._hello(peer, state, now)
            case frames.Ask() | frames.List() | frames.Want():
                answer = self._answer(peer, decoded)
                state.frames.spend(len(answer.frame) / 1024, now)
                events = [answer]
            case frames.News():
                events = self._news(peer, state, decoded, now)
            case frames.AskAges():
                told = self._tell_ages(peer, decoded)
                state.frames.spend(len(told.frame) / 1024, now)
                events = [told]
            case frames.Ages():
                events = self._ages(peer, state, decoded, now)
                state.frames.spend(-cost, now)
            case frames.Unknown():
                state.survey.not_known()
                self._settle(now)
                events = []
            case _:
                events = self._answered(peer, state, decoded, now)
                state.frames.spend(-cost, now)
        return [*events, *self._changed()]

    def handle_timer(self, now: int) -> list[Event]:
        """Drop what has ended and begin what is due; harmless when called early."""
        self.view.expire(now)
        events = list[Event]()
        for peer in self.peers:
            state = self._peers[peer]
            owed = (state.pull.deadline, state.survey.deadline)
            if any(deadline is not None and deadline <= now for deadline in owed):
                self.counters["stalled"] += 1
                self.disconnected(peer)
                events.append(Drop(peer, "stalled"))
        if self._next_pull is not None and self._next_pull <= now:
            self._next_pull = None
            self._schedule(now)
            idle = [p for p in self.peers if self._peers[p].pull.stage is Stage.IDLE]
            if self.serve:
                serving = [peer for peer in idle if self._peers[peer].serves]
                idle = [self._rng.choice(serving)] if serving else []
            events += [self._pull(peer, now) for peer in idle]
        if self._next_survey is not None and self._next_survey <= now:
            events += self._ask_ages(self.peers, now)
        self._settle(now)
        return [*events, *self._changed()]

    def next_deadline(self) -> int | None:
        """When :meth:`handle_timer` is next due, ns."""
        waits = [state.pull.deadline for state in self._peers.values()]
        waits += [state.survey.deadline for state in self._peers.values()]
        if self._peers:
            waits += [self._next_pull, self._next_survey]
        times = [self.view.next_expiry, *waits]
        return min((time for time in times if time is not None), default=None)

    def overlap(self) -> float:
        """Return the share of live relays that every connected guard told of, 0 to 1.

        Only guards whose lists were read to the end count; with fewer than two it is 1. A
        person's node warns below 0.9: somebody shows this node a directory of its own.
        """
        live = {item.relay_id for item in self.view.tree.items(0, 0) if not item.barred}
        views = [state.pull.held & live for state in self._peers.values() if state.pull.complete]
        if len(views) < 2:
            return 1.0
        union = set[bytes]().union(*views)
        return len(union.intersection(*views)) / len(union) if union else 1.0

    def _hello(self, peer: bytes, state: _Peer, now: int) -> list[Event]:
        if state.serves:
            raise RemoteProtocolError("hello repeated")
        state.serves = True
        if not self.serve:
            return []
        own = (self._own,) if self._own else ()
        records, proofs = intake.gather(self.view, own, ())
        events: list[Event] = [_send(peer, frames.News(records, proofs))] if records else []
        return [*events, self._pull(peer, now)]

    def _answer(self, peer: bytes, asked: frames.Ask | frames.List | frames.Want) -> SendFrame:
        if not self.serve:
            raise RemoteProtocolError("no server here")
        match asked:
            case frames.Ask():
                return _send(peer, answers.to_ask(self.view, asked))
            case frames.List():
                return _send(peer, answers.to_list(self.view, asked, self._rng))
            case frames.Want():
                return _send(peer, answers.to_want(self.view, asked))

    def _answered(self, peer: bytes, state: _Peer, answer: Answer, now: int) -> list[Event]:
        return [_send(peer, frame) for frame in state.pull.receive(answer, now)]

    def _ask_ages(self, peers: Iterable[bytes], now: int) -> list[Event]:
        """Ask peers that owe nothing yet how long relays have been there, if that is asked."""
        if not self.view.surveys:
            return []
        self._next_survey = now + self.view.params.epoch_s * SECOND
        idle = [peer for peer in peers if self._peers[peer].survey.deadline is None]
        return [_send(peer, self._peers[peer].survey.start(now)) for peer in idle]

    def _tell_ages(self, peer: bytes, asked: frames.AskAges) -> SendFrame:
        if not self.serve:
            raise RemoteProtocolError("no server here")
        return _send(peer, answers.to_ages(self.view, asked))

    def _ages(self, peer: bytes, state: _Peer, answer: frames.Ages, now: int) -> list[Event]:
        found = state.survey.receive(answer, now)
        if isinstance(found, frames.AskAges):
            return [_send(peer, found)]
        self._words[peer] = found
        self._settle(now)
        return []

    def _settle(self, now: int) -> None:
        """Take the words heard once nobody owes one: never the first one's alone for a while."""
        if self._words and all(state.survey.deadline is None for state in self._peers.values()):
            self.view.hear(self._words, now)
            self._words = {}

    def _news(self, peer: bytes, state: _Peer, news: frames.News, now: int) -> list[Event]:
        if not self.serve or not state.serves:
            raise RemoteProtocolError("unasked news")
        if state.checks.left(now) < 1:
            raise RemoteProtocolError("flood")
        batch = intake.verify(self.view, news, now, peer, state.checks)
        if batch.cut:
            self.counters["news cut"] += 1
        return self._tell(intake.accept(self.view, batch, now, peer), peer)

    def _tell(self, news: intake.News, source: bytes) -> list[Event]:
        """Pass news on to a few relays other than its source, as much as one frame takes."""
        records, proofs = intake.gather(self.view, news.whole, news.leases)
        if not records and not proofs:
            return []
        frame = frames.CODEC.encode(frames.News(records, proofs))
        others = [p for p in self.peers if self._peers[p].serves and p != source]
        return [SendFrame(peer, frame) for peer in self._rng.sample(others, FANOUT)]

    def _pull(self, peer: bytes, now: int) -> Event:
        return _send(peer, self._peers[peer].pull.start(now))

    def _schedule(self, now: int) -> None:
        if self._next_pull is None:
            self._next_pull = now + int(self._interval * (0.5 + self._rng.uniform()))

    def _changed(self) -> list[Event]:
        before, self._revision = self._revision, self.view.revision
        return [Changed()] if before != self._revision else []


def _send(peer: bytes, frame: frames.Frame) -> SendFrame:
    return SendFrame(peer, frames.CODEC.encode(frame))
