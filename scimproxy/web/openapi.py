"""The description of the API (OpenAPI 3.1), made from the table of its routes, so that the two cannot differ."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from scimproxy import __version__
from scimproxy.web.routes import Route

__all__ = ["document"]

_IN_PATH = re.compile(r"{(\w+)}")
_PROBLEM = {
    "description": "what is wrong (RFC 9457), with a hint",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the description."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "scimproxy's inspector",
            "version": __version__,
            "description": "Runs and exchanges of one database. The version in the path changes when programs break.",
        },
        "security": [{"token": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "the token in the printed URL"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "scimproxy-PORT"},
            },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["title", "status"],
                    "properties": {
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "hint": {"type": "string"},
                        "position": {"type": "integer", "description": "where in the filter"},
                    },
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(route.path)
    ]
    parameters += [
        {"name": name, "in": "query", "description": what, "schema": {"type": "string"}}
        for name, what in route.query.items()
    ]
    found: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": parameters,
        "responses": {
            "200" if route.method != "DELETE" else "204": {
                "description": "done",
                **({} if route.method == "DELETE" else {"content": {route.media: {}}}),
            },
            "default": _PROBLEM,
        },
    }
    if route.body:
        properties = {name: {"type": [kind, "null"]} for name, kind in route.body.items()}
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object", "properties": properties}}},
        }
    if route.open:
        found["security"] = []
    return found
