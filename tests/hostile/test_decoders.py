"""Every decoder takes what is valid, and answers what is hostile with its one error (T7)."""

import re
from dataclasses import fields, is_dataclass

import pytest

from hostile import decoders, handed
from hostile.decoders import Decoder
from repo.repository import PACKAGES
from shoal_node.api import bodies

FEW = 100  # inputs of each here; 20,000 in check_decoders.py
EVERY = decoders.every()

# Codecs of what others send: each is behind a decoder of ``decoders``.
FROM_OTHERS = {
    "client/contents.py _PROFILE",
    "client/contents.py _RECEIPT",
    "client/contents.py _RICH",
    "dht/messages.py _REPLIES",
    "dht/messages.py _REQUESTS",
    "dialback.py CODEC",
    "directory/descriptor.py _CODEC",
    "directory/frames.py CODEC",
    "files/manifest.py _CODEC",
    "service/replica_frames.py CODEC",
}
# Codecs of what a node wrote itself, on its own disk or in a backup under a passphrase.
FROM_ITSELF = {
    "backup.py _CODEC",
    "client/guards.py _CODEC",
    "client/state.py",
    "directory/tenure.py _CODEC",
    "keep.py _CODEC",
    "person_settings.py _CODEC",
    "service/replication.py _CODEC",
    "sessions/ratchet.py _CODEC",
    "sessions/session.py _CODEC",
    "store/keys.py _CODEC",
    "store/keys.py _WRAPPED",
    "volume.py CODEC",
    "volume.py _OLD",
}


@pytest.mark.parametrize("decoder", EVERY, ids=lambda one: one.name)
def test_a_decoder_takes_valid_encodings_and_refuses_hostile_ones_by_one_error(
    decoder: Decoder,
) -> None:
    for seed in decoder.seeds:
        decoder.read(seed)
    decoders.attack(decoder, FEW, seed=7)


def test_every_codec_is_behind_a_decoder_here_or_reads_what_its_node_wrote() -> None:
    found = {
        f"{module.relative_to(root).as_posix()} {name}"
        for root in PACKAGES.values()
        for module in root.rglob("*.py")
        for name in re.findall(r"^(\w+)\b.* = wire\.Codec", module.read_text(), re.MULTILINE)
    }
    rows = {each for each in found if each.startswith("client/state.py ")}
    assert (found - rows) | {"client/state.py"} == FROM_OTHERS | FROM_ITSELF


def test_every_body_and_query_of_the_api_is_behind_a_decoder() -> None:
    forms = {
        form
        for form in vars(bodies).values()
        if is_dataclass(form) and form.__module__ == bodies.__name__ and fields(form)
    }
    part = bodies.NewAvatar  # of PersonaPatch
    assert {form for form, _ in (*handed.BODIES, *handed.QUERIES)} == forms - {part}


def test_mutations_are_near_their_seeds_and_the_same_for_a_seed() -> None:
    seeds = (bytes(range(64)), b"other")
    made = list(decoders.mutations(seeds, 500, seed=1))
    assert made == list(decoders.mutations(seeds, 500, seed=1))
    assert len(set(made)) > 400
    assert max(map(len, made)) < 1_000


def test_another_error_is_found_with_its_input() -> None:
    table = {0: "a", 1: "b"}
    careless = Decoder("careless", lambda data: table[data[0] if data else 0], (b"\0",))
    with pytest.raises(KeyError) as caught:
        decoders.attack(careless, FEW, seed=7)
    assert caught.value.__notes__[0].startswith("careless: ")
