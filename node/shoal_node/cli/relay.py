"""``shoal relay``: run a relay in the foreground; have it go well, or check itself.

::

    shoal relay              in the foreground until interrupted
    shoal relay drain        the running one hands on what it keeps, and ends; --cancel: it stays
    shoal relay self-check   advice in sentences: node/shoal_node/self_check.py
"""

import argparse
import time
from typing import TYPE_CHECKING, Final

from shoal_node.cli import console, node, options
from shoal_node.usage import LeftBehind, UsageError
from shoal_protocol.errors import UserError

if TYPE_CHECKING:
    from shoal_node.api.client import Client
    from shoal_node.self_check import Running

ROUND_S: Final = 90.0  # that a round of dial-back may take, with time to begin
LOOK_S: Final = 0.5  # between two looks at a relay that drains
NOT_FOUND: Final = 404  # HTTP
_MARKS: Final = {"ok": "OK", "warn": "WARN", "fail": "FAIL"}
_SAID: Final = {
    "announcing": "It tells the others that it takes nothing new.",
    "handing on": "It hands on what it keeps.",
    "waiting for quiet": "All it kept has been handed on; it mixes until no packets come.",
    "waiting for quiet, some left": "No other relay took some of what it keeps; it mixes until no "
    "packets come.",
}


def add(commands: options.Commands) -> None:
    """Add the command."""
    relay = options.command(
        commands,
        "relay",
        _relay,
        "run an always-on relay until interrupted; drain or check the one that runs",
        "shoal relay --listen /ip4/0.0.0.0/tcp/4001",
    )
    node.add_flags(relay)
    relay.add_argument(
        "action",
        nargs="?",
        choices=("run", "drain", "self-check"),
        default="run",
        help="run: be a relay (the default); drain: have the relay that runs with the same --data "
        "take nothing new, hand on what it keeps, and end; self-check: say in sentences what is "
        "well and what is not, and what to do (exit 1 if something is wrong)",
    )
    relay.add_argument(
        "--ask",
        action="store_true",
        help="with self-check: have the running relay ask others now whether they reach it",
    )
    relay.add_argument(
        "--cancel", action="store_true", help="with drain: have a relay that drains stay after all"
    )
    relay.add_argument("--json", action="store_true", help="with self-check: print JSON")
    relay.add_argument(
        "--print-config",
        action="store_true",
        help="print a commented config.toml with all settings, and do nothing else",
    )


def _relay(arguments: argparse.Namespace) -> int | None:
    if arguments.print_config:
        from shoal_node import operator

        console.out(operator.commented().rstrip("\n"))
        return None
    if (arguments.ask or arguments.json) and arguments.action != "self-check":
        raise UsageError("--ask and --json go with `shoal relay self-check`.")
    if arguments.cancel and arguments.action != "drain":
        raise UsageError("--cancel goes with `shoal relay drain`.")
    if arguments.action == "self-check":
        return _self_check(arguments)
    if arguments.action == "drain":
        (_stay if arguments.cancel else _drain)(arguments)
        return None
    return node.run("relay", arguments)


def _drain(arguments: argparse.Namespace) -> None:
    from shoal_node.api.client import NodeGone

    client = options.client(arguments)
    if client.get("status")["role"] != "relay":
        raise UserError("This is a person's node: Ctrl-C or SIGTERM ends it, and nothing is lost.")
    client.post("drain", body={})
    stage, began = "", time.monotonic()
    try:
        while True:
            now = client.get("status")["draining"]
            if now != stage and now in _SAID:
                console.note(_SAID[now])
            stage = now
            time.sleep(LOOK_S)
    except NodeGone:
        if stage not in ("waiting for quiet", "done"):
            raise LeftBehind(
                "The relay has ended with some records left in its store; its log says why, and "
                "its next start offers them again."
            ) from None
        console.note(f"The relay has ended, after {time.monotonic() - began:.0f} s.")
    except KeyboardInterrupt:
        console.note("The relay goes on draining; `shoal status` says how far it is.")
        raise


def _stay(arguments: argparse.Namespace) -> None:
    """Have the relay stay, or its next start if none runs."""
    from shoal_node import draining, home
    from shoal_node.api.client import Client

    data = options.data_path(arguments)
    try:
        client = Client(home.read_api(data))
    except UserError:
        there = (data / draining.FILE).exists()
        if there:
            with home.Home(data):  # none starts meanwhile
                draining.forget(data)
        again = "its next start is a relay like any other" if there else "none was asked to leave"
        console.note(f"No relay runs in {data}; {again}.")
        return
    client.delete("drain")
    while client.get("status")["draining"] is not None:
        time.sleep(LOOK_S)
    console.note("The relay stays, and takes new work.")


def _self_check(arguments: argparse.Namespace) -> int:
    from shoal_node import self_check

    settings = node.settings("relay", arguments)
    lines = self_check.check(settings, _running(arguments))
    if arguments.json:
        found = [{"check": one.check, "state": one.state, "text": one.text} for one in lines]
        console.out_json({"ok": not self_check.failed(lines), "checks": found})
    else:
        console.table([(_MARKS[one.state], one.check, one.text) for one in lines])
    return int(self_check.failed(lines))


def _running(arguments: argparse.Namespace) -> "Running | None":
    """Ask the relay that runs; None when none does."""
    from shoal_node import home
    from shoal_node.api.client import Client, Refused
    from shoal_node.self_check import Running

    data = options.data_path(arguments)
    try:
        client = Client(home.read_api(data))
    except UserError:
        return None
    status = client.get("status")
    if status["role"] != "relay":
        raise UserError(f"A person's node runs in {data}: only a relay checks itself.")
    try:
        if arguments.ask:
            _ask(client)
        return Running(status, client.get("self-check"))
    except Refused as refusal:
        if refusal.status != NOT_FOUND:
            raise
        raise UserError(
            f"The relay that runs is version {status['version']}, too old to be checked by this "
            "program: start it anew."
        ) from None


def _ask(client: "Client") -> None:
    """Have others dial the relay, and wait for what they find."""
    wanted = client.get("self-check")["looks"] + 1
    client.post("self-check", body={})
    console.note("The relay asks others to dial it; that takes up to half a minute.")
    began = time.monotonic()
    while client.get("self-check")["looks"] < wanted:
        if time.monotonic() - began > ROUND_S:
            console.note("The others have not answered in time; here is what is known.")
            return
        time.sleep(LOOK_S)
