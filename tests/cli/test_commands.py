"""Commands against a running in-memory node: what they print and how they end."""

import contextlib
import io
import json
import threading
from pathlib import Path

import pytest

import fake_node
from cli.running import PATIENCE, Running, running_node, shoal, shoal_json
from shoal_node import home
from shoal_node.api.client import Client, NodeGone
from shoal_node.cli import chat
from shoal_protocol.errors import UserError


def test_a_talk_from_the_terminal(
    running: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    persona = shoal_json(capsys, "persona", "new", "--name", "Heron")
    assert persona["name"] == "Heron" and persona["pseudonym"]
    send = ("send", "--from", persona["id"], "--to", "shoal-other")
    sent = shoal_json(capsys, *send, "你好 \n")
    assert set(sent) == {"id", "status"} and sent["status"] == "queued"
    assert shoal_json(capsys, *send, "waited", "--wait", "fetched")["status"] == "fetched"
    assert shoal_json(capsys, *send, "stored", "--wait", "stored")["status"] == "stored"

    stdin = io.TextIOWrapper(io.BytesIO("  stdin 🐟\n\n".encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    shoal_json(capsys, *send, "-")
    contact = running.node.contacts(persona["id"])[0]
    shoal_json(capsys, "send", "--from", persona["id"], "--to", contact.id, "by contact")

    code, out, err = shoal(capsys, "inbox", "--persona", persona["id"], "--json")
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    texts = ["你好 \n", "waited", "stored", "  stdin 🐟\n\n", "by contact"]
    assert [line["text"] for line in lines] == texts
    keys = {"id", "from", "text", "status", "received", "request", "file"}
    assert all(keys <= set(line) and line["from"] == "shoal-other" for line in lines)
    assert shoal(capsys, "inbox", "--json")[1] == out  # reading changes nothing


def test_the_inbox_follows(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    persona = shoal_json(capsys, "persona", "new")
    send = ("send", "--from", persona["id"], "--to", "shoal-other")
    shoal_json(capsys, *send, "before")
    seen: list[str] = []
    both = threading.Event()

    def follow() -> None:
        with contextlib.suppress(NodeGone):
            for message in chat.following(Client.of(running.data), None):
                seen.append(message["text"])
                if len(seen) == 1:
                    first.set()
                if len(seen) == 3:
                    both.set()

    first = threading.Event()
    thread = threading.Thread(target=follow)
    thread.start()
    assert first.wait(PATIENCE)
    for text in ("during", "after"):
        shoal_json(capsys, *send, text)
    assert both.wait(PATIENCE)
    running.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert seen == ["before", "during", "after"]


def test_views_print_json_and_tables(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    status = shoal_json(capsys, "status")
    assert status["ready"] is True and status["role"] == "person"
    assert [hop["position"] for hop in shoal_json(capsys, "path")["hops"]] == [1, 2, 3, 4]
    assert shoal_json(capsys, "peers")["peers"][0]["role"] == "guard"
    assert shoal_json(capsys, "persona", "list") == {"personas": []}
    persona = shoal_json(capsys, "persona", "new", "--ephemeral")
    assert shoal_json(capsys, "persona", "show", persona["id"]) == persona | {"contacts": []}
    for command in (
        ("status",),
        ("path",),
        ("peers",),
        ("persona", "list"),
        ("persona", "show", persona["id"]),
        ("persona", "new"),
        ("inbox",),
    ):
        code, out, err = shoal(capsys, *command)
        assert (code, err) == (0, "") and (out or command == ("inbox",))
    assert "Two people are no crowd." in shoal(capsys, "status")[1]
    assert shoal_json(capsys, "persona", "burn", persona["id"])["burnt"] is True
    assert shoal(capsys, "persona", "show", persona["id"])[0] == 1


def test_texts_of_others_cannot_drive_the_terminal(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    persona = shoal_json(capsys, "persona", "new")
    text = "\x1b]0;title\x07 \x9b31m red \u202e reversed"
    shoal_json(capsys, "send", "--from", persona["id"], "--to", "shoal-other", text)
    out = shoal(capsys, "inbox")[1]
    assert not set("\x1b\x07\x9b\u202e") & set(out)
    raw = shoal(capsys, "inbox", "--json")[1]
    assert not set("\x1b\x07\x9b") & set(raw) and json.loads(raw)["text"] == text


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("send", "--from", "nobody", "--to", "shoal-x", "hi"), "There is no such persona."),
        (("persona", "burn", "nobody"), "There is no such persona."),
        (("inbox", "--persona", "nobody"), "There is no such persona."),
        (("send", "--from", "x", "--to", "y", ""), "A message has 1 to 32768 bytes."),
        (("send", "--from", "x", "--to", "y", "a" * 32_769), "A message has 1 to 32768 bytes."),
        (("send", "--from", "x", "--to", "y", "\udcff"), "The text is not UTF-8."),
        (
            ("send", "--from", "x", "--to", "y", "--file", "/nonexistent/f"),
            "/nonexistent/f cannot be read: No such file or directory.",
        ),
    ],
)
def test_a_failure_is_one_sentence(
    running: Running, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], sentence: str
) -> None:
    assert shoal(capsys, *argv) == (1, "", f"shoal: {sentence}\n")


def test_a_bad_pseudonym_is_one_sentence(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    persona = shoal_json(capsys, "persona", "new")
    result = shoal(capsys, "send", "--from", persona["id"], "--to", "nonsense", "hi")
    assert result == (1, "", "shoal: There is no such contact, and this is no pseudonym.\n")
    result = shoal(capsys, "send", "--from", persona["id"], "--to", "shoalnonsense", "hi")
    assert result == (1, "", "shoal: This is no pseudonym.\n")


def test_waiting_ends_at_the_timeout(
    running: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_node, "ECHO", False)
    persona = shoal_json(capsys, "persona", "new")
    argv = ("send", "--from", persona["id"], "--to", "shoal-x", "hi", "--wait", "fetched")
    code, out, err = shoal(capsys, *argv, "--timeout", "0.1")
    assert (code, out) == (1, "")
    assert "is queued, not fetched, after 0.1 s; the node goes on trying." in err


def test_a_relay_has_no_personas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_node(tmp_path / "relay", relay=True):
        data = ("--data", str(tmp_path / "relay"))
        assert shoal_json(capsys, "status", *data)["role"] == "relay"
        code, out, err = shoal(capsys, "persona", "list", *data)
    assert (code, out) == (1, "")
    assert err == "shoal: This node is a relay: it has no personas.\n"


def test_no_node_and_a_dead_node_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(tmp_path))
    missing = shoal(capsys, "status", *data)
    assert missing == (
        1,
        "",
        f"shoal: No node runs in {tmp_path}: start one with `shoal up`.\n",
    )
    table = {
        "url": "http://127.0.0.1:9",
        "token": "t",
        "pid": 2**22 + 1,
        "peer_id": "",
        "addrs": [],
    }
    (tmp_path / "api.json").write_text(json.dumps(table))
    code, _, err = shoal(capsys, "status", *data)
    assert code == 1 and "ended without cleaning up" in err
    (tmp_path / "api.json").write_text("{")
    assert "is damaged" in shoal(capsys, "status", *data)[2]


def test_two_nodes_cannot_share_a_home(running: Running) -> None:
    with pytest.raises(UserError, match=r"A node runs in .* already"), home.Home(running.data):
        pass


def test_a_home_is_made_private_or_refused(tmp_path: Path) -> None:
    fresh = tmp_path / "a" / "b"
    with home.Home(fresh):
        assert fresh.stat().st_mode & 0o777 == 0o700
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)
    with home.Home(empty):
        assert empty.stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "somebody's").touch()
    with pytest.raises(UserError, match="Others can read"), home.Home(shared):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be used"), home.Home(tmp_path / "file"):
        pass
