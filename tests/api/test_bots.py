"""The bot of docs/bots.md, run as it stands there."""

import json
import subprocess
import sys
from pathlib import Path

from processes.waiting import until
from shoal_node import home
from shoal_node.api.client import Client
from web.twins import twin

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/bots.md"
LINES = 20
PATIENCE_S = 60.0


def bot() -> str:
    """The one program in the document."""
    return DOCUMENT.read_text().split("```python\n")[1].split("```")[0]


def test_the_bot_of_the_document_has_twenty_lines_and_answers_strangers_once(
    tmp_path: Path,
) -> None:
    assert len([line for line in bot().splitlines() if line.strip()]) <= LINES
    (tmp_path / "bot.py").write_text(bot())
    with twin("--quiet", "--pace", "0") as link:
        url, _, token = link.partition("/#")
        (tmp_path / "api.json").write_text(json.dumps({"url": url, "token": token}))
        client = Client(home.ApiFile(url, token, 0, "", ()))
        stranger = next(t for t in client.get("conversations") if t["state"] == "request")
        (question,) = client.get("conversations", stranger["id"], "messages")

        def answers() -> list[str]:
            messages = client.get("conversations", stranger["id"], "messages")
            return [m["text"] for m in messages if m["outgoing"]]

        def unread() -> int:
            return sum(t["unread"] for t in client.get("conversations") if t["state"] != "blocked")

        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "bot.py"), str(tmp_path / "api.json")],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until(
                lambda: unread() == 0 or process.poll() is not None,
                PATIENCE_S,
                "the bot has read everything",
            )
        finally:
            process.terminate()
            said = process.communicate(timeout=10)[1]
        assert said == ""
        assert answers() == [f"You said: {question['text']}"]
        states = {t["id"]: t["state"] for t in client.get("conversations")}
        assert states[stranger["id"]] == "accepted"
