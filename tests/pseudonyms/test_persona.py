"""A persona's keys."""

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms import persona
from shoal_protocol.pseudonyms.persona import PersonaSecrets, PublicPersona
from support import seeded

NETWORK = people.NETWORK


def test_the_same_root_is_the_same_persona_and_another_shares_nothing() -> None:
    ada, again, bob = people.persona("ada"), people.persona("ada"), people.persona("bob")
    assert ada.public == again.public
    mine, other = ada.public.pack(), bob.public.pack()
    assert not {mine[i : i + 4] for i in range(157)} & {other[i : i + 4] for i in range(157)}


def test_a_pseudonym_outlives_the_networks_parameters_and_its_certificate_does_not() -> None:
    here, there = people.persona("ada"), people.persona("ada", people.OTHER_NETWORK)
    assert here.pseudonym == there.pseudonym
    here.public.verify(NETWORK)
    with pytest.raises(RemoteProtocolError, match="signature"):
        here.public.verify(people.OTHER_NETWORK)
    assert here.inbox_key(1).public != there.inbox_key(1).public


def test_a_bundle_is_verified_field_by_field() -> None:
    ada, bob = people.persona("ada").public, people.persona("bob").public
    for field in ("pseudonym", "identity", "inbox_root", "certificate"):
        mixed = dataclasses.replace(ada, **{field: getattr(bob, field)})
        with pytest.raises(RemoteProtocolError, match="signature"):
            mixed.verify(NETWORK)


@pytest.mark.parametrize("field", ["pseudonym", "inbox_root"])
@pytest.mark.parametrize("point", [*people.LOW_ORDER_EDWARDS, *people.NOT_CANONICAL])
def test_a_bundle_with_a_bad_point_is_refused(field: str, point: bytes) -> None:
    bundle = dataclasses.replace(people.persona("ada").public, **{field: point})
    with pytest.raises(RemoteProtocolError, match="point"):
        bundle.verify(NETWORK)


def test_a_bundle_comes_back_from_its_bytes() -> None:
    public = people.persona("ada").public
    assert PublicPersona.parse(public.pack()) == public
    assert len(public.pack()) == persona.BUNDLE_LENGTH
    for wrong in (public.pack()[:-1], public.pack() + b"\0", b""):
        with pytest.raises(RemoteProtocolError, match="bundle"):
            PublicPersona.parse(wrong)


@given(st.binary(min_size=150, max_size=170))
@settings(max_examples=60)
def test_arbitrary_bytes_are_no_bundle(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        PublicPersona.parse(data).verify(NETWORK)


def test_the_inboxs_address_is_a_daily_key_that_its_owner_signs_with() -> None:
    ada = people.persona("ada")
    addresses = {persona.inbox_address(ada.public.inbox_root, day, NETWORK) for day in range(5)}
    assert len(addresses) == 5
    key = ada.inbox_key(3)
    assert key.public == persona.inbox_address(ada.public.inbox_root, 3, NETWORK)
    Ed25519PublicKey.from_public_bytes(key.public).verify(key.sign(b"GET"), b"GET")


def test_prekeys_are_drawn_once_a_day_and_not_derived() -> None:
    ada = people.persona("ada")
    drawn = ada.prekeys(10, seeded(1))
    assert ada.prekeys(10, seeded(2)) is drawn
    assert ada.prekeys_of(10) is drawn
    assert ada.prekeys_of(11) is None
    assert people.persona("ada").prekeys(10, seeded(2)).public != drawn.public
    assert people.persona("ada").prekeys(10, seeded(1)).public == drawn.public
    assert ada.prekeys(11, seeded(1)).day == 11


def test_prekeys_are_erased_when_their_entries_are_gone() -> None:
    ada = people.persona("ada")
    for day in range(10, 14):
        ada.prekeys(day, seeded(day))
    ada.expire(10 + persona.PREKEY_DAYS_KEPT)
    assert ada.prekeys_of(10) is not None
    ada.expire(10 + persona.PREKEY_DAYS_KEPT + 1)
    assert ada.prekeys_of(10) is None
    assert ada.prekeys_of(11) is not None


def test_representations_hold_no_secret() -> None:
    ada = people.persona("ada")
    assert repr(ada) == "PersonaSecrets(<redacted>)"
    assert repr(ada.prekeys(7, seeded(1))) == "Prekeys(day=7, <redacted>)"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_root_of_another_length_is_our_own_bug(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        PersonaSecrets(bytes(length), network=NETWORK)
