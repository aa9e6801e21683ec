"""``shoal demo`` and ``shoal lab``: a whole network of real processes on this machine."""

import argparse
import secrets
from typing import TYPE_CHECKING

from shoal_node.cli import console, options
from shoal_node.cli.view import hop_rows
from shoal_node.usage import UsageError
from shoal_protocol.errors import UserError

if TYPE_CHECKING:
    from shoal_node.demo import Result
    from shoal_node.demo_offline import Result as OfflineResult
    from shoal_node.lab import Place

MESSAGES = 5  # each way
OFFLINE_MESSAGES = 100
FILE_BYTES = 2 * 2**20


def add(commands: options.Commands) -> None:
    """Add the commands."""
    demo = options.command(
        commands,
        "demo",
        _demo,
        "let two people exchange messages through real relays on this machine, and check it",
        "shoal demo --relays 8 --messages 5 --json",
    )
    _add_size(demo)
    options.add_json(demo)
    demo.add_argument(
        "--messages",
        metavar="M",
        type=options.bounded(1, 10_000),
        help=f"messages each way (default {MESSAGES}; {OFFLINE_MESSAGES} one way with --offline)",
    )
    demo.add_argument("--seed", metavar="S", help="of texts and pace (default: a fresh one)")
    demo.add_argument("--keep", action="store_true", help="leave the nodes' homes and logs on disk")
    demo.add_argument(
        "--kill",
        metavar="N",
        type=options.bounded(0, 100),
        default=0,
        help="kill so many relays (SIGKILL) half-way",
    )
    demo.add_argument(
        "--offline",
        action="store_true",
        help="B is off while A sends messages and a file, A is off while B fetches them",
    )
    demo.add_argument(
        "--file-bytes",
        metavar="N",
        type=options.bounded(0, 10 * 2**20),
        help=f"size of the file that --offline sends (default {FILE_BYTES})",
    )
    lab = options.command(
        commands,
        "lab",
        _lab,
        "keep such a network up until interrupted",
        "shoal lab --relays 8 --people 3",
    )
    _add_size(lab)
    options.add_json(lab)
    lab.add_argument(
        "--people",
        metavar="P",
        type=options.bounded(1, 50),
        default=2,
        help="people's nodes (default 2)",
    )


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--relays",
        metavar="N",
        type=options.bounded(4, 100),
        default=8,
        help="relay processes, at least 4 (default 8)",
    )
    parser.add_argument(
        "--preset",
        metavar="P",
        choices=options.PRESETS,
        default="fast",
        help="the people's traffic: saver, balanced or fast (default fast)",
    )


def _demo(arguments: argparse.Namespace) -> None:
    if arguments.relays - arguments.kill < 4:
        raise UsageError("demo: --kill must leave at least 4 relays, a path's length.")
    if arguments.offline:
        _demo_offline(arguments)
        return
    if arguments.file_bytes is not None:
        raise UsageError("demo: --file-bytes goes with --offline.")
    from shoal_node import demo

    wanted = demo.Options(
        relays=arguments.relays,
        messages=arguments.messages or MESSAGES,
        preset=arguments.preset,
        seed=arguments.seed or secrets.token_hex(4),
        keep=arguments.keep,
        kill=arguments.kill,
    )
    with console.Progress() as progress:
        result = demo.run(wanted, progress.step)
    if arguments.json:
        console.out_json(demo.as_json(result))
    else:
        _show(result)
    if not result.verified:
        raise UserError(
            f"The demo found a fault: {result.lost} of {result.sent} messages lost, "
            f"{result.duplicates} shown twice (--seed {result.seed} --keep shows it again)."
        )


def _demo_offline(arguments: argparse.Namespace) -> None:
    if arguments.kill:
        raise UsageError("demo: --kill does not go with --offline.")
    from dataclasses import asdict

    from shoal_node import demo_offline

    size = FILE_BYTES if arguments.file_bytes is None else arguments.file_bytes
    wanted = demo_offline.Options(
        relays=arguments.relays,
        messages=arguments.messages or OFFLINE_MESSAGES,
        file_bytes=size,
        preset=arguments.preset,
        seed=arguments.seed or secrets.token_hex(4),
        keep=arguments.keep,
    )
    with console.Progress() as progress:
        result = demo_offline.run(wanted, progress.step)
    if arguments.json:
        console.out_json(asdict(result))
    else:
        _show_offline(result)
    if not result.verified:
        raise UserError(
            f"The demo found a fault: {result.lost} of {result.sent} messages lost, "
            f"{result.duplicates} shown twice, the file {'whole' if result.file_ok else 'not'} "
            f"there, {result.fetched} shown as fetched "
            f"(--seed {result.seed} --keep shows it again)."
        )


def _show_offline(result: "OfflineResult") -> None:
    console.out()
    order = "in their order" if result.in_order else "NOT in their order"
    console.out(
        f"While B's node was off, A sent {result.sent} messages and a file of "
        f"{result.file_bytes} bytes; all of it was stored after {result.send_s:.0f} s."
    )
    console.out(
        f"With A's node off, B's fetched {result.delivered} messages {order}, {result.lost} lost, "
        f"{result.duplicates} twice; the first {(result.first_ms or 0) / 1000:.1f} s after its "
        f"start, the last {result.fetch_messages_s or 0:.0f} s after."
    )
    compared = "the same, byte for byte" if result.file_ok else "NOT what was sent"
    console.out(f"The file took {result.fetch_file_s or 0:.0f} s more and is {compared}.")
    console.out(f"Back again, A's node shows {result.fetched} of {result.sent + 1} as fetched.")
    for warning in result.warnings:
        console.out(f"! {console.clean(warning)}")
    if result.data is not None:
        console.out(f"The nodes' homes and logs are in {result.data}.")


def _show(result: "Result") -> None:
    latency = result.latency_ms
    console.out()
    console.out(f"One envelope of {result.packet_bytes} bytes, as its sender built it:")
    console.table(hop_rows(result.path))
    console.out()
    proved = "each compared byte for byte" if result.verified else "NOT as they were sent"
    console.out(
        f"{result.delivered} of {result.sent} messages arrived, {result.lost} lost, "
        f"{result.duplicates} twice: {proved}."
    )
    if latency.p50 is not None:
        console.out(
            f"One way: p50 {latency.p50:.0f} ms, p95 {latency.p95:.0f} ms, slowest "
            f"{latency.max:.0f} ms; delays and waiting alone give p50 {latency.floor_p50:.0f} ms."
        )
    if result.killed:
        slowest = result.slowest_after_kill_ms
        shown = "none was on its way" if slowest is None else f"the slowest took {slowest:.0f} ms"
        console.out(f"{result.killed} relays were killed half-way; of the messages after, {shown}.")
    console.out(
        f"Network up in {result.setup_s:.1f} s, first message {result.first_message_s or 0:.1f} s "
        f"after the start; {result.relays} relays"
        + (f" of at most {result.rss_mb.max:.0f} MB each." if result.rss_mb.max else ".")
    )
    for warning in result.warnings:
        console.out(f"! {console.clean(warning)}")
    console.out("! Two people are no crowd: whoever watches both can guess that they talk.")
    console.out()
    console.out("To go on: `shoal lab` keeps such a network up, with a page address a person;")
    console.out(
        "`shoal demo --relays 12 --kill 3` shows relays dying; `shoal --help` has the rest."
    )
    if result.data is not None:
        console.out(f"The nodes' homes and logs are in {result.data}.")


def _lab(arguments: argparse.Namespace) -> None:
    from shoal_node import lab

    def ready(places: "list[Place]") -> None:
        _show_lab(places, as_json=arguments.json)

    with console.Progress() as progress:
        lab.run(arguments.relays, arguments.people, arguments.preset, progress.step, ready)


def _show_lab(places: "list[Place]", *, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        console.out_json({"people": [asdict(place) for place in places]})
        return
    console.out()
    console.out("Everybody's page, each for a browser window of its own:")
    console.table([(place.name, place.page) for place in places])
    console.out("Each opens once, within an hour; `shoal page --data …` prints another.")
    console.out()
    for place in places:
        console.out(f"{place.name}: --data {place.data} --persona {place.persona}")
        console.out(f"    {place.pseudonym}")
    if len(places) > 1:
        one, other = places[:2]
        console.out()
        console.out(f"In {one.name}'s window, add {other.name} by the pseudonym above and write;")
        console.out(f"{other.name}'s window shows the request. Or in two other terminals:")
        console.out(f"    shoal inbox --data {other.data} --persona {other.persona} --follow")
        console.out(
            f"    shoal send --data {one.data} --from {one.persona} --to {other.pseudonym} 你好"
        )
    console.out()
    console.out("Ctrl-C ends it all.")
