"""The one canonical msgpack form, and typed decoding of what peers send.

A struct is a frozen dataclass whose annotations carry their bounds; on the wire it is the
msgpack array of its fields in order. A :class:`Codec` frames one of several structs as
``[tag, field, …]``. Decoding is: length cap, strict unpack with every length bounded,
typed validation, re-encode and compare. Anything wrong is RemoteProtocolError. Callers
authenticate bytes before they decode them.
"""

import dataclasses
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

import msgpack

from shoal_protocol.errors import RemoteProtocolError

T = TypeVar("T")

_Check = Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Size:
    """Bounds, both inclusive, on the length of bytes (bytes), str (UTF-8 bytes), tuple (items)."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds, both inclusive, on an int."""

    least: int
    most: int


MOST_TAG: Final = 127  # one byte in msgpack
U8: Final = Range(0, 2**8 - 1)
U16: Final = Range(0, 2**16 - 1)
U32: Final = Range(0, 2**32 - 1)
U64: Final = Range(0, 2**64 - 1)


def exactly(length: int) -> Size:
    """Bounds that only ``length`` satisfies."""
    return Size(length, length)


def _refuse() -> typing.NoReturn:
    raise RemoteProtocolError("wire")


def _checker(annotation: Any) -> _Check:
    bounds: Any = None
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, bounds = typing.get_args(annotation)
    if dataclasses.is_dataclass(annotation):
        return _struct_checker(cast(type, annotation))
    if annotation is bool:
        return lambda value: value if type(value) is bool else _refuse()
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        inner = _checker(next(a for a in typing.get_args(annotation) if a is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if not isinstance(bounds, Size | Range):
        raise TypeError(f"{annotation} needs bounds")
    least, most = bounds.least, bounds.most
    if annotation is int:
        return lambda v: v if type(v) is int and least <= v <= most else _refuse()
    if annotation is bytes:
        return lambda v: v if type(v) is bytes and least <= len(v) <= most else _refuse()
    if annotation is str:
        return lambda v: v if type(v) is str and least <= len(v.encode()) <= most else _refuse()
    if typing.get_origin(annotation) is tuple:
        item = _checker(typing.get_args(annotation)[0])

        def check_all(value: object) -> object:
            items = _as_list(value)
            return tuple([item(i) for i in items]) if least <= len(items) <= most else _refuse()

        return check_all
    raise TypeError(f"{annotation} has no wire form")


def _as_list(value: object) -> list[object]:
    if type(value) is not list:
        _refuse()
    return cast("list[object]", value)


def _struct_checker(cls: type) -> _Check:
    hints = typing.get_type_hints(cls, include_extras=True)
    checks = [_checker(hints[field.name]) for field in dataclasses.fields(cls)]

    def check(value: object) -> object:
        items = _as_list(value)
        if len(items) != len(checks):
            _refuse()
        return cls(*[c(v) for c, v in zip(checks, items, strict=True)])

    return check


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, tuple):
        return [_plain(item) for item in cast(tuple[object, ...], value)]
    return value


def pack(value: object) -> bytes:
    """Return the canonical bytes of plain values, tuples and structs."""
    return msgpack.packb(_plain(value), use_bin_type=True)


def _unpack(data: bytes, limit: int) -> object:
    if len(data) > limit:
        _refuse()
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_str_len=limit,
            max_bin_len=limit,
            max_array_len=limit,
            max_map_len=0,
            max_ext_len=0,
        )
    except (
        ValueError,
        TypeError,
        msgpack.exceptions.UnpackException,
        UnicodeError,
        RecursionError,
    ):
        raise RemoteProtocolError("wire") from None


class Codec(Generic[T]):
    """Encodes and decodes any of ``structs``; the tag is the place in that order.

    Args:
        structs: dataclasses annotated with :class:`Size` and :class:`Range`.
        limit: bytes that an encoded struct may have.
    """

    def __init__(self, *structs: type[T], limit: int) -> None:
        self._tags = {cls: tag for tag, cls in enumerate(structs)}
        self._checks = [_struct_checker(cls) for cls in structs]
        self.limit: Final = limit

    def encode(self, struct: T) -> bytes:
        """Return ``[tag, field, …]`` in canonical form."""
        data = pack([self._tags[type(struct)], *_plain(struct)])
        if len(data) > self.limit:
            raise ValueError(f"{type(struct).__name__} of {len(data)} bytes, limit {self.limit}")
        return data

    def decode(self, data: bytes) -> T:
        """Return the struct in ``data``; raises RemoteProtocolError("wire") on anything else."""
        value = _unpack(data, self.limit)
        if type(value) is not list or not value:
            _refuse()
        tag, *fields = cast("list[object]", value)
        if type(tag) is not int or not 0 <= tag < len(self._checks):
            _refuse()
        struct = cast(T, self._checks[tag](fields))
        if self.encode(struct) != data:
            _refuse()
        return struct

    def later(self, data: bytes) -> int | None:
        """Return the tag in ``data`` if it is of a struct that a later version may have.

        Of what was refused this tells a stranger's garbage from what is not known yet: None
        unless it is an array in bounds whose tag is the next free one to 127.
        """
        try:
            value = _unpack(data, self.limit)
        except RemoteProtocolError:
            return None
        if type(value) is not list or not value:
            return None
        tag = cast("list[object]", value)[0]
        return tag if type(tag) is int and len(self._checks) <= tag <= MOST_TAG else None
