"""Where a SCIM message names resources and people: each such string with its place, its role and its type.

One rule: a spot is found by its SCIM role (bind.role_of), never by what the text looks like, so a count of 1 is no
id. Types of ids come from the endpoint, the attribute (`members`, `groups`, `manager`), `type`, `$ref`, or
`meta.resourceType`. Never raises, bounded by bodies.py. Pure.
Flow: Seen -> asked, answered -> replayer.py (what to send), order.py (what waits for what).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus

from scimproxy.bind import Role, role_of, type_of
from scimproxy.bodies import Seen
from scimproxy.errors import SyntaxProblem
from scimproxy.scim.filters import And, Comparison, Filter, Not, Or, ValuePath, parse_filter
from scimproxy.scim.paths import parse_path

__all__ = [
    "FIXED",
    "IDENTIFYING",
    "Literal",
    "Pointer",
    "Spot",
    "answered",
    "asked",
    "body_spots",
    "endpoint_and_id",
    "filter_literals",
    "kind_of",
    "path_literals",
    "quoted",
]

FIXED = frozenset({"", "ServiceProviderConfig", "ResourceType", "Schema", "Bulk", "Me", ".search"})
"""Types whose names are the same on every server, or that are none."""
IDENTIFYING = frozenset({"username", "displayname", "emails.value", "externalid"})
"""Attributes that tell one resource from another; servers want the first ones to be unique."""

_ENDPOINTS = frozenset({"Users", "Groups", "Roles", "Entitlements"})
_REFERENCES = {"members": "User", "groups": "Group", "manager": "User"}
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_LONGEST = 65_536

type Pointer = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Spot:
    """A string that names something. `kind` is the type of an id; `attribute` like `username` or `emails.value`.

    `of` is the (type, id) of the resource whose version it is, where the role is `version`.
    """

    role: Role
    value: str
    kind: str = ""
    attribute: str = ""
    pointer: Pointer = ()
    of: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Literal:
    """A quoted value of a filter: where its JSON string begins and ends in the text, and what it compares."""

    start: int
    end: int
    op: str
    spot: Spot


def kind_of(it: Seen) -> str:
    """Return the type of the resources that an exchange is about, by its endpoint; empty where that is unknown."""
    return type_of(_own(it))


def asked(it: Seen) -> Iterator[Spot]:
    """Give what a request names: in its path, its filter, its body, and bodies' filters and PATCH paths."""
    request, kind = it.exchange.request, kind_of(it)
    endpoint, number = endpoint_and_id(request.path, _own(it))
    if number:
        yield Spot("id", number, type_of(endpoint))
    for part in (request.query or "")[:_LONGEST].split("&"):
        name, _, value = part.partition("=")
        if unquote_plus(name).lower() == "filter":
            yield from _inside("filter", unquote_plus(value), kind)
    if it.request.form == "json":
        for spot in body_spots(it.request.value, kind, number):
            yield spot
            yield from _inside(spot.role, spot.value, spot.kind)


def answered(it: Seen) -> Iterator[Spot]:
    """Give what an answer names: in its Location, and its body."""
    response = it.exchange.response
    if response is None or response.status_code >= 400:
        return
    endpoint, number = endpoint_and_id((response.headers.get("Location") or "").partition("?")[0], _own(it))
    if number:
        yield Spot("id", number, type_of(endpoint))
    if it.response.form == "json":
        _, own = endpoint_and_id(it.exchange.request.path, _own(it))
        for spot in body_spots(it.response.value, kind_of(it), own):
            yield spot
            if spot.role == "location":
                yield from _inside("location", spot.value, "")


def _inside(role: str, text: str, kind: str) -> Iterator[Spot]:
    """Give what a filter, a path or a URL names."""
    if role == "filter":
        yield from (one.spot for one in filter_literals(text, kind))
    elif role == "path" and not text.startswith("/"):
        yield from (one.spot for one in path_literals(text))
    elif role in {"path", "location"}:
        endpoint, number = endpoint_and_id(text.partition("?")[0])
        if number and not number.startswith("bulkId:"):
            yield Spot("id", number, type_of(endpoint))


def endpoint_and_id(path: str, own: str = "") -> tuple[str, str]:
    """Return the endpoint and the decoded id that the path of a URL leads to; empty texts where there is none.

    `own` is an endpoint that is known beside those of RFC 7643.
    """
    segments = [unquote(part) for part in path.split("/") if part]
    for at, part in enumerate(segments):
        if part in _ENDPOINTS or (own and part == own):
            number = segments[at + 1] if at + 1 < len(segments) else ""
            return part, "" if number == ".search" or type_of(part) in FIXED else number
    return "", ""


def _own(it: Seen) -> str:
    return (it.operation.endpoint or "").strip("/")


# --- bodies


def body_spots(value: Any, kind: str, number: str = "") -> Iterator[Spot]:  # noqa: ANN401 - JSON
    """Give the spots of a body; `kind` and `number` are type and id of the resource that it is about."""
    yield from _walk(value, kind, number, (), ())


def _walk(value: Any, kind: str, number: str, names: tuple[str, ...], at: Pointer) -> Iterator[Spot]:  # noqa: ANN401
    if isinstance(value, dict):
        yield from _object(value, kind, number, names, at)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(inner, kind, number, names, (*at, index))
    elif isinstance(value, str):
        role = role_of(names)
        if names[-1:] and names[-1] in _REFERENCES:
            yield Spot("member", value, _REFERENCES[names[-1]], names[-1], at)
        elif role == "member":
            yield Spot("member", value, kind if names[-2] in _REFERENCES else "User", names[-2], at)
        elif role == "version":
            yield Spot("version", value, kind, "version", at, (kind, number))
        elif role != "text":
            yield Spot(role, value, kind, ".".join(names[-2:]) if names[-1] == "value" else names[-1], at)


def _object(value: dict[str, Any], kind: str, number: str, names: tuple[str, ...], at: Pointer) -> Iterator[Spot]:
    lowered = {name.lower(): inner for name, inner in value.items()}
    last = names[-1] if names else ""
    if last == "operations" and isinstance(lowered.get("method"), str):
        yield from _bulk(value, lowered, names, at)
        return
    target: tuple[str, ...] = ()
    if last == "operations" and isinstance(lowered.get("path"), str):
        target = _names(lowered["path"])
    if last in _REFERENCES:
        kind = _referenced(lowered, _REFERENCES[last])
    elif last in {"", "resources"}:
        kind, number = _said(lowered, kind, number)
    for name, inner in value.items():
        more = target if name.lower() == "value" and target else _names(name)
        yield from _walk(inner, kind, number, (*names, *more), (*at, name))


def _bulk(value: dict[str, Any], lowered: dict[str, Any], names: tuple[str, ...], at: Pointer) -> Iterator[Spot]:
    """An operation of a bulk request or its answer (RFC 7644 section 3.7): its data is about what its path names."""
    where = next((lowered[name] for name in ("path", "location") if isinstance(lowered.get(name), str)), "")
    first = where.lstrip("/").partition("/")[0] if where.startswith("/") else ""
    endpoint, number = endpoint_and_id(where, first)
    kind = type_of(endpoint)
    number = "" if number.startswith("bulkId:") else number
    for name, inner in value.items():
        inside = () if name.lower() in {"data", "response"} else (*names, *_names(name))
        yield from _walk(inner, kind, number, inside, (*at, name))


def _referenced(lowered: dict[str, Any], default: str) -> str:
    said = lowered.get("type")
    if isinstance(said, str) and said.lower() in {"user", "group"}:
        return said.capitalize()
    place = lowered.get("$ref")
    endpoint = endpoint_and_id(place)[0] if isinstance(place, str) else ""
    return type_of(endpoint) if endpoint else default


def _said(lowered: dict[str, Any], kind: str, number: str) -> tuple[str, str]:
    """Return type and id as a resource tells them itself, else as they were known."""
    meta, own = lowered.get("meta"), lowered.get("id")
    told = meta.get("resourceType") if isinstance(meta, dict) else None
    if isinstance(told, str) and kind in FIXED:
        kind = told
    return kind, own if isinstance(own, str) else number


def _names(name: str) -> tuple[str, ...]:
    """Return the names that a member's name or a PATCH path stands for: without urn and filter, small letters."""
    before, bracket, rest = name.partition("[")
    plain = before + (rest.rpartition("]")[2] if bracket else "")
    return tuple(plain.lower().rpartition(":")[2].split("."))


# --- filters


def filter_literals(text: str, kind: str) -> list[Literal]:
    """Return the quoted values of a filter with their places; none where it does not parse."""
    try:
        found = parse_filter(text)
    except SyntaxProblem:
        return []
    return _placed(text, 0, found, kind, ())


def path_literals(text: str) -> list[Literal]:
    """Return the quoted values of the filter in a PATCH path; none where it has none or does not parse."""
    try:
        found = parse_path(text)
    except SyntaxProblem:
        return []
    if found.filter is None:
        return []
    return _placed(text, text.index("["), found.filter, "", (found.path.name.lower(),))


def _placed(text: str, start: int, parsed: Filter, kind: str, inside: tuple[str, ...]) -> list[Literal]:
    """Strings stand in a filter as values only, so the nth quoted text is that of the nth comparison with one."""
    quoted = list(_QUOTED.finditer(text, start))
    made = []
    for match, (names, op, value) in zip(quoted, list(_comparisons(parsed, inside)), strict=False):
        role, attribute = role_of(names), names[-1]
        its = kind
        if attribute in _REFERENCES or role == "member":
            holder = attribute if attribute in _REFERENCES else names[-2]
            role, its = "member", _REFERENCES[holder]
        elif attribute == "value" and len(names) > 1:
            attribute = f"{names[-2]}.value"
        made.append(Literal(match.start(), match.end(), op, Spot(role, value, its, attribute)))
    return made


def _comparisons(parsed: Filter, inside: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    match parsed:
        case And() | Or():
            for term in parsed.terms:
                yield from _comparisons(term, inside)
        case Not():
            yield from _comparisons(parsed.filter, inside)
        case ValuePath():
            within = (*inside, parsed.path.name.lower())
            yield from _comparisons(parsed.filter, within)
            if parsed.rest is not None:
                yield from _comparisons(parsed.rest, within)
        case Comparison() if isinstance(parsed.value, str):
            names = (*inside, *filter(None, (parsed.path.name.lower(), (parsed.path.sub or "").lower())))
            yield names, parsed.op, parsed.value


def quoted(value: str) -> str:
    """Return a value as a filter quotes it."""
    return json.dumps(value, ensure_ascii=False)
