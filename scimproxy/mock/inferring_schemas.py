"""Which resource types and attributes a recorded server has: as its /Schemas say, else as its answers show.

One rule: an attribute is taken away only where a client wrote it and no answer ever showed it; what nobody asked
about stays as in RFC 7643. Malformed documents are read as far as they can be. Pure. Flow: inferring.py asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from scimproxy.bodies import Seen
from scimproxy.scim.dialect import GROUPS, USERS, Json, ResourceType
from scimproxy.scim.schemas import (
    ENTERPRISE_USER,
    GROUP,
    USER,
    Attribute,
    Mutability,
    Returned,
    Schema,
    Type,
    Uniqueness,
)

__all__ = ["resource_types"]

_KNOWN = {schema.id: schema for schema in (USER, GROUP, ENTERPRISE_USER)}
_MOST = 500
_DEEPEST = 3
_NOTHING = ((), ("",))
"""No canonical values are no limit; an empty list of them is one that nothing keeps to, where they are enforced."""

type Told = list[tuple[str, Seen | None]]


def resource_types(exchanges: Sequence[Seen]) -> tuple[tuple[ResourceType, ...], Told]:
    """Return the resource types of the recorded server, and what was inferred in words."""
    told: Told = []
    schemas = _schemas(exchanges, told)
    types = _types(exchanges, schemas, told) or (
        replace(
            USERS, schema=schemas.get(USER.id, USER), extensions=(schemas.get(ENTERPRISE_USER.id, ENTERPRISE_USER),)
        ),
        replace(GROUPS, schema=schemas.get(GROUP.id, GROUP)),
    )
    if schemas:
        return types, told
    return tuple(_without_dropped(kind, exchanges, told) for kind in types), told


def _documents(exchanges: Sequence[Seen], kind: str) -> Iterator[tuple[Seen, Json]]:
    for one in exchanges:
        response = one.exchange.response
        if one.operation.kind != "discovery" or one.operation.resource_type != kind or response is None:
            continue
        if response.status_code != 200 or not isinstance(one.response.value, dict):
            continue
        listed = one.response.value.get("Resources")
        for document in listed[:_MOST] if isinstance(listed, list) else [one.response.value]:
            if isinstance(document, dict):
                yield one, document


def _schemas(exchanges: Sequence[Seen], told: Told) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for one, document in _documents(exchanges, "Schema"):
        urn, attributes = document.get("id"), document.get("attributes")
        if isinstance(urn, str) and isinstance(attributes, list) and urn not in found:
            known = _KNOWN.get(urn)
            read = tuple(_attribute(it, _DEEPEST) for it in attributes[:_MOST] if isinstance(it, dict) and _name(it))
            found[urn] = Schema(
                urn, _text(document, "name"), _text(document, "description"), read, bool(known and known.extension)
            )
            told.append((f"{urn.rpartition(':')[2] or urn} has {len(read)} attributes, as /Schemas says", one))
    return found


def _types(exchanges: Sequence[Seen], schemas: dict[str, Schema], told: Told) -> tuple[ResourceType, ...]:
    found: dict[str, ResourceType] = {}
    for one, document in _documents(exchanges, "ResourceType"):
        name, endpoint, urn = (_text(document, key) for key in ("name", "endpoint", "schema"))
        schema = schemas.get(urn) or _KNOWN.get(urn)
        if not name or not endpoint.startswith("/") or schema is None or name in found:
            continue
        listed = document.get("schemaExtensions")
        urns = [_text(it, "schema") for it in listed if isinstance(it, dict)] if isinstance(listed, list) else []
        extensions = [schemas.get(it) or _KNOWN.get(it) for it in urns]
        kept = tuple(replace(it, extension=True) for it in extensions if it is not None)
        found[name] = ResourceType(name, endpoint, schema, kept, _text(document, "description"))
        told.append((f"{name} at {endpoint}, as /ResourceTypes says", one))
    return tuple(found.values())


def _text(document: Json, name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _name(document: Json) -> str:
    return _text(document, "name")


def _attribute(document: Json, deep: int) -> Attribute:
    subs, canonical = document.get("subAttributes"), document.get("canonicalValues")
    inner = (
        [it for it in subs[:_MOST] if isinstance(it, dict) and _name(it)] if deep and isinstance(subs, list) else []
    )
    return Attribute(
        _name(document),
        cast("Type", _one_of(document.get("type"), get_args(Type), "string")),
        multi_valued=document.get("multiValued") is True,
        required=document.get("required") is True,
        case_exact=document.get("caseExact") is True,
        mutability=cast("Mutability", _one_of(document.get("mutability"), get_args(Mutability), "readWrite")),
        returned=cast("Returned", _one_of(document.get("returned"), get_args(Returned), "default")),
        uniqueness=cast("Uniqueness", _one_of(document.get("uniqueness"), get_args(Uniqueness), "none")),
        canonical_values=tuple(_texts(canonical)) or _NOTHING[canonical == []],
        reference_types=tuple(_texts(document.get("referenceTypes"))),
        sub_attributes=tuple(_attribute(it, deep - 1) for it in inner),
        description=_text(document, "description"),
    )


def _one_of(value: object, allowed: tuple[str, ...], otherwise: str) -> str:
    return value if isinstance(value, str) and value in allowed else otherwise


def _texts(value: object) -> list[str]:
    return [it for it in value[:_MOST] if isinstance(it, str)] if isinstance(value, list) else []


def _without_dropped(kind: ResourceType, exchanges: Sequence[Seen], told: Told) -> ResourceType:
    """Return the type without the attributes that clients wrote and no answer ever showed."""
    written: dict[str, Seen] = {}
    shown: set[str] = set()
    for one in exchanges:
        response = one.exchange.response
        if one.operation.endpoint != kind.endpoint or response is None or response.status_code >= 300:
            continue
        if one.operation.kind in {"create", "replace"} and isinstance(one.response.value, dict):
            for name in _assigned(one.request.value):
                written.setdefault(name, one)
        listed = one.response.value.get("Resources") if isinstance(one.response.value, dict) else None
        for resource in listed if isinstance(listed, list) else [one.response.value]:
            shown |= set(_assigned(resource))
    gone = written.keys() - shown
    kept = [
        it for it in kind.schema.attributes if it.name.lower() not in gone or it.returned == "never" or it.required
    ]
    dropped = [it.name for it in kind.schema.attributes if it not in kept]
    if not dropped:
        return kind
    told.append((f"{kind.name} has no {', '.join(dropped)}: written, and never shown", written[dropped[0].lower()]))
    return replace(kind, schema=replace(kind.schema, attributes=tuple(kept)))


def _assigned(value: Any) -> list[str]:  # noqa: ANN401 - JSON
    if not isinstance(value, dict):
        return []
    return [name.lower() for name, inner in value.items() if inner not in (None, [], {}, "")]
