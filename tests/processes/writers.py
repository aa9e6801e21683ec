"""People's nodes that write to each other by the API, whatever happens to the processes.

::

    Writer ── POST, Idempotency-Key ──► node ──202──► acknowledged: it must come, once, in order
                  ▲                      │ dies, refuses for now
                  └──────────────────────┘ the same call again

A writer is one direction of a conversation and makes one call after the other, so the order
in which its calls are acknowledged is the order of its texts. A node is found by its home:
each run of it listens elsewhere.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from processes.waiting import pause, until
from shoal_node import fleet
from shoal_node.api.client import Client, NodeGone, Refused
from shoal_node.cli.chat import history
from shoal_protocol.errors import UserError
from shoal_protocol.rng import Rng

RANKS: Final = ("queued", "stored", "fetched", "read")
THERE: Final = frozenset({"fetched", "read"})  # the whole message is in the reader's history
RECENT: Final = 40  # messages that one look at the states asks for
AGAIN_S: Final = 0.2  # before a call is made again
LATER: Final = frozenset({422, 429, 503})  # refusals that pass by themselves
FIRST_S: Final = 120.0  # until a contact request has arrived
WORDS: Final = ("kelp", "ebb", "heron", "tide", "sand", "gull", "lantern", "harbour", "reef")
LONG_SHARE: Final = 12  # one text of so many needs several boxes
CALL_S: Final = 10.0  # that one call may take


@dataclass(slots=True)
class Person:
    """One person's node with one persona."""

    name: str
    data: Path
    persona: str
    pseudonym: str
    conversations: dict[str, str] = field(default_factory=dict)  # by the other's name

    def client(self) -> Client:
        """A client of the node that runs in this home now; raises UserError."""
        return Client.of(self.data, CALL_S)

    def history(self, other: str) -> list[dict[str, Any]]:
        """All messages with ``other``, oldest first."""
        return history(self.client(), self.conversations[other])


def people_of(network: fleet.Fleet) -> list[Person]:
    """Make a persona on every person's node."""
    made = []
    for node in network.people:
        persona = node.client().post("personas", body={})
        made.append(Person(node.name, node.data, persona["id"], persona["pseudonym"]))
    return made


def introduce(pairs: Sequence[tuple[Person, Person]]) -> None:
    """Let the first of each pair write to the other; returns when all know of it."""
    for one, other in pairs:
        body = {"pseudonym": other.pseudonym}
        contact = one.client().post("personas", one.persona, "contacts", body=body)
        one.conversations[other.name] = contact["conversation"]
        one.client().post(
            "conversations", contact["conversation"], "messages", body={"text": "hello"}
        )
    for one, other in pairs:
        until(lambda one=one, other=other: _knows(other, one), FIRST_S, "a first message")  # type: ignore[misc]


def _knows(person: Person, other: Person) -> bool:
    for contact in person.client().get("personas", person.persona, "contacts"):
        if contact["pseudonym"] == other.pseudonym:
            person.conversations[other.name] = contact["conversation"]
            return True
    return False


class Writer:
    """One direction of a conversation, a thread.

    Args:
        source, target: whose texts go to whom.
        rng: of texts and pace.
        pause_s: mean time between two messages.
        series: sets this writer's calls apart from those of another of the same direction.

    ``acknowledged`` holds every text that the API took, in order; ``counters`` counts calls
    made again; ``complaints`` is what must not happen.
    """

    def __init__(
        self, source: Person, target: Person, rng: Rng, pause_s: float, series: str = ""
    ) -> None:
        self.source: Final = source
        self.target: Final = target
        self.acknowledged: list[str] = []
        self.ids: list[str] = []
        self.counters: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._rng = rng
        self._pause_s = pause_s
        self._series = series
        self._stop = threading.Event()
        self._ranks: dict[str, int] = {}
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Who writes to whom."""
        return f"{self.source.name} to {self.target.name}"

    def end(self, within_s: float) -> None:
        """Begin no further message, and wait until the last call is answered."""
        self._stop.set()
        self._thread.join(within_s)
        if self._thread.is_alive():
            self.complaints.append(f"{self.name}: a call was not answered in {within_s:g} s")

    def _go_on(self) -> None:
        while not self._stop.wait(self._rng.exponential(self._pause_s)):
            number = len(self.acknowledged)
            words = self._rng.below(900) if self._rng.below(LONG_SHARE) == 0 else 5
            text = " ".join([f"{number}:", *(self._rng.choice(WORDS) for _ in range(words))])
            answer = self._call(text, f"{self.name} {number}{self._series}")
            if answer is None:
                return
            if answer["text"] != text or answer["id"] in self.ids:
                self.complaints.append(f"{self.name}: message {number} is answered by another")
            self.ids.append(answer["id"])
            self.acknowledged.append(text)

    def _call(self, text: str, key: str) -> dict[str, Any] | None:
        conversation = self.source.conversations[self.target.name]
        while True:
            try:
                return dict(
                    self.source.client().post(
                        "conversations", conversation, "messages", body={"text": text}, key=key
                    )
                )
            except Refused as error:
                self.counters[f"refused: {error.status}"] += 1
                if error.status not in LATER:
                    self.complaints.append(f"{self.name}: {error.status}: {error}")
                    return None
            except NodeGone:
                self.counters["the node went away in a call"] += 1
            except UserError:  # no node runs there now
                self.counters["no node there"] += 1
            pause(AGAIN_S)

    def look(self) -> None:
        """Complain of a state that went back, or of one that says the message is lost."""
        try:
            messages = self.source.client().get(
                "conversations",
                self.source.conversations[self.target.name],
                "messages",
                limit=RECENT,
            )
        except UserError:
            return
        for message in messages:
            if not message["outgoing"]:
                continue
            status, known = message["status"], self._ranks.get(message["id"], 0)
            if status not in RANKS or RANKS.index(status) < known:
                self.complaints.append(
                    f"{self.name}: the message {message['text'][:8]!r} was {RANKS[known]}, "
                    f"then {status}"
                )
            else:
                self._ranks[message["id"]] = RANKS.index(status)

    def missing(self) -> int:
        """How many acknowledged messages the reader's node does not show yet."""
        shown = {m["text"] for m in self.target.history(self.source.name) if not m["outgoing"]}
        return sum(text not in shown for text in self.acknowledged)

    def unread(self) -> int:
        """How many messages the writer's node does not show as fetched yet."""
        mine = [m for m in self.source.history(self.target.name) if m["outgoing"]]
        return sum(m["status"] not in THERE for m in mine)

    def compare(self) -> list[str]:
        """Return what is wrong with both histories, once all is quiet."""
        wrong = list(self.complaints)
        sent = [m for m in self.source.history(self.target.name) if m["outgoing"]]
        came = [m for m in self.target.history(self.source.name) if not m["outgoing"]]
        hello = bool(sent) and sent[0]["text"] == "hello"
        expected = ["hello"] * hello + self.acknowledged
        for whose, texts in (("writer", sent), ("reader", came)):
            found = [m["text"] for m in texts]
            if found != expected:
                wrong.append(f"{self.name}: the {whose}'s history {_differs(found, expected)}")
        if len({m["id"] for m in came}) != len(came):
            wrong.append(f"{self.name}: two messages of the reader's have one id")
        kept = {m["text"] for m in came}
        wrong += [
            f"{self.name}: {m['text'][:8]!r} is {m['status']} and not there"
            for m in sent
            if m["status"] == "failed" or (m["status"] != "queued" and m["text"] not in kept)
        ]
        return wrong


def _differs(found: Sequence[str], expected: Sequence[str]) -> str:
    lost = Counter(expected) - Counter(found)
    extra = Counter(found) - Counter(expected)
    if not lost and not extra:
        return "is out of order"
    shown = ", ".join(repr(text[:12]) for text in [*lost, *extra][:6])
    return f"lacks {lost.total()} and has {extra.total()} too many: {shown}"
