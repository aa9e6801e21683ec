"""The OpenAPI 3.1 document of the API, from the types of its table."""

from typing import Any

from shoal_node.api import backend, schema
from shoal_node.api.bodies import Since
from shoal_node.api.endpoints import (
    BASE,
    ENDPOINTS,
    JSON_TYPE,
    PICTURE_TYPE,
    PROBLEM_TYPE,
    Endpoint,
    EventFrame,
)


def document(version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of :data:`ENDPOINTS`."""
    components: dict[str, Any] = {}
    problem = {"description": "Problem", "content": {PROBLEM_TYPE: {"schema": {"type": "object"}}}}
    paths: dict[str, Any] = {}
    for row in ENDPOINTS:
        answer: dict[str, Any] = {"description": row.summary}
        if row.answer is not None:
            answer["content"] = _answer(row, components)
        parameters = [
            {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
            for part in row.path.split("/")
            if part.startswith("{")
        ]
        parameters += _query_parameters(row.query)
        operation: dict[str, Any] = {
            "summary": row.summary,
            "parameters": parameters,
            "responses": {str(row.status): answer, "default": problem},
        }
        if row.body is not None:
            content = _body(row, row.body, components)
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(BASE + row.path, {})[row.method.lower()] = operation
    frame = schema.describe(EventFrame, components)
    paths[f"{BASE}/events"] = {
        "get": {
            "summary": "Events, as a WebSocket of subprotocols shoal.v1 and bearer.TOKEN",
            "parameters": _query_parameters(Since),
            "responses": {
                "101": {"description": "One JSON object a frame", "x-frame": frame},
                "default": problem,
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shoal's local API", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _bytes(media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string", "contentMediaType": media_type}}}


def _body(row: Endpoint, body: type, components: dict[str, Any]) -> dict[str, Any]:
    if body is bytes:
        kinds = [_bytes(kind.decode()) for kind in row.takes.media_types]
        return {name: shape for kind in kinds for name, shape in kind.items()}
    return _content(body, components, strict=True)


def _answer(row: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    if row.answer is backend.Picture:
        return _bytes(PICTURE_TYPE)
    if row.answer in (backend.FileContent, backend.Attachment):
        kinds = {name: shape for kind in row.sent_as for name, shape in _bytes(kind).items()}
        if JSON_TYPE in kinds:
            kinds[JSON_TYPE] = {"schema": {"type": "object"}}
        return kinds
    return _content(row.answer, components, strict=False)


def _content(annotation: Any, components: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    return {JSON_TYPE: {"schema": schema.describe(annotation, components, strict=strict)}}


def _query_parameters(query: type) -> list[dict[str, Any]]:
    components: dict[str, Any] = {}
    schema.describe(query, components, strict=True)
    described = components[query.__name__]
    return [
        {"name": name, "in": "query", "required": name in described["required"], "schema": shape}
        for name, shape in described["properties"].items()
    ]
