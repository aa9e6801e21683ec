"""The page's address: who is shown it, and when a browser opens."""

import json
import socket
import webbrowser
from dataclasses import replace
from pathlib import Path

import pytest

from cli.running import Running, running_node, shoal, shoal_json
from shoal_node import config, daemon, home, lab, page_link
from shoal_node.api import server
from shoal_node.api.client import Client
from shoal_node.api.tickets import Tickets
from shoal_protocol.errors import UserError


def test_the_page_of_a_running_node_is_printed(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    api = home.read_api(running.data)
    code, link, told = shoal(capsys, "page")
    assert (code, told) == (0, "It opens once, within 10 minutes.\n")
    found = shoal_json(capsys, "page")
    assert set(found) == {"page", "life_s"} and found["life_s"] == 600
    client = Client(replace(api, token="none"))
    for address in (link.strip(), found["page"]):
        assert api.token not in address
        url, _, ticket = address.partition("/#ticket=")
        assert url == api.url
        assert client.post("ticket", body={"ticket": ticket}) == {"token": api.token}
        with pytest.raises(UserError):
            client.post("ticket", body={"ticket": ticket})


class Recorder(webbrowser.BaseBrowser):
    """A browser that only remembers what it was started with."""

    opened: list[str]

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.opened.append(url)
        return True


def test_a_browser_is_started_with_a_ticket_that_is_good_once_and_never_with_the_token(
    running: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Recorder("recorder")
    browser.opened = []
    monkeypatch.setattr(webbrowser, "get", lambda: browser)
    api = home.read_api(running.data)
    code, printed, _ = shoal(capsys, "page", "--open")
    (link,) = browser.opened
    assert code == 0 and link != printed.strip()
    assert api.token not in link + printed
    url, _, ticket = link.partition("/#ticket=")
    assert url == api.url
    client = Client(replace(api, token="none"))
    assert client.post("ticket", body={"ticket": ticket}) == {"token": api.token}
    with pytest.raises(UserError):
        client.post("ticket", body={"ticket": ticket})


def test_a_relay_has_no_page_to_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_node(tmp_path / "relay", relay=True):
        result = shoal(capsys, "page", "--data", str(tmp_path / "relay"))
    assert result == (1, "", "shoal: This node is a relay: it has no page.\n")


def test_a_unix_socket_has_no_page() -> None:
    assert page_link.has_page("http://127.0.0.1:1")
    assert not page_link.has_page("unix:/run/shoal/api.sock")


@pytest.mark.parametrize(
    ("environ", "platform", "screen"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "x"}, "linux", False),
        ({"DISPLAY": ":0", "JOURNAL_STREAM": "8:1"}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "x"}, "darwin", False),
        ({}, "win32", True),
    ],
)
def test_a_browser_needs_a_screen(environ: dict[str, str], platform: str, screen: bool) -> None:
    assert page_link.has_screen(environ, platform) is screen


def test_the_journal_is_not_told_the_token() -> None:
    assert page_link.may_show({}, terminal=True)
    assert not page_link.may_show({"JOURNAL_STREAM": "8:1"}, terminal=True)


def test_what_a_node_prints_elsewhere_than_at_a_terminal_holds_no_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = server.Address("http://127.0.0.1:1", "secret", Tickets("secret"))
    daemon._show_page(address, browser=True)
    told = capsys.readouterr()
    assert told.err == "The page: `shoal page` prints its address\n" and told.out == ""


def test_a_node_that_comes_back_answers_where_it_did_with_another_token(tmp_path: Path) -> None:
    with running_node(tmp_path):
        first = home.read_api(tmp_path)
    with running_node(tmp_path):
        second = home.read_api(tmp_path)
    assert second.url == first.url and second.token != first.token
    port = int(first.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), running_node(tmp_path):
        assert home.read_api(tmp_path).url != first.url
    (tmp_path / home.PORT_FILE).write_text("x")
    with running_node(tmp_path):
        assert home.read_api(tmp_path).url.startswith("http://127.0.0.1:")


def test_what_a_node_prints_at_a_terminal_opens_once_and_holds_no_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    tickets = Tickets("secret")
    daemon._show_page(server.Address("http://127.0.0.1:1", "secret", tickets), browser=False)
    link, told = capsys.readouterr().err.splitlines()
    assert "secret" not in link and "once, within 10 minutes; `shoal page`" in told
    ticket = link.removeprefix("The page: http://127.0.0.1:1/#ticket=")
    assert [tickets.redeem(ticket) for _ in range(2)] == ["secret", None]


def test_a_browser_of_text_does_not_take_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROWSER", raising=False)
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("lynx"))
    assert page_link.open_browser("http://127.0.0.1:1/#t") is False


@pytest.mark.parametrize(
    ("flag", "variable", "line", "wanted"),
    [
        (None, None, None, True),
        (None, None, "false", False),
        (None, "yes", "false", True),
        (None, "no", "true", False),
        (True, "no", "false", True),
        (False, "yes", "true", False),
    ],
)
def test_a_browser_is_wanted_by_flag_environment_or_file(
    tmp_path: Path, flag: bool | None, variable: str | None, line: str | None, wanted: bool
) -> None:
    if line is not None:
        (tmp_path / "config.toml").write_text(f"browser = {line}\n")
    environ = {} if variable is None else {"SHOAL_BROWSER": variable}
    flags = {"bootstrap": [], "listen": ["/ip4/127.0.0.1/tcp/0"], "browser": flag}
    assert config.load("relay", tmp_path, flags, environ).browser is wanted


def test_the_api_may_be_told_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal_node.usage import UsageError

    monkeypatch.chdir(tmp_path)
    told = config.load("relay", tmp_path, {"api": "unix:here/api.sock"}, {})
    assert told.api_host == f"unix:{tmp_path}/here/api.sock"
    for bad in ("unix:", f"unix:/{'x' * 100}"):
        with pytest.raises(UsageError, match="--api: "):
            config.load("relay", tmp_path, {"api": bad}, {})


def test_people_of_a_lab_have_names_of_their_own() -> None:
    names = [lab.name_of(place) for place in range(50)]
    assert names[:2] == ["Ada", "Bei"] and len(set(names)) == 50


def test_what_a_lab_prints_has_everybodys_page(capsys: pytest.CaptureFixture[str]) -> None:
    from shoal_node.cli import network

    page = "http://127.0.0.1:1/#ticket=t"
    places = [
        lab.Place(name, f"/tmp/{name}", "http://127.0.0.1:1", page, "p1", f"shoal1{name}")
        for name in ("Ada", "Bei")
    ]
    network._show_lab(places, as_json=True)
    people = json.loads(capsys.readouterr().out)["people"]
    assert set(people[0]) == {"name", "data", "url", "page", "persona", "pseudonym"}
    network._show_lab(places, as_json=False)
    shown = capsys.readouterr().out
    assert f"Ada  {page}\nBei  {page}\nEach opens once, within an hour;" in shown
