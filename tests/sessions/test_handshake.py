"""First contact."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from pseudonyms.people import NETWORK, TODAY
from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError, UserError
from shoal_protocol.pseudonyms import persona
from shoal_protocol.pseudonyms.announcement import Announcement
from shoal_protocol.pseudonyms.persona import PersonaSecrets, PublicPersona
from shoal_protocol.sessions import handshake
from shoal_protocol.sessions.handshake import SeenEphemerals
from shoal_protocol.sessions.session import Session
from support import seeded

ADA, BOB, EVE = people.persona("ada"), people.persona("bob"), people.persona("eve")
REACHED = people.reached(BOB)
TEXT = "你好 👋".encode()
WHO_AT, TEXT_AT = 1120, 1296


def contact(
    me: PersonaSecrets = ADA, to: Announcement = REACHED, text: bytes = TEXT, seed: int = 0
) -> tuple[bytes, Session]:
    return handshake.initiate(me, to, text, rng=seeded(seed))


MESSAGE, _ = contact()


def accepted(
    message: bytes, seen: SeenEphemerals | None = None, me: PersonaSecrets = BOB, day: int = TODAY
) -> tuple[PublicPersona, bytes, Session]:
    prekeys = people.prekeys(me, day)
    seen = SeenEphemerals() if seen is None else seen
    return handshake.accept(me, prekeys, message, seen=seen, rng=seeded("accept"))


def test_one_message_carries_who_writes_the_text_and_a_session() -> None:
    message, session = contact()
    assert len(message) == handshake.MESSAGE_LENGTH == 1987
    peer, text, other = accepted(message)
    assert peer == ADA.public
    assert text == TEXT
    assert other.id == session.id
    rng = seeded("talk")
    assert other.open(session.seal(b"more", rng), rng) == b"more"
    assert session.open(other.seal(b"answer", rng), rng) == b"answer"
    assert session.outgoing_root == other.incoming_root
    assert session.incoming_root == other.outgoing_root


@pytest.mark.parametrize("length", [0, 1, handshake.CAPACITY - 1, handshake.CAPACITY])
def test_texts_of_every_length_make_messages_of_one_length(length: int) -> None:
    message, _ = contact(text=b"x" * length)
    assert len(message) == 1987
    assert accepted(message)[1] == b"x" * length


@pytest.mark.parametrize("length", [0, handshake.SHORT_CAPACITY])
def test_a_first_contact_for_a_box_is_shorter_and_opens_like_any(length: int) -> None:
    text = b"x" * length
    message, session = handshake.initiate(ADA, REACHED, text, rng=seeded("short"), short=True)
    assert len(message) == 1923 == 1928 - 1 - 4  # a box holds it with its kind and day
    peer, said, other = accepted(message)
    assert (peer, said, other.id) == (ADA.public, text, session.id)
    for wrong in (message[:-1], message + b"\0", message.ljust(1987, b"\0"), MESSAGE[:1923]):
        with pytest.raises(RemoteProtocolError):
            accepted(wrong)
    with pytest.raises(LocalProtocolError):
        long = text.ljust(handshake.SHORT_CAPACITY + 1)
        handshake.initiate(ADA, REACHED, long, rng=seeded("long"), short=True)


def test_a_text_too_long_is_our_own_bug_with_its_own_error() -> None:
    """Ledger: overlong message raises the wrong exception (Briar 2023)."""
    with pytest.raises(LocalProtocolError):
        contact(text=bytes(handshake.CAPACITY + 1))


def test_the_same_draws_give_the_same_message() -> None:
    secret, ciphertext = crypto.mlkem_encapsulate(REACHED.kem_public)
    made = [
        handshake.initiate(
            ADA, REACHED, TEXT, rng=seeded(1), encapsulate=lambda _: (secret, ciphertext)
        )
        for _ in range(2)
    ]
    assert made[0][0] == made[1][0]
    assert made[0][1].id == made[1][1].id


@pytest.mark.parametrize("length", [0, 1986, 1988, 4000])
def test_another_length_is_refused(length: int) -> None:
    with pytest.raises(RemoteProtocolError, match="first contact"):
        accepted(MESSAGE[:length].ljust(length, b"\0"))


@given(st.integers(0, 1986), st.integers(0, 7))
@settings(max_examples=80)
def test_any_flipped_bit_is_refused_and_nothing_is_remembered(place: int, bit: int) -> None:
    changed = bytearray(MESSAGE)
    changed[place] ^= 1 << bit
    seen = SeenEphemerals()
    with pytest.raises(RemoteProtocolError):
        accepted(bytes(changed), seen)
    assert len(seen) == 0


@given(st.binary(max_size=64))
@settings(max_examples=40)
def test_arbitrary_bytes_are_only_ever_refused(data: bytes) -> None:
    for message in (data, data.ljust(1987, b"\7")):
        with pytest.raises(RemoteProtocolError):
            accepted(message)


def test_a_replayed_first_contact_is_refused() -> None:
    seen = SeenEphemerals()
    accepted(MESSAGE, seen)
    with pytest.raises(RemoteProtocolError, match="replay"):
        accepted(MESSAGE, seen)
    assert len(seen) == 1


def test_the_twin_of_an_ephemeral_with_the_top_bit_set_is_refused() -> None:
    twin = MESSAGE[:31] + bytes([MESSAGE[31] ^ 0x80]) + MESSAGE[32:]
    with pytest.raises(RemoteProtocolError, match="aead"):
        accepted(twin)


def test_a_full_memory_refuses_and_forgets_nothing() -> None:
    """Ledger: unbounded dedup cache (katzenpost 484adf1ee)."""
    seen = SeenEphemerals(limit=2)
    messages = [contact(seed=seed)[0] for seed in range(3)]
    accepted(messages[0], seen)
    accepted(messages[1], seen)
    with pytest.raises(RemoteProtocolError, match="first contacts full"):
        accepted(messages[2], seen)
    for old in messages[:2]:
        with pytest.raises(RemoteProtocolError, match="replay"):
            accepted(old, seen)


def test_ephemerals_are_forgotten_only_with_their_prekeys() -> None:
    bob, seen = people.persona("bob"), SeenEphemerals()
    accepted(MESSAGE, seen, bob)
    for day in (TODAY + persona.PREKEY_DAYS_KEPT, TODAY + persona.PREKEY_DAYS_KEPT + 1):
        bob.expire(day)
        seen.expire(day)
        assert (len(seen) == 1) == (bob.prekeys_of(TODAY) is not None)


def test_a_message_is_for_one_recipient_one_day_and_one_network() -> None:
    for me, day in ((EVE, TODAY), (BOB, TODAY + 1)):
        with pytest.raises(RemoteProtocolError, match="aead"):
            accepted(MESSAGE, me=me, day=day)
    elsewhere = people.persona("bob", people.OTHER_NETWORK)
    assert people.prekeys(elsewhere).public == REACHED.prekey
    with pytest.raises(RemoteProtocolError, match="aead"):
        accepted(MESSAGE, me=elsewhere)


@pytest.mark.parametrize("field", ["pseudonym", "day", "inbox_root", "identity", "prekey"])
def test_every_announced_value_is_bound(field: str) -> None:
    other = dataclasses.replace(people.reached(EVE), day=TODAY + 1)
    changes: dict[str, Any] = {field: getattr(other, field)}
    mixed = dataclasses.replace(REACHED, **changes)
    with pytest.raises(RemoteProtocolError, match="aead"):
        accepted(contact(to=mixed)[0])


def test_the_kem_key_is_bound_even_when_the_shared_secret_is_the_same() -> None:
    """Bhargavan et al. 2024: a KEM that doesn't bind its key must not matter."""
    secret, ciphertext = crypto.mlkem_encapsulate(REACHED.kem_public)
    mixed = dataclasses.replace(REACHED, kem_public=people.reached(EVE).kem_public)
    message, _ = handshake.initiate(
        ADA, mixed, TEXT, rng=seeded(), encapsulate=lambda _: (secret, ciphertext)
    )
    with pytest.raises(RemoteProtocolError, match="aead"):
        accepted(message)


@pytest.mark.parametrize("point", people.LOW_ORDER_MONTGOMERY)
@pytest.mark.parametrize("field", ["identity", "prekey"])
def test_announced_low_order_points_are_refused(field: str, point: bytes) -> None:
    """Ledger: all-zero shared secret (vodozemac)."""
    changes: dict[str, Any] = {field: point}
    with pytest.raises(RemoteProtocolError, match="low-order point"):
        contact(to=dataclasses.replace(REACHED, **changes))


@pytest.mark.parametrize("point", people.LOW_ORDER_MONTGOMERY)
def test_a_low_order_ephemeral_is_refused(point: bytes) -> None:
    """Ledger: all-zero shared secret (vodozemac)."""
    with pytest.raises(RemoteProtocolError, match="low-order point"):
        accepted(point + MESSAGE[32:])


class Impostor:
    """Has what :func:`handshake.initiate` asks of a persona, and lies about who it is."""

    network = NETWORK

    def __init__(self, public: PublicPersona, exchange: Callable[[bytes], bytes]) -> None:
        self.public = public
        self.pseudonym = public.pseudonym
        self.exchange = exchange


def lie(public: PublicPersona) -> bytes:
    me = Impostor(public, EVE.exchange)
    return handshake.initiate(me, REACHED, TEXT, rng=seeded())[0]  # type: ignore[arg-type]


def test_an_uncertified_bundle_is_refused() -> None:
    stolen = dataclasses.replace(ADA.public, identity=EVE.public.identity)
    with pytest.raises(RemoteProtocolError, match="signature"):
        accepted(lie(stolen))


def test_somebody_elses_certified_bundle_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="aead"):
        accepted(lie(ADA.public))


@pytest.mark.parametrize("point", people.LOW_ORDER_MONTGOMERY)
def test_a_certified_low_order_identity_is_refused(point: bytes) -> None:
    """Ledger: all-zero shared secret (vodozemac)."""
    statement = crypto.kdf(b"certificate", NETWORK, point, EVE.public.inbox_root)
    bundle = dataclasses.replace(
        EVE.public, identity=point, certificate=EVE.identity_key.sign(statement)
    )
    with pytest.raises(RemoteProtocolError, match="low-order point"):
        accepted(lie(bundle))


def test_a_pseudonym_with_torsion_is_refused() -> None:
    for point in people.LOW_ORDER_EDWARDS:
        with pytest.raises(RemoteProtocolError, match="point"):
            accepted(lie(dataclasses.replace(EVE.public, pseudonym=point)))


def test_writing_to_oneself_is_refused_on_both_sides() -> None:
    with pytest.raises(UserError):
        contact(me=BOB)
    hidden = Impostor(BOB.public, BOB.exchange)
    hidden.pseudonym = EVE.pseudonym
    message, _ = handshake.initiate(
        hidden,  # type: ignore[arg-type]
        REACHED,
        TEXT,
        rng=seeded(),
    )
    with pytest.raises(RemoteProtocolError, match="own pseudonym"):
        accepted(message)


def test_no_raw_exchange_output_is_ever_a_key() -> None:
    """Ledger: X3DH output without a KDF (SimpleX 2022)."""
    secret, ciphertext = crypto.mlkem_encapsulate(REACHED.kem_public)
    message, _ = handshake.initiate(
        ADA, REACHED, TEXT, rng=seeded(), encapsulate=lambda _: (secret, ciphertext)
    )
    private = seeded().bytes(32)
    raw = [
        secret,
        crypto.x25519(private, REACHED.identity),
        crypto.x25519(private, REACHED.prekey),
        ADA.exchange(REACHED.prekey),
    ]
    for key in raw:
        for sealed in (message[WHO_AT:TEXT_AT], message[TEXT_AT:]):
            with pytest.raises(RemoteProtocolError):
                crypto.aead_open(key, bytes(12), sealed, b"")
        assert Session.begun(key, private).id != accepted(message)[2].id


def test_nothing_in_the_message_is_signed_or_shows_who_writes() -> None:
    for secret in (ADA.pseudonym, ADA.public.identity, ADA.public.inbox_root, ADA.certificate):
        assert secret not in MESSAGE
        assert secret[:8] not in MESSAGE
    one, other = contact(seed=1)[0], contact(seed=2)[0]
    assert not {one[i : i + 4] for i in range(1984)} & {other[i : i + 4] for i in range(1984)}
    Ed25519PublicKey.from_public_bytes(ADA.pseudonym).verify(  # over long-lived keys alone
        ADA.certificate,
        crypto.kdf(b"certificate", NETWORK, ADA.public.identity, ADA.public.inbox_root),
    )


def test_the_recipient_could_have_made_the_whole_message() -> None:
    """Deniability: with Ada's bundle and his own secrets, Bob makes what Ada makes."""
    mine = people.prekeys(BOB)
    forger = Impostor(ADA.public, lambda _: mine.exchange(ADA.public.identity))
    message, _ = handshake.initiate(
        forger,  # type: ignore[arg-type]
        REACHED,
        b"forged",
        rng=seeded(5),
    )
    peer, text, _ = accepted(message)
    assert (peer, text) == (ADA.public, b"forged")


def test_erased_prekeys_open_nothing() -> None:
    bob = people.persona("bob")
    message, _ = contact(to=people.reached(bob))
    bob.expire(TODAY + persona.PREKEY_DAYS_KEPT + 1)
    with pytest.raises(RemoteProtocolError, match="aead"):
        fresh = bob.prekeys(TODAY, seeded("new"))
        handshake.accept(bob, fresh, message, seen=SeenEphemerals(), rng=seeded())


def test_a_session_outlives_the_prekeys_and_needs_no_message_of_its_beginning() -> None:
    """The answerer's first ratchet key is its own, made as it accepts."""
    bob = people.persona("bob")
    message, session = contact(to=people.reached(bob))
    _, _, other = accepted(message, me=bob)
    bob.expire(TODAY + persona.PREKEY_DAYS_KEPT + 1)
    session.seal(b"lost", seeded(1))
    assert session.open(other.seal(b"answer", seeded(2)), seeded(3)) == b"answer"
    assert other.open(session.seal(b"more", seeded(4)), seeded(5)) == b"more"


def test_prekeys_alone_do_not_give_the_session_away_after_one_answer() -> None:
    """Whoever has the day's prekeys alone reads the first chain; after one answer no more."""
    message, session = contact()
    thief = accepted(message)[2]
    other = handshake.accept(
        BOB, people.prekeys(BOB), message, seen=SeenEphemerals(), rng=seeded("bob's own")
    )[2]
    first = session.seal(b"first chain", seeded(1))
    assert thief.open(first, seeded(2)) == other.open(first, seeded(2)) == b"first chain"
    session.open(other.seal(b"answer", seeded(3)), seeded(4))
    healed = session.seal(b"for bob alone", seeded(5))
    with pytest.raises(RemoteProtocolError, match="aead"):
        thief.open(healed, seeded(6))
    assert other.open(healed, seeded(6)) == b"for bob alone"
