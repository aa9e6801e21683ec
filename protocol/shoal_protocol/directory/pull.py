"""Pulling from one peer what it holds and this view lacks.

::

                 Ask            differing buckets           something wanted
    IDLE ─────► ASKED ──Buckets──► LISTED ──Lists──┬──────► WANTED ──Records──┐
     ▲            │                   ▲            │           ▲              │
     │            └────Lists──────────┼──► (same) ─┤           └─ more wanted ┤
     │                                └─ more buckets ────────────────────────┤
     └── Same, nothing differs, nothing more, empty Records ──────────────────┘

One frame is outstanding at a time; each answer must bring the pull forward, so that it ends.
An answer that wasn't asked for is the peer's fault. The bucket comparison is anti-entropy as
in Demers et al. 1987, over hashes as in Merkle's trees. spec: directory §6
"""

from enum import Enum, auto
from typing import Final

from shoal_protocol.clock import SECOND
from shoal_protocol.directory import frames, intake, tree
from shoal_protocol.directory.tree import Item
from shoal_protocol.directory.view import DirectoryView, Need
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError

ANSWER_S: Final = 30  # a peer that owes an answer so long is dropped; spec: directory §6

Answer = frames.Same | frames.Buckets | frames.Lists | frames.Records


class Stage(Enum):
    """What the peer owes."""

    IDLE = auto()
    ASKED = auto()
    LISTED = auto()
    WANTED = auto()


class Pull:
    """One peer's side of the comparison.

    Args:
        view: what is compared and filled.
        source: the peer's relay id.
        open_hand: whether the peer may learn what this view holds: relays send their root and
            push what the peer lacks, a person's node does neither.
    """

    def __init__(self, view: DirectoryView, source: bytes, *, open_hand: bool) -> None:
        self.stage = Stage.IDLE
        self.deadline: int | None = None
        self.complete = False  # whether a comparison has ever run to its end
        self.held: set[bytes] = set()  # ids that the peer holds, as far as it told a closed hand
        self._view = view
        self._source = source
        self._open_hand = open_hand
        self._bits = 0
        self._buckets: set[int] = set()
        self._whole: list[bytes] = []
        self._leases: list[bytes] = []
        self._wanted: tuple[list[bytes], list[bytes]] = ([], [])
        self._listed: list[Item] = []  # what the peer listed in this comparison

    def start(self, now: int) -> frames.Ask:
        """Begin a comparison; only while idle."""
        if self.stage is not Stage.IDLE:
            raise LocalProtocolError("a pull is under way")
        self._expect(Stage.ASKED, now)
        return frames.Ask(self._view.tree.root() if self._open_hand else b"")

    def receive(self, answer: Answer, now: int) -> list[frames.Frame]:
        """Take an answer; return the frames to send next: at most one question and one News.

        Raises:
            RemoteProtocolError: "unasked answer", "buckets", "items", "unasked record", or as
                :func:`intake.verify`; nothing has changed then.
        """
        match answer, self.stage:
            case frames.Same(), Stage.ASKED if self._open_hand:
                return self._next(now)
            case frames.Buckets(), Stage.ASKED:
                return self._compare(answer, now)
            case frames.Lists(bits=0), Stage.ASKED:
                return self._read(answer, {0}, now)
            case frames.Lists(), Stage.LISTED if answer.bits == self._bits:
                return self._read(answer, self._buckets, now)
            case frames.Records(), Stage.WANTED:
                return self._take(answer, now)
            case _:
                raise RemoteProtocolError("unasked answer")

    def _compare(self, answer: frames.Buckets, now: int) -> list[frames.Frame]:
        bits, size = answer.bits, tree.HASH_LENGTH
        if len(answer.hashes) != size << bits:
            raise RemoteProtocolError("buckets")
        theirs = [answer.hashes[at : at + size] for at in range(0, len(answer.hashes), size)]
        mine = self._view.tree.hashes(bits)
        self._bits = bits
        self._buckets = {n for n in range(1 << bits) if mine[n] != theirs[n]}
        same = [
            item
            for bucket in set(range(1 << bits)) - self._buckets
            for item in self._view.tree.items(bucket, bits)
        ]
        ids = {item.relay_id for item in same}
        self._note_held(set(range(1 << bits)) - self._buckets, bits, ids)
        self._view.witness(same, self._source)
        return self._next(now)

    def _read(self, answer: frames.Lists, asked: set[int], now: int) -> list[frames.Frame]:
        bits = answer.bits
        answered = frames.from_map(answer.buckets, bits)
        if not answered or not answered <= asked:
            raise RemoteProtocolError("buckets")
        ids = [item.relay_id for item in answer.items]
        if sorted(set(ids)) != ids or any(tree.bucket_of(i, bits) not in answered for i in ids):
            raise RemoteProtocolError("items")
        self._buckets = asked - answered
        self._view.witness(answer.items, self._source)
        if not self._open_hand:
            self._listed += answer.items
        for item in answer.items:
            self._view.confirm(item.relay_id, self._source)
            match self._view.compare(item, now):
                case Need.ALL:
                    self._whole.append(item.relay_id)
                case Need.LEASE:
                    self._leases.append(item.relay_id)
                case Need.NOTHING:
                    pass
        self._note_held(answered, bits, set(ids))
        push = self._push(answer.items, answered, bits) if self._open_hand else []
        return [*self._next(now), *push]

    def _push(self, items: tuple[Item, ...], answered: set[int], bits: int) -> list[frames.Frame]:
        """Return one News of what the peer's lists lack."""
        theirs = {item.relay_id: item for item in items}
        whole, leases = list[bytes](), list[bytes]()
        for bucket in sorted(answered):
            for mine in self._view.tree.items(bucket, bits):
                match self._view.ahead(mine, theirs.get(mine.relay_id)):
                    case Need.ALL:
                        whole.append(mine.relay_id)
                    case Need.LEASE:
                        leases.append(mine.relay_id)
                    case Need.NOTHING:
                        pass
        records, proofs = intake.gather(self._view, whole, leases)
        return [frames.News(records, proofs)] if records or proofs else []

    def _take(self, answer: frames.Records, now: int) -> list[frames.Frame]:
        batch = intake.verify(self._view, answer, now, self._source)
        whole, leases = self._wanted
        if not batch.named <= {*whole, *leases}:
            raise RemoteProtocolError("unasked record")
        intake.accept(self._view, batch, now, self._source)
        if batch.named:
            self._whole = [i for i in whole if i not in batch.named] + self._whole
            self._leases = [i for i in leases if i not in batch.named] + self._leases
        else:
            self._whole, self._leases, self._buckets = [], [], set()
        return self._next(now)

    def _next(self, now: int) -> list[frames.Frame]:
        """Ask for the next thing that is missing, records before further buckets."""
        if self._whole or self._leases:
            count = frames.MAX_WANTS
            self._wanted = self._whole[:count], self._leases[:count]
            self._whole, self._leases = self._whole[count:], self._leases[count:]
            self._expect(Stage.WANTED, now)
            return [frames.Want(tuple(self._wanted[0]), tuple(self._wanted[1]))]
        if self._buckets:
            self._expect(Stage.LISTED, now)
            return [frames.List(self._bits, frames.to_map(self._buckets, self._bits))]
        self.stage, self.deadline, self.complete = Stage.IDLE, None, True
        self._view.witness(self._listed, self._source)  # others may have sent it meanwhile
        self._view.compared(self._source)
        self._listed = []
        return []

    def _note_held(self, buckets: set[int], bits: int, ids: set[bytes]) -> None:
        if not self._open_hand:
            kept = {i for i in self.held if tree.bucket_of(i, bits) not in buckets}
            self.held = kept | ids

    def _expect(self, stage: Stage, now: int) -> None:
        self.stage, self.deadline = stage, now + ANSWER_S * SECOND
