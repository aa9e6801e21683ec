"""Serve the in-memory twin of a person's node, with the page, until interrupted.

``python tests/api/serve_twin.py --port 0`` prints one line: the page's address with its token.
``--locked`` starts it locked under the passphrase "heron"; ``--empty`` leaves it unpeopled.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from api import twin, twin_people
from shoal_node.api import server


async def serve(arguments: argparse.Namespace) -> None:
    """Serve it until cancelled."""
    passphrase = twin.PASSPHRASE if arguments.locked else None
    node = twin.Twin(pace=arguments.pace, passphrase=passphrase)
    if not arguments.empty:
        await twin_people.settle(node)
    if arguments.quiet:
        node.echo = False
    if arguments.locked:
        await node.lock()
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        run = partial(
            server.run_api, node, node, port=arguments.port, token=arguments.token or None
        )
        address = await nursery.start(run)
        print(f"{address.url}/#{address.token}", flush=True)  # noqa: T201


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="Serve a person's node without a network.")
    parser.add_argument("--port", type=int, default=0, help="0 for a random one")
    parser.add_argument("--token", default="", help="a random one if left out")
    parser.add_argument("--pace", type=float, default=1.0, help="0: everything at once")
    parser.add_argument("--locked", action="store_true", help='locked under "heron"')
    parser.add_argument("--quiet", action="store_true", help="whose people never answer")
    parser.add_argument("--empty", action="store_true", help="without anybody in it")
    try:
        trio.run(serve, parser.parse_args())
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
