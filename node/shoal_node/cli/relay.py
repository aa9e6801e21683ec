"""``shoal relay``: run a relay in the foreground; ``shoal relay drain``: have it go well."""

import argparse
import time
from typing import Final

from shoal_node.cli import console, node, options
from shoal_protocol.errors import UserError

LOOK_S: Final = 0.5  # between two looks at a relay that drains
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
        "run an always-on relay until interrupted, or drain the one that runs",
        "shoal relay --listen /ip4/0.0.0.0/tcp/4001",
    )
    node.add_flags(relay)
    relay.add_argument(
        "action",
        nargs="?",
        choices=("run", "drain"),
        default="run",
        help="run: be a relay (the default); drain: have the relay that runs with the same --data "
        "take nothing new, hand on what it keeps, and end",
    )
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
    if arguments.action == "drain":
        _drain(arguments)
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
            raise UserError(
                "The relay has ended with some records left in its store; its log says why, and "
                "its next start offers them again."
            ) from None
        console.note(f"The relay has ended, after {time.monotonic() - began:.0f} s.")
    except KeyboardInterrupt:
        console.note("The relay goes on draining; `shoal status` says how far it is.")
        raise
