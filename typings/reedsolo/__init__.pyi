"""Types of the few names of reedsolo that Shoal uses (reedsolo 1.7 ships none)."""

from collections.abc import Sequence

def init_tables(
    prim: int = ..., generator: int = ..., c_exp: int = ...
) -> tuple[bytearray, bytearray, int]: ...
def rs_encode_msg(msg_in: bytes, nsym: int, fcr: int = ..., generator: int = ...) -> bytearray: ...
def rs_correct_msg(
    msg_in: bytes | bytearray,
    nsym: int,
    fcr: int = ...,
    generator: int = ...,
    erase_pos: Sequence[int] | None = ...,
    only_erasures: bool = ...,
) -> tuple[bytearray, bytearray, Sequence[int]]: ...
