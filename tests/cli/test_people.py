"""Personas and contacts from a terminal: invites, requests, names, safety codes."""

import base64
import json
from pathlib import Path

import pytest

from api.twin_people import CODE, PIXEL
from cli.running import Running, shoal, shoal_json
from shoal_node import names


@pytest.fixture
def heron(peopled: Running, capsys: pytest.CaptureFixture[str]) -> str:
    """The id of the persona with all sorts of contacts."""
    personas = shoal_json(capsys, "persona", "list")["personas"]
    return str(next(one["id"] for one in personas if one["name"] == "Heron"))


def test_an_invite_is_made_listed_and_withdrawn(
    peopled: Running, heron: str, capsys: pytest.CaptureFixture[str]
) -> None:
    invite = shoal_json(capsys, "contact", "invite", "--persona", heron)
    assert invite["code"] and invite["link"] and invite["expires"]
    code, out, err = shoal(capsys, "contact", "invite", "--persona", heron)
    assert code == 0 and out.startswith("code  ") and "whoever uses it first" in err
    listed = shoal_json(capsys, "contact", "invite", "--list", "--persona", heron)["invites"]
    assert invite["id"] in {one["id"] for one in listed}
    assert invite["code"] in shoal(capsys, "contact", "invite", "--list", "--persona", heron)[1]
    gone = shoal_json(capsys, "contact", "invite", "--cancel", invite["id"], "--persona", heron)
    assert gone == {"id": invite["id"], "cancelled": True}
    left = shoal_json(capsys, "contact", "invite", "--list", "--persona", heron)["invites"]
    assert invite["id"] not in {one["id"] for one in left}


def test_an_invite_is_used_by_its_code_or_its_link(
    peopled: Running, heron: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = shoal_json(capsys, "contact", "invite", "--persona", heron)["code"]
    momo = next(
        one["id"] for one in shoal_json(capsys, "persona", "list")["personas"] if one["id"] != heron
    )
    used = shoal_json(capsys, "contact", "accept", code, "--persona", momo)
    assert (used["state"], used["invited"]) == ("accepted", True)
    link = shoal_json(capsys, "contact", "invite", "--persona", heron)["link"]
    assert shoal_json(capsys, "contact", "add", link, "--persona", momo)["invited"] is True


def test_requests_are_listed_and_answered(
    peopled: Running, heron: str, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = shoal_json(capsys, "contact", "requests")["requests"]
    assert [one["price_bits"] for one in requests] == [20, 12]
    lines = shoal(capsys, "contact", "requests")[1].splitlines()
    assert len(lines) == 3 and "20 bits" in lines[1]
    accepted = shoal_json(capsys, "contact", "accept", requests[0]["id"])
    assert accepted["state"] == "accepted"
    ignored = shoal_json(capsys, "contact", "ignore", requests[1]["pseudonym"])
    assert ignored == {"id": requests[1]["id"], "ignored": True}
    listed = shoal_json(capsys, "contact", "ignored", "--persona", heron)["ignored"]
    assert [one["pseudonym"] for one in listed] == [requests[1]["pseudonym"]]
    assert requests[1]["pseudonym"] in shoal(capsys, "contact", "ignored", "--persona", heron)[1]
    undo = ("contact", "ignored", "--undo", requests[1]["pseudonym"], "--persona", heron)
    assert shoal_json(capsys, *undo) == {"pseudonym": requests[1]["pseudonym"], "ignored": False}
    assert shoal(capsys, *undo)[0] == 1
    assert shoal_json(capsys, "contact", "ignored", "--persona", heron) == {"ignored": []}
    assert shoal_json(capsys, "contact", "requests") == {"requests": []}
    assert shoal(capsys, "contact", "requests") == (0, "", "Nobody asks.\n")


def test_a_contact_is_blocked_and_let_in_again(
    peopled: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shoal_json(capsys, "contact", "block", "Otter")["state"] == "blocked"
    assert shoal_json(capsys, "contact", "unblock", "Otter")["state"] == "accepted"


def test_a_safety_code_is_shown_and_compared(
    peopled: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    contacts = shoal_json(capsys, "contact", "list")["contacts"]
    drawn = next(one["id"] for one in contacts if one["drawn_name"])
    code, out, _ = shoal(capsys, "contact", "verify", drawn)
    assert code == 0 and CODE in out and "no" in out
    wrong = shoal(capsys, "contact", "verify", drawn, "--code", "1" * 60)
    assert wrong[0] == 1 and wrong[2].startswith("shoal: The codes differ")
    typed = f" {CODE.replace(' ', '-')} "
    assert shoal_json(capsys, "contact", "verify", drawn, "--code", typed)["verified"] is True
    assert shoal_json(capsys, "contact", "verify", drawn, "--undo")["verified"] is False
    unknown = shoal(capsys, "contact", "verify", "0tter")
    assert unknown[0] == 1 and "no safety code yet" in unknown[2]


def test_contacts_are_named_and_found_by_name(
    peopled: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    listed = shoal(capsys, "contact", "list")[1]
    assert "another's looks the same!" in listed and names.shown(None, (17, 42), "en") in listed
    assert len(listed.splitlines()) == 1 + len(shoal_json(capsys, "contact", "list")["contacts"])
    named = shoal_json(capsys, "contact", "name", "Otter", "水獭")
    assert (named["alias"], named["name"]) == ("水獭", "水獭")
    sent = ("send", "--from", named["persona"], "--to", "水獭", "hi")
    assert shoal_json(capsys, *sent)["status"]
    assert shoal_json(capsys, "contact", "name", "水獭")["alias"] is None
    assert shoal(capsys, "contact", "block", "水獭") == (
        1,
        "",
        "shoal: There is no such contact.\n",
    )


def test_which_persona_is_asked_when_there_are_several(
    peopled: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = shoal(capsys, "contact", "invite")
    assert (code, out) == (1, "") and "say which with --persona" in err


def test_a_persona_is_drawn_changed_and_made_momo(
    running: Running,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    persona = shoal_json(capsys, "persona", "new", "--random")
    assert persona["drawn_name"] and persona["avatar"]
    assert (
        names.shown(None, tuple(persona["drawn_name"]), "zh") in shoal(capsys, "persona", "list")[1]
    )
    edit = ("persona", "edit", persona["pseudonym"])
    named = shoal_json(capsys, *edit, "--name", "Reiher", "--receipts", "on")
    assert (named["name"], named["receipts"]) == ("Reiher", True)
    picture = tmp_path / "pixel.webp"
    picture.write_bytes(PIXEL)
    shown = shoal_json(capsys, *edit, "--picture", str(picture))["avatar"]
    assert shown["kind"] == "picture" and base64.b64encode(PIXEL).decode()[:8] in shown["picture"]
    momo = shoal_json(capsys, *edit, "--momo")
    assert (momo["name"], momo["drawn_name"], momo["avatar"]) == (None, None, None)
    assert "momo" in shoal(capsys, *edit, "--receipts", "off")[1]
    assert shoal(capsys, *edit)[0] == 2
    assert shoal(capsys, *edit, "--momo", "--picture", str(picture))[0] == 2


def test_what_links_personas_is_said(peopled: Running, capsys: pytest.CaptureFixture[str]) -> None:
    links = shoal_json(capsys, "persona", "linkability")["links"]
    code, out, _ = shoal(capsys, "persona", "linkability")
    assert code == 0 and len(out.splitlines()) == (1 + len(links) if links else 0)
    assert json.dumps(links)
