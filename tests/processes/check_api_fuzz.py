"""Requests made from the API's own document, valid and not, against a twin of a node.

Run by name, ``pytest tests/processes/check_api_fuzz.py``. Each answer must be one that the document
tells of, in status, type and body; what breaks the document must be refused; nothing is a fault of
the server; nothing is told without the token.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from processes.waiting import Say
from shoal_node import home
from shoal_node.api.client import Client
from web.twins import twin

EXAMPLES: Final = 30  # made anew for each route, beside those of the document's own edges
# These shut all other routes: they have tests of their own.
SHUTTING: Final = "/(lock|unlock|panic|passphrase)$"
# Not of the document: whether an id is anybody's, and what other methods there are.
LEFT_OUT: Final = "positive_data_acceptance,unsupported_method"

REFUSED: Final = '[checks.negative_data_rejection]\nexpected-statuses = ["4xx"]\n'


@pytest.mark.parametrize("known", [False, True], ids=["any ids", "ids of what there is"])
def test_every_answer_is_one_that_the_document_tells_of(
    known: bool, tmp_path: Path, say: Say
) -> None:
    with twin("--quiet", "--pace", "0") as link:
        url, _, token = link.partition("/#")
        settings = tmp_path / "schemathesis.toml"
        client = Client(home.ApiFile(url, token, 0, "", ()))
        settings.write_text(REFUSED + (ids(client) if known else ""))
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)]
        command += ["run", f"{url}/api/v1/openapi.json", "--no-color"]
        command += ["-H", f"Authorization: Bearer {token}"]
        command += ["--exclude-path-regex", SHUTTING, "--exclude-checks", LEFT_OUT]
        command += ["--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES)]
        command += ["--generation-database", "none"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr
        made = re.search(r"(\d+) generated", ran.stdout)
        assert made is not None
        say(f"requests out of the document: {made[1]}; all answers as it says")


def ids(client: Client) -> str:
    """Parameters that name what the twin has, as the fuzzer's settings."""
    talk = next(t for t in client.get("conversations") if t["state"] == "accepted")
    message = client.get("conversations", talk["id"], "messages")[0]
    return "[parameters]\n" + "".join(
        f'"path.{name}" = "{value}"\n'
        for name, value in (
            ("persona", talk["persona"]),
            ("contact", talk["contact"]),
            ("conversation", talk["id"]),
            ("message", message["id"]),
        )
    )
