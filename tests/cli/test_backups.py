"""Backups from a terminal: written once, readable by their owner, and brought back."""

import io
import os
import stat
from pathlib import Path

import pytest

from cli.running import Running, shoal, shoal_json
from shoal_node import backup, backup_file, home
from shoal_node.store import keys
from shoal_node.store.person_store import PersonStore
from shoal_protocol.client import state
from shoal_protocol.client.state import Changes

ROOT = bytes(range(32))


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    """The path of a file with a backup's passphrase."""
    path = tmp_path / "passphrase"
    path.write_text("correct horse\n")
    return str(path)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of a store with one persona."""
    monkeypatch.setattr(backup_file, "MEMORY", 2**16)
    store = PersonStore.open(tmp_path / "store.db", bytes(32))
    row = state.PERSONAS.encode(state.PersonaRow(ROOT, 7, None))
    store.commit([Changes(1, {(state.PERSONA, b"\x22" * 8): row}, {})])
    path = tmp_path / "a.backup"
    path.write_bytes(b"".join(backup.make(store, "correct horse", 7)))
    store.close()
    return path


def test_a_backup_is_a_new_file_that_its_owner_alone_can_read(
    running: Running, passphrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "home.shoal-backup"
    command = ("backup", str(target), "--backup-passphrase-file", passphrase)
    assert shoal_json(capsys, *command) == {"file": str(target), "size": 600}
    assert target.read_bytes() == b"backup" * 100
    if os.name == "posix":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    code, out, err = shoal(capsys, *command)
    assert (code, out) == (1, "") and "is there already" in err


def test_a_backup_asks_standard_input_for_its_passphrase(
    running: Running,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "home.shoal-backup"
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert shoal(capsys, "backup", str(target))[0] == 1
    assert not target.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    assert shoal(capsys, "backup", str(target))[0] == 0
    assert target.exists()


def test_a_backup_that_cannot_be_had_leaves_no_file(
    passphrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "home.shoal-backup"
    code, _, err = shoal(
        capsys, "backup", str(target), "--backup-passphrase-file", passphrase,
        "--data", str(tmp_path / "nobody"),
    )  # fmt: skip
    assert code == 1 and "No node runs" in err
    assert not target.exists()


def test_a_backup_comes_back_into_a_new_home_under_a_passphrase_of_its_own(
    saved: Path, passphrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    own.write_text("another\n")
    restore = ("restore", str(saved), "--backup-passphrase-file", passphrase)
    place = tmp_path / "new"
    found = shoal_json(capsys, *restore, "--data", str(place), "--passphrase-file", str(own))
    assert (found["personas"], found["conversations"], found["forgotten"]) == (1, 0, 0)
    assert found["created"] == "1970-01-01T00:00:00.000000Z"
    store = PersonStore.open(place / keys.DATABASE, keys.secret_of(place, "another"))
    (row,) = [state.PERSONAS.decode(data) for _, data in store.load().of(state.PERSONA)]
    store.close()
    assert row.root == ROOT
    again = shoal_json(capsys, *restore, "--data", str(place), "--passphrase-file", str(own))
    assert again["personas"] == 0
    code, out, err = shoal(capsys, *restore, "--data", str(place))
    assert (code, out) == (1, "") and "locked with a passphrase" in err


def test_a_store_without_a_passphrase_is_said_to_have_none(
    saved: Path, passphrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = shoal(
        capsys, "restore", str(saved), "--backup-passphrase-file", passphrase,
        "--data", str(tmp_path / "new"),
    )  # fmt: skip
    assert (code, out) == (0, "1 persona, 0 conversations, 0 messages, 0 files.\n")
    assert "The store has no passphrase" in err


def test_nothing_comes_back_while_the_node_runs(
    saved: Path, passphrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with home.Home(tmp_path / "busy"):
        code, _, err = shoal(
            capsys, "restore", str(saved), "--backup-passphrase-file", passphrase,
            "--data", str(tmp_path / "busy"),
        )  # fmt: skip
    assert code == 1 and "A node runs in" in err
    assert not (tmp_path / "busy" / keys.DATABASE).exists()


@pytest.mark.parametrize("content", [b"", b"not a backup at all" * 9])
def test_what_is_no_backup_makes_no_store(
    content: bytes, passphrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(content)
    code, _, err = shoal(
        capsys, "restore", str(tmp_path / "file"), "--backup-passphrase-file", passphrase,
        "--data", str(tmp_path / "new"),
    )  # fmt: skip
    assert code == 1 and "no backup of Shoal" in err
    assert not (tmp_path / "new" / keys.KEY_FILE).exists()
