"""A node's process: its home, its log, its signals, and the one root nursery.

::

    main ─► home ─► trio.run ─► root nursery ─┬─ signals ──► cancel everything; SIGHUP to a
                                              │              relay: its limits are read again
                                              ├─ RelayNode.run or Household.run
                                              ├─ run_api ─► api.json
                                              ├─ a relay's metrics, if wanted
                                              ├─ what systemd is told, if it started us
                                              ├─ a relay that has drained ──► cancel everything
                                              └─ an erasure, answered ──► cancel everything

What Python freed still stands in a process's memory: only its end lets the system clear that.
What refers to itself is freed by collections alone, which :func:`set_aside` makes frequent.
"""

import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from shoal_node import clock, home, household, notify, page_link, relay, undumped
from shoal_node.api import server
from shoal_node.api.tickets import PRINTED_LIFE
from shoal_node.config import NodeConfig, reload_limits
from shoal_node.transport import libp2p_host
from shoal_node.transport.interface import TaskStatus
from shoal_node.usage import LeftBehind
from shoal_protocol.errors import UserError
from shoal_protocol.rng import Rng

log = logging.getLogger(__name__)

LOCKED: Final = "The node is locked: unlock it on the page or by `shoal unlock`."
ERASED: Final = (
    "Everything of this person was erased, and the node ended so that the system takes its "
    "memory back: `shoal up` starts afresh."
)
LEFT: Final = (
    "No other relay took some of what was kept here: it stays in the store, and the next start "
    "offers it again."
)
ANSWER_S: Final = 5.0  # that an erasure's answer may take on its way before the process ends
LIBRARY: Final = "shoal_node.transport.libp2p_connection"  # py-libp2p: a second and 54 MB
COLLECTED: Final = (700, 2, 2)  # new objects, collections of these, and of those: a full one
_HANG_UP: Final = getattr(signal, "SIGHUP", None)  # Windows has none
_SIGNALS: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    *(() if _HANG_UP is None else (_HANG_UP,)),
)


def main(config: NodeConfig) -> int:
    """Run a node until a signal ends it; returns the exit status.

    Raises:
        UserError: it cannot start, or a service keeps failing.
    """
    _log_to_stderr(verbose=config.verbose)
    notifier = notify.from_environment(os.environ)
    if config.role == "person":
        undumped.protect()
    importlib.import_module(LIBRARY)
    set_aside()
    with home.Home(config.data) as directory:
        try:
            trio.run(_run, config, directory, notifier, strict_exception_groups=True)
        except BaseExceptionGroup as group:
            raise _first_user_error(group) from None
    return 0


def set_aside() -> None:
    """Let collections look through what the node makes, and often; not through what was imported.

    Python would make a full one of some 140,000 objects once an hour or so, and a megabyte that
    refers to itself would wait for it. What was imported stays as long as the process: without
    it one takes a few milliseconds, and copies no page that is shared with other processes.
    """
    gc.freeze()
    gc.set_threshold(*COLLECTED)
    gc.collect()  # has Python count anew how much everything is


def _first_user_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    mine, others = group.split(UserError)
    if others is not None or mine is None:
        return group
    error: BaseException = mine
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _log_to_stderr(*, verbose: bool) -> None:
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("shoal_node").setLevel(logging.DEBUG if verbose else logging.INFO)


async def _run(config: NodeConfig, directory: home.Home, notifier: notify.Notifier) -> None:
    rng = Rng(os.urandom)
    ticking = clock.NodeClock()
    async with trio.open_nursery() as nursery:
        node: relay.RelayNode | household.Household
        reload: Callable[[], None] | None = None
        if config.role == "relay":
            start = partial(libp2p_host.run_libp2p, announce=config.announce)
            node = relay.RelayNode(config, rng, ticking, start)
            reload = partial(_reload, config.data, node, notifier)
        else:
            node = household.Household(config, rng, ticking, libp2p_host.run_libp2p)
        await nursery.start(_heed_signals, nursery.cancel_scope, reload)
        answered = trio.Event()
        await nursery.start(node.run)
        answers = await nursery.start(
            partial(
                server.run_api,
                node,
                node if isinstance(node, household.Household) else None,
                host=config.api_host,
                port=config.api_port,
                data=directory,
                erased=answered.set,
            )
        )
        log.info("node started: role=%s network=%s", config.role, config.network)
        print(f"The API answers at {answers.url}", file=sys.stderr)  # noqa: T201
        if config.role == "person":
            _show_page(answers, browser=config.browser)
        if isinstance(node, household.Household) and node.lock_state().state != "open":
            print(LOCKED, file=sys.stderr)  # noqa: T201
        if isinstance(node, relay.RelayNode):
            nursery.start_soon(_stop_when_drained, node, nursery.cancel_scope)
        if isinstance(node, household.Household):
            nursery.start_soon(_stop_when_erased, node, answered, nursery.cancel_scope)
        if config.metrics is not None and isinstance(node, relay.RelayNode):
            url = await nursery.start(_answer_metrics, node, config, rng, ticking)
            print(f"Metrics at {url}", file=sys.stderr)  # noqa: T201
        for address in node.status().addrs:
            print(f"Listening on {address}", file=sys.stderr)  # noqa: T201
        if notifier:
            turn = node.turn if isinstance(node, relay.RelayNode) else trio.lowlevel.checkpoint
            nursery.start_soon(notify.keep_told, notifier, partial(_in_a_line, node), turn)


def _in_a_line(node: relay.RelayNode | household.Household) -> str:
    """Say how a node is, in the words that `systemctl status` shows."""
    status = node.status()
    if status.draining is not None:
        return f"Drains: {status.draining}."
    if not status.ready:
        return "Not ready: it knows no relay, or is locked."
    if status.warnings:
        return status.warnings[0]
    return f"Ready; {status.relays} relays known."


async def _answer_metrics(
    node: relay.RelayNode,
    config: NodeConfig,
    rng: Rng,
    ticking: clock.NodeClock,
    *,
    task_status: TaskStatus[str],
) -> None:
    """Take a relay's figures at their instants, and answer whoever asks for them."""
    from shoal_node import metrics, metrics_server  # only who wants them pays for the library

    assert config.metrics is not None
    figures = metrics.Metrics(
        partial(metrics.facts_of, node, config.data),
        now=ticking.now,
        period_s=config.network_parameters.lease_s,
        rng=rng,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(figures.run)
        url = await nursery.start(
            partial(metrics_server.run_metrics, figures.text, *config.metrics)
        )
        task_status.started(url)


def _show_page(answers: server.Address, *, browser: bool) -> None:
    """Say where the page is, and open it for whoever sits at the terminal."""
    if not page_link.has_page(answers.url):
        return
    shown = "`shoal page` prints its address"
    if page_link.may_show(terminal=sys.stderr.isatty()):
        link = page_link.once(answers.url, answers.tickets.issue(PRINTED_LIFE))
        time = page_link.for_how_long(PRINTED_LIFE)
        shown = f"{link}\n    It opens once, within {time}; `shoal page` prints another."
    print(f"The page: {shown}", file=sys.stderr)  # noqa: T201
    if browser and page_link.at_terminal():
        page_link.open_browser(page_link.once(answers.url, answers.tickets.issue()))


async def _stop_when_erased(
    house: household.Household, answered: trio.Event, scope: trio.CancelScope
) -> None:
    """End the process after an erasure, once who asked for it has the answer or is gone."""
    await house.erased.wait()
    with trio.move_on_after(ANSWER_S):
        await answered.wait()
    print(ERASED, file=sys.stderr)  # noqa: T201
    scope.cancel()


async def _stop_when_drained(node: relay.RelayNode, scope: trio.CancelScope) -> None:
    """End the process of a relay that was asked to go; an error if it could not give all away."""
    await node.draining.done.wait()
    if not node.draining.complete:
        raise LeftBehind(LEFT)
    log.info("node stops: it is drained")
    scope.cancel()


async def _heed_signals(
    scope: trio.CancelScope,
    reload: Callable[[], None] | None,
    *,
    task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """End at a signal; a hang-up lets whoever can ``reload`` do that instead."""
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        task_status.started(None)
        async for number in signals:
            if number == _HANG_UP and reload is not None:
                reload()
                continue
            log.info("node stops")
            scope.cancel()
            return


def _reload(data: Path, node: relay.RelayNode, notifier: notify.Notifier) -> None:
    """Read a relay's limits again; those in force stay when the file is wrong."""
    notifier.tell_reloading()
    try:
        limits = reload_limits(data)
    except UserError as error:
        log.warning("the limits stay as they are: %s", error)
    else:
        node.set_limits(limits)
        log.info("limits read again: %s", limits)
    notifier.tell(notify.READY)
