"""T7: 20,000 hostile inputs for every decoder, in 16 MiB of memory.

Decoders whose inputs cost a scalar multiplication or a signature get 4,000.
"""

import tracemalloc

import pytest

from hostile import decoders
from hostile.decoders import Decoder

MANY, DEAR = 20_000, 4_000
MEMORY = 16 * 2**20  # bytes


@pytest.mark.parametrize("decoder", decoders.every(), ids=lambda one: one.name)
def test_a_decoder_refuses_twenty_thousand_inputs_by_one_error(decoder: Decoder) -> None:
    decoders.attack(decoder, DEAR if decoder.dear else MANY, seed=11)


@pytest.mark.parametrize("decoder", decoders.every(), ids=lambda one: one.name)
def test_a_decoder_keeps_its_memory(decoder: Decoder) -> None:
    tracemalloc.start()
    try:
        decoders.attack(decoder, 500, seed=13)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY
