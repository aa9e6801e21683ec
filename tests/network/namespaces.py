"""A small Internet in network namespaces: hosts with routable-looking addresses.

::

    Internet ── bridge in the namespace "hub"; nothing leads out of it
       ├── Host 45.33.7.2, 2a01:4f8:1::2 ── processes, each ended by its id
       ├── Host 81.2.69.142 ── firewall(): takes no connection from outside
       └── …

Addresses are those of the public Internet on purpose: rules about subnets exempt private ones,
so that on loopback they would never be seen at work. No packet leaves the namespaces.

A node's API listens on a Unix socket, which is reached from any namespace.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from processes.waiting import until
from shoal_node import home
from shoal_node.api.client import Client

HUB: Final = "hub"
BRIDGE: Final = "br0"
COMMAND_S: Final = 60.0  # s for a command, unless told otherwise
START_S: Final = 60.0  # s for a node to answer
END_S: Final = 20.0  # s for a process to end in good order
ROOT: Final = Path(__file__).resolve().parent.parent.parent

_FIREWALL: Final = """\
table inet firewall {
    chain input {
        type filter hook input priority 0; policy accept;
        iif lo accept
        tcp flags & (syn | ack) == syn drop
    }
}
"""


_FORWARD: Final = """\
table inet router {{
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
        tcp dport {outside} redirect to :{inside}
    }}
}}
"""


def shoal(*argv: str) -> list[str]:
    """Return the command line of ``shoal ARGV`` with this interpreter."""
    return [sys.executable, "-m", "shoal_node.cli.main", *argv]


def _do(*argv: str, given: str | None = None) -> None:
    subprocess.run(argv, check=True, input=given, text=True, timeout=COMMAND_S)


@dataclass(frozen=True, slots=True)
class Node:
    """A Shoal node's process on a host."""

    host: "Host"
    data: Path
    process: subprocess.Popen[bytes]

    def client(self) -> Client:
        """A client of its API; raises UserError when it does not run."""
        return Client.of(self.data)

    @property
    def address(self) -> str:
        """The first address by which others can dial it."""
        return self.client().api.addrs[0]

    def end(self, *, by: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns its exit code."""
        self.process.send_signal(by)
        return self.process.wait(END_S)


@dataclass(slots=True)
class Host:
    """One machine: a namespace with one interface.

    Args:
        name: of the namespace.
        v4, v6: its addresses; at least one.
    """

    name: str
    v4: str | None
    v6: str | None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` here, under its own process id."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = COMMAND_S,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its exit code is the caller's to judge."""
        return subprocess.run(
            self.command(argv),
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            cwd=ROOT,
            check=False,
        )

    def start(self, argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process that writes to ``log``; it ends with the Internet at the latest."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
            )
        self.processes.append(process)
        return process

    def listen(self, port: int) -> list[str]:
        """Return ``--listen`` with each of its addresses, for a command line."""
        found: list[str] = []
        if self.v4 is not None:
            found += ["--listen", f"/ip4/{self.v4}/tcp/{port}"]
        if self.v6 is not None:
            found += ["--listen", f"/ip6/{self.v6}/tcp/{port}"]
        return found

    def node(self, role: str, data: Path, *argv: str) -> Node:
        """Start ``shoal ROLE`` (``up`` or ``relay``) with its home at ``data``; it answers."""
        data.mkdir(mode=0o700, exist_ok=True)
        api = f"unix:{data / 'api.sock'}"
        log = data / "process.log"
        process = self.start(shoal(role, "--data", str(data), "--api", api, *argv), log)
        answers = data / home.API_FILE

        def there() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")
            return answers.exists()

        until(there, START_S, f"the node of {self.name} answers")
        return Node(self, data, process)

    def forward(self, outside: int, inside: int) -> None:
        """Send on what comes to the TCP port ``outside`` to another, as a router would."""
        rules = _FORWARD.format(outside=outside, inside=inside)
        _do(*self.command(["nft", "-f", "-"]), given=rules)

    def firewall(self) -> None:
        """Take no new connection from outside from now on."""
        _do("ip", "netns", "exec", self.name, "nft", "-f", "-", given=_FIREWALL)

    def unplug(self) -> None:
        """Take its cable out."""
        _do("ip", "-n", self.name, "link", "set", "eth0", "down")


class Internet:
    """Hosts on one bridge, for as long as the context lasts."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._namespace(HUB)
        _do("ip", "-n", HUB, "link", "add", BRIDGE, "type", "bridge")
        _do("ip", "-n", HUB, "link", "set", BRIDGE, "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in self.hosts:
            for process in host.processes:
                process.terminate()
        for host in self.hosts:
            for process in host.processes:
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._undo.close()

    def host(self, v4: str | None = None, v6: str | None = None) -> Host:
        """Add a machine that has these addresses; all others are its neighbours on the wire."""
        assert v4 or v6, "a host needs an address"
        number = len(self.hosts)
        host = Host(f"host{number}", v4, v6)
        outer = f"port{number}"
        self._namespace(host.name)
        _do(
            "ip",
            "-n",
            HUB,
            "link",
            "add",
            outer,
            "type",
            "veth",
            "peer",
            "eth0",
            "netns",
            host.name,
        )
        _do("ip", "-n", HUB, "link", "set", outer, "master", BRIDGE, "up")
        _do("ip", "-n", host.name, "link", "set", "lo", "up")
        _do("ip", "-n", host.name, "link", "set", "eth0", "up")
        if v4 is not None:
            _do("ip", "-n", host.name, "addr", "add", f"{v4}/32", "dev", "eth0")
            _do("ip", "-n", host.name, "route", "add", "default", "dev", "eth0")
        if v6 is not None:
            _do("ip", "-n", host.name, "addr", "add", f"{v6}/128", "dev", "eth0", "nodad")
            _do("ip", "-n", host.name, "-6", "route", "add", "default", "dev", "eth0")
        self.hosts.append(host)
        return host

    def spread(self, count: int) -> Iterator[Host]:
        """Add ``count`` hosts, each in a /16 of its own."""
        for number in range(count):
            yield self.host(f"{41 + number // 250}.{1 + number % 250}.7.2")

    def _namespace(self, name: str) -> None:
        _do("ip", "netns", "add", name)
        self._undo.callback(_do, "ip", "netns", "del", name)
