"""``shoal demo --offline``: messages and a file for somebody whose node is off, and it is checked.

::

    A                     relays                    B
    greeting ────────────────────────────────────►  answers
                                                    stops, as by Ctrl-C
    M messages, a file ─► stored
    stops
                                                    starts again on its home
                          ───────────────────────►  M messages, then the file
                                                    both compared, byte for byte
    starts again ◄────────────────────────────────  everything is fetched

The two are never on at the same time between the greeting and the end, so whatever came lay on
relays meanwhile. While B's node is off, A's may say of no message that it was fetched or read.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from shoal_node import demo, demo_texts, fleet
from shoal_node.api import schema
from shoal_node.cli.chat import history
from shoal_protocol import crypto
from shoal_protocol.errors import UserError
from shoal_protocol.rng import Rng

STALL_S: Final = 120.0  # without any progress: then it is given up
SETTLE_S: Final = 60.0  # until all of it shows as fetched, after A's node is ready again
HAS: Final = ("fetched", "read")  # the reader's node has the whole message
FILE_NAME: Final = "一条鱼 🐟.bin"
FILE_TEXT: Final = "and a file"
_PAUSE: Final = 0.3  # s between two looks

Step = Callable[[str, int], Callable[[int], None]]


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    relays: int = 8
    messages: int = 100
    file_bytes: int = 2 * 2**20
    preset: str = "fast"
    seed: str = "shoal"
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The object that ``--json`` prints. Messages do not count the greeting and the file's text."""

    relays: int
    sent: int
    delivered: int
    lost: int
    duplicates: int
    in_order: bool  # with the file's text as the last
    file_bytes: int
    file_pieces: int  # of the wire, parity included
    file_ok: bool  # its bytes and its name
    honest: bool  # no message was said to be fetched or read while the reader's node was off
    fetched: int  # of sent + 1: what A's node shows as fetched, or read, in the end
    read: int  # the same, by its older name
    verified: bool
    setup_s: float  # until both have each other's greeting
    send_s: float  # from the first message to the last piece of the file being stored
    send_messages_s: float  # of it: until the messages were stored
    first_ms: float | None  # from B's start to its node having the first message
    fetch_messages_s: float | None  # from B's start to its node having all messages
    fetch_file_s: float | None  # from then on to its node having the file
    settle_s: float  # from A's node being ready again to everything showing as fetched
    preset: str
    seed: str
    warnings: list[str]
    data: str | None
    offline: bool = True


@dataclass(slots=True)
class Fetched:
    """How long it took B's node; None of what did not come."""

    first_ms: float | None = None
    messages_s: float | None = None
    file_s: float | None = None


def file_content(seed: str, size: int) -> bytes:
    """Return the demo's file: random bytes, the same for the same seed."""
    return Rng(crypto.seeded_source(f"{seed} file".encode())).bytes(size)


def run(options: Options, step: Step, main: fleet.Main = fleet.daemon_main) -> Result:
    """Run the demo.

    Args:
        options: what the user asked for.
        step: begins a step of the progress; returns what tells how far it is.
        main: what each node's process runs.

    Raises:
        UserError: the network did not form, or nothing moved for :data:`STALL_S`.
    """
    started = time.monotonic()
    with (
        fleet.Fleet(
            options.relays, 2, preset=options.preset, keep=options.keep, main=main
        ) as network,
        demo.pointing_to_logs(network, keep=options.keep),
    ):
        network.start(step("Starting nodes", options.relays + 2))
        network.await_ready(step("Joining the network", options.relays + 2))
        talk = _Offline(network, options, step)
        talk.greet()
        setup_s = time.monotonic() - started
        network.stop(network.people[1])
        send_messages_s, send_s = talk.send()
        honest = talk.all_stored()
        network.stop(network.people[0])
        talk.start(1)
        fetched = talk.fetch()
        file_ok = talk.file_is_whole()
        talk.start(0)
        settling = time.monotonic()
        came = talk.settle()
        settle_s = time.monotonic() - settling
        compared = demo.compare(talk.reader, talk.sender)
        delivered = talk.delivered()
        warnings = talk.reader.client.get("status")["warnings"]
    return Result(
        relays=options.relays,
        sent=options.messages,
        delivered=delivered,
        lost=compared.lost,
        duplicates=compared.duplicates,
        in_order=compared.in_order,
        file_bytes=options.file_bytes,
        file_pieces=talk.pieces,
        file_ok=file_ok,
        honest=honest,
        fetched=came,
        read=came,
        verified=compared.verified
        and compared.in_order
        and file_ok
        and honest
        and came == options.messages + 1,
        setup_s=round(setup_s, 2),
        send_s=round(send_s, 2),
        send_messages_s=round(send_messages_s, 2),
        first_ms=fetched.first_ms,
        fetch_messages_s=fetched.messages_s,
        fetch_file_s=fetched.file_s,
        settle_s=round(settle_s, 2),
        preset=options.preset,
        seed=options.seed,
        warnings=warnings,
        data=str(network.root) if options.keep else None,
    )


class _Offline:
    """The two people, who are rarely on together."""

    def __init__(self, network: fleet.Fleet, options: Options, step: Step) -> None:
        greeting, answer = ([text] for text in ("hello, here is A", "hello, here is B"))
        names = zip(("A", "B"), network.people, (greeting, answer), strict=True)
        self.sender, self.reader = (demo.person(*each) for each in names)
        self.pieces = 0
        self._texts, _ = demo_texts.make(options.seed, options.messages)
        self._network = network
        self._options = options
        self._step = step
        self._content = file_content(options.seed, options.file_bytes)
        self._began = 0  # ns, when the latest start began

    def greet(self) -> None:
        """Let the two find each other, and exchange a greeting that both know to be fetched.

        A node that lies knows it before the answer is there, so that is waited for as well.
        """
        report = self._step("Greeting", 2)
        demo.Talk(
            self.sender, self.reader, self._options.seed, preset=self._options.preset
        ).introduce()
        report(1)
        self.reader.send(self.reader.texts[0])
        people = (self.sender, self.reader)
        self._must(lambda: sum(m["status"] in HAS for p in people for m in _own(p)), 2)
        self._must(lambda: len(_received(self.sender)), 1)
        report(2)

    def send(self) -> tuple[float, float]:
        """Send all; returns the seconds until the messages, and until all of it is stored."""
        began = time.monotonic()
        for text in self._texts:
            self.sender.send(text)
        self.sender.client.post_file(
            "conversations",
            self.sender.conversation,
            "files",
            content=self._content,
            query={"name": FILE_NAME, "text": FILE_TEXT},
        )
        self.sender.sent.append(FILE_TEXT)
        total = len(self._texts)
        report = self._step("Messages stored", total)
        self._must(
            lambda: sum(m["status"] != "queued" for m in _own(self.sender)[1:-1]), total, report
        )
        messages_s = time.monotonic() - began
        self.pieces = _last(self.sender)["file"]["total"]
        report = self._step("File stored, pieces", self.pieces)
        self._must(lambda: int(_last(self.sender)["file"]["done"]), self.pieces, report)
        self._must(lambda: _last(self.sender)["status"] != "queued", 1)  # its text goes last
        return messages_s, time.monotonic() - began

    def all_stored(self) -> bool:
        """Whether A's node says that everything is stored, and no more than that."""
        return all(message["status"] == "stored" for message in _own(self.sender)[1:])

    def start(self, place: int) -> None:
        """Start a person's node again on its home, and wait until it is ready."""
        person = (self.sender, self.reader)[place]
        report = self._step(f"Starting {person.name} again", 1)
        self._began = time.time_ns()
        node = self._network.restart(self._network.people[place])
        person.client = node.client()
        self._network.await_ready()
        report(1)

    def fetch(self) -> Fetched:
        """Wait until B's node has everything, or until nothing more comes."""
        fetched = Fetched()
        total = len(self._texts) + 1
        report = self._step("Messages fetched", total)
        complete = self._until(lambda: len(_received(self.reader)[1:]), total, report)
        came = [schema.nanoseconds(message["received"]) for message in _received(self.reader)[1:]]
        if came:
            fetched.first_ms = round((min(came) - self._began) / 1e6, 1)
        if not complete:
            return fetched
        fetched.messages_s = round((max(came) - self._began) / 1e9, 2)
        file = _last(self.reader)["file"]
        report = self._step("File fetched, pieces", file["total"])
        if self._until(lambda: int(_last(self.reader)["file"]["done"]), file["total"], report) and (
            self._until(lambda: _last(self.reader)["file"]["state"] == "whole", 1)
        ):
            fetched.file_s = round((time.time_ns() - max(came)) / 1e9, 2)
        return fetched

    def delivered(self) -> int:
        """How many of the messages B's node has."""
        came = Counter(message["text"] for message in _received(self.reader)[1:])
        return (came & Counter(self._texts)).total()

    def file_is_whole(self) -> bool:
        """Whether what B's node has is what A sent."""
        message = _last(self.reader)
        if message["file"] is None or message["file"]["state"] != "whole":
            return False
        content = self.reader.client.get_bytes(
            "conversations", self.reader.conversation, "messages", message["id"], "file"
        )
        return (
            content == self._content
            and message["file"]["name"] == FILE_NAME
            and message["text"] == FILE_TEXT
        )

    def settle(self) -> int:
        """Wait until all shows as fetched on A's node, for a time; returns how much does."""
        total = self._options.messages + 1
        report = self._step("Shown as fetched", total)
        deadline = time.monotonic() + SETTLE_S
        while True:
            came = len([m for m in _own(self.sender)[1:] if m["status"] in HAS])
            report(came)
            if came >= total or time.monotonic() > deadline:
                return came
            time.sleep(_PAUSE)

    def _must(
        self,
        count: Callable[[], int],
        total: int,
        report: Callable[[int], None] = lambda done: None,
    ) -> None:
        if not self._until(count, total, report):
            raise UserError(f"Nothing moved for {STALL_S:g} s, at {count()} of {total}.")

    def _until(
        self,
        count: Callable[[], int],
        total: int,
        report: Callable[[int], None] = lambda done: None,
    ) -> bool:
        """Wait until ``count`` gives ``total``; False when it no longer moves."""
        best = -1
        deadline = time.monotonic() + STALL_S
        while True:
            done = count()
            report(min(done, total))
            if done >= total:
                return True
            if done > best:
                best = done
                deadline = time.monotonic() + STALL_S
            elif time.monotonic() > deadline:
                return False
            self._network.check()
            time.sleep(_PAUSE)


def _own(person: demo.Person) -> list[dict[str, Any]]:
    found = history(person.client, person.conversation)
    return [message for message in found if message["outgoing"]]


def _received(person: demo.Person) -> list[dict[str, Any]]:
    found = history(person.client, person.conversation)
    return [message for message in found if not message["outgoing"]]


def _last(person: demo.Person) -> dict[str, Any]:
    """The newest message of a person's conversation."""
    latest = person.client.get("conversations", person.conversation, "messages", limit=1)
    message: dict[str, Any] = latest[-1]
    return message
