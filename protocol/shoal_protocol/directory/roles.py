"""Which relays of the directory mix, store and serve the DHT: the oldest of each subnet.

::

    live relays ─► oldest first ─► slots: one a /24, ``subnet_slots`` a /16 ─┬─► role_age_s old
                                                                             └─► or else the
                                                             ``role_least`` oldest of them

One function for all that hurts, so that paths, ranks of storers and the DHT never differ about
who there is. A relay takes a slot in the network of each of its addresses, or none: naming
another's network beside one's own costs a slot, and gains none. Ages are compared in steps;
of equal ones the order is a hash over identity and its work, so that going first by chance
costs the work for each try. spec: directory §7.1
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.directory import subnets
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.tenure import STEPS
from shoal_protocol.parameters import NetworkParameters

NARROW_SLOTS: Final = 1  # relays that serve of one /24 or /48; spec: directory §7.1

_LABEL: Final = b"relay order"


def serving(
    relays: Sequence[Descriptor],
    age: Callable[[bytes], int],
    params: NetworkParameters,
    *,
    unsettled: Sequence[Descriptor] = (),
    least: int | None = None,
) -> tuple[Descriptor, ...]:
    """Return those of ``relays`` that serve, in their order.

    Args:
        relays: live and not leaving.
        age: of a relay id, in steps of ``role_age_s``.
        params: the network's.
        unsettled: live and not to be used yet; young relays stand in for too few old ones only
            as far as these are too few as well.
        least: how many serve however young, if not ``role_least``.
    """
    ages = {relay.relay_id: age(relay.relay_id) for relay in (*relays, *unsettled)}

    def rank(relay: Descriptor) -> tuple[int, bytes]:
        return -ages[relay.relay_id], _lot(params.hash, relay.relay_id, relay.nonce)

    old = STEPS if params.role_age_s else 0
    least = params.role_least if least is None else least
    slotted = _slots(sorted(relays, key=rank), params)
    count = sum(ages[relay.relay_id] >= old for relay in slotted)
    if unsettled and count < least:
        slotted = _slots(sorted((*relays, *unsettled), key=rank), params)
        count = sum(ages[relay.relay_id] >= old for relay in slotted)
    chosen = {relay.relay_id for relay in slotted[: max(count, least)]}
    return tuple(relay for relay in relays if relay.relay_id in chosen)


@lru_cache(maxsize=16_384)
def _lot(network: bytes, relay_id: bytes, nonce: bytes) -> bytes:
    return crypto.kdf(_LABEL, network, relay_id, nonce, size=16)


def _slots(ordered: Sequence[Descriptor], params: NetworkParameters) -> list[Descriptor]:
    """Return those that find a slot in each of their subnets, in the same order."""
    if not params.subnet_slots:
        return list(ordered)
    narrow, wide = Counter[bytes](), Counter[bytes]()
    taken: list[Descriptor] = []
    for relay in ordered:
        near, far = subnets.narrow(relay.addresses), subnets.wide(relay.addresses)
        if any(narrow[net] >= NARROW_SLOTS for net in near):
            continue
        if any(wide[net] >= params.subnet_slots for net in far):
            continue
        narrow.update(near)
        wide.update(far)
        taken.append(relay)
    return taken
