"""Many real node processes on this machine, started together and ended together.

::

    this process ──pipe──> forkserver (imports the daemon once)
         │                      ├── relay-1   first; its address is the others' bootstrap
         │                      ├── relay-2, relay-3   then all three are bootstraps
         │                      ├── relay-4 …
         │                      └── person-1 …
         └──pipe whose end each node watches: when this process dies, even by kill -9,
            every node ends

Nodes come from a forkserver where there is one (POSIX), since importing libp2p takes 0.6 s of
a processor and 63 MB a process: ten nodes start in 1.1 s instead of 6.2 s, and share what
they don't change (38 MB each instead of 71, proportional). Elsewhere each is spawned.

A node may be stopped as by Ctrl-C, or killed, and started again on its home. A relay then
listens where it did before, as a relay at home does: others keep its address.

Each node has a process group of its own, so that Ctrl-C reaches this process alone, which then
ends them in order; each has its home in one temporary directory, with its log in it.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection, forkserver, process
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Literal, Self, cast

from shoal_node import home
from shoal_node.api.client import Client
from shoal_node.api.values import PresetName
from shoal_node.config import LOOPBACK_ADDRESS, NodeConfig
from shoal_protocol.errors import UserError

PRELOAD: Final = ["shoal_node.daemon", "shoal_node.transport.libp2p_connection"]
BOOTSTRAPS: Final = 3
START_TIMEOUT: Final = 60.0  # s until a node's API answers
READY_TIMEOUT: Final = 120.0  # s until all are ready
STOP_TIMEOUT: Final = 5.0  # s for a clean end before it is killed
DRAIN_TIMEOUT: Final = 300.0  # s
ORPHAN_TIMEOUT: Final = 3.0  # s for a clean end when the parent has died
LOG_TAIL: Final = 4096  # bytes
_PAUSE: Final = 0.05  # s between two looks
_ENDINGS: Final = tuple(
    # SIGINT too: a shell lets what it starts in the background ignore it
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
)

Main = Callable[[NodeConfig], "int | None"]
Report = Callable[[int], None]


def daemon_main(config: NodeConfig) -> int | None:
    """Run a real node; what a fleet starts unless told otherwise."""
    from shoal_node import daemon

    return daemon.main(config)


@dataclass(frozen=True, slots=True)
class Node:
    """One node's process and home."""

    name: str
    config: NodeConfig
    process: process.BaseProcess

    @property
    def data(self) -> Path:
        """Its home."""
        return self.config.data

    @property
    def log(self) -> Path:
        """Its log."""
        return self.data / home.LOG_FILE

    @property
    def answers(self) -> bool:
        """Whether its API does, as far as its home tells."""
        return (self.data / home.API_FILE).exists()

    def client(self) -> Client:
        """A client of its API; raises UserError when it does not run."""
        return Client.of(self.data)

    def rss_mb(self) -> float | None:
        """Its resident memory in MB (10^6 bytes), where the platform tells."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return None
        for line in lines:
            if line.startswith("VmRSS:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
        return None


class Fleet:
    """Relays and people on loopback, for as long as the context lasts.

    Args:
        relays: how many relays, at least 1.
        people: how many people's nodes.
        preset: the people's traffic.
        network: whose parameters all use.
        keep: leave the nodes' homes, with their logs, on disk in the end.
        main: what each process runs.

    Whatever ends the context, all processes have ended when it is left, interruptions
    during the clean-up included.
    """

    def __init__(
        self,
        relays: int,
        people: int,
        *,
        preset: str = "fast",
        network: str = "lab",
        keep: bool = False,
        main: Main = daemon_main,
    ) -> None:
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            self._context.set_forkserver_preload(PRELOAD)
        self._main = main
        self._counts = (relays, people)
        self._preset = preset
        self._network = network
        self._keep = keep
        self._handlers: dict[int, Any] = {}
        self._ended: set[str] = set()  # names of nodes that were ended on purpose
        self.root: Path = Path()
        self.relays: list[Node] = []
        self.people: list[Node] = []

    @property
    def nodes(self) -> list[Node]:
        """All nodes."""
        return [*self.relays, *self.people]

    @property
    def _running(self) -> list[Node]:
        return [node for node in self.nodes if node.name not in self._ended]

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDINGS:
                self._handlers[number] = signal.signal(number, _interrupt)
        if "forkserver" in multiprocessing.get_all_start_methods():
            with self._uninterrupted():  # inherited: Ctrl-C must not end its imports in a trace
                forkserver.ensure_running()
        self.root = Path(tempfile.mkdtemp(prefix="shoal-"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._uninterrupted():
            self._stop()
            if not self._keep:
                shutil.rmtree(self.root, ignore_errors=True)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Ignore interruptions inside: what stands there takes a few seconds at most."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {n: signal.signal(n, signal.SIG_IGN) for n in _ENDINGS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def start(self, report: Report = lambda done: None) -> None:
        """Start all nodes and wait until each API answers.

        Args:
            report: called with the number of nodes that answer.

        Raises:
            UserError: a node ended, or does not answer in time.
        """
        relays, people = self._counts
        waves = [1, min(BOOTSTRAPS, relays) - 1, relays - min(BOOTSTRAPS, relays)]
        for count in waves[:2]:
            self._launch("relay", count)
            self._await_answers(report)
        self._launch("relay", waves[2])
        self._launch("person", people)
        self._await_answers(report)
        self.relays = [_where_it_listens(node) for node in self.relays]

    def _launch(self, role: Literal["person", "relay"], count: int) -> None:
        nodes = self.relays if role == "relay" else self.people
        template = NodeConfig(
            role=role,
            data=self.root,
            listen=(LOOPBACK_ADDRESS,) if role == "relay" else (),
            bootstrap=self._bootstraps(),
            network=self._network,
            preset=cast(PresetName, self._preset),
        )
        for _ in range(count):
            name = f"{role}-{len(nodes) + 1}"
            config = replace(template, data=self.root / name)
            config.data.mkdir(mode=0o700)
            nodes.append(self._node(name, config))
            nodes[-1].process.start()

    def _node(self, name: str, config: NodeConfig) -> Node:
        child = self._context.Process(target=_run, args=(self._main, config), name=name)
        return Node(name, config, child)

    def _bootstraps(self) -> tuple[str, ...]:
        running = [node for node in self.relays[:BOOTSTRAPS] if node.process.pid is not None]
        addrs = [home.read_api(node.data).addrs for node in running]
        return tuple(each[0] for each in addrs if each)

    def _await_answers(self, report: Report) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            answering = sum(node.answers for node in self._running)
            report(answering)
            if answering == len(self._running):
                return
            self.check()
            if time.monotonic() > deadline:
                raise UserError(f"Not all nodes answer after {START_TIMEOUT:.0f} s.")
            time.sleep(_PAUSE)

    def await_ready(self, report: Report = lambda done: None) -> None:
        """Wait until every node that runs is ready.

        Args:
            report: called with the number of ready nodes.

        Raises:
            UserError: a node ended, or is not ready in time.
        """
        deadline = time.monotonic() + READY_TIMEOUT
        waiting = self._running
        while waiting:
            waiting = [node for node in waiting if not node.client().get("status")["ready"]]
            report(len(self._running) - len(waiting))
            self.check()
            if time.monotonic() > deadline:
                names = ", ".join(node.name for node in waiting)
                raise UserError(f"Not ready after {READY_TIMEOUT:.0f} s: {names}.")
            if waiting:
                time.sleep(_PAUSE)

    def check(self, *, erased: bool = False) -> None:
        """Raise UserError, with the end of its log, if a node has ended by itself.

        Args:
            erased: a person may erase a node, which ends well then; the others go on.
        """
        for node in self._running:
            if erased and node.process.exitcode == 0 and node in self.people:
                self._ended.add(node.name)
            elif node.process.exitcode is not None:
                raise UserError(
                    f"{node.name} ended with code {node.process.exitcode}. "
                    f"Its log says: {_last_line(node.log)}"
                )

    def kill(self, node: Node) -> None:
        """End ``node`` by SIGKILL, as a power cut would, and wait for its end."""
        self._ended.add(node.name)
        node.process.kill()
        node.process.join()

    def stop(self, node: Node, within_s: float = STOP_TIMEOUT) -> None:
        """End ``node`` as Ctrl-C would, and wait for its end.

        Raises:
            UserError: it did not end cleanly, or not within ``within_s``.
        """
        self._ended.add(node.name)
        if os.name == "posix" and node.process.pid is not None:
            os.kill(node.process.pid, signal.SIGINT)
        else:
            node.process.terminate()
        node.process.join(within_s)
        code = node.process.exitcode
        if code is None:
            raise UserError(f"{node.name} has not ended {within_s:.0f} s after its Ctrl-C.")
        if code != 0:
            raise UserError(
                f"{node.name} ended with code {code}. Its log says: {_last_line(node.log)}"
            )

    def drain(self, nodes: Sequence[Node]) -> None:
        """Have relays hand on what they keep, all at once, and wait for their ends.

        Raises:
            UserError: one did not end well, or not in time.
        """
        for node in nodes:
            self._ended.add(node.name)
            node.client().post("drain", body={})
        deadline = time.monotonic() + DRAIN_TIMEOUT
        for node in nodes:
            node.process.join(max(deadline - time.monotonic(), 0.0))
            if node.process.exitcode != 0:
                raise UserError(f"{node.name} did not drain. Its log says: {_last_line(node.log)}")

    def restart(self, node: Node) -> Node:
        """Start a node that was stopped or killed again, on its home; returns it once it answers.

        Raises:
            UserError: it ended, or does not answer in time.
        """
        again = self.relaunch(node)
        self._await_answers(lambda done: None)
        return again

    def relaunch(self, node: Node) -> Node:
        """Start a node again as :meth:`restart`, without waiting for it."""
        (node.data / home.API_FILE).unlink(missing_ok=True)  # one that was killed left it
        again = self._node(node.name, node.config)
        nodes = self.relays if node in self.relays else self.people
        nodes[nodes.index(node)] = again
        node.process.close()
        self._ended.discard(node.name)
        again.process.start()
        return again

    def _stop(self) -> None:
        started = [node.process for node in self.nodes if node.process.pid is not None]
        for child in started:
            child.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT
        for child in started:
            child.join(max(deadline - time.monotonic(), 0.0))
        for child in started:
            if child.exitcode is None:
                child.kill()
        for child in started:
            child.join()
            child.close()


def _where_it_listens(node: Node) -> Node:
    """The same relay, told to listen at the port that it was given at first."""
    addrs = tuple(addr.partition("/p2p/")[0] for addr in home.read_api(node.data).addrs)
    return replace(node, config=replace(node.config, listen=addrs))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _last_line(log: Path) -> str:
    try:
        lines = log.read_bytes()[-LOG_TAIL:].decode(errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing.")


def _run(main: Main, config: NodeConfig) -> None:
    """What each process does: log to its home, end with its parent, be the node."""
    if os.name == "posix":
        os.setpgid(0, 0)
    for number in _ENDINGS:  # the forkserver ignores them
        signal.signal(number, signal.SIG_DFL)
    try:
        log = os.open(config.data / home.LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except FileNotFoundError:  # the fleet ended while this process was being started
        return
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    parent = multiprocessing.parent_process()
    if parent is not None:
        watch = threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True)
        watch.start()
    sys.exit(main(config) or 0)


def _end_with(sentinel: int) -> None:
    """Wait for the parent's end, then end this process: politely first."""
    connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_TIMEOUT)
    os._exit(1)
