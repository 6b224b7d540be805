"""Checks a resource that a client sent against its schemas, and gives it the form in which it is kept.

One rule: what comes out holds only known, writable attributes in the schema's spelling and types (RFC 7643
section 2); what cannot be brought into that form is refused with the path of the fault.
Flow: directory -> conform -> the record. The `Dialect` says what is forgiven.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from scimproxy.scim.dialect import Dialect, Json, Refusal, ResourceType, Value
from scimproxy.scim.schemas import COMMON, Attribute, Schema

__all__ = ["conform", "find", "keep_immutable"]

_DATE_TIME = re.compile(
    r"-?[0-9]{4,9}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-4]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,12})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?",
    re.ASCII,
)


def find(attributes: tuple[Attribute, ...], name: str) -> Attribute | None:
    """Return the attribute of that name; names have no case (RFC 7643 section 2.1)."""
    wanted = name.lower()
    return next((attribute for attribute in attributes if attribute.name.lower() == wanted), None)


def conform(given: Json, kind: ResourceType, dialect: Dialect) -> Json:
    """Return the resource in the form in which it is kept: without `id`, `meta` and other read-only attributes.

    Raises:
        Refusal: 400 invalidSyntax (schemas) or invalidValue (types, required and canonical values).
    """
    core, parts = _sorted_out(given, kind, dialect)
    _check_schemas(_pick(given, "schemas"), kind, dialect)
    made: Json = {"schemas": [kind.schema.id]}
    made |= _attributes(core, (*COMMON, *kind.schema.attributes), "", kind, dialect)
    for schema in kind.extensions:
        held = parts.get(schema.id)
        if held is None:
            continue
        extension = _attributes(held, schema.attributes, f"{schema.id}:", kind, dialect)
        if extension:
            made["schemas"].append(schema.id)
            made[schema.id] = extension
    return made


def keep_immutable(old: Json, new: Json, kind: ResourceType) -> None:
    """Refuse a change of an attribute that may be set only once (RFC 7644 section 3.5.1).

    Raises:
        Refusal: 400 mutability.
    """
    _keep_immutable(old, new, kind.schema.attributes)
    for schema in kind.extensions:
        _keep_immutable(old.get(schema.id, {}), new.get(schema.id, {}), schema.attributes)


def _keep_immutable(old: Json, new: Json, attributes: tuple[Attribute, ...]) -> None:
    for attribute in attributes:
        before = old.get(attribute.name)
        if before is None:
            continue
        after = new.get(attribute.name)
        if attribute.mutability == "immutable" and after != before:
            raise Refusal(400, f"{attribute.name} cannot be changed once it has a value", "mutability")
        if isinstance(before, dict):
            _keep_immutable(before, after if isinstance(after, dict) else {}, attribute.sub_attributes)


def _pick(given: Json, name: str) -> object:
    return next((value for key, value in given.items() if key.lower() == name), None)


def _sorted_out(given: Json, kind: ResourceType, dialect: Dialect) -> tuple[Json, dict[str, Json]]:
    """Part the members into those of the core schema and those of each extension, by full name too."""
    core: Json = {}
    parts: dict[str, Json] = {}
    for key, value in given.items():
        schema, name = _home(key, kind)
        if schema is None:
            core[key] = value
        elif name:
            (core if schema is kind.schema else parts.setdefault(schema.id, {}))[name] = value
        elif isinstance(value, dict):
            parts.setdefault(schema.id, {}).update(value)
        elif value is not None:
            raise _wrong_type(schema.id, "an object", value, dialect)
    return core, parts


def _home(key: str, kind: ResourceType) -> tuple[Schema | None, str]:
    lowered = key.lower()
    for schema in kind.schemas:
        urn = schema.id.lower()
        if lowered == urn and schema is not kind.schema:
            return schema, ""
        if lowered.startswith(f"{urn}:"):
            return schema, key[len(urn) + 1 :]
    return None, key


def _check_schemas(schemas: object, kind: ResourceType, dialect: Dialect) -> None:
    if schemas is None or schemas == []:
        if dialect.schemas_required:
            raise Refusal(400, dialect.text("required", attribute="schemas"), "invalidSyntax")
        return
    if not isinstance(schemas, list) or not all(isinstance(urn, str) for urn in schemas):
        raise Refusal(400, "schemas must be an array of strings", "invalidSyntax")
    named = {urn.lower() for urn in schemas}
    if kind.schema.id.lower() not in named:
        raise Refusal(400, f"schemas must name {kind.schema.id}", "invalidSyntax")
    unknown = named - {schema.id.lower() for schema in kind.schemas}
    if unknown and dialect.unknown_attributes == "refuse":
        raise Refusal(400, f"schemas names {min(unknown)}, which a {kind.name} does not have", "invalidSyntax")


def _attributes(
    given: Json, attributes: tuple[Attribute, ...], prefix: str, kind: ResourceType, dialect: Dialect
) -> Json:
    made: Json = {}
    for key, value in given.items():
        attribute = find(attributes, key)
        if attribute is None:
            if dialect.unknown_attributes == "refuse":
                raise Refusal(400, dialect.text("unknown", attribute=prefix + key, type=kind.name), "invalidSyntax")
            if dialect.unknown_attributes == "keep" and value is not None:
                made[key] = value
            continue
        if attribute.mutability == "readOnly" or attribute.name == "schemas":
            continue
        checked = _value(value, attribute, prefix + attribute.name, kind, dialect)
        if checked not in (None, [], {}):  # unassigned (RFC 7643 section 2.5)
            made[attribute.name] = checked
    for attribute in attributes:
        absent = attribute.required and attribute.mutability != "readOnly" and attribute.name != "schemas"
        if absent and made.get(attribute.name) in (None, ""):
            raise Refusal(400, dialect.text("required", attribute=prefix + attribute.name), "invalidValue")
    return made


def _value(value: object, attribute: Attribute, path: str, kind: ResourceType, dialect: Dialect) -> object:
    if value is None:
        return None
    if not attribute.multi_valued:
        return _single(value, attribute, path, kind, dialect)
    if not isinstance(value, list):
        raise _wrong_type(path, "an array", value, dialect)
    made = [_single(item, attribute, f"{path}[{index}]", kind, dialect) for index, item in enumerate(value)]
    made = [item for item in made if item != {}]
    if sum(isinstance(item, dict) and item.get("primary") is True for item in made) > 1:
        raise Refusal(400, f"{path} has more than one primary value", "invalidValue")
    return made


def _single(value: object, attribute: Attribute, path: str, kind: ResourceType, dialect: Dialect) -> object:
    if attribute.type == "complex":
        if not isinstance(value, dict):
            raise _wrong_type(path, "an object", value, dialect)
        return _attributes(value, attribute.sub_attributes, f"{path}.", kind, dialect)
    if attribute.type == "boolean" and dialect.string_booleans == "read" and isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    wanted, fits = _TYPES[attribute.type]
    if not fits(value):
        raise _wrong_type(path, wanted, value, dialect)
    if attribute.canonical_values and dialect.canonical_values == "enforce" and isinstance(value, str):
        return _canonical(value, attribute, path)
    return value


def _canonical(value: str, attribute: Attribute, path: str) -> str:
    for canonical in attribute.canonical_values:
        if canonical == value or (not attribute.case_exact and canonical.lower() == value.lower()):
            return canonical
    raise Refusal(400, f"{path} must be one of {', '.join(attribute.canonical_values)}", "invalidValue")


def _is_date_time(value: object) -> bool:
    return isinstance(value, str) and _DATE_TIME.fullmatch(value) is not None


def _is_base64(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_TYPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "string": ("a string", lambda value: isinstance(value, str)),
    "boolean": ("a boolean", lambda value: isinstance(value, bool)),
    "decimal": ("a number", lambda value: isinstance(value, float) or _is_integer(value)),
    "integer": ("an integer", _is_integer),
    "dateTime": ("a date and time like 2026-01-31T08:00:00Z", _is_date_time),
    "binary": ("base64 text", _is_base64),
    "reference": ("a URI in a string", lambda value: isinstance(value, str)),
}
"""Per type of RFC 7643 section 2.3: its name in a sentence, and its test."""


def _wrong_type(path: str, wanted: str, value: Value, dialect: Dialect) -> Refusal:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    given = names.get(type(value), "null" if value is None else "a number")
    if isinstance(value, str) and wanted not in {"an object", "an array", "a boolean", "a number", "an integer"}:
        given = f"{value[:40]!r}"
    return Refusal(400, dialect.text("type", attribute=path, type=wanted, given=given), "invalidValue")
