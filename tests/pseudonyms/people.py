"""Personas and announcements for tests, made from seeds."""

from typing import Final

from shoal_protocol import clock
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.pseudonyms import announcement, work
from shoal_protocol.pseudonyms.persona import PersonaSecrets, Prekeys
from support import START, seeded

NETWORK: Final = LAB.hash
OTHER_NETWORK: Final = bytes(32)
TODAY: Final = clock.index_of(START, LAB.day_s)

LOW_ORDER_EDWARDS: Final = [
    bytes.fromhex(point)
    for point in (
        "0100000000000000000000000000000000000000000000000000000000000000",  # the identity
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # order 2
        "0000000000000000000000000000000000000000000000000000000000000000",  # order 4
        "0000000000000000000000000000000000000000000000000000000000000080",  # order 4
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # order 8
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",  # order 8
    )
]
NOT_CANONICAL: Final = [
    bytes.fromhex(point)
    for point in (
        "0100000000000000000000000000000000000000000000000000000000000080",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
]
OFF_CURVE: Final = (2).to_bytes(32, "little")
LOW_ORDER_MONTGOMERY: Final = [
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
]


def persona(name: str, network: bytes = NETWORK) -> PersonaSecrets:
    """Return the persona that ``name`` is the seed of."""
    return PersonaSecrets(seeded(name).bytes(32), network=network)


def prekeys(who: PersonaSecrets, day: int = TODAY, seed: int | str = 0) -> Prekeys:
    """Return the prekeys of ``who`` for ``day``, other than anybody else's and any other day's."""
    return who.prekeys(day, seeded(f"{who.pseudonym.hex()} {day} {seed}"))


def announced(
    who: PersonaSecrets,
    day: int = TODAY,
    *,
    revision: int = 1,
    seed: int | str = 0,
    params: NetworkParameters = LAB,
    effort: int = 0,
) -> bytes:
    """Return a paid announcement of ``who``, with prekeys drawn from ``seed``."""
    blinded = announcement.blinded_key(who.pseudonym, day, who.network)
    challenge = announcement.work_challenge(blinded, day, revision, who.network)
    start = int.from_bytes(seeded(challenge.hex()).bytes(8), "big")
    nonce = work.solve(challenge, params.announce_work_bits, start=start)
    return announcement.build(
        who, prekeys(who, day, seed), revision=revision, nonce=nonce, effort=effort
    )


def reached(who: PersonaSecrets, day: int = TODAY) -> announcement.Announcement:
    """Return what ``who`` announces for ``day``, as a reader opens it."""
    return announcement.open_record(
        who.pseudonym, announced(who, day), period=day, network=who.network
    )
