"""A small real node in memory for tests of the API: people's texts go nowhere but to history."""

from api import twin
from api.twin_talks import PIECES as PIECES
from api.twin_talks import Talks
from shoal_node.api import backend

ECHO = True  # whether people's nodes deliver and answer

FakeRelay = twin.Relay


class FakePerson(twin.Twin):
    """A person's node that answers every message with its echo, as somebody else."""

    def _send(
        self,
        conversation_id: str,
        given: backend.Draft | str,
        file: backend.FileContent | None,
        idempotency_key: str | None,
    ) -> backend.Message:
        self.echo = ECHO
        return Talks._send(self, conversation_id, given, file, idempotency_key)
