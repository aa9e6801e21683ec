"""One walk over a relay's store, handing on what has got a new keeper.

::

    pass    Scan ► jobs of at most 64 items ► Ask the other old keepers ► Offer, Push ► Scan …
              └ nothing left ► all answered? ─ yes ► done
                                             └ no ► pause, and a pass for those who owe an answer

    of an item, with K keepers in each membership:
        newcomers = new top K − old top K
        others    = old top K that are still there, without this relay
        an item is offered to the newcomers if one of the others holds it too, or if none of
        them says that it lacks it; so what was put on one relay alone is not multiplied
        stranded  = this relay ranks for it no longer: if none of the new top K holds it, the
        first of them who takes it gets it

What a walk holds is bounded by one batch; who is silent is passed over for the rest of the
pass. spec: replication §2
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from shoal_protocol import clock
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.service import placement, replica_frames
from shoal_protocol.service.desk import Access
from shoal_protocol.service.replica_events import Event, Limits, SendFrame, Spare
from shoal_protocol.service.replica_frames import Answer, Ask, Offer, Push, Request, State
from shoal_protocol.service.storage import Kind, Scan, Stored
from shoal_protocol.streams import box


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for one item.

    Args:
        ask: relays that may hold it.
        newcomers: relays that have come among its keepers.
        keepers: all that should hold it.
        stranded: whether this relay ranks for it no longer.
    """

    ask: tuple[bytes, ...]
    newcomers: tuple[bytes, ...]
    keepers: tuple[bytes, ...]
    stranded: bool

    @property
    def targets(self) -> tuple[bytes, ...]:
        """All to whom it may come to be offered."""
        return self.newcomers + (self.keepers if self.stranded else ())


def plan_for(
    address: bytes,
    own_id: bytes,
    old: frozenset[bytes],
    new: frozenset[bytes],
    params: NetworkParameters,
) -> Plan | None:
    """Return what becomes of an item that this relay holds, or None when nothing does."""
    # Both rankings from one, as hashing every relay is what a walk costs.
    count = params.replicas + params.replica_slack
    ranked = placement.rank(address, old | new, count + len(old ^ new))
    reach = [relay for relay in ranked if relay in new][:count]
    keepers = tuple(reach[: params.replicas])
    before = [relay for relay in ranked if relay in old][: params.replicas]
    newcomers = tuple(r for r in keepers if r not in before and r != own_id)
    stranded = own_id not in reach
    if not newcomers and not stranded:
        return None
    others = [relay for relay in before if relay in new and relay != own_id]
    if stranded:
        others += [relay for relay in keepers if relay not in others]
    return Plan(tuple(others), newcomers, keepers, stranded)


@dataclass(slots=True, eq=False)
class _Job:
    stored: Stored
    plan: Plan
    answers: dict[bytes, State] = field(default_factory=dict[bytes, State])
    offered: set[bytes] = field(default_factory=set[bytes])  # to whom, silent ones included

    @property
    def ask(self) -> tuple[bytes, ...]:
        """Whom to ask about it; of a tombstone nobody: a keeper that missed it has the box."""
        buried = self.stored.item.kind is Kind.TOMBSTONE and not self.plan.stranded
        return () if buried else self.plan.ask

    def targets(self) -> tuple[bytes, ...]:
        """Return whom to offer it, once the others have been asked."""
        answers = [self.answers[peer] for peer in self.plan.ask if peer in self.answers]
        if self.plan.stranded and State.HELD not in answers:
            return tuple(p for p in self.plan.keepers if p not in self.offered)[:1]
        if State.HELD in answers or State.ABSENT not in answers:
            return tuple(
                peer for peer in self.plan.newcomers if self.answers.get(peer) is not State.HELD
            )
        return ()

    @property
    def homeless(self) -> bool:
        """Whether it ranks here no longer, and nobody is known to hold it."""
        return self.plan.stranded and State.HELD not in self.answers.values()


@dataclass(slots=True, eq=False)
class _Talk:
    """What is to be said to one peer about the jobs of a batch; one request at a time."""

    peer: bytes
    offering: bool
    open: list[_Job]  # to be asked about, or offered
    wanted: list[_Job] = field(default_factory=list[_Job])  # to be pushed
    sent: list[_Job] = field(default_factory=list[_Job])  # what the request is about
    request: Request | None = None  # that waits for its answer
    due: int = 0  # when the answer is late; or, without a request, when to go on
    tries: int = 0
    laters: int = 0


class Stage(Enum):
    """What a walk waits for."""

    REST = auto()
    SCAN = auto()
    ASK = auto()
    OFFER = auto()
    PAUSE = auto()
    DONE = auto()


class Walk:
    """One walk from the ``old`` membership to the ``new`` one.

    Args:
        own_id: this relay's id, 16 bytes.
        old, new: relay ids.
        number: gives numbers of requests and tickets, each once.

    ``owing`` names the peers that a walk which is DONE has given up; ``homeless`` counts the
    items of its last pass that rank here no longer and that nobody took.
    """

    def __init__(
        self,
        own_id: bytes,
        old: frozenset[bytes],
        new: frozenset[bytes],
        *,
        params: NetworkParameters,
        limits: Limits,
        number: Callable[[], int],
    ) -> None:
        self.old: Final = old
        self.new: Final = new
        self.stage = Stage.REST
        self.owing: set[bytes] = set()
        self.passes = 0
        self.homeless = 0
        self._own_id = own_id
        self._params = params
        self._limits = limits
        self._number = number
        self._there: Collection[bytes] = new
        self._only: set[bytes] | None = None  # in a later pass: who owed an answer
        self._silent: set[bytes] = set()  # in this pass
        self._after = b""
        self._ended = False
        self._ticket: int | None = None
        self._jobs: list[_Job] = []
        self._talks: dict[bytes, _Talk] = {}
        self._resume = 0  # ns, the end of a REST or PAUSE
        step = limits.hashes // max(1, len(old | new))
        self._step: Final = min(max(1, step), replica_frames.MAX_ITEMS)

    def begin(self) -> list[Event]:
        """Start the first pass."""
        return self._scan()

    def waits_for(self, ticket: int) -> bool:
        """Whether an Access is this walk's."""
        return ticket == self._ticket

    def deadline(self) -> int | None:
        """When :meth:`handle_timer` has work."""
        if self.stage in (Stage.REST, Stage.PAUSE):
            return self._resume
        return min((talk.due for talk in self._talks.values()), default=None)

    def scanned(self, found: tuple[Stored, ...], now: int) -> list[Event]:
        """Take the outcome of this walk's Scan."""
        self._ticket = None
        self._ended = len(found) < self._asked_for()
        for stored in found:
            plan = self._plan(stored, now)
            if plan is not None and (self._only is None or self._only.intersection(plan.targets)):
                self._jobs.append(_Job(stored, plan))
        if found:
            self._after = found[-1].item.position()
        if self._asked_for() and not self._ended:
            return self._rest(now)
        return self._ask(now)

    def scan_failed(self, now: int) -> list[Event]:
        """The store couldn't be read: this pass ends, and another follows."""
        self._ticket = None
        self._jobs.clear()
        self.owing |= self._only or self.new - {self._own_id}
        return self._end_pass(now)

    def answered(self, peer: bytes, answer: Answer, now: int) -> list[Event] | None:
        """Take an answer; None when nothing waits for it.

        Raises:
            RemoteProtocolError: "replica answer"; nothing has changed.
        """
        talk = self._talks.get(peer)
        if talk is None or talk.request is None or talk.request.number != answer.number:
            return None
        states = replica_frames.states_of(answer, type(talk.request), len(talk.sent))
        sent = talk.sent
        talk.request, talk.sent = None, []
        for job, state in zip(sent, states, strict=True):
            self._note(talk, job, state)
        return self._go_on(talk, now)

    def failed(self, peer: bytes, now: int) -> list[Event]:
        """A peer can't be reached: what it should answer waits for the next pass."""
        talk = self._talks.get(peer)
        if talk is None or talk.request is None:
            return []
        return self._give_up(talk, now)

    def membership(self, there: Collection[bytes], now: int) -> list[Event]:
        """Learn who is in the directory now: who left it owes nothing."""
        self._there = there
        self.owing.intersection_update(there)
        events: list[Event] = []
        for talk in [talk for peer, talk in self._talks.items() if peer not in there]:
            if talk.peer in self._talks:
                events += self._finish(talk, now)
        return events

    def handle_timer(self, now: int) -> list[Event]:
        """Repeat what is late, and go on after pauses."""
        if self.stage in (Stage.REST, Stage.PAUSE) and now < self._resume:
            return []
        if self.stage is Stage.REST:
            return self._scan()
        if self.stage is Stage.PAUSE:
            self._only, self.owing = self.owing, set()
            self._silent, self._after, self._ended = set(), b"", False
            self.homeless = 0
            return self._scan()
        events: list[Event] = []
        for talk in [talk for talk in self._talks.values() if talk.due <= now]:
            if self._talks.get(talk.peer) is not talk:
                continue
            if talk.request is not None:
                talk.tries += 1
                if talk.tries >= self._limits.tries:
                    events += self._give_up(talk, now)
                    continue
                # Its promises may be over by now: all is offered anew.
                talk.open += talk.wanted + talk.sent
                talk.request, talk.sent, talk.wanted = None, [], []
            events += self._say(talk, now)
        return events

    def _plan(self, stored: Stored, now: int) -> Plan | None:
        if stored.item.kind is Kind.ENTRY:
            if stored.expires <= now:
                return None
        elif stored.day + box.DAYS_KEPT < clock.index_of(now, self._params.day_s):
            return None
        return plan_for(stored.item.address, self._own_id, self.old, self.new, self._params)

    def _asked_for(self) -> int:
        return min(self._step, replica_frames.MAX_ITEMS - len(self._jobs))

    def _rest(self, now: int) -> list[Event]:
        """Leave time to what a relay is there for before the next step."""
        self.stage = Stage.REST
        self._resume = now + clock.seconds(self._limits.rest_s)
        return []

    def _scan(self) -> list[Event]:
        self.stage = Stage.SCAN
        self._ticket = self._number()
        return [Access(self._ticket, Scan(self._after, self._asked_for()))]

    def _ask(self, now: int) -> list[Event]:
        self.stage = Stage.ASK
        return self._talk({job: job.ask for job in self._jobs}, now, offering=False)

    def _offer(self, now: int) -> list[Event]:
        self.stage = Stage.OFFER
        targets: dict[_Job, tuple[bytes, ...]] = {}
        for job in self._jobs:
            peers = job.targets()
            job.offered.update(peers)
            targets[job] = tuple(p for p in peers if self._only is None or p in self._only)
        return self._offer_to(targets, now)

    def _offer_again(self, now: int) -> list[Event] | None:
        """Offer what nobody took to the next who should keep it; None when there is none."""
        targets: dict[_Job, tuple[bytes, ...]] = {}
        for job in self._jobs:
            if job.homeless and (peers := job.targets()):
                job.offered.update(peers)
                targets[job] = peers
        return self._offer_to(targets, now) if targets else None

    def _offer_to(self, targets: dict[_Job, tuple[bytes, ...]], now: int) -> list[Event]:
        self.owing |= {p for peers in targets.values() for p in peers if p in self._silent}
        self.owing.intersection_update(self._there)
        return self._talk(targets, now, offering=True)

    def _talk(
        self, peers_of: dict[_Job, tuple[bytes, ...]], now: int, *, offering: bool
    ) -> list[Event]:
        jobs: dict[bytes, list[_Job]] = {}
        for job, peers in peers_of.items():
            for peer in peers:
                if peer in self._there and peer not in self._silent:
                    jobs.setdefault(peer, []).append(job)
        self._talks = {peer: _Talk(peer, offering, open) for peer, open in jobs.items()}
        if not self._talks:
            return self._next(now)
        return [event for talk in list(self._talks.values()) for event in self._say(talk, now)]

    def _say(self, talk: _Talk, now: int) -> list[Event]:
        """Send the next request to a peer; there is something to say."""
        number = self._number() % 2**32
        if talk.wanted:
            most = replica_frames.MAX_PUSHED
            talk.sent, talk.wanted = talk.wanted[:most], talk.wanted[most:]
            request: Request = Push(
                number, tuple(replica_frames.push(job.stored) for job in talk.sent)
            )
        else:
            talk.sent, talk.open = talk.open, []
            items = tuple(replica_frames.name(job.stored.item) for job in talk.sent)
            request = Offer(number, items) if talk.offering else Ask(number, items)
        talk.request = request
        talk.due = now + clock.seconds(self._limits.reply_s)
        return [SendFrame(talk.peer, replica_frames.CODEC.encode(request), answer=False)]

    def _note(self, talk: _Talk, job: _Job, state: State) -> None:
        match state:
            case State.LATER:
                talk.open.append(job)
                return
            case State.ABSENT if talk.offering:
                talk.wanted.append(job)
                return
            case State.UNRANKED | State.FULL:
                self.owing.add(talk.peer)
            case _:
                pass
        job.answers[talk.peer] = state
        talk.tries = 0  # only what is settled counts as progress

    def _go_on(self, talk: _Talk, now: int) -> list[Event]:
        """Say what is left to say to a peer: at once, after a while, or nothing."""
        if talk.wanted:
            return self._say(talk, now)
        if talk.open and talk.laters < self._limits.laters:
            talk.due = now + clock.seconds(self._limits.later_s * 2**talk.laters)
            talk.laters += 1
            return []
        if talk.open and talk.offering:
            self.owing.add(talk.peer)
        return self._finish(talk, now)

    def _give_up(self, talk: _Talk, now: int) -> list[Event]:
        self._silent.add(talk.peer)
        if talk.offering and talk.peer in self._there:
            self.owing.add(talk.peer)
        return self._finish(talk, now)

    def _finish(self, talk: _Talk, now: int) -> list[Event]:
        del self._talks[talk.peer]
        return [] if self._talks else self._next(now)

    def _next(self, now: int) -> list[Event]:
        """Go on when nobody of this stage is left to hear from."""
        if self.stage is Stage.ASK:
            return self._offer(now)
        again = self._offer_again(now)
        if again is not None:
            return again
        self.homeless += sum(job.homeless for job in self._jobs)
        spare = tuple(
            job.stored.item
            for job in self._jobs
            if job.plan.stranded
            and all(job.answers.get(peer) is State.HELD for peer in job.plan.keepers)
        )
        self._jobs.clear()
        events: list[Event] = [Spare(spare)] if spare else []
        return events + (self._end_pass(now) if self._ended else self._rest(now))

    def _end_pass(self, now: int) -> list[Event]:
        self.passes += 1
        self.owing.intersection_update(self._there)
        if not self.owing or self.passes >= self._limits.passes:
            self.stage = Stage.DONE
            return []
        self.stage = Stage.PAUSE
        pause = min(self._limits.pass_most_s, self._limits.pass_s * 2 ** (self.passes - 1))
        self._resume = now + clock.seconds(pause)
        return []
