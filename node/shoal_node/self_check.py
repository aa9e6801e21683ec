"""``shoal relay self-check``: what is well with a relay, what is not, and what to do about it.

::

    the home, the disk, ports, limits of this machine ──┐
    status, self-check of the running relay's API ──────┼─► Line(check, ok | warn | fail, text)
    none runs: what only it knows ─► "start it" ────────┘

Each text is whole sentences for whoever runs the relay; those of a warning or a failure say what
to do. Nothing is changed, and nobody is asked over the network but by the running relay.
"""

import importlib.metadata
import os
import platform
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from shoal_node import self_facts
from shoal_node.config import NodeConfig
from shoal_node.store import relay_store
from shoal_node.transport import address

State = Literal["ok", "warn", "fail"]

GB: Final = 10**9
LEAST_FREE: Final = 256 * 2**20  # bytes of disk, below which a relay may not even say so
AT_REST: Final = 115 * 10**6  # bytes of memory; docs/relay.md
A_WORKER: Final = 30 * 10**6
A_PACKET: Final = 3400  # bytes of memory, held in the pool
OLD_DAYS: Final = 180  # since the program was installed
STAYS: Final = "It goes on after a restart; `shoal relay drain --cancel` has it stay."
NEARLY: Final = 0.9  # of a month's limit
NEED_RUNNING: Final = ("reachable", "network", "clock", "month")


@dataclass(frozen=True, slots=True)
class Line:
    """One finding."""

    check: str
    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Running:
    """What the relay that runs says, as its API gives it."""

    status: Mapping[str, Any]
    facts: Mapping[str, Any]


def check(config: NodeConfig, running: Running | None) -> list[Line]:
    """Return all findings, in the order in which they are best mended.

    Args:
        config: the relay's settings.
        running: None when no relay runs in ``config.data``.
    """
    found = [_home(config.data)]
    if running is None:
        found.append(
            Line("running", "warn", f"No relay runs in {config.data}: start it by `shoal relay`.")
        )
        found += _ports(config.listen)
        found += [
            Line(name, "warn", "Not known: start the relay, then check again.")
            for name in NEED_RUNNING
        ]
    else:
        status, facts = running.status, running.facts
        found.append(_running(status))
        found += _reach(facts)
        found += [_network(status, facts), _clock(facts["clock"], facts), _month(status["month"])]
    found.append(_disk(config))
    found.append(_files(running))
    found.append(_memory(config))
    found.append(_version(running))
    return found


def installed() -> str:
    """Return the version of this program."""
    return importlib.metadata.version("shoal")


def failed(lines: Sequence[Line]) -> bool:
    """Whether anything is wrong."""
    return any(line.state == "fail" for line in lines)


def _home(data: Path) -> Line:
    def line(state: State, text: str) -> Line:
        return Line("home", state, text)

    try:
        mode = data.stat()
    except FileNotFoundError:
        return line("warn", f"{data} is not there: the first start makes it.")
    except OSError as error:
        return line("fail", f"{data} cannot be read ({error.strerror}): check as its user.")
    if not stat.S_ISDIR(mode.st_mode):
        return line("fail", f"{data} is no directory: name another by --data.")
    if not os.access(data, os.W_OK | os.X_OK):
        return line("fail", f"This user cannot write to {data}: give it to the relay's user.")
    if sys.platform != "win32" and mode.st_mode & 0o077:
        open_to = stat.S_IMODE(mode.st_mode)
        return line("fail", f"Others can look into {data} ({open_to:04o}): `chmod 700 {data}`.")
    return line("ok", f"{data} is the relay's alone, and writable.")


def _running(status: Mapping[str, Any]) -> Line:
    if status["draining"] is not None:
        return Line("running", "warn", f"The relay leaves: {status['draining']}. {STAYS}")
    if not status["ready"]:
        return Line("running", "fail", "The relay runs and is not ready: the lines below say why.")
    return Line("running", "ok", "The relay runs, and mixes.")


def _ports(listen: Sequence[str]) -> Iterator[Line]:
    """Try each address to listen on, as no relay of ours holds it now."""
    for text in listen:
        one = address.parse(text)
        family = socket.AF_INET if one.kind == "ip4" else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if sys.platform != "win32":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((one.host, one.port))
        except OSError as error:
            yield Line(
                "port",
                "fail",
                f"{text} cannot be listened on ({error.strerror}): `ss --listening --tcp "
                "--process --numeric` says who has the port; `listen` takes another.",
            )
        else:
            yield Line("port", "ok", f"{text} is free to listen on.")


def _reach(facts: Mapping[str, Any]) -> Iterator[Line]:
    for one in facts["reach"]:
        where = one["address"]
        if one["reachable"] is False:
            yield Line(
                "reachable",
                "fail",
                f"Others cannot dial {where}: open its port in the firewall, forward it at the "
                "router, and name the router's public address in `announce` of [relay].",
            )
        elif one["reachable"] is None and one["misses"]:
            yield Line(
                "reachable",
                "warn",
                f"In the last round nobody reached {where}; one more such round, and it is given "
                "up: is its port open in the firewall, and forwarded at the router?",
            )
        elif one["reachable"] is None:
            yield Line(
                "reachable",
                "warn",
                f"Nobody has said yet whether {where} can be dialled: it takes two relays of its "
                "kind of IP in networks apart. Try --ask; in a lab on one machine it stays so.",
            )
        elif one["misses"]:
            yield Line(
                "reachable", "warn", f"{where} could be dialled before, and not in the last round."
            )
        else:
            yield Line("reachable", "ok", f"Others, in networks apart, have dialled {where}.")
    kinds = {one["address"].split("/")[1] for one in facts["reach"]}
    if kinds == {"ip4"}:
        yield Line(
            "IPv6",
            "ok",
            "The relay has no address of IPv6; a public one would do more people good.",
        )


def _network(status: Mapping[str, Any], facts: Mapping[str, Any]) -> Line:
    others = facts["others"]
    if not others:
        return Line(
            "network",
            "fail",
            "No other relay is known: does a `bootstrap` relay run, does its address end in "
            "/p2p/…, and does the firewall let this machine out?",
        )
    return Line("network", "ok", f"{others} other relays are known in network {status['network']}.")


def _clock(clock: Mapping[str, Any], facts: Mapping[str, Any]) -> Line:
    ahead = clock["ahead_s"]
    if ahead is None:
        if not facts["others"] and clock["refused"]:
            return Line(
                "clock",
                "warn",
                "What others said was out of time by this machine's clock, all of it: most "
                "likely the clock is off; `timedatectl` says whether it is kept right.",
            )
        return Line(
            "clock",
            "ok" if facts["others"] else "warn",
            f"Relays of {clock['networks']} networks tell the time, and it takes "
            f"{self_facts.LEAST} to be believed; `timedatectl` says whether the clock is kept "
            "right.",
        )
    within = f"to within {clock['within_s']:.0f} s"
    if abs(ahead) < 2 * clock["within_s"]:
        return Line(
            "clock", "ok", f"It is right {within}, as relays of {clock['networks']} networks say."
        )
    way = "behind" if ahead > 0 else "ahead of"
    off = f"This machine's clock is {abs(ahead):.0f} s {way} that of {clock['networks']} networks"
    state: State = "fail" if abs(ahead) >= clock["allowed_s"] else "warn"
    return Line(
        "clock", state, f"{off}, {within}: `timedatectl set-ntp true`, then start the relay anew."
    )


def _month(month: Mapping[str, Any]) -> Line:
    used, limit, ends = month["used_gb"], month["limit_gb"], month["ends"][:10]
    if limit is None:
        return Line("month", "ok", f"{used:.1f} GB moved until now, and no limit is set.")
    left = f"{max(0.0, limit - used):.1f} of {limit:g} GB are left until {ends}"
    resumes = month.get("resumes")  # relays before this version tell none
    if month["state"] != "open" and resumes is not None and resumes != month["ends"]:
        text = f"{left}, and today's share of it is used up: until {resumes[:10]}, 0:00 UTC, the"
        return Line("month", "warn", f"{text} relay takes nothing new. Is somebody flooding it?")
    if month["state"] != "open":
        return Line(
            "month",
            "warn",
            f"{left}, so the relay takes nothing new: raise month_gb and reload, or wait.",
        )
    if used >= NEARLY * limit:
        return Line("month", "warn", f"{left}: a lower packets_per_s makes a month last.")
    return Line("month", "ok", f"{left}.")


def _disk(config: NodeConfig) -> Line:
    there = next(each for each in (config.data, *config.data.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    file = config.data / relay_store.FILE
    held = file.stat().st_size if os.access(file, os.R_OK) else 0
    wanted = max(0, config.limits.disk - held)
    if free < LEAST_FREE:
        return Line(
            "disk", "fail", f"{free / GB:.2f} GB are free: a relay needs more room to run at all."
        )
    if free < wanted:
        return Line(
            "disk",
            "warn",
            f"{free / GB:.1f} GB are free and the store may take {wanted / GB:.1f} GB more: make "
            f"room, or set disk_gb to {(held + free - LEAST_FREE) / GB:.1f}.",
        )
    return Line("disk", "ok", f"{free / GB:.1f} GB are free; the store may take {wanted / GB:.1f}.")


def _files(running: Running | None) -> Line:
    if running is None:
        limit, need, whose = self_facts.file_limit(), self_facts.NEEDED, "Started here, it"
        now = ""
    else:
        facts = running.facts
        limit, need, whose = facts["file_limit"], facts["files_needed"], "It"
        now = "" if facts["open_files"] is None else f", has {facts['open_files']} open"
    if limit is None:
        return Line("files", "ok", f"{whose} may open as many files as it likes{now}.")
    said = f"{whose} may open {limit} files{now}, and needs {need} at its limits"
    if limit < need:
        return Line("files", "fail", f"{said}: `ulimit -n 4096`, or LimitNOFILE= in its unit.")
    return Line("files", "ok", f"{said}.")


def _memory(config: NodeConfig) -> Line:
    need = AT_REST + config.limits.pool * A_PACKET + config.workers * A_WORKER
    try:
        has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return Line("memory", "ok", f"It needs {need / 1e6:.0f} MB with its pool full.")
    said = f"It needs {need / 1e6:.0f} MB with its pool full, and the machine has {has / 1e6:.0f}"
    if has < need:
        return Line("memory", "fail", f"{said}: lower `pool`, or `workers`.")
    if has < 1.5 * need:
        return Line("memory", "warn", f"{said}: not much for all else; `pool` may be lower.")
    return Line("memory", "ok", f"{said}.")


def _version(running: Running | None) -> Line:
    here = installed()
    said = (
        f"shoal {here}, Python {platform.python_version()}, "
        f"libp2p {importlib.metadata.version('libp2p')}"
    )
    if running is not None:
        if running.status["version"] != here:
            return Line(
                "version",
                "warn",
                f"The relay runs {running.status['version']}, and {here} is installed: start it "
                "anew.",
            )
        newest = running.facts["newest"]
        if newest is not None and _numbers(newest) > _numbers(here):
            return Line(
                "version", "warn", f"{said}. Relays of several networks run {newest}: upgrade."
            )
    days = _installed_days(time.time)
    if days is not None and days > OLD_DAYS:
        return Line("version", "warn", f"{said}, installed {days} days ago: is there a newer one?")
    return Line("version", "ok", said + ("." if days is None else f", installed {days} days ago."))


def _numbers(version: str) -> tuple[int, ...]:
    return next(iter(self_facts.version_of(f"shoal/{version}")), ())


def _installed_days(now: Callable[[], float]) -> int | None:
    """Return for how many days the installed program has been there; None if nothing tells."""
    for file in importlib.metadata.files("shoal") or ():
        if file.name == "METADATA":
            try:
                return max(0, int((now() - os.stat(str(file.locate())).st_mtime) // 86_400))
            except OSError:
                return None
    return None
