"""Follow docs/relay.md word by word on a machine of its own, among relays of the main network.

::

    docs/relay.md ── blocks marked "run: NAME" ──► one shell of a user with an empty home
                                                   on a host with a routable-looking address

Run by ``tests/processes/check_relay_document.py``, which has followed the part about the
installation before, where packages can be fetched; prints what the shell answered, as JSON.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from network.namespaces import ROOT, Host, Internet, Node
from processes.waiting import until

DOCUMENT: Final = ROOT / "docs" / "relay.md"
INSTALLED: Final = ("install",)  # blocks that need packages from outside
HOST: Final = "81.2.69.142"
PORT: Final = 4001
OTHERS: Final = 3  # relays that are there already
AGREE_S: Final = 60.0
RAISED: Final = 800  # 10^9 bytes a month, as the page has its reader write
_BLOCK: Final = re.compile(r"<!-- run: ([\w-]+) -->\n```sh\n(.*?)```", re.DOTALL)
_MARK: Final = "@@ended"


@dataclass(frozen=True, slots=True)
class Block:
    """One block of commands and what it is called."""

    name: str
    text: str


def blocks() -> list[Block]:
    """Return what the document has its reader run, in its order."""
    return [Block(name, text) for name, text in _BLOCK.findall(DOCUMENT.read_text())]


def environment(user: Path) -> dict[str, str]:
    """Return the environment of somebody who has just logged in, at home in ``user``."""
    outside = [part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part]
    return {"HOME": str(user), "PATH": os.pathsep.join(outside), "LANG": "C.UTF-8"}


class Shell:
    """One shell that is given block after block.

    Args:
        command: starts it.
        env: its environment, whole.
    """

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=env,
            cwd=env["HOME"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, block: Block) -> str:
        """Run a block; returns what it printed. Its commands must all succeed."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"set -e\n{block.text}\nset +e\necho; echo {_MARK}\n")
        process.stdin.flush()
        said: list[str] = []
        for line in process.stdout:
            if line == f"{_MARK}\n":
                return "".join(said).strip()
            said.append(line)
        raise SystemExit(f"block {block.name!r} of {DOCUMENT.name} failed:\n{''.join(said)}")

    def end(self) -> None:
        """Leave the shell."""
        self._process.communicate()


def _network(internet: Internet, place: Path) -> list[Node]:
    """Start relays of the main network, each in a /16 of its own; they know each other."""
    known: list[str] = []
    nodes: list[Node] = []
    for number, host in enumerate(internet.spread(OTHERS)):
        node = host.node("relay", place / f"other-{number}", *known, *host.listen(PORT))
        known = known or ["--bootstrap", node.address]
        nodes.append(node)
    _all_know(nodes, OTHERS)
    return nodes


def _all_know(nodes: list[Node], relays: int) -> None:
    until(
        lambda: all(node.client().get("status")["relays"] == relays for node in nodes),
        AGREE_S,
        f"{relays} relays in each view",
    )


def _month_gb(shell: Shell) -> float:
    status = json.loads(shell.run(Block("a look", "shoal status --data ~/relay --json")))
    return float(status["month"]["limit_gb"])


def _follow(host: Host, user: Path, others: list[Node]) -> dict[str, str]:
    shell = Shell(host.command(["bash"]), environment(user))
    said: dict[str, str] = {}
    shell.run(Block("the reader's own", f"export BOOTSTRAP={others[0].address}"))
    for block in blocks():
        if block.name in INSTALLED:
            continue
        said[block.name] = shell.run(block)
        if block.name == "wait":
            _all_know(others, OTHERS + 1)
            address = f"/ip4/{host.v4}/tcp/{PORT}"
            known = [peer["address"] for peer in others[-1].client().get("peers")]
            assert any(each.startswith(address) for each in known), known
        if block.name == "reload":
            until(lambda: _month_gb(shell) == RAISED, AGREE_S, "the raised cap")
    shell.end()
    return said


def main(user: Path) -> None:
    """Follow the document in the home ``user``; print each block's answer."""
    place = user.parent / "others"
    place.mkdir(mode=0o700, exist_ok=True)
    with Internet() as internet:
        others = _network(internet, place)
        said = _follow(internet.host(HOST), user, others)
        assert [node.end() for node in others] == [0] * OTHERS
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
