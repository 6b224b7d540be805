"""What an exchange is in SCIM's words: operation, resource type and id, filter, paging, and a short sentence.

One rule: `operation_of` never raises and its work is bounded, whatever bytes came; what cannot be read is left
None. It judges nothing (that is the rules' work) and shows no secret: values of `password` stay out of every
text. Pure; the store calls it off the hot path, the terminal and the inspector show its `summary`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import unquote, unquote_plus

from scimproxy.decode import charset_of, decode, text_of
from scimproxy.errors import SyntaxProblem
from scimproxy.exchange import Content, Exchange, Headers, Request
from scimproxy.scim import Kind
from scimproxy.scim.changes import changes_of, clean, get, hide_passwords, phrase
from scimproxy.scim.filters import parse_filter

__all__ = ["Objects", "Operation", "operation_of"]

_BODY_LIMIT = 1024 * 1024
_QUERY_LIMIT = 16_384
_SUMMARY_CHARS = 200
_NAME_CHARS = 80

_TYPES = {"Users": "User", "Groups": "Group", "Entitlements": "Entitlement", "Roles": "Role"}
_DISCOVERY = {
    "ServiceProviderConfig": "ServiceProviderConfig",
    "ServiceProviderConfigs": "ServiceProviderConfig",
    "ResourceTypes": "ResourceType",
    "Schemas": "Schema",
}
_ENDPOINTS = frozenset({*_TYPES, *_DISCOVERY, "Bulk", "Me", ".search"})
_ME_VERBS = {"GET": "Read", "PUT": "Replace", "PATCH": "Patch", "DELETE": "Delete", "POST": "Create"}
_URN_2 = "urn:ietf:params:scim:"
_URN_1 = "urn:scim:schemas:"
_MESSAGE_URNS = (f"{_URN_2}api:messages:", f"{_URN_2}schemas:extension:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What an exchange is. `is_scim` False: only `kind` "other" and the `summary` mean anything.

    `endpoint` is the path below `base_path` ("/Users"), without the id. `filter` is the canonical text where it
    parses, else what was sent, with `filter_problem` saying what is wrong with it. `changes` are a PATCH's, in words.
    `scim_type` and `detail` come from an error body; `operation_count` counts a bulk request's operations.
    """

    kind: Kind = "other"
    is_scim: bool = False
    summary: str = ""
    version: Literal["1.1", "2.0"] | None = None
    base_path: str | None = None
    endpoint: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    resource_name: str | None = None
    filter: str | None = None
    filter_problem: str | None = None
    start_index: int | None = None
    count: int | None = None
    sort_by: str | None = None
    sort_order: str | None = None
    attributes: tuple[str, ...] = ()
    excluded_attributes: tuple[str, ...] = ()
    total_results: int | None = None
    changes: tuple[str, ...] = ()
    operation_count: int | None = None
    scim_type: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path points: the base path, the endpoint's name, and what follows it."""

    base_path: str
    endpoint: str
    rest: tuple[str, ...] = ()

    @property
    def search(self) -> bool:
        return self.endpoint == ".search" or self.rest == (".search",)


type Objects = tuple[dict[str, Any] | None, dict[str, Any] | None]
"""The bodies of request and response where they are JSON objects."""


def operation_of(exchange: Exchange, *, base_path: str | None = None, objects: Objects | None = None) -> Operation:
    """Return what the exchange is; `base_path` is where the server's SCIM root is known to be. Never raises.

    `objects` are the bodies for those who have read them already.
    """
    request = exchange.request
    sent, answer = _objects(exchange) if objects is None else objects
    # What scimproxy answers itself says something of the error, and nothing of what was asked for.
    got = None if exchange.origin == "proxy" else answer
    path = _path(request)
    place = _place(path, base_path)
    version = _version(exchange, path, place, sent, got)
    if place is None and version is not None:
        place = _custom_place(path, sent, got, base_path)
    method = _method(request)
    if place is None:
        shown = f"{clean(method, 20)} {clean(path, _SUMMARY_CHARS - 30)}"
        return Operation(summary=shown, is_scim=version is not None, version=version, **_error(answer))
    kind = _kind(method, place)
    resource_type = _resource_type(place, sent, got)
    made = Operation(
        kind=kind,
        is_scim=True,
        version=version,
        base_path=place.base_path,
        endpoint=f"/{place.endpoint}",
        resource_type=resource_type,
        resource_id=_resource_id(place, kind, got),
        resource_name=_name(kind, resource_type, sent, got),
        operation_count=_operation_count(sent) if kind == "bulk" else None,
        changes=changes_of(sent) if method == "PATCH" and kind in {"patch", "me"} else (),
        total_results=_number(get(got, "totalResults")),
        **_error(answer),
        **_query(request, sent, kind),
    )
    # Past the frozen class, as a copy of so many fields costs more than all of the rest: nobody has seen it yet.
    object.__setattr__(made, "summary", clean(_summary(made, method), _SUMMARY_CHARS))
    return made


# -- reading the message


def _objects(exchange: Exchange) -> Objects:
    request, response = exchange.request, exchange.response
    return _body(request.content, request.headers), _body(response.content, response.headers) if response else None


def _body(content: Content, headers: Headers) -> dict[str, Any] | None:
    """Return a body that is a JSON object; None for anything else, and for what is too big to be worth it."""
    if not content.data:
        return None
    decoded = decode(content, headers, limit=_BODY_LIMIT)
    if decoded.data.lstrip(b" \t\r\n\xef\xbb\xbf\xff\xfe\x00")[:1] != b"{":
        return None
    try:
        value = json.loads(text_of(decoded.data, charset_of(headers)).text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _path(request: Request) -> str:
    path = request.path[:_QUERY_LIMIT]
    if "://" in path:  # absolute-form, RFC 9112 section 3.2.2
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path


def _method(request: Request) -> str:
    """Return the method; SCIM 1.1 section 3.3.2 lets clients that cannot PATCH say so in a header of a POST."""
    if request.method == "POST":
        meant = (request.headers.get("X-HTTP-Method-Override") or "").strip().upper()
        if meant in {"PUT", "PATCH", "DELETE"}:
            return meant
    return request.method


def _segments(path: str) -> list[str]:
    return [unquote(part) for part in path.split("/") if part]


def _after_base(parts: list[str], base_path: str | None) -> int:
    base = _segments(base_path) if base_path else []
    return len(base) if parts[: len(base)] == base else 0


def _place_at(parts: list[str], at: int) -> _Place:
    return _Place("".join(f"/{part}" for part in parts[:at]), parts[at], tuple(parts[at + 1 :]))


@lru_cache(maxsize=256)  # of up to 16 KiB each; a resource is asked for again and again
def _place(path: str, base_path: str | None) -> _Place | None:
    """Find the endpoint: the leftmost known name that has no more than an id behind it, below any base path."""
    parts = _segments(path)
    for at in range(max(_after_base(parts, base_path), len(parts) - 2), len(parts)):
        if parts[at] in _ENDPOINTS:
            return _place_at(parts, at)
    return None


def _custom_place(
    path: str, sent: dict[str, Any] | None, got: dict[str, Any] | None, base_path: str | None
) -> _Place | None:
    """Find the endpoint of a resource type that only its server knows, by what the bodies say."""
    parts = _segments(path)
    if base_path is not None and (start := _after_base(parts, base_path)):
        return _place_at(parts, start) if 1 <= len(parts) - start <= 2 else None
    if not parts:
        return None
    if len(parts) > 1 and get(got, "id") == parts[-1]:
        return _place_at(parts, len(parts) - 2)
    if len(parts) > 1 and any(urn.endswith(":PatchOp") for urn in _urns(sent)):
        return _place_at(parts, len(parts) - 2)
    if get(got, "totalResults") is not None or get(got, "id") is not None:
        return _place_at(parts, len(parts) - 1)
    return None


def _urns(body: dict[str, Any] | None) -> list[str]:
    named = get(body, "schemas")
    return [urn for urn in named[:50] if isinstance(urn, str)] if isinstance(named, list) else []


def _version(
    exchange: Exchange, path: str, place: _Place | None, sent: dict[str, Any] | None, got: dict[str, Any] | None
) -> Literal["1.1", "2.0"] | None:
    """Tell 1.1 and 2.0 apart by the urns of the bodies, else by the endpoint, the path and the media type.

    Without a known endpoint only the bodies and the media type count, and None means that this is no SCIM.
    """
    for urn in (*_urns(sent), *_urns(got)):
        if urn.lower().startswith(_URN_2):
            return "2.0"
        if urn.lower().startswith(_URN_1):
            return "1.1"
    if get(got, "Errors") is not None and place is not None:
        return "1.1"
    answered = exchange.response is not None and exchange.origin != "proxy"
    messages = (exchange.request, *((exchange.response,) if answered and exchange.response else ()))
    if any("application/scim+json" in (message.headers.get("content-type") or "").lower() for message in messages):
        return "2.0"
    if place is None:
        return None
    if place.endpoint == "ServiceProviderConfigs":
        return "1.1"
    words = path.lower().split("/")
    if "v2" in words or place.endpoint in {"ServiceProviderConfig", "ResourceTypes", "Me"}:
        return "2.0"
    return "1.1" if "v1" in words else None


def _kind(method: str, place: _Place) -> Kind:
    if place.search:
        return "search" if method == "POST" else "other"
    if place.endpoint in _DISCOVERY:
        return "discovery" if method == "GET" else "other"
    if place.endpoint == "Bulk":
        return "bulk" if method == "POST" else "other"
    if place.endpoint == "Me":
        return "me"
    if method == "GET":
        return "read" if place.rest else "list"
    if method == "POST":
        return "other" if place.rest else "create"
    with_id: dict[str, Kind] = {"PUT": "replace", "PATCH": "patch", "DELETE": "delete"}
    return with_id.get(method, "other") if place.rest else "other"


def _resource_type(place: _Place, sent: dict[str, Any] | None, got: dict[str, Any] | None) -> str | None:
    known = _TYPES.get(place.endpoint) or _DISCOVERY.get(place.endpoint)
    if known is not None:
        return known
    if place.endpoint in {"Bulk", ".search"}:
        return None
    for body in (got, sent):
        said = get(get(body, "meta"), "resourceType")
        if isinstance(said, str) and said:
            return clean(said, _NAME_CHARS)
    for urn in (*_urns(sent), *_urns(got)):
        if not urn.startswith(_MESSAGE_URNS):
            return clean(urn.rpartition(":")[2], _NAME_CHARS)
    return None if place.endpoint == "Me" else clean(place.endpoint.removesuffix("s"), _NAME_CHARS)


def _resource_id(place: _Place, kind: Kind, got: dict[str, Any] | None) -> str | None:
    if place.rest and not place.search:
        return place.rest[0]
    if kind in {"create", "me"}:
        found = get(got, "id")
        return found if isinstance(found, str) else None
    return None


def _name(
    kind: Kind, resource_type: str | None, sent: dict[str, Any] | None, got: dict[str, Any] | None
) -> str | None:
    """Return how people call the resource: as the answer says, else as the request does."""
    if kind in {"list", "search", "bulk", "other"}:
        return None
    order = ("displayName", "userName") if resource_type == "Group" else ("userName", "displayName", "name")
    for body in (got, sent, _pathless_value(sent)):
        for attribute in order:
            found = get(body, attribute)
            if isinstance(found, str) and found:
                return clean(found, _NAME_CHARS)
    return None


def _pathless_value(sent: dict[str, Any] | None) -> dict[str, Any] | None:
    operations = get(sent, "Operations")
    for operation in operations[:5] if isinstance(operations, list) else ():
        value = get(operation, "value")
        if isinstance(value, dict) and not get(operation, "path"):
            return value
    return None


def _operation_count(sent: dict[str, Any] | None) -> int | None:
    operations = get(sent, "Operations")
    return len(operations) if isinstance(operations, list) else None


def _error(got: dict[str, Any] | None) -> dict[str, Any]:
    """Read a 2.0 error body (RFC 7644 section 3.12) or the first of a 1.1 `Errors` list (section 3.9)."""
    source: object = got
    errors = get(got, "Errors")
    if isinstance(errors, list) and errors:
        source = errors[0]
    elif not any(urn.endswith(":Error") for urn in _urns(got)):
        return {}
    found: dict[str, str] = {}
    for field, names in (("scim_type", ("scimType",)), ("detail", ("detail", "description"))):
        for name in names:
            value = get(source, name)
            if isinstance(value, str):
                found[field] = clean(value, 500)
    return found


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value, re.ASCII):
        return int(value)
    return value if isinstance(value, int) and abs(value) < 10**18 else None


def _query(request: Request, sent: dict[str, Any] | None, kind: Kind) -> dict[str, Any]:
    """Read the parameters of RFC 7644 section 3.4.2 from the query, or from the body of a search."""
    if not request.query and kind != "search":
        return {}
    given: dict[str, object] = {}
    for part in (request.query or "")[:_QUERY_LIMIT].split("&"):
        name, _, value = part.partition("=")
        given.setdefault(unquote_plus(name).lower(), unquote_plus(value))
    if kind == "search" and sent is not None:
        given = {name.lower(): value for name, value in sent.items()}
    found: dict[str, Any] = {
        "start_index": _number(given.get("startindex")),
        "count": _number(given.get("count")),
        "sort_by": _word(given.get("sortby")),
        "sort_order": _word(given.get("sortorder")),
        "attributes": _words(given.get("attributes")),
        "excluded_attributes": _words(given.get("excludedattributes")),
    }
    text = given.get("filter")
    if isinstance(text, str) and text:
        found["filter"], found["filter_problem"] = _filter(text[:_QUERY_LIMIT])
    return found


@lru_cache(maxsize=256)  # as above
def _filter(text: str) -> tuple[str, str | None]:
    """Return the canonical text of a filter, without passwords, and what is wrong with it."""
    try:
        return hide_passwords(str(parse_filter(text))), None
    except SyntaxProblem as exc:
        return hide_passwords(text), exc.message


def _word(value: object) -> str | None:
    return clean(value, _NAME_CHARS) if isinstance(value, str) and value else None


def _words(value: object) -> tuple[str, ...]:
    named = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(clean(word.strip(), _NAME_CHARS) for word in named[:100] if isinstance(word, str) and word.strip())


# -- saying it


def _page(made: Operation) -> str:
    if made.count is None:
        return "" if made.start_index in {None, 1} else f" (from {made.start_index})"
    if made.count <= 0:
        return f" (count {made.count})"
    return f" (from {1 if made.start_index is None else made.start_index}, {made.count} per page)"


def _summary(made: Operation, method: str) -> str:
    kind = made.resource_type or "resource"
    name = made.resource_name or made.resource_id
    named = f"{kind} {name}" if name else kind
    match made.kind:
        case "list" | "search":
            what = "everything" if made.endpoint == "/.search" else clean((made.endpoint or "")[1:], _NAME_CHARS)
            where = f" where {made.filter}" if made.filter else ""
            return f"{made.kind.capitalize()} {what}{where}{_page(made)}"
        case "bulk":
            many = made.operation_count
            return "Bulk" if many is None else f"Bulk: {many} operation{'' if many == 1 else 's'}"
        case "discovery":
            if made.resource_type == "ServiceProviderConfig":
                return f"Read {made.resource_type}"
            return f"Read {kind} {made.resource_id}" if made.resource_id else f"List {kind}s"
        case "me":
            said = f"{_ME_VERBS.get(method, method)} Me{f' ({name})' if name else ''}"
            return f"{said}: {phrase(made.changes)}" if made.changes else said
        case "patch":
            return f"Patch {named}: {phrase(made.changes)}" if made.changes else f"Patch {named}"
        case "other":
            rest = f"/{made.resource_id}" if made.resource_id else ""
            return f"{method} {made.base_path}{made.endpoint}{rest}"
        case _:
            return f"{made.kind.capitalize()} {named}"
