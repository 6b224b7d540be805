"""SCIM 1.1 in front of a SCIM 2.0 server: calls of 1.1 become calls of 2.0, their answers are turned back.

One rule: pure translation. Nothing is kept and nothing is decided here that the 2.0 server can decide; what 1.1
does not have (bulk is optional in it, `.search`, `/Me`) is not there. The source is the SCIM 1.1 protocol and core
schema of the Open Web Foundation (draft-scim-api-01, draft-scim-core-schema-01).
Flow: demo.py -> answer() -> a Call of 2.0 -> `serve` (defects, token, Directory) -> Answer of 2.0 -> Answer of 1.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from urllib.parse import urlencode

from scimproxy.scim.dialect import (
    DEFAULT_DIALECT,
    GROUPS,
    LIST_RESPONSE,
    PATCH_OP,
    USERS,
    Answer,
    Call,
    Dialect,
    Json,
    Refusal,
    ResourceType,
    Value,
    message_of,
)
from scimproxy.scim.schemas import COMMON, ENTERPRISE_USER, GROUP, USER, Attribute, Schema

__all__ = ["CORE", "ENTERPRISE", "answer"]

CORE = "urn:scim:schemas:core:1.0"
"""The one schema of users, groups, lists and everything else (core schema, section 5)."""
ENTERPRISE = "urn:scim:schemas:extension:enterprise:1.0"

Serve = Callable[[Call], Answer]
_LIST = f"{CORE}:ListResponse"
"""In no document of 1.1; Okta's 1.1 suite looks for it in /Schemas."""
_DISCOVERY = {
    "serviceproviderconfigs": "/ServiceProviderConfig",
    "schemas": "/Schemas",
    "resourcetypes": "/ResourceTypes",  # of 2.0; Okta's 1.1 suite reads it
}
_KINDS = {"users": USERS, "groups": GROUPS}
_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")')
_CORE_PREFIX = re.compile(re.escape(CORE) + ":", re.IGNORECASE)
_ENTERPRISE_NAME = re.compile(re.escape(ENTERPRISE) + r"(?![\w])[.:]?", re.IGNORECASE)
_MANAGER_ID = re.compile(r"\bmanager\.managerId\b", re.IGNORECASE)
_OF_2 = "urn:ietf:params:scim:"


def answer(call: Call, serve: Serve, dialect: Dialect = DEFAULT_DIALECT) -> Answer:
    """Answer a call of SCIM 1.1; `serve` is the 2.0 server behind. `call.base_url` is that of 1.1.

    `dialect` bounds the bodies that are read here. Never raises for what a client sends.
    """
    try:
        return _perform(call, serve, dialect)
    except Refusal as refusal:
        return _error(Answer(refusal.status, refusal.headers), refusal.detail)


def _perform(call: Call, serve: Serve, dialect: Dialect) -> Answer:
    segments = call.segments()
    first = segments[0].lower() if segments else ""
    if first in _DISCOVERY and len(segments) == 1:
        return _discovery(call, first, serve)
    if first == "bulk":
        raise Refusal(501, "Bulk is not supported")
    kind = _KINDS.get(first)
    if kind is None or len(segments) > 2 or segments[-1] == ".search":
        raise Refusal(404, f"There is no endpoint {call.path} in SCIM 1.1")
    method = call.method
    if method == "POST":  # for clients that can send nothing else (protocol section 3)
        method = (call.headers.get("X-HTTP-Method-Override") or method).upper()
    asked = replace(call, method=method, query=_query(call), content=_content(call, method, kind, dialect))
    got = serve(asked)
    if method == "DELETE" and got.status == 204:
        return replace(got, status=200)  # protocol section 3.4
    return _turned(got, _resource)


# -- what is asked -----------------------------------------------------------------------------------------------


def _query(call: Call) -> str:
    if not call.query:
        return ""
    given = call.parameters()
    given.pop("excludedAttributes", None)  # of 2.0
    for name in ("attributes", "filter", "sortBy"):
        if name in given:
            given[name] = _names(given[name])
    return urlencode(given)


def _names(text: str) -> str:
    """Write the names of attributes as 2.0 has them; what stands in quotes is a value."""
    parts = _QUOTED.split(text)
    parts[::2] = [_name(part) for part in parts[::2]]
    return "".join(parts)


def _name(text: str) -> str:
    text = _ENTERPRISE_NAME.sub(lambda found: ENTERPRISE_USER.id + (":" if found[0][-1] in ".:" else ""), text)
    return _MANAGER_ID.sub("manager.value", _CORE_PREFIX.sub("", text))


def _content(call: Call, method: str, kind: ResourceType, dialect: Dialect) -> bytes:
    if method not in {"POST", "PUT", "PATCH"}:
        return call.content
    try:
        message = message_of(call.content, dialect)
    except Refusal:
        return call.content  # the server behind says the same, and asks for the token before
    given = _to_2(message, kind)
    if method == "PATCH":
        given = {"schemas": [PATCH_OP], "Operations": _operations(given)}
    return json.dumps(given).encode()


def _to_2(message: Json, kind: ResourceType) -> Json:
    made: Json = {}
    for key, value in message.items():
        lowered = key.lower()
        if lowered.startswith(_OF_2):
            raise Refusal(400, f"{key} is of SCIM 2.0; here SCIM 1.1 is spoken")
        if lowered == "schemas" and isinstance(value, list):
            made["schemas"] = [_urn(urn, kind) for urn in value]
        elif lowered == ENTERPRISE:
            made[ENTERPRISE_USER.id] = _renamed_manager(value, "managerid", "value")
        else:
            made[key] = value
    return made


def _urn(urn: Value, kind: ResourceType) -> Value:
    if not isinstance(urn, str):
        return urn
    if urn.lower().startswith(_OF_2):
        raise Refusal(400, f"{urn} is of SCIM 2.0; here SCIM 1.1 is spoken, whose schema is {CORE}")
    return {CORE: kind.schema.id, ENTERPRISE: ENTERPRISE_USER.id}.get(urn.lower(), urn)


def _renamed_manager(extension: Value, old: str, new: str) -> Value:
    """Name the id of the manager as the other version does; `old` in lower case."""
    if not isinstance(extension, dict):
        return extension
    made = dict(extension)
    for key, value in extension.items():
        if key.lower() == "manager" and isinstance(value, dict):
            made[key] = {new if name.lower() == old else name: one for name, one in value.items()}
    return made


def _operations(given: Json) -> list[Json]:
    """Return the operations of 2.0 that a partial resource means (protocol section 3.3.2).

    First `meta.attributes` are removed, then the elements with `operation: delete`; the rest is added: it replaces
    what is single, joins what is complex and adds to lists.
    """
    removed: list[Json] = []
    rest: Json = {}
    for key, value in given.items():
        lowered = key.lower()
        if lowered == "operations":
            raise Refusal(400, "Operations are of SCIM 2.0; PATCH of SCIM 1.1 sends a part of the resource")
        if lowered == "meta":
            removed = [{"op": "remove", "path": _names(name)} for name in _gone(value)] + removed
        elif isinstance(value, list) and lowered != "schemas":
            kept = []
            for element in value:
                if isinstance(element, dict) and str(element.get("operation")).lower() == "delete":
                    removed.append({"op": "remove", "path": f"{key}[{_chosen(key, element)}]"})
                else:
                    kept.append(_without(element, "operation") if isinstance(element, dict) else element)
            if kept:
                rest[key] = kept
        elif lowered != "schemas":
            rest[key] = value
    return [*removed, {"op": "add", "value": rest}]


def _gone(meta: Value) -> list[str]:
    names = meta.get("attributes", []) if isinstance(meta, dict) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refusal(400, "meta.attributes must be an array of names of attributes")
    return names


def _chosen(key: str, element: Json) -> str:
    """Return the filter that finds the element: by its value, or by all that is said of it."""
    told = {"value": element["value"]} if "value" in element else _without(element, "operation")
    conditions = [f"{name} eq {json.dumps(one)}" for name, one in told.items() if isinstance(one, str | bool)]
    if not conditions:
        raise Refusal(400, f"{key}: an element to delete needs a value")
    return " and ".join(conditions)


def _without(members: Json, *names: str) -> Json:
    return {key: value for key, value in members.items() if key not in names}


# -- what is answered --------------------------------------------------------------------------------------------


def _turned(got: Answer, turn: Callable[[Json], Json]) -> Answer:
    body = got.body
    if got.status >= 400:
        return _error(got, str((body or {}).get("detail") or f"The status is {got.status}"))
    if body is None:
        return got
    if LIST_RESPONSE in (body.get("schemas") or ()):
        resources = body.get("Resources") or ()
        made = {**body, "schemas": [CORE], "Resources": [turn(one) for one in resources]}
    else:
        made = turn(body)
    return _json(got, made)


def _json(got: Answer, body: Json) -> Answer:
    return replace(got, headers=got.headers.with_field("Content-Type", "application/json"), body=body)


def _error(got: Answer, detail: str) -> Answer:
    """Return an error as protocol section 3.9 has it, with the `detail` that Okta's 1.1 suite looks for."""
    for urn, old in ((ENTERPRISE_USER.id, ENTERPRISE), (USER.id, CORE), (GROUP.id, CORE)):
        detail = detail.replace(urn, old)
    return _json(got, {"Errors": [{"description": detail, "code": str(got.status)}], "detail": detail})


def _resource(resource: Json) -> Json:
    made = {**resource, "schemas": [CORE]}
    if ENTERPRISE_USER.id in made:
        made["schemas"].append(ENTERPRISE)
        made[ENTERPRISE] = _renamed_manager(made.pop(ENTERPRISE_USER.id), "value", "managerId")
    for name in ("members", "groups"):
        if isinstance(made.get(name), list):
            made[name] = [_without(one, "$ref") for one in made[name]]
    if isinstance(made.get("meta"), dict):
        made["meta"] = _without(made["meta"], "resourceType")
    return made


# -- what the server says about itself -----------------------------------------------------------------------------


def _discovery(call: Call, first: str, serve: Serve) -> Answer:
    got = serve(replace(call, path=_DISCOVERY[first], query=""))
    if first == "serviceproviderconfigs":
        return _turned(got, _config)
    if first == "resourcetypes":
        return _turned(got, _resource_type)
    got = _turned(got, dict)
    if got.status != 200:
        return got
    resources = [_schema(USERS, (USER, ENTERPRISE_USER)), _schema(GROUPS, (GROUP,))]
    listed: Json = {"schemas": [CORE, _LIST], "totalResults": 2, "startIndex": 1, "itemsPerPage": 2}
    return _json(got, {**listed, "Resources": resources})


def _config(config: Json) -> Json:
    made = {**_without(config, "meta"), "schemas": [CORE]}
    return {**made, "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}}


def _resource_type(kind: Json) -> Json:
    made = {**_without(kind, "meta", "schemaExtensions"), "schemas": [CORE], "schema": CORE}
    if "schemaExtensions" in kind:
        made["schemaExtensions"] = [{"schema": ENTERPRISE, "required": False}]
    return made


def _schema(kind: ResourceType, schemas: Iterable[Schema]) -> Json:
    """Return a schema as 1.1 words it (core schema section 10): an extension's attributes stand among the others."""
    attributes = [_attribute(one, CORE) for one in COMMON if one.name in {"id", "externalId"}]
    for schema in schemas:
        urn = ENTERPRISE if schema.extension else CORE
        attributes += [_attribute(one, urn) for one in schema.attributes]
    return {
        "schemas": [CORE],
        "id": f"{CORE}:{kind.name}",
        "name": kind.name,
        "description": kind.description,
        "schema": CORE,
        "endpoint": kind.endpoint,
        "attributes": attributes,
    }


def _attribute(attribute: Attribute, urn: str) -> Json:
    made = {**_characteristics(attribute, attribute.name), "multiValued": attribute.multi_valued, "schema": urn}
    is_manager = attribute.name == "manager"
    subs = [
        _characteristics(sub, "managerId" if is_manager and sub.name == "value" else sub.name)
        for sub in attribute.sub_attributes
        if is_manager or sub.name != "$ref"
    ]
    return {**made, "subAttributes": subs} if subs else made


def _characteristics(attribute: Attribute, name: str) -> Json:
    made: Json = {
        "name": name,
        "type": "string" if attribute.type == "reference" else attribute.type,
        "description": attribute.description,
        "readOnly": attribute.mutability == "readOnly",
        "required": attribute.required,
        "caseExact": attribute.case_exact,
    }
    if attribute.canonical_values:
        made["canonicalValues"] = list(attribute.canonical_values)
    return made
