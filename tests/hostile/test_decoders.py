"""Every decoder takes what is valid, and answers what is hostile with its one error (T7)."""

import pytest

from hostile import decoders
from hostile.decoders import Decoder

FEW = 100  # inputs of each here; 20,000 in check_decoders.py
EVERY = decoders.every()


@pytest.mark.parametrize("decoder", EVERY, ids=lambda one: one.name)
def test_a_decoder_takes_valid_encodings_and_refuses_hostile_ones_by_one_error(
    decoder: Decoder,
) -> None:
    for seed in decoder.seeds:
        decoder.read(seed)
    decoders.attack(decoder, FEW, seed=7)


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
