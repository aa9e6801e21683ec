"""Blinded Ed25519 keys."""

import nacl.bindings as sodium
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms import blinding

NETWORK = people.NETWORK
seeds = st.binary(min_size=32, max_size=32)
periods = st.integers(0, 2**64 - 1)


@given(seeds, periods, st.binary(max_size=100))
@settings(max_examples=50)
def test_a_blinded_signature_verifies_under_stock_ed25519(
    seed: bytes, period: int, message: bytes
) -> None:
    secret = blinding.SigningSecret(seed).blind(b"label", period, network=NETWORK)
    Ed25519PublicKey.from_public_bytes(secret.public).verify(secret.sign(message), message)


@given(seeds, periods)
@settings(max_examples=30)
def test_owner_and_others_derive_the_same_blinded_key(seed: bytes, period: int) -> None:
    secret = blinding.SigningSecret(seed)
    blinded = secret.blind(b"label", period, network=NETWORK)
    assert blinded.public == blinding.blind_public(secret.public, b"label", period, network=NETWORK)


def test_the_unblinded_key_signs_as_stock_ed25519_does() -> None:
    secret = blinding.SigningSecret(b"s" * 32)
    stock = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    assert secret.public == stock.public_key().public_bytes_raw()
    assert secret.sign(b"text") == stock.sign(b"text")


def test_labels_periods_networks_and_keys_give_unrelated_blinded_keys() -> None:
    keys = {
        blinding.blind_public(blinding.SigningSecret(seed).public, label, period, network=network)
        for seed in (b"a" * 32, b"b" * 32)
        for label in (b"one", b"two")
        for period in (0, 1, 256)
        for network in (NETWORK, people.OTHER_NETWORK)
    }
    assert len(keys) == 2 * 2 * 3 * 2


def test_one_message_in_two_periods_has_two_nonces() -> None:
    """With one nonce, two signatures and the public factors would give away the secret."""
    secret = blinding.SigningSecret(b"s" * 32)
    one = secret.blind(b"label", 1, network=NETWORK).sign(b"text")
    other = secret.blind(b"label", 2, network=NETWORK).sign(b"text")
    assert one[:32] != other[:32]
    assert secret.sign(b"text")[:32] not in (one[:32], other[:32])


def test_nonces_differ_between_messages_and_signing_is_deterministic() -> None:
    """Ledger: nonce and key reuse (Nym, Cure53 NYM-01-027)."""
    secret = blinding.SigningSecret(b"s" * 32).blind(b"label", 1, network=NETWORK)
    assert len({secret.sign(bytes([i]))[:32] for i in range(50)}) == 50
    assert secret.sign(b"text") == secret.sign(b"text")


@pytest.mark.parametrize(
    "point", [*people.LOW_ORDER_EDWARDS, *people.NOT_CANONICAL, people.OFF_CURVE]
)
def test_what_is_no_key_is_refused(point: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="point"):
        blinding.blind_public(point, b"label", 1, network=NETWORK)


@pytest.mark.parametrize("torsion", people.LOW_ORDER_EDWARDS[1:])
def test_a_key_with_torsion_is_refused(torsion: bytes) -> None:
    key = sodium.crypto_core_ed25519_add(blinding.SigningSecret(b"s" * 32).public, torsion)
    with pytest.raises(RemoteProtocolError, match="point"):
        blinding.blind_public(key, b"label", 1, network=NETWORK)


@given(st.binary(max_size=40))
@settings(max_examples=200)
def test_arbitrary_bytes_as_a_key_give_a_key_or_the_one_error(data: bytes) -> None:
    try:
        assert len(blinding.blind_public(data, b"label", 1, network=NETWORK)) == 32
    except RemoteProtocolError as error:
        assert error.reason == "point"


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_our_own_bug(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        blinding.SigningSecret(bytes(length))


def test_representations_hold_no_secret() -> None:
    secret = blinding.SigningSecret(b"s" * 32)
    assert repr(secret) == "SigningSecret(<redacted>)"
    assert repr(secret.blind(b"l", 1, network=NETWORK)) == "BlindedSecret(<redacted>)"
