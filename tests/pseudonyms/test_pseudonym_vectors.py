"""tests/vectors/pseudonyms.json: building gives these bytes, and parsing takes them."""

import json
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shoal_protocol.pseudonyms import address, announcement, blinding, invite, persona, work
from shoal_protocol.pseudonyms.persona import PublicPersona
from vectors import write_pseudonyms

NETWORK: Final = write_pseudonyms.NETWORK
VECTORS: Final[dict[str, Any]] = json.loads(write_pseudonyms.PLACE.read_text())


def test_building_gives_every_byte_of_the_vectors() -> None:
    assert write_pseudonyms.make() == VECTORS


@pytest.mark.parametrize("vector", VECTORS["blinding"])
def test_a_vectors_blinded_key_follows_from_public_values_and_verifies(
    vector: dict[str, Any],
) -> None:
    public = bytes.fromhex(vector["public"])
    label = vector["label"].encode()
    blinded = blinding.blind_public(public, label, vector["period"], network=NETWORK.hash)
    assert blinded.hex() == vector["blinded"]
    Ed25519PublicKey.from_public_bytes(blinded).verify(
        bytes.fromhex(vector["signature"]), bytes.fromhex(vector["message"])
    )


@pytest.mark.parametrize("vector", VECTORS["address"])
def test_a_vectors_text_gives_its_key(vector: dict[str, str]) -> None:
    assert address.decode(vector["text"]).hex() == vector["public"]


@pytest.mark.parametrize("vector", VECTORS["invite"])
def test_a_vectors_invite_is_read_from_its_text_and_its_link(vector: dict[str, Any]) -> None:
    for text in (vector["text"], vector["link"]):
        found = invite.decode(text)
        assert found.network.hex() == vector["network"]
        assert found.pseudonym.hex() == vector["pseudonym"]
        assert found.secret.hex() == vector["secret"]
        assert found.expires_day == vector["expires_day"]


@pytest.mark.parametrize("vector", VECTORS["work"])
def test_a_vectors_nonce_is_worth_its_bits(vector: dict[str, Any]) -> None:
    challenge = work.challenge(b"vector", *[bytes.fromhex(part) for part in vector["parts"]])
    assert challenge.hex() == vector["challenge"]
    work.check(challenge, bytes.fromhex(vector["nonce"]), vector["bits"])


@pytest.mark.parametrize("vector", VECTORS["announcement"])
def test_a_vectors_record_is_accepted_and_opened(vector: dict[str, Any]) -> None:
    record, bundle = bytes.fromhex(vector["record"]), bytes.fromhex(vector["bundle"])
    stored = announcement.validate(record, vector["now"], NETWORK)
    assert stored.key.hex() == vector["dht_key"]
    assert stored.revision == vector["revision"]
    public = PublicPersona.parse(bundle)
    public.verify(NETWORK.hash)
    found = announcement.open_record(
        public.pseudonym, record, period=vector["day"], network=NETWORK.hash
    )
    assert (found.identity, found.inbox_root) == (public.identity, public.inbox_root)
    assert found.effort == vector["effort"]
    inbox = persona.inbox_address(found.inbox_root, vector["day"], NETWORK.hash)
    assert inbox.hex() == vector["inbox_address"]
