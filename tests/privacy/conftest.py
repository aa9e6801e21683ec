"""One town for all who look at its relays."""

from collections.abc import Iterator

import pytest

from privacy.town import Talk, Town


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town that has talked: its relays' databases are closed, its sights complete."""
    made = Town(Talk(), tmp_path_factory.mktemp("town"))
    made.close()
    yield made
