"""A relay's settings: printed, read, refused in a sentence, and read again while it runs."""

import os
import signal
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from cli.running import shoal
from processes.waiting import until
from shoal_node import config, home, operator
from shoal_node.api.client import Client
from shoal_node.operator import OperatorLimits
from shoal_node.usage import UsageError

SOMEBODY = "12D3KooWRRfeqRUT3vtvG73hwfaE7SGHWXbjs1vRN1QR1CUoaGFs"
START_S = 30.0  # s for a node to answer
END_S = 20.0


def settings_of(path: Path, text: str) -> config.NodeConfig:
    (path / home.CONFIG_FILE).write_text(text, encoding="utf-8")
    return config.load("relay", path, {}, {})


def test_the_printed_settings_are_read_and_are_the_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed, _ = shoal(capsys, "relay", "--print-config")
    assert code == 0
    assert settings_of(tmp_path, printed) == settings_of(tmp_path, "")


def test_each_limit_is_printed_with_its_default() -> None:
    limits = operator.commented().partition("[limits]\n")[2].partition("[metrics]\n")[0]
    given = tomllib.loads("".join(line.removeprefix("# ") for line in _settings(limits)))
    assert given == asdict(OperatorLimits()) | {"disk_gb": 4.295}


def _settings(text: str) -> list[str]:
    return [line for line in text.splitlines(keepends=True) if " = " in line]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits]\nclients = -1", "limits.clients in {} must be a whole number, 0 to 100,000."),
        ("[limits]\nclients = 1.5", "limits.clients in {} must be a whole number, 0 to 100,000."),
        ("[limits]\nclients = true", "limits.clients in {} must be a whole number, 0 to 100,000."),
        ("[limits]\ndisk_gb = nan", "limits.disk_gb in {} must be a number, 0.0001 to 100,000."),
        ('[limits]\npool = "x"', "limits.pool in {} must be a whole number, 16 to 1,000,000."),
        (
            "[limits]\nmood = 1",
            "limits.mood in {}: there is no such limit; there are ",
        ),
        ("limits = 3", "limits in {} must be a table: write [limits] above its keys."),
    ],
)
def test_a_wrong_limit_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_of(tmp_path, text)
    assert str(caught.value).startswith(said.format(tmp_path / home.CONFIG_FILE))


def test_limits_come_where_they_hold(tmp_path: Path) -> None:
    limits = settings_of(
        tmp_path,
        "[limits]\npackets_per_s = 50\npeer_packets_per_s = 5\npeer_burst = 7\npool = 1600\n"
        "clients = 3\nclients_per_subnet = 2\ndisk_gb = 0.5",
    ).limits
    mix, links = limits.mix, limits.links
    assert (mix.rate, mix.peer_rate, mix.peer_burst, mix.pool, mix.peer_pool) == (
        50,
        5,
        7,
        1600,
        400,
    )
    assert (links.clients, links.clients_per_host, limits.disk) == (3, 2, 500_000_000)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", None),
        ("[metrics]", None),
        ('[metrics]\nlisten = ""', None),
        ('[metrics]\nlisten = "127.0.0.1:9469"', ("127.0.0.1", 9469)),
        ('[metrics]\nlisten = "localhost:1"', ("127.0.0.1", 1)),
        ('[metrics]\nlisten = "[::1]:9469"', ("::1", 9469)),
        ('[metrics]\nlisten = "0.0.0.0:9469"', ("0.0.0.0", 9469)),
    ],
)
def test_metrics_listen_where_the_operator_says_and_nowhere_by_default(
    tmp_path: Path, text: str, place: tuple[str, int] | None
) -> None:
    assert settings_of(tmp_path, text).metrics == place


@pytest.mark.parametrize(
    "text",
    [
        "metrics = 1",
        "[metrics]\nlisten = 9469",
        '[metrics]\nlisten = "9469"',
        '[metrics]\nlisten = "127.0.0.1"',
        '[metrics]\nlisten = "127.0.0.1:65536"',
        '[metrics]\nlisten = "relay.example:9469"',
        "[metrics]\nport = 9469",
    ],
)
def test_metrics_at_no_address_are_one_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"^metrics"):
        settings_of(tmp_path, text)


def test_a_persons_node_answers_no_metrics(tmp_path: Path) -> None:
    (tmp_path / home.CONFIG_FILE).write_text('[metrics]\nlisten = "127.0.0.1:9469"')
    flags = {"bootstrap": [f"/ip4/192.0.2.7/tcp/4001/p2p/{SOMEBODY}"]}
    with pytest.raises(UsageError, match="only a relay answers metrics"):
        config.load("person", tmp_path, flags, {})


def test_a_relay_behind_a_router_announces_what_the_operator_says(tmp_path: Path) -> None:
    text = '[relay]\nannounce = ["/ip4/45.33.7.2/tcp/443", "/ip6/2a01:4f8:1::2/tcp/4001"]'
    given = settings_of(tmp_path, text)
    assert given.announce == ("/ip4/45.33.7.2/tcp/443", "/ip6/2a01:4f8:1::2/tcp/4001")
    assert settings_of(tmp_path, "[relay]").announce == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("announce = 3", "must be a list of texts."),
        ("announce = [3]", "must be a list of texts."),
        ("moor = true", "there is no such setting; announce is one."),
        ('announce = ["/ip4/192.168.1.7/tcp/4001"]', "others of the main network could not dial"),
        ('announce = ["/ip4/45.33.7.2/tcp/0"]', "others of the main network could not dial"),
        ('announce = ["/ip6/::ffff:45.33.7.2/tcp/1"]', "others of the main network could not"),
        ('announce = ["/dns4/relay.example/tcp/1"]', "listen on an IP address, not on a name."),
        (f'announce = ["/ip4/45.33.7.2/tcp/1/p2p/{SOMEBODY}"]', "leave out /p2p/"),
    ],
)
def test_an_address_that_nobody_could_dial_is_not_announced(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(UsageError, match=r"^relay\.") as caught:
        settings_of(tmp_path, f"[relay]\n{text}")
    assert said in str(caught.value)


def test_a_persons_node_announces_nothing(tmp_path: Path) -> None:
    (tmp_path / home.CONFIG_FILE).write_text("[relay]\nannounce = []")
    flags = {"bootstrap": [f"/ip4/192.0.2.7/tcp/4001/p2p/{SOMEBODY}"]}
    with pytest.raises(UsageError, match="only a relay is dialled"):
        config.load("person", tmp_path, flags, {})


@contextmanager
def running_relay(data: Path) -> Iterator[Popen[str]]:
    command = [sys.executable, "-m", "shoal_node.cli.main", "relay", "--data", str(data)]
    command += ["--listen", "/ip4/127.0.0.1/tcp/0"]
    environ = {name: text for name, text in os.environ.items() if not name.startswith("SHOAL_")}
    with Popen(command, env=environ, stderr=PIPE, text=True) as relay:
        try:
            until(
                lambda: (data / home.API_FILE).exists() or relay.poll() is not None,
                START_S,
                "the API answers",
            )
            yield relay
        finally:
            relay.kill()


def store_limit(data: Path) -> int:
    return int(Client.of(data).get("status")["counters"]["store limit"])


def test_a_running_relay_reads_its_limits_again_and_keeps_them_when_the_file_is_wrong(
    tmp_path: Path,
) -> None:
    data = tmp_path / "relay"
    data.mkdir(mode=0o700)
    file = data / home.CONFIG_FILE
    file.write_text("[limits]\ndisk_gb = 1.0\n")
    with running_relay(data) as relay:
        assert store_limit(data) == 10**9
        file.write_text("[limits]\ndisk_gb = 2.0\n")
        relay.send_signal(signal.SIGHUP)
        until(lambda: store_limit(data) == 2 * 10**9, END_S, "the new limit")
        file.write_text("[limits]\ndisk_gb = -2.0\n")
        relay.send_signal(signal.SIGHUP)
        assert relay.stderr is not None
        for line in relay.stderr:
            if "the limits stay as they are" in line:
                break
        assert "limits.disk_gb" in line
        assert store_limit(data) == 2 * 10**9
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(END_S) == 0
