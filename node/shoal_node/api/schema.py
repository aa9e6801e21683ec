"""JSON from and to the API's dataclasses, and their JSON Schema, from the same types.

::

    dataclass ──render──> JSON        times as RFC 3339 UTC with six digits of a second
    JSON ──parse──> dataclass         anything unknown, missing or of another type is refused
    dataclass ──describe──> schema    for the OpenAPI document (JSON Schema 2020-12)

A field is ``bool``, ``int``, ``float``, ``str``, one of a ``Literal``'s strings, another
dataclass, a sequence or a mapping of those, or any of them ``| None``. ``wire.Size``
bounds a text in bytes of UTF-8 or a list in items, and ``wire.Range`` an integer. A field
whose type has :class:`~shoal_node.api.backend.Unset` may be left out of a body, which is
another thing than null.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from shoal_node.api.backend import Unset
from shoal_node.api.errors import BadRequest, Unprocessable
from shoal_node.api.values import JsonName, Rfc3339
from shoal_protocol.wire import Range, Size

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCALARS: Mapping[Any, Mapping[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    attribute: str
    name: str  # in JSON
    annotation: Any
    required: bool
    time: bool  # shown as RFC 3339


def timestamp(now: int) -> str:
    """Return ``now`` (ns) as RFC 3339 in UTC with microseconds: ``2027-01-15T08:00:00.000000Z``."""
    moment = _EPOCH + timedelta(microseconds=now // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def nanoseconds(text: str) -> int:
    """Return the ns since the Unix epoch of an RFC 3339 ``text``; raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _fields(cls: Any) -> tuple[_Field, ...]:
    return _fields_of(cls)


@lru_cache(maxsize=256)
def _fields_of(cls: Any) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    found = []
    for field in dataclasses.fields(cls):
        annotation = _given(hints[field.name])
        names = [note.name for note in _notes(annotation) if isinstance(note, JsonName)]
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        inner = _optional(annotation)
        time = any(
            isinstance(note, Rfc3339) for note in _notes(annotation if inner is None else inner)
        )
        name = names[0] if names else field.name
        found.append(_Field(field.name, name, annotation, required, time))
    return tuple(found)


def _notes(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) is typing.Annotated:
        return tuple(typing.get_args(annotation)[1:])
    return ()


def _bare(annotation: Any) -> Any:
    if typing.get_origin(annotation) is typing.Annotated:
        return typing.get_args(annotation)[0]
    return annotation


def _optional(annotation: Any) -> Any | None:
    """Return X when ``annotation`` is ``X | None``, else None."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        members = typing.get_args(annotation)
        others = [a for a in members if a is not types.NoneType]
        if len(others) == 1 and len(members) == 2:
            return others[0]
    return None


def _given(annotation: Any) -> Any:
    """Return ``annotation`` without :class:`Unset`, which stands for a field left out."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        members = typing.get_args(annotation)
        if Unset in members:
            return typing.Union[tuple(a for a in members if a is not Unset)]  # noqa: UP007
    return annotation


def render(value: object) -> Any:
    """Return ``value``, a dataclass or a sequence of them, as what ``json`` can write."""
    if value is None or isinstance(value, str | int | float):
        return value
    if dataclasses.is_dataclass(value):
        return {
            field.name: _render_as(field, getattr(value, field.attribute))
            for field in _fields(type(value))
        }
    if isinstance(value, Mapping):
        return {key: render(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [render(item) for item in value]
    return value


def _render_as(field: _Field, value: Any) -> Any:
    return timestamp(value) if field.time and value is not None else render(value)


def dump(value: object) -> bytes:
    """Return :func:`render` of ``value`` as UTF-8 JSON."""
    return json.dumps(render(value), ensure_ascii=False, separators=(",", ":")).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise BadRequest("The JSON object names a field twice.")
    return table


def load(data: bytes) -> Any:
    """Parse strict UTF-8 JSON; raises BadRequest with a sentence."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(data.decode(), object_pairs_hook=_object, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON in UTF-8.") from None


def parse(cls: type[T], value: Any, name: str | None = None) -> T:
    """Turn parsed JSON into ``cls``; raises BadRequest or Unprocessable naming the field.

    Args:
        name: of the field that holds it; None for the whole body.
    """
    if not isinstance(value, dict):
        where = "The body" if name is None else _shown(name)
        raise BadRequest(f"{where} must be a JSON object.")
    fields = _fields(cls)
    unknown = sorted(set(value) - {field.name for field in fields})
    if unknown:
        raise BadRequest(f"Unknown field {_shown(unknown[0])}.")
    arguments = {}
    for field in fields:
        if field.name in value:
            arguments[field.attribute] = _check(field.annotation, value[field.name], field.name)
        elif field.required:
            raise BadRequest(f"The field {_shown(field.name)} is missing.")
    return cls(**arguments)


def parse_query(cls: type[T], pairs: Sequence[tuple[str, str]]) -> T:
    """Turn a query's names and values into ``cls``; integers are read from decimal digits."""
    table: dict[str, Any] = {}
    annotations = {field.name: field.annotation for field in _fields(cls)}
    for name, text in pairs:
        if name in table:
            raise BadRequest(f"The query names {_shown(name)} twice.")
        table[name] = text
        annotation = annotations.get(name)
        inner = _optional(annotation)
        if _bare(annotation if inner is None else inner) is int:
            if not (text.isascii() and text.isdigit() and len(text) <= 19):
                raise BadRequest(f"{_shown(name)} must be a whole number.")
            table[name] = int(text)
    return parse(cls, table)


def _shown(name: str) -> str:
    return json.dumps(name[:40], ensure_ascii=True)


def _check(annotation: Any, value: Any, name: str) -> Any:
    inner = _optional(annotation)
    if inner is not None:
        return None if value is None else _check(inner, value, name)
    bare = _bare(annotation)
    if dataclasses.is_dataclass(bare):
        return parse(typing.cast(Any, bare), value, name)
    if typing.get_origin(bare) is Sequence:
        return _check_list(annotation, value, name)
    if typing.get_origin(bare) is typing.Literal:
        return _check_choice(typing.get_args(bare), value, name)
    if type(value) is not bare:
        kind = {bool: "true or false", int: "a whole number", str: "a text"}[bare]
        raise BadRequest(f"{_shown(name)} must be {kind}.")
    if bare is str:
        try:
            measure = len(value.encode())
        except UnicodeEncodeError:
            raise BadRequest(f"{_shown(name)} holds half of a surrogate pair.") from None
    else:
        measure = int(value)
    for bounds in _notes(annotation):
        if isinstance(bounds, Size | Range) and not bounds.least <= measure <= bounds.most:
            unit = " bytes long in UTF-8" if isinstance(bounds, Size) else ""
            raise Unprocessable(
                f"{_shown(name)} must be {bounds.least} to {bounds.most}{unit}, not {measure}."
            )
    return value


def _check_list(annotation: Any, value: Any, name: str) -> Any:
    if not isinstance(value, list):
        raise BadRequest(f"{_shown(name)} must be a list.")
    for bounds in _notes(annotation):
        if isinstance(bounds, Size) and not bounds.least <= len(value) <= bounds.most:
            raise Unprocessable(
                f"{_shown(name)} must have {bounds.least} to {bounds.most} items, not {len(value)}."
            )
    item = typing.get_args(_bare(annotation))[0]
    return tuple(_check(item, one, name) for one in value)


def _check_choice(choices: Sequence[str], value: Any, name: str) -> Any:
    if not isinstance(value, str):
        raise BadRequest(f"{_shown(name)} must be a text.")
    if value not in choices:
        raise Unprocessable(f"{_shown(name)} must be {' or '.join(choices)}.")
    return value


def describe(annotation: Any, components: dict[str, Any], *, strict: bool = False) -> Any:
    """Return the JSON Schema of ``annotation``; dataclasses go to ``components`` by name.

    Args:
        strict: refuse unknown fields (what the API reads, against what it answers).
    """
    inner = _optional(annotation)
    if inner is not None:
        return {"anyOf": [describe(inner, components, strict=strict), {"type": "null"}]}
    bare, notes = _bare(annotation), _notes(annotation)
    origin = typing.get_origin(bare)
    if dataclasses.is_dataclass(bare):
        return _describe_dataclass(bare, components, strict=strict)
    if origin in (types.UnionType, typing.Union):
        members = typing.get_args(bare)
        return {"anyOf": [describe(member, components, strict=strict) for member in members]}
    if origin is typing.Literal:
        return {"type": "string", "enum": list(typing.get_args(bare))}
    if origin is Mapping:
        item = describe(typing.get_args(bare)[1], components, strict=strict)
        return {"type": "object", "additionalProperties": item}
    if origin is Sequence:
        item = describe(typing.get_args(bare)[0], components, strict=strict)
        sizes = [note for note in notes if isinstance(note, Size)]
        bounds = {"minItems": sizes[0].least, "maxItems": sizes[0].most} if sizes else {}
        return {"type": "array", "items": item} | bounds
    if any(isinstance(note, Rfc3339) for note in notes):
        return {"type": "string", "format": "date-time"}
    schema = dict(_SCALARS[bare])
    for note in notes:
        if isinstance(note, Range):
            schema |= {"minimum": note.least, "maximum": note.most}
        elif isinstance(note, Size):
            schema |= {"minLength": min(note.least, 1), "maxLength": note.most}
            schema["description"] = f"{note.least} to {note.most} bytes of UTF-8"
    return schema


def _describe_dataclass(cls: Any, components: dict[str, Any], *, strict: bool) -> Any:
    name = cls.__name__
    if name not in components:
        components[name] = {}  # breaks recursion
        schema: dict[str, Any] = {
            "type": "object",
            "description": (cls.__doc__ or "").strip().splitlines()[0],
            "properties": {
                field.name: describe(field.annotation, components, strict=strict)
                for field in _fields(cls)
            },
            "required": [f.name for f in _fields(cls) if f.required or not strict],
        }
        if strict:
            schema["additionalProperties"] = False
        components[name] = schema
    return {"$ref": f"#/components/schemas/{name}"}
