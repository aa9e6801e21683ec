"""Every tunable number of the protocol, as two value objects.

:class:`NetworkParameters` must be the same at every node of a network; its hash goes into
packet keys, handshakes and blinded keys, so that two networks never mix. A
:class:`Preset` is one person's choice of traffic. ``docs/spec/parameters.md`` is the same
table with the reasons. Lengths of fields are no parameters: see ``constants`` and
``packets.geometry``.

::

    hash = kdf("network parameters", msgpack [[name, value], …])
           the first parameters always, in their order; then each LATER one that differs
           from its default, which is neutral: it does nothing

A network that does not use a new parameter so keeps its hash, and its nodes of two versions
go on speaking with each other. spec: parameters §1
"""

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final

from shoal_protocol import crypto, wire

LATER: Final = MappingProxyType({"later": True})
"""A field's metadata: this parameter joined the table when there were networks already."""


@dataclass(frozen=True)
class NetworkParameters:
    """Network-wide numbers. Durations in whole seconds (``_s``) or milliseconds (``_ms``)."""

    name: str
    protocol: int = 1  # version in every packet's first byte
    packet_bytes: int = 3072
    epoch_s: int = 3600  # mix keys, descriptors
    day_s: int = 86_400  # addresses, inboxes, prekeys
    serials_per_epoch: int = 4
    lease_s: int = 900  # a relay that is gone leaves the directory after at most this
    gossip_interval_ms: int = 1000  # one anti-entropy exchange
    clock_skew_s: int = 300  # how far ahead a signed time may lie
    surb_lifetime_s: int = 1800
    max_hop_delay_ms: int = 60_000
    path_mixes: int = 3  # mixes before the relay asked, the guard among them
    active_least: int = 8  # mixes of a layer that serve at least; with fewer all serve all
    active_pool: int = 8  # packets on their way up that are to wait at a mix of a layer
    active_delay_ms: int = 50  # at a mix, taken for everybody's
    guards: int = 3
    guard_life_min_s: int = 60 * 86_400
    guard_life_max_s: int = 120 * 86_400
    replicas: int = 3  # K
    replica_slack: int = 2  # a relay accepts what ranks it within K + slack
    get_wait_cap_ms: int = 360_000  # a GET waits no longer, whatever it asks
    inbox_entries: int = 1024
    entry_life_s: int = 3 * 86_400
    put_work_bits: int = 12  # the least price of a box
    box_days: int = 14  # a box is kept so many days after its own
    announce_days_behind: int = 1
    announce_days_ahead: int = 3
    announce_work_bits: int = 18
    dht_k: int = 20
    dht_alpha: int = 3
    role_age_s: int = 72 * 3600  # seen so long before mixing, storing or serving the DHT
    distinct_subnets: bool = True
    two_sources: bool = True  # a descriptor needs two /16s and an epoch's notice
    descriptor_work_bits: int = 20  # hashcash over a relay's identity, once in its life
    private_addresses: bool = False  # descriptors may name loopback, private and memory addresses
    dht_keys: int = field(default=1, metadata=LATER)  # places at which a record is put and sought
    role_least: int = field(default=0, metadata=LATER)  # relays serve at least, however young
    subnet_slots: int = field(default=0, metadata=LATER)  # relays that serve of a /16; 0: any

    @cached_property
    def hash(self) -> bytes:
        """32 bytes that name this network in every key derivation."""
        table = tuple(
            (f.name, getattr(self, f.name))
            for f in fields(self)
            if not f.metadata.get("later") or getattr(self, f.name) != f.default
        )
        return crypto.kdf(b"network parameters", wire.pack(table))


MAIN: Final = NetworkParameters(name="main", dht_keys=2, role_least=32, subnet_slots=4)
LAB: Final = replace(
    MAIN,
    name="lab",
    serials_per_epoch=256,  # tests restart relays often
    lease_s=20,
    active_least=16,  # below 32 relays all mix
    put_work_bits=4,
    announce_work_bits=8,
    role_age_s=0,
    distinct_subnets=False,
    two_sources=False,
    descriptor_work_bits=0,
    private_addresses=True,
    dht_keys=1,
    role_least=0,
    subnet_slots=0,
)
TRIAL: Final = replace(
    MAIN,
    name="trial",
    serials_per_epoch=256,
    lease_s=20,
    clock_skew_s=30,
    put_work_bits=4,
    announce_work_bits=8,
    role_age_s=18,
    role_least=4,
    descriptor_work_bits=8,
)
"""Main's rules with short times: what tests of the defences run, on hosts of their own."""

LAB5: Final = replace(LAB, name="lab5", replicas=5)
NETWORKS: Final = {network.name: network for network in (MAIN, LAB, LAB5, TRIAL)}


@dataclass(frozen=True, slots=True)
class Preset:
    """One person's traffic: the price in bandwidth and the price in waiting."""

    name: str
    rate: float  # packets up a second, λ
    mean_delay_ms: int  # at each mix
    quick_share: float = 2 / 3  # slots for PUT, DHT and echoes; the rest wait

    get_wait_mean_ms: int = 20_000  # how long a GET waits; the cap is three times as much

    @property
    def outstanding_gets(self) -> int:
        """Real GETs that may wait at once: three quarters of all that do in the mean."""
        waiting = self.rate * (1 - self.quick_share) * self.get_wait_mean_ms / 1000
        return max(1, round(0.75 * waiting))


PRESETS: Final = {
    preset.name: preset
    for preset in (
        Preset("saver", rate=0.25, mean_delay_ms=500, get_wait_mean_ms=120_000),
        Preset("balanced", rate=4.0, mean_delay_ms=50),
        Preset("fast", rate=10.0, mean_delay_ms=30),
    )
}
