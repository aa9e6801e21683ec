"""Which relays can still hold what was put near a key; spec: client §8.

::

    key, view ──► nearest: {relay: its mix keys}
                     │  each later view
                     ▼
                  remaining: listed, and of no other mix key for any epoch ──► still held
                  gone, or begun anew: its memory, and the record in it, are lost

A relay makes its mix keys when it starts and keeps them in memory only, as it does records of
the DHT: whoever lists another key for the same epoch has begun anew. Its store's instance and
its addresses say nothing of that; they outlive a restart, or change without one.
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from shoal_protocol.dht import contacts
from shoal_protocol.directory import subnets
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import NetworkParameters

MixKeys = tuple[tuple[int, bytes], ...]
Holders = dict[bytes, MixKeys]
"""Relays by their 16-byte ids, with the mix keys that they were last seen to have."""


def nearest(relays: Iterable[Descriptor], key: bytes, params: NetworkParameters) -> Holders:
    """Return the relays that keep the record of a DHT key (32 bytes): k near each of its keys."""
    relays = tuple(relays)
    near: Holders = {}
    for place in contacts.keys_of(key, params.dht_keys):

        def away(relay: Descriptor, place: bytes = place) -> int:
            return contacts.distance(place, contacts.place_of(relay, params))

        ordered: Iterable[Descriptor] = sorted(relays, key=away)
        if params.distinct_subnets:
            ordered = subnets.apart(ordered, lambda relay: relay.addresses[0])
        for relay in islice(ordered, params.dht_k):
            near[relay.relay_id] = relay.mix_keys
    return near


def remaining(holders: Holders, relays: Mapping[bytes, Descriptor]) -> Holders:
    """Return those of ``holders`` that are listed and have not begun anew, with present keys."""
    return {
        relay_id: relays[relay_id].mix_keys
        for relay_id, keys in holders.items()
        if relay_id in relays and _same_run(keys, relays[relay_id].mix_keys)
    }


def _same_run(before: MixKeys, after: MixKeys) -> bool:
    known = dict(before)
    common = [known[epoch] == key for epoch, key in after if epoch in known]
    return bool(common) and all(common)
