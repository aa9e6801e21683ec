"""What a relay's store has told that it keeps, for checks that end it at any moment."""

from service.store_contract import do, scan
from shoal_node.store.relay_store import RelayStore
from shoal_protocol.service.storage import Item, Kind, Missing


class Acknowledged:
    """What a store has told that it keeps."""

    def __init__(self) -> None:
        self.boxes: dict[bytes, str] = {}
        self.graves: set[bytes] = set()
        self.entries: dict[bytes, set[bytes]] = {}

    def note(self, line: str) -> None:
        match line.split():
            case ["box", address, name]:
                self.boxes[bytes.fromhex(address)] = name
            case ["grave", address, _]:
                self.boxes.pop(bytes.fromhex(address), None)
                self.graves.add(bytes.fromhex(address))
            case ["entry", address, name]:
                self.entries.setdefault(bytes.fromhex(address), set()).add(bytes.fromhex(name))
            case ["released", address]:
                self.entries.pop(bytes.fromhex(address), None)
            case other:
                raise AssertionError(other)

    def lost(self, store: RelayStore) -> list[str]:
        """Return which boxes ``store`` doesn't have; a tombstone that wasn't told may be there."""
        kept = {
            one.item.address: one.item for one in scan(store) if one.item.kind is not Kind.ENTRY
        }
        lost = [f"box {at.hex()}" for at, name in self.boxes.items() if at not in kept]
        for address, name in self.boxes.items():
            item = kept.get(address)
            if item is not None and item.kind is Kind.BOX and item.name.hex() != name:
                lost.append(f"other box {address.hex()}")
        for address in self.graves:
            if address not in kept or kept[address].kind is not Kind.TOMBSTONE:
                lost.append(f"tombstone {address.hex()}")
        return lost

    def inboxes_torn(self, store: RelayStore) -> int:
        """Return in how many inboxes some entries are gone and not all.

        An inbox of which all is gone was released by a batch that the kill kept from being told.
        """
        torn = 0
        for address, names in list(self.entries.items()):
            items = tuple(Item(Kind.ENTRY, address, name) for name in names)
            missing = do(store, Missing(items))
            assert isinstance(missing, tuple)
            torn += 0 < len(missing) < len(items)
            if len(missing) == len(items):
                del self.entries[address]
        return torn
