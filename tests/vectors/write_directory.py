"""Write directory.json: what docs/spec/directory.md must give, from a fixed rng.

Run as ``python tests/vectors/write_directory.py``; the same code gives the same bytes.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from shoal_protocol import clock, crypto
from shoal_protocol.directory import descriptor as descriptors
from shoal_protocol.directory import frames, tree
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.frames import Proof, Record
from shoal_protocol.directory.lease import sign_lease
from shoal_protocol.directory.tree import BucketTree, Item
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng

PLACE: Final = Path(__file__).with_name("directory.json")


class VectorNetwork(NetworkParameters):
    """A network whose hash stays when a parameter is added that these vectors don't use."""

    @cached_property
    def hash(self) -> bytes:
        """32 bytes of no table."""
        return bytes(range(32))


NETWORK: Final = VectorNetwork(
    name="vectors", epoch_s=3600, serials_per_epoch=4, lease_s=900, descriptor_work_bits=8
)
NOW: Final = 1_800_000_000 * clock.SECOND
EPOCH: Final = clock.index_of(NOW, NETWORK.epoch_s)
ADDRESSES: Final = (
    ("/ip4/9.9.9.9/tcp/4001",),
    ("/ip4/9.9.9.9/tcp/1", "/ip6/2606:4700::1/tcp/65535"),
    tuple(f"/ip6/2606:4700:1111:2222:3333:4444:5555:{n}/tcp/65535" for n in range(6666, 6670)),
)


def relay(rng: Rng, number: int) -> dict[str, Any]:
    """One relay's descriptor and lease, with all that goes into them."""
    seed = rng.bytes(32)
    nonce = descriptors.solve_work(crypto.ed25519_public(seed), NETWORK, rng)
    version = Version(EPOCH + number - 1, number)
    epochs = range(version.epoch - 1, version.epoch + number)
    keys = [(epoch, rng.bytes(32)) for epoch in epochs]
    instance, family = rng.bytes(16), rng.bytes(16) if number else b""
    until = NOW // clock.SECOND + NETWORK.lease_s
    data = descriptors.sign(
        seed,
        version=version,
        addresses=ADDRESSES[number],
        mix_keys=keys,
        instance=instance,
        nonce=nonce,
        params=NETWORK,
        capacity=100 * number,
        family=family,
        software="shoal/0.1.0",
    )
    traffic = (0, 17, 40)[number]
    lease = sign_lease(seed, version=version, until=until, params=NETWORK, traffic=traffic)
    found = descriptors.decode_descriptor(data, NETWORK)
    return {
        "seed": seed.hex(),
        "epoch": version.epoch,
        "serial": version.serial,
        "addresses": list(ADDRESSES[number]),
        "mix_keys": [[epoch, key.hex()] for epoch, key in keys],
        "instance": instance.hex(),
        "capacity": 100 * number,
        "family": family.hex(),
        "software": "shoal/0.1.0",
        "nonce": nonce.hex(),
        "until": until,
        "traffic": traffic,
        "relay_id": found.relay_id.hex(),
        "full_addresses": list(found.addresses),
        "descriptor": data.hex(),
        "lease": lease.hex(),
    }


def gossip(relays: list[dict[str, Any]]) -> list[dict[str, str]]:
    """One frame of each kind."""
    view = DirectoryView(NETWORK)
    records = list[Record]()
    for each in sorted(relays, key=lambda each: str(each["relay_id"])):
        record = Record(bytes.fromhex(each["descriptor"]), bytes.fromhex(each["lease"]))
        view.add_descriptor(record.descriptor, NOW)
        view.add_lease(record.lease, NOW)
        records.append(record)
    items = tuple(view.tree.items(0, 0))
    ids = tuple(item.relay_id for item in items)
    proof = Proof(records[0].descriptor, records[0].descriptor[:-1])
    made: tuple[frames.Frame, ...] = (
        frames.Hello(),
        frames.Ask(view.tree.root()),
        frames.Ask(b""),
        frames.Same(),
        frames.Buckets(2, b"".join(view.tree.hashes(2))),
        frames.List(8, frames.to_map({0, 9, 255}, 8)),
        frames.Lists(0, frames.to_map({0}, 0), items),
        frames.Want(ids[:1], ids[1:]),
        frames.Records(tuple(records), ()),
        frames.News((Record(b"", records[0].lease),), (proof,)),
        frames.Unknown(12),
    )
    return [
        {"frame": type(frame).__name__, "bytes": frames.CODEC.encode(frame).hex()} for frame in made
    ]


def trees(rng: Rng) -> list[dict[str, Any]]:
    """Hashes over some items."""
    made, items = BucketTree(), list[Item]()
    for number in range(40):
        barred = number % 10 == 0
        digest = bytes(8) if barred else rng.bytes(8)
        until = 0 if barred else NOW // clock.SECOND + number
        items.append(Item(rng.bytes(16), EPOCH, barred, 0 if barred else number % 4, until, digest))
        made.put(items[-1].relay_id, items[-1])
    rows = [[i.relay_id.hex(), i.epoch, i.barred, i.serial, i.until, i.digest.hex()] for i in items]
    hashes = {str(bits): [h.hex() for h in made.hashes(bits)] for bits in (0, 1, 3)}
    return [{"items": rows, "bits": tree.bits_for(len(items)), "hashes": hashes}]


def make() -> dict[str, Any]:
    """Return the whole file's content."""
    rng = Rng(crypto.seeded_source(b"directory vectors"))
    relays = [relay(rng, number) for number in range(3)]
    return {
        "spec": "docs/spec/directory.md",
        "network": NETWORK.hash.hex(),
        "work_bits": NETWORK.descriptor_work_bits,
        "relays": relays,
        "frames": gossip(relays),
        "trees": trees(rng),
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
