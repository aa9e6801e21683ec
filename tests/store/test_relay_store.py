"""The relay's store on disk: it keeps the contract, opens what it may, and forgets for good."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service import store_contract
from service.store_contract import Rule
from shoal_node.store import relay_schema
from shoal_node.store.relay_store import RelayStore
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.service.storage import Store
from support import seeded

PAGES_OF_AN_EMPTY_STORE = 24


class DiskStores:
    """Stores in one directory, closed at the end."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._open: dict[int, tuple[RelayStore, Path, NetworkParameters]] = {}

    def fresh(self, params: NetworkParameters = LAB, room: int = 10_000) -> Store:
        limit = (PAGES_OF_AN_EMPTY_STORE + room) * relay_schema.PAGE_LENGTH
        path = self._home / f"{len(self._open)}.db"
        return self._kept(RelayStore(path, params, seeded(path.name), limit=limit), path, params)

    def reopened(self, store: Store) -> Store:
        old, path, params = self._open[id(store)]
        old.close()
        return self._kept(RelayStore(path, params, seeded("again")), path, params)

    def close(self) -> None:
        for store, _, _ in self._open.values():
            assert store.integrity() == []
            store.close()

    def _kept(self, store: RelayStore, path: Path, params: NetworkParameters) -> RelayStore:
        self._open = {key: value for key, value in self._open.items() if value[1] != path} | {
            id(store): (store, path, params)
        }
        return store


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[DiskStores]:
    made = DiskStores(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("rule", store_contract.RULES, ids=lambda rule: str(rule.__name__))
def test_a_store_on_disk_keeps_the_contract(rule: Rule, stores: DiskStores) -> None:
    rule(stores)
