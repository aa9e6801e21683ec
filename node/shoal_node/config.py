"""A node's configuration: one frozen value, built once from flags, environment and a file.

::

    flags  >  SHOAL_LISTEN, SHOAL_BOOTSTRAP, SHOAL_API, …  >  DIR/config.toml  >  defaults

    # config.toml
    listen = ["/ip4/0.0.0.0/tcp/4001"]
    bootstrap = ["/ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…"]
    api = "127.0.0.1:8080"                # or "unix:/run/user/1000/shoal/api.sock"
    browser = false                       # open no browser
    preset = "balanced"
    network = "main"
    passphrase_file = "/run/user/1000/shoal-passphrase"
    workers = "auto"                      # a relay's: processes that unwrap
    [relay]                               # a relay's: operator.py
    announce = ["/ip4/192.0.2.9/tcp/4001"]
    [limits]                              # a relay's
    disk_gb = 4.0
    [metrics]                             # a relay's
    listen = "127.0.0.1:9469"

Every refusal is one sentence that names where the bad value stands. The network is ``lab``
without being asked for when all bootstrap addresses, or with none all listen addresses, are
loopback or private: such a network cannot have the subnets that the main one's rules need.
"""

import ipaddress
import os
import socket
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from shoal_node import home, operator, unwrap_process
from shoal_node.api.client import UNIX
from shoal_node.api.values import PresetName
from shoal_node.transport import address
from shoal_node.usage import UsageError
from shoal_protocol import parameters
from shoal_protocol.directory import addresses as wire_addresses
from shoal_protocol.errors import RemoteProtocolError

Role = Literal["person", "relay"]

DEFAULT_API: Final = "127.0.0.1:0"
DEFAULT_PRESET: Final[PresetName] = "balanced"
ANY_ADDRESSES: Final = ("/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001")
LOOPBACK_ADDRESS: Final = "/ip4/127.0.0.1/tcp/0"

LISTS: Final = ("listen", "bootstrap")
TEXTS: Final = ("api", "preset", "network", "relay", "passphrase_file")
SWITCHES: Final = ("browser",)
WORKERS: Final = "workers"
MAX_ADDRESSES: Final = 16
MAX_SOCKET_PATH: Final = 100  # bytes; Linux allows 107, macOS 103


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """All that a node is told at its start."""

    role: Role
    data: Path
    listen: tuple[str, ...]  # multiaddrs without /p2p/; none for a person's node
    bootstrap: tuple[str, ...]  # multiaddrs with /p2p/; none for a network's first relay
    network: str = "main"
    preset: PresetName = DEFAULT_PRESET
    preset_given: bool = False  # by flag, environment or file: it goes before the settings
    api_host: str = "127.0.0.1"
    api_port: int = 0  # without meaning when api_host is unix:PATH
    verbose: bool = False  # log at DEBUG
    passphrase_file: Path | None = None  # its first line locks the person's store
    browser: bool = True  # open the page when somebody sits at the terminal
    limits: operator.OperatorLimits = operator.DEFAULT  # a relay's
    metrics: tuple[str, int] | None = None  # where a relay's figures are answered
    announce: tuple[str, ...] = ()  # what a relay's descriptor has instead of where it listens
    workers: int = 0  # processes that unwrap packets beside a relay's own

    @property
    def network_parameters(self) -> parameters.NetworkParameters:
        """The network's numbers."""
        return parameters.NETWORKS[self.network]

    @property
    def traffic(self) -> parameters.Preset:
        """The person's choice of traffic."""
        return parameters.PRESETS[self.preset]

    @property
    def passphrase(self) -> str | None:
        """The passphrase of the person's store, read from its file now; None for none.

        Raises:
            UserError: the file cannot be read or has no first line.
        """
        from shoal_node.store import keys

        return None if self.passphrase_file is None else keys.passphrase_of(self.passphrase_file)


@dataclass(frozen=True, slots=True)
class _Setting:
    value: Any
    where: str  # how the user wrote it


def load(
    role: Role,
    data: Path,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    verbose: bool = False,
) -> NodeConfig:
    """Build the configuration of a node.

    Args:
        role: what the command starts.
        data: the node's home, where ``config.toml`` may be.
        flags: by name (``listen``, ``bootstrap``, ``api``, ``preset``, ``network``,
            ``relay``, ``passphrase_file``, ``browser``); None or an empty list means not given.
        environ: the environment.
        verbose: log at DEBUG.

    Raises:
        UsageError: a value is wrong.
    """
    settings = _read_file(data / home.CONFIG_FILE)
    for name in (*LISTS, *TEXTS):
        variable = f"SHOAL_{name.upper()}"
        text = environ.get(variable)
        if text:
            value = [part for part in text.split(",") if part] if name in LISTS else text
            settings[name] = _Setting(value, variable)
        if flags.get(name):
            settings[name] = _Setting(flags[name], f"--{name.replace('_', '-')}")
    browser = _switch(flags.get("browser"), environ.get("SHOAL_BROWSER"), settings.get("browser"))
    bootstrap = _addresses(settings.get("bootstrap"), peers=True)
    listen = _addresses(settings.get("listen"), peers=False)
    if role == "relay" and not listen:
        local = bool(bootstrap) and all(_is_loopback(one) for one in bootstrap)
        everywhere = ANY_ADDRESSES if _has_ipv6() else ANY_ADDRESSES[:1]
        listen = tuple(map(address.parse, (LOOPBACK_ADDRESS,) if local else everywhere))
    deciding = bootstrap or listen
    lab = bool(deciding) and all(_is_private(one) for one in deciding)
    network = _choice(settings.get("network"), tuple(parameters.NETWORKS), "lab" if lab else "main")
    preset = _choice(settings.get("preset"), tuple(parameters.PRESETS), DEFAULT_PRESET)
    _check_relay(role, settings.get("relay"))
    if role == "person" and not bootstrap:
        raise UsageError(
            "--bootstrap is needed: there is no public network to join by itself yet, so name "
            "the address of a relay that you know."
        )
    limits = settings.get(operator.TABLE)
    host, port = _endpoint(settings.get("api", _Setting(DEFAULT_API, "--api")))
    return NodeConfig(
        role=role,
        data=data,
        listen=tuple(str(one) for one in listen),
        bootstrap=tuple(str(one) for one in bootstrap),
        network=network,
        preset=cast(PresetName, preset),
        preset_given="preset" in settings,
        api_host=host,
        api_port=port,
        verbose=verbose,
        passphrase_file=_file(settings.get("passphrase_file")) if role == "person" else None,
        browser=browser,
        limits=operator.DEFAULT if limits is None else limits.value,
        metrics=_metrics(role, settings.get(operator.METRICS_TABLE)),
        announce=_announce(role, settings.get(operator.RELAY_TABLE), network),
        workers=_workers(role, settings.get(WORKERS), network),
    )


def reload_limits(data: Path) -> operator.OperatorLimits:
    """Read a running relay's limits again.

    Raises:
        UsageError: the file is wrong, wherever in it.
    """
    limits = _read_file(data / home.CONFIG_FILE).get(operator.TABLE)
    return operator.DEFAULT if limits is None else limits.value


def _read_file(path: Path) -> dict[str, _Setting]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise UsageError(f"{path} is not TOML: lists are too deep.") from None
    except ValueError as error:  # what is no TOML, or no UTF-8
        raise UsageError(f"{path} is not TOML: {str(error).rstrip('.')}.") from None
    settings = {}
    for name, value in table.items():
        where = f"{name} in {path}"
        if name == "relay" and isinstance(value, dict):
            said = operator.parse_relay(value, str(path))
            settings[operator.RELAY_TABLE] = _Setting(said, f"relay.announce in {path}")
            continue
        if name in LISTS:
            good = isinstance(value, list) and all(isinstance(one, str) for one in value)
            kind = "a list of texts"
        elif name in TEXTS:
            good, kind = isinstance(value, str), "a text"
        elif name in SWITCHES:
            good, kind = isinstance(value, bool), "true or false"
        elif name == WORKERS:
            good = isinstance(value, str | int) and not isinstance(value, bool)
            kind = 'a whole number or "auto"'
        elif name == operator.TABLE:
            settings[name] = _Setting(operator.parse(value, str(path)), where)
            continue
        elif name == operator.METRICS_TABLE:
            settings[name] = _Setting(operator.parse_metrics(value, str(path)), where)
            continue
        else:
            raise UsageError(f"{where}: there is no such setting.")
        if not good:
            raise UsageError(f"{where} must be {kind}.")
        settings[name] = _Setting(value, where)
    return settings


def _addresses(setting: _Setting | None, *, peers: bool) -> tuple[address.Address, ...]:
    if setting is None:
        return ()
    texts: Sequence[str] = setting.value
    if len(texts) > MAX_ADDRESSES:
        raise UsageError(f"{setting.where}: at most {MAX_ADDRESSES} addresses, not {len(texts)}.")
    found = []
    for text in texts:
        shown = text[:80]
        try:
            one = address.parse(text)
        except RemoteProtocolError:
            raise UsageError(
                f"{setting.where} {shown}: this is no address such as /ip4/192.0.2.7/tcp/4001."
            ) from None
        if one.kind == "memory":
            raise UsageError(f"{setting.where} {shown}: this is no TCP address.")
        if peers and one.peer_id is None:
            raise UsageError(f"{setting.where} {shown}: the relay's /p2p/… is missing at the end.")
        if peers and one.port == 0:
            raise UsageError(f"{setting.where} {shown}: a relay cannot be reached at port 0.")
        if not peers and one.peer_id is not None:
            raise UsageError(f"{setting.where} {shown}: leave out /p2p/…, which names a node.")
        if not peers and one.kind not in ("ip4", "ip6"):
            raise UsageError(f"{setting.where} {shown}: listen on an IP address, not on a name.")
        found.append(one)
    return tuple(found)


def _announce(role: Role, setting: _Setting | None, network: str) -> tuple[str, ...]:
    """Return what a relay tells others of where it is; none to tell where it listens."""
    if setting is None:
        return ()
    if role == "person":
        raise UsageError(f"{setting.where}: only a relay is dialled; a person's node needs none.")
    params = parameters.NETWORKS[network]
    found = [str(one) for one in _addresses(setting, peers=False)]
    for text in found:
        try:
            wire_addresses.check(text, params)
        except RemoteProtocolError:
            raise UsageError(
                f"{setting.where} {text}: others of the {network} network could not dial this; "
                "it takes a public IP address and a port."
            ) from None
    return tuple(found)


def _has_ipv6() -> bool:
    """Whether this machine lets anybody listen on IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _is_loopback(one: address.Address) -> bool:
    return one.kind in ("ip4", "ip6") and ipaddress.ip_address(one.host).is_loopback


def _is_private(one: address.Address) -> bool:
    if one.kind not in ("ip4", "ip6"):
        return one.host == "localhost"
    host = ipaddress.ip_address(one.host)
    return (host.is_loopback or host.is_private) and not host.is_unspecified


def _choice(setting: _Setting | None, names: Sequence[str], default: str) -> str:
    if setting is None:
        return default
    if setting.value not in names:
        raise UsageError(
            f"{setting.where} {str(setting.value)[:40]}: it can be {' or '.join(names)}."
        )
    return str(setting.value)


def _switch(flag: bool | None, variable: str | None, setting: _Setting | None) -> bool:
    """Return whether a browser is wanted: by flag, by environment, by the file, by default."""
    if flag is not None:
        return flag
    if variable:
        return _choice(_Setting(variable, "SHOAL_BROWSER"), ("yes", "no"), "yes") == "yes"
    return setting is None or bool(setting.value)


def _file(setting: _Setting | None) -> Path | None:
    """Return the file that a setting names; it is read when the store is opened."""
    return None if setting is None else Path(setting.value).expanduser()


def _metrics(role: Role, setting: _Setting | None) -> tuple[str, int] | None:
    found: tuple[str, int] | None = None if setting is None else setting.value
    if found is not None and role == "person":
        raise UsageError("metrics.listen: only a relay answers metrics; a person's node has none.")
    return found


def _workers(role: Role, setting: _Setting | None, network: str) -> int:
    if role == "person":
        return 0
    if setting is None:
        return unwrap_process.workers_of(unwrap_process.AUTO, network)
    try:
        return unwrap_process.workers_of(str(setting.value), network)
    except ValueError as error:
        raise UsageError(f"{setting.where}: {error}.") from None


def _check_relay(role: Role, setting: _Setting | None) -> None:
    if role == "relay":
        return
    if _choice(setting, ("auto", "yes", "no"), "auto") == "yes" and setting is not None:
        raise UsageError(
            f"{setting.where} yes: a person's node cannot be a relay as well yet; "
            "run `shoal relay` beside it."
        )


def _socket(setting: _Setting) -> str:
    """Return ``unix:`` with the absolute path of a Unix socket."""
    path = Path(str(setting.value).removeprefix(UNIX)).expanduser()
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError(f"{setting.where}: this platform has no Unix sockets; write HOST:PORT.")
    if not path.name:
        raise UsageError(
            f"{setting.where}: write unix:PATH, such as unix:/run/user/1000/shoal.sock."
        )
    if len(os.fsencode(path.absolute())) > MAX_SOCKET_PATH:
        raise UsageError(f"{setting.where}: a socket's path has at most {MAX_SOCKET_PATH} bytes.")
    return f"{UNIX}{path.absolute()}"


def _endpoint(setting: _Setting) -> tuple[str, int]:
    if str(setting.value).startswith(UNIX):
        return _socket(setting), 0
    host, colon, port = str(setting.value).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not colon or not digits or int(port) > 65_535:
        raise UsageError(
            f"{setting.where} {str(setting.value)[:80]}: write HOST:PORT, such as 127.0.0.1:8080."
        )
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise UsageError(
            f"{setting.where} {str(setting.value)[:80]}: the API answers this machine only, "
            "so HOST must be 127.0.0.1, [::1] or localhost."
        )
    return host, int(port)
