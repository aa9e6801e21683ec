"""``shoal up``: run a person's node in the foreground until interrupted; ``shoal page``."""

import argparse
import os
from typing import TYPE_CHECKING

from shoal_node.cli import console, options
from shoal_protocol.errors import UserError

if TYPE_CHECKING:
    from shoal_node.config import NodeConfig, Role

_FLAGS = (
    "listen",
    "bootstrap",
    "api",
    "preset",
    "network",
    "relay",
    "passphrase_file",
    "browser",
)


def add(commands: options.Commands) -> None:
    """Add the commands."""
    up = options.command(
        commands,
        "up",
        _up,
        "run a person's node until interrupted",
        "shoal up --bootstrap /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…",
    )
    add_flags(up)
    up.add_argument(
        "--relay",
        choices=("auto", "yes", "no"),
        help="be a relay too (default auto, which means no as yet)",
    )
    up.add_argument(
        "--passphrase-file",
        metavar="F",
        help="file whose first line is the store's passphrase; the first run decides",
    )
    up.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        help="open the page when started at a terminal with a screen (default: yes)",
    )
    page = options.command(
        commands,
        "page",
        _page,
        "print an address of the running node's page, which opens once, for whoever uses it",
        "shoal page --open",
    )
    options.add_data(page)
    options.add_json(page)
    page.add_argument("--open", action="store_true", help="open it in a browser as well")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add what every node is told."""
    options.add_data(parser)
    parser.add_argument(
        "--listen",
        metavar="MULTIADDR",
        action="append",
        help="address to listen on, such as /ip4/0.0.0.0/tcp/4001; may be repeated",
    )
    parser.add_argument(
        "--bootstrap",
        metavar="MULTIADDR",
        action="append",
        help="address of a relay to join through, with /p2p/…; may be repeated",
    )
    parser.add_argument(
        "--api",
        metavar="WHERE",
        help="where the local API answers: HOST:PORT (default 127.0.0.1, a random port) or "
        "unix:PATH",
    )
    parser.add_argument("--preset", choices=options.PRESETS, help="traffic (default balanced)")
    parser.add_argument(
        "--network",
        metavar="NAME",
        choices=("main", "lab", "lab5"),
        help="main, lab, or lab5, which keeps five replicas (default: lab when all addresses "
        "are loopback or private)",
    )
    parser.add_argument("--verbose", action="store_true", help="log more")


def _up(arguments: argparse.Namespace) -> int | None:
    return run("person", arguments)


def _page(arguments: argparse.Namespace) -> None:
    from shoal_node import page_link
    from shoal_node.api.tickets import PRINTED_LIFE

    client = options.client(arguments)
    if client.get("status")["role"] != "person":
        raise UserError("This node is a relay: it has no page.")
    if not page_link.has_page(client.api.url):
        raise UserError("This node answers on a Unix socket, which browsers do not open.")
    ticket = client.post("tickets", body={"life_s": PRINTED_LIFE})["ticket"]
    link = page_link.once(client.api.url, ticket)
    if arguments.json:
        console.out_json({"page": link, "life_s": PRINTED_LIFE})
    else:
        console.out(link)
        console.note(f"It opens once, within {page_link.for_how_long(PRINTED_LIFE)}.")
    if arguments.open:
        ticket = client.post("tickets", body={})["ticket"]
        if not page_link.open_browser(page_link.once(client.api.url, ticket), wait=5):
            raise UserError("There is no browser with windows here.")


def run(role: "Role", arguments: argparse.Namespace) -> int | None:
    """Run a node until it is interrupted or ends."""
    chosen = settings(role, arguments)
    from shoal_node import daemon

    return daemon.main(chosen)


def settings(role: "Role", arguments: argparse.Namespace) -> "NodeConfig":
    """Return what a node is told by the command line, the environment and its file."""
    from shoal_node import config

    flags = {name: getattr(arguments, name, None) for name in _FLAGS}
    return config.load(
        role, options.data_path(arguments), flags, os.environ, verbose=arguments.verbose
    )
