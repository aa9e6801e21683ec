"""Files from a terminal: sent with a message, shown in the inbox, saved and never written over."""

import json
import os
import threading
from pathlib import Path

import pytest

import fake_node
from cli.running import PATIENCE, Running, shoal, shoal_json
from fake_node import PIECES
from shoal_node.api.client import Client
from support import seeded


@pytest.fixture
def persona(running: Running, capsys: pytest.CaptureFixture[str]) -> str:
    """The id of a persona of the running node."""
    return str(shoal_json(capsys, "persona", "new")["id"])


def _file(running: Running, name: str, length: int) -> tuple[Path, bytes]:
    content = seeded(name).bytes(length)
    path = running.data.parent / name
    path.write_bytes(content)
    return path, content


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return shoal(capsys, "inbox")[1].splitlines()


def test_a_file_is_sent_shown_and_saved(
    running: Running,
    persona: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, content = _file(running, "鱼 🐟.png", 300_000)
    send = ("send", "--from", persona, "--to", "shoal-other", "--file", str(path))
    sent = shoal_json(capsys, *send, "look", "--wait", "fetched")
    assert set(sent) == {"id", "status"} and sent["status"] == "fetched"
    message = shoal_json(capsys, "inbox")
    assert message["text"] == "look" and message["id"] != sent["id"]
    assert message["file"] == {
        "name": "鱼 🐟.png",
        "size": 300_000,
        "media_type": "image/png",
        "state": "whole",
        "done": 1,
        "total": PIECES,
        "picture": False,
    }
    _, _, text, file = _lines(capsys)[0].split("\t")
    assert text == "look"
    assert file == f"[鱼 🐟.png, 300.0 kB, whole]  shoal save {message['id']}"

    there = running.data.parent / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    saved = shoal_json(capsys, "save", message["id"])
    assert saved == {"id": message["id"], "file": "鱼 🐟.png", "size": 300_000}
    assert (there / "鱼 🐟.png").read_bytes() == content
    again = shoal(capsys, "save", message["id"])
    assert again == (1, "", "shoal: 鱼 🐟.png is there already: name another file with -o.\n")
    named = shoal(capsys, "save", sent["id"], "-o", "other.png")  # one's own as well
    assert named == (0, "other.png  300.0 kB\n", "")
    assert (there / "other.png").read_bytes() == content
    aside = there / "aside"
    aside.mkdir()
    assert shoal_json(capsys, "save", message["id"], "-o", "aside")["file"] == "aside/鱼 🐟.png"
    assert (aside / "鱼 🐟.png").read_bytes() == content


def test_a_file_may_go_without_a_text(
    running: Running, persona: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = _file(running, "archive.tar.gz", 10)
    send = ("send", "--from", persona, "--to", "shoal-other")
    code, out, err = shoal(capsys, *send, "--file", str(path))
    assert (code, err) == (0, "") and out.startswith("queued  ")
    message = shoal_json(capsys, "inbox")
    assert (message["text"], message["file"]["media_type"]) == ("", "application/octet-stream")
    assert [line.count("\t") for line in _lines(capsys)] == [2]


def test_saving_waits_for_a_file_that_is_on_its_way(
    running: Running, persona: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running.node.slow = True
    path, content = _file(running, "slow.bin", 1000)
    shoal_json(capsys, "send", "--from", persona, "--to", "shoal-other", "--file", str(path))
    message = shoal_json(capsys, "inbox")
    assert f"\t[slow.bin, 1.0 kB, 1 of {PIECES} pieces here]" in _lines(capsys)[0]
    output = running.data.parent / "saved"
    save = ("save", message["id"], "-o", str(output))
    assert shoal(capsys, *save) == (1, "", "shoal: The file has not come yet.\n")
    code, out, err = shoal(capsys, *save, "--wait", "--timeout", "0.1")
    assert (code, out) == (1, "")
    assert err == (
        f"shoal: 1 of {PIECES} pieces are here after 0.1 s; the node goes on fetching.\n"
    )
    assert not output.exists()
    timer = threading.Timer(0.3, lambda: running.call(running.node.finish))
    timer.start()
    assert shoal_json(capsys, *save, "--wait", "--timeout", str(PATIENCE))["size"] == 1000
    timer.join()
    assert output.read_bytes() == content


def test_waiting_for_a_file_that_is_sent_ends_at_the_timeout(
    running: Running,
    persona: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fake_node, "ECHO", False)
    path, _ = _file(running, "x", 1)
    send = ("send", "--from", persona, "--to", "shoal-x", "--file", str(path))
    code, out, err = shoal(capsys, *send, "--wait", "stored", "--timeout", "0.1")
    assert (code, out) == (1, "") and "is queued, not stored, after 0.1 s" in err


def test_progress_is_shown_on_a_terminal_only(
    running: Running,
    persona: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, _ = _file(running, "x", 1)
    send = ("send", "--from", persona, "--to", "shoal-x", "--file", str(path), "--wait", "fetched")
    assert shoal(capsys, *send)[2] == ""
    capsys.readouterr()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    code, out, err = shoal(capsys, *send)
    assert code == 0 and out.startswith("fetched  ")
    assert "Sending" in err and f"{PIECES}/{PIECES}" in err


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "..\\evil", ".ssh\x1b[31m", "-rf", "~x"])
def test_a_name_from_elsewhere_stays_in_the_directory(
    running: Running,
    persona: str,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running.node.trusting = True
    shoal_json(capsys, "send", "--from", persona, "--to", "shoal-x", "hello")
    talk = running.node.contacts(persona)[0].conversation
    client = Client.of(running.data)
    client.post_file("conversations", talk, "files", content=b"x", query={"name": name})
    there = running.data.parent / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    lines = shoal(capsys, "inbox", "--json")[1].splitlines()
    message = json.loads(lines[-1])
    assert message["file"]["name"] == name
    assert not set("\x1b\x07") & set(shoal(capsys, "inbox")[1])
    saved = Path(shoal_json(capsys, "save", message["id"])["file"])
    assert saved.parent == Path() and not saved.name.startswith((".", "-", "~"))
    assert [entry.name for entry in there.iterdir()] == [saved.name]


def test_bad_files_and_messages_are_one_sentence(
    running: Running, persona: str, capsys: pytest.CaptureFixture[str]
) -> None:
    send = ("send", "--from", persona, "--to", "shoal-other")
    large, _ = _file(running, "large", 10 * 2**20 + 1)
    result = shoal(capsys, *send, "--file", str(large))
    assert result == (1, "", "shoal: A file may have at most 10 MiB.\n")
    result = shoal(capsys, *send, "--file", str(running.data))
    assert result == (1, "", f"shoal: {running.data} cannot be read: Is a directory.\n")
    small, _ = _file(running, "small", 1)
    result = shoal(capsys, *send, "--file", str(small), "x" * 4097)
    assert result == (1, "", "shoal: A text that goes with a file has at most 4096 bytes.\n")
    assert shoal_json(capsys, "persona", "show", persona)["contacts"] == []

    shoal_json(capsys, *send, "no file")
    message = shoal_json(capsys, "inbox")
    assert shoal(capsys, "save", "nothing") == (1, "", "shoal: There is no such message.\n")
    result = shoal(capsys, "save", message["id"])
    assert result == (1, "", "shoal: This message has no file.\n")


def test_a_disk_that_takes_no_file_is_one_sentence(
    running: Running, persona: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = _file(running, "x", 1)
    shoal_json(capsys, "send", "--from", persona, "--to", "shoal-x", "--file", str(path))
    message = shoal_json(capsys, "inbox")
    nowhere = os.path.join(running.data.parent, "no", "where")
    result = shoal(capsys, "save", message["id"], "-o", nowhere)
    assert result == (1, "", f"shoal: {nowhere} cannot be written: No such file or directory.\n")
    full = shoal(capsys, "save", message["id"], "-o", "/dev/full")
    assert full == (1, "", "shoal: /dev/full is there already: name another file with -o.\n")
