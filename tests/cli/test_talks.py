"""Talks from a terminal: replies, disappearing messages, pictures, search, export, lock."""

import io
import json
from pathlib import Path

import pytest

from api.twin import PASSPHRASE
from api.twin_people import PIXEL
from cli.running import Running, shoal, shoal_json


@pytest.fixture
def persona(running: Running, capsys: pytest.CaptureFixture[str]) -> str:
    """The id of the only persona of the running node."""
    return str(shoal_json(capsys, "persona", "new")["id"])


def test_a_message_answers_another_and_disappears(
    running: Running, persona: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = shoal_json(capsys, "send", "--to", "shoal-other", "what about eight?")
    send = ("send", "--to", "shoal-other", "--reply-to", first["id"], "--expires-after", "2h")
    sent = shoal_json(capsys, *send, "eight it is")
    conversation = running.node.contacts(persona)[0].conversation
    kept = next(m for m in running.node.messages(conversation, None, 10) if m.id == sent["id"])
    assert kept.reply_to is not None and kept.reply_to.id == first["id"]
    assert kept.expires_after == 7200
    answers = [line.split("\t")[2] for line in shoal(capsys, "inbox")[1].splitlines()]
    assert answers == ["what about eight?", "> eight it is"]


@pytest.mark.parametrize("time", ["4s", "5w", "soon", "", "5 m", "1.5h"])
def test_a_time_out_of_bounds_is_wrong_usage(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = shoal(capsys, "send", "--to", "x", "hi", "--expires-after", time)
    assert (code, out) == (2, "") and "such as 30s, 5m, 2h, 1d or 4w" in err


def test_reading_can_be_waited_for_only_with_receipts(
    running: Running, persona: str, capsys: pytest.CaptureFixture[str]
) -> None:
    send = ("send", "--to", "shoal-other", "hi", "--wait", "read")
    assert shoal_json(capsys, *send)["status"] == "fetched"
    shoal_json(capsys, "persona", "edit", persona, "--receipts", "on")
    assert shoal_json(capsys, *send)["status"] == "read"


def test_a_picture_is_sent(
    running: Running, persona: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "pixel.webp"
    picture.write_bytes(PIXEL)
    send = ("send", "--to", "shoal-other", "--picture", str(picture))
    assert shoal_json(capsys, *send, "look")["id"]
    assert shoal_json(capsys, *send)["id"]
    came = [json.loads(line) for line in shoal(capsys, "inbox", "--json")[1].splitlines()]
    assert [(m["text"], m["file"]["picture"]) for m in came] == [("look", True), ("", True)]
    assert shoal(capsys, *send, "--file", str(picture))[0] == 2


def test_a_text_is_found(peopled: Running, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = shoal(capsys, "search", "海边", "--json")
    assert (code, err) == (0, "")
    hit = json.loads(out)
    (start, end), *_ = hit["spans"]
    assert hit["message"]["text"][start:end] == "海边"
    lines = shoal(capsys, "search", "海边")[1].splitlines()
    assert len(lines) == 1 and "我在海边等你。\\x0a第二行。" in lines[0]
    assert shoal(capsys, "search", "HERONS", "--contact", "Otter")[1]
    assert shoal(capsys, "search", "nowhere at all") == (0, "", "Nothing was found.\n")


def test_a_talk_is_written_out(
    peopled: Running, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    from shoal_node.cli import main

    assert main.main(("export", "Otter", "--format", "text")) == 0
    assert "我在海边等你。" in capsysbinary.readouterr().out.decode()
    file = tmp_path / "talk.json"
    argv = ("export", "Otter", "-o", str(file))
    assert main.main(argv) == 0
    assert json.loads(file.read_text())
    assert main.main(argv) == 1  # never over a file that is there


def test_the_store_is_locked_and_unlocked(
    peopled: Running,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peopled.node._passphrase = PASSPHRASE
    assert shoal_json(capsys, "lock")["state"] == "locked"
    code, out, err = shoal(capsys, "persona", "list")
    assert (code, out) == (1, "") and "locked" in err
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    assert shoal(capsys, "unlock")[0] == 1
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    assert shoal(capsys, "unlock", "--passphrase-file", str(file)) == (0, "open\n", "")
    assert shoal_json(capsys, "unlock")["state"] == "open"


def test_panic_asks_for_the_word(peopled: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert shoal(capsys, "panic")[0] == 2
    assert shoal_json(capsys, "persona", "list")["personas"]
    assert shoal_json(capsys, "panic", "--confirm", "erase")["state"] == "empty"
