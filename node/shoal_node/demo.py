"""``shoal demo``: two people who know only a pseudonym talk through real relays, and it is checked.

::

    start fleet ─> all ready ─> a persona each ─> A adds B by pseudonym
        ─> A: first message (a contact request) ─> B has it ─> both send at their own pace
        ─> [kill relays half-way] ─> both histories read and compared, byte for byte
        ─> hops of one envelope, figures, how to go on

Each person's messages leave every 1.2 s on average at preset fast, and at others in the
measure of their slots, evenly jittered, so that latency is measured and not a queue. Latency
is from the sender's node taking the message to the reader's node having all of it, by the two
nodes' clocks, which on one machine are one.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from shoal_node import demo_texts, fleet
from shoal_node.api import schema
from shoal_node.api.client import Client
from shoal_node.cli.chat import history
from shoal_protocol import crypto
from shoal_protocol.errors import UserError
from shoal_protocol.rng import Rng

PACE_S: Final = 1.2  # mean time between one person's messages at preset fast
JITTER_S: Final = 0.6  # at most so much earlier or later
FIRST_TIMEOUT_S: Final = 90.0  # until the contact request has arrived
LAST_TIMEOUT_S: Final = 90.0  # until everything has arrived, after the last was sent
PACED_RATE: Final = 10.0  # packets a second of the preset that these are for; others take longer
RECENT: Final = 20  # messages that one look asks for while both still send
_PAUSE: Final = 0.1  # s between two looks


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    relays: int = 8
    messages: int = 5  # each way
    preset: str = "fast"
    seed: str = "shoal"
    keep: bool = False
    kill: int = 0


@dataclass(frozen=True, slots=True)
class Latency:
    """One-way latency in milliseconds, and what slots, delays and waiting reads alone give."""

    p50: float | None
    p95: float | None
    max: float | None
    floor_p50: float
    floor_p95: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of relay processes, MB of 10^6 bytes; empty where it cannot be read."""

    relays: Sequence[float]
    max: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """The object that ``--json`` prints."""

    relays: int
    hops: int
    packet_bytes: int
    sent: int
    delivered: int
    lost: int
    duplicates: int
    latency_ms: Latency
    floor_p50: float
    setup_s: float
    first_message_s: float | None
    messages_s: float
    dht: dict[str, Any]
    verified: bool
    preset: str
    seed: str
    killed: int
    slowest_after_kill_ms: float | None
    rss_mb: Memory
    path: list[dict[str, Any]]
    warnings: list[str]
    data: str | None


@dataclass(slots=True)
class Person:
    """One side of a talk."""

    name: str
    client: Client
    persona: str
    pseudonym: str
    texts: list[str]
    conversation: str = ""
    sent: list[str] = field(default_factory=list)  # texts that the node took
    arrived: set[str] = field(default_factory=set)  # ids of messages that came to this person

    def look(self, limit: int | None) -> None:
        """Note what has come among the latest ``limit`` messages, or among all."""
        if limit is None:
            messages = history(self.client, self.conversation)
        else:
            messages = self.client.get("conversations", self.conversation, "messages", limit=limit)
        self.arrived.update(message["id"] for message in messages if not message["outgoing"])

    def send(self, text: str) -> None:
        """Send a text."""
        self.client.post("conversations", self.conversation, "messages", body={"text": text})
        self.sent.append(text)


class Talk:
    """The exchange of messages between two people.

    Args:
        left: who makes the first step.
        right: who is found by pseudonym.
        seed: of the pace.
    """

    def __init__(self, left: Person, right: Person, seed: str, *, preset: str = "fast") -> None:
        from shoal_protocol.parameters import PRESETS

        self._slower = PACED_RATE / PRESETS[preset].rate
        self.people = (left, right)
        self._seed = seed
        self._stop = threading.Event()
        self._failures: list[UserError] = []

    def introduce(self) -> None:
        """A adds B by pseudonym and sends the first message; returns when B's node has it."""
        left, right = self.people
        contact = left.client.post(
            "personas", left.persona, "contacts", body={"pseudonym": right.pseudonym}
        )
        left.conversation = contact["conversation"]
        left.send(left.texts[0])
        deadline = time.monotonic() + FIRST_TIMEOUT_S * self._slower
        while not right.conversation:
            for conversation in right.client.get("conversations"):
                if conversation["persona"] == right.persona:
                    right.conversation = conversation["id"]
            if time.monotonic() > deadline:
                waited = FIRST_TIMEOUT_S * self._slower
                raise UserError(f"The first message has not arrived after {waited:g} s.")
            time.sleep(_PAUSE)

    def run(self, report: Callable[[int], None], halfway: Callable[[], None]) -> None:
        """Send all that is left at each person's pace and wait until everything arrived.

        Args:
            report: called with the number of messages that have arrived.
            halfway: called once, when half of all messages have been sent.
        """
        threads = [
            threading.Thread(target=self._send_all, args=(person,), daemon=True)
            for person in self.people
        ]
        for thread in threads:
            thread.start()
        try:
            self._watch(threads, report, halfway)
        finally:
            self._stop.set()

    def _watch(
        self,
        threads: list[threading.Thread],
        report: Callable[[int], None],
        halfway: Callable[[], None],
    ) -> None:
        total = sum(len(person.texts) for person in self.people)
        reached_half = False
        deadline = None
        while True:
            sending = any(thread.is_alive() for thread in threads)
            for person in self.people:
                person.look(RECENT if sending else None)
            arrived = sum(len(person.arrived) for person in self.people)
            report(min(arrived, total))
            sent = sum(len(person.sent) for person in self.people)
            if not reached_half and 2 * sent >= total:
                reached_half = True
                halfway()
            if self._failures:
                raise self._failures[0]
            if not sending:
                deadline = deadline or time.monotonic() + LAST_TIMEOUT_S * self._slower
                if arrived >= total or time.monotonic() > deadline:
                    return
            time.sleep(3 * _PAUSE)

    def _send_all(self, person: Person) -> None:
        rng = Rng(crypto.seeded_source(f"{self._seed} pace {person.name}".encode()))
        try:
            for text in person.texts[len(person.sent) :]:
                if self._stop.wait(self._slower * (PACE_S + JITTER_S * (2 * rng.uniform() - 1))):
                    return
                person.send(text)
        except UserError as error:
            self._failures.append(error)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the demo's own comparison of both histories found, of messages one way."""

    delivered: int
    lost: int
    duplicates: int
    verified: bool
    in_order: bool  # what came is what was sent in the same order, with nothing beside
    latencies: list[tuple[int, float]]  # time of sending in ns, latency in ms


def compare(reader: Person, sender: Person) -> Comparison:
    """Compare what ``reader`` can read with what ``sender`` sent, byte for byte."""
    came = [m for m in history(reader.client, reader.conversation) if not m["outgoing"]]
    went = [m for m in history(sender.client, sender.conversation) if m["outgoing"]]
    sent = Counter(text.encode() for text in sender.sent)
    read = Counter(message["text"].encode() for message in came)
    created = {m["text"]: schema.nanoseconds(m["created"]) for m in went}
    latencies = [
        (created[m["text"]], (schema.nanoseconds(m["received"]) - created[m["text"]]) / 1e6)
        for m in came
        if m["text"] in created
    ]
    return Comparison(
        delivered=(read & sent).total(),
        lost=(sent - read).total(),
        duplicates=len(came) - len(read),
        verified=read == sent
        and Counter(m["text"].encode() for m in went) == sent
        and all(m["from"] == sender.pseudonym for m in came),
        in_order=[message["text"] for message in came] == sender.sent,
        latencies=latencies,
    )


def run(
    options: Options,
    step: Callable[[str, int], Callable[[int], None]],
    main: fleet.Main = fleet.daemon_main,
) -> Result:
    """Run the demo.

    Args:
        options: what the user asked for.
        step: begins a step of the progress; returns what tells how far it is.
        main: what each node's process runs.

    Raises:
        UserError: the network did not form, or the first message did not arrive.
    """
    started = time.monotonic()
    with (
        fleet.Fleet(
            options.relays, 2, preset=options.preset, keep=options.keep, main=main
        ) as network,
        pointing_to_logs(network, keep=options.keep),
    ):
        network.start(step("Starting nodes", options.relays + 2))
        network.await_ready(step("Joining the network", options.relays + 2))
        setup_s = time.monotonic() - started
        texts = demo_texts.make(options.seed, options.messages)
        people = [
            person(name, node, own)
            for name, node, own in zip(("A", "B"), network.people, texts, strict=True)
        ]
        talk = Talk(people[0], people[1], options.seed, preset=options.preset)
        talking = time.monotonic()
        step("Finding B by pseudonym, first message", 1)(0)
        talk.introduce()
        killed_at: list[int] = []

        def halfway() -> None:
            if options.kill:
                _kill_relays(network, options)
                killed_at.append(time.time_ns())

        talk.run(step("Messages", 2 * options.messages), halfway)
        messages_s = time.monotonic() - talking
        results = [compare(people[1], people[0]), compare(people[0], people[1])]
        statuses = [person.client.get("status") for person in people]
        path = people[0].client.get("path")
        memory = [mb for node in network.relays if (mb := node.rss_mb()) is not None]
        floor_p50, floor_p95 = floor(options.preset)
    samples = sorted(sample for result in results for sample in result.latencies)
    first_ms = samples[0][1] if samples else None
    figures = [ms for _, ms in samples]
    after = [ms for sent, ms in samples if killed_at and sent + ms * 1e6 >= killed_at[0]]
    return Result(
        relays=options.relays,
        hops=len(path),
        packet_bytes=statuses[0]["packet_bytes"],
        sent=sum(len(person.sent) for person in people),
        delivered=sum(result.delivered for result in results),
        lost=sum(result.lost for result in results),
        duplicates=sum(result.duplicates for result in results),
        latency_ms=Latency(
            percentile(figures, 50),
            percentile(figures, 95),
            percentile(figures, 100),
            floor_p50,
            floor_p95,
        ),
        floor_p50=floor_p50,
        setup_s=round(setup_s, 2),
        first_message_s=None if first_ms is None else round(talking - started + first_ms / 1000, 2),
        messages_s=round(messages_s, 2),
        dht=_dht(statuses),
        verified=all(result.verified for result in results)
        and all(person.sent == person.texts for person in people),
        preset=options.preset,
        seed=options.seed,
        killed=options.kill if killed_at else 0,
        slowest_after_kill_ms=percentile(after, 100),
        rss_mb=Memory(memory, max(memory, default=None)),
        path=path,
        warnings=statuses[0]["warnings"],
        data=str(network.root) if options.keep else None,
    )


def floor(preset: str) -> tuple[float, float]:
    """What slots, mixing delays and waiting reads alone give: p50 and p95 in ms."""
    from shoal_protocol import parameters
    from shoal_protocol.client import latency

    p50, p95 = latency.floor(parameters.PRESETS[preset], parameters.LAB)
    return round(p50, 1), round(p95, 1)


def as_json(result: Result) -> dict[str, Any]:
    """Return ``result`` as JSON's types."""
    return asdict(result)


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The nearest-rank percentile, rounded to 0.1; None of nothing."""
    if not values:
        return None
    rank = max(-(-percent * len(values) // 100), 1)
    return round(sorted(values)[rank - 1], 1)


@contextlib.contextmanager
def pointing_to_logs(network: fleet.Fleet, *, keep: bool) -> Iterator[None]:
    """Say in a failure's sentence where the logs are, or how to have them."""
    try:
        yield
    except UserError as error:
        hint = f"The logs are in {network.root}." if keep else "With --keep the logs stay on disk."
        raise UserError(f"{error} {hint}") from None


def person(name: str, node: fleet.Node, texts: list[str]) -> Person:
    """Make a persona on ``node`` for a person who is to send ``texts``."""
    client = node.client()
    persona = client.post("personas", body={})
    return Person(name, client, persona["id"], persona["pseudonym"], texts)


def _kill_relays(network: fleet.Fleet, options: Options) -> None:
    rng = Rng(crypto.seeded_source(f"{options.seed} kill".encode()))
    for node in rng.sample(network.relays, options.kill):
        network.kill(node)


def _dht(statuses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    figures = [status["dht"] for status in statuses if status["dht"] is not None]
    medians = [one["lookup_ms_p50"] for one in figures if one["lookup_ms_p50"] is not None]
    return {
        "announcements": sum(one["announcements"] for one in figures),
        "lookups": sum(one["lookups"] for one in figures),
        "lookup_ms_p50": percentile(medians, 50),
    }
