"""Reads what a list request asks for, and shapes the answer: sorting, pages, projection.

One rule: paging arithmetic is that of RFC 7644 section 3.4.2.4 to the letter; projection never shows
`returned: never` and never hides `returned: always` (sections 3.4.2.5 and 3.9).
Flow: directory -> Query -> order() -> page() -> Projection.apply() for each resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scimproxy.scim.conform import find
from scimproxy.scim.dialect import SEARCH_REQUEST, Dialect, Json, Refusal, ResourceType, Value
from scimproxy.scim.schemas import COMMON, Attribute

__all__ = ["Projection", "Query", "attribute_at", "order", "page", "page_size"]

_MAX_INT = 2**31 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Projection:
    """Which attributes the client wants to see: lower-case names, with or without URN and sub-attribute."""

    attributes: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    @classmethod
    def of(cls, attributes: Iterable[str], excluded: Iterable[str]) -> Projection:
        """Read both lists; a value filter in a name ("emails[type eq ...]") selects the whole attribute.

        Raises:
            Refusal: both are given (they are mutually exclusive, RFC 7644 section 3.4.2.5).
        """
        wanted, hidden = _names(attributes), _names(excluded)
        if wanted and hidden:
            raise Refusal(400, "attributes and excludedAttributes exclude each other", "invalidValue")
        return cls(wanted, hidden)

    def apply(self, resource: Json, kind: ResourceType) -> Json:
        """Return what of the resource is shown."""
        core = (*COMMON, *kind.schema.attributes)
        shown: Json = {}
        for key, value in resource.items():
            schema = next((one for one in kind.extensions if one.id == key), None)
            if schema is None:
                self.show_one(shown, key, value, core, f"{kind.schema.id.lower()}:")
                continue
            urn = key.lower()
            if urn in self.excluded:
                continue
            part: Json = {}
            view = Projection(frozenset(), self.excluded) if urn in self.attributes else self
            for name, inner in value.items():
                view.show_one(part, name, inner, schema.attributes, f"{urn}:", own=True)
            if part:
                shown[key] = part
        return shown

    def show_one(
        self, shown: Json, key: str, value: Value, attributes: tuple[Attribute, ...], urn: str, *, own: bool = False
    ) -> None:
        """Put one attribute into `shown`, or the part of it that is wanted; `own` means only its full name counts."""
        attribute = find(attributes, key)
        returned = attribute.returned if attribute else "default"
        name = key.lower()
        names = (urn + name,) if own else (name, urn + name)
        asked = any(one in self.attributes for one in names)
        if returned == "never" or (returned == "request" and not asked):
            return
        if returned != "always":
            if any(one in self.excluded for one in names):
                return
            part = self.attributes and not asked
            if part and not any(want.startswith(tuple(f"{one}." for one in names)) for want in self.attributes):
                return
        else:
            part = False
        subs = attribute.sub_attributes if attribute else ()
        if isinstance(value, dict):
            value = self._complex(value, subs, names, part=bool(part))
        elif isinstance(value, list):
            value = [
                self._complex(item, subs, names, part=bool(part)) if isinstance(item, dict) else item
                for item in value
            ]
            value = [item for item in value if item != {}]
        if value not in ({}, []):
            shown[key] = value

    def _complex(self, value: Json, subs: tuple[Attribute, ...], names: tuple[str, ...], *, part: bool) -> Json:
        shown: Json = {}
        for key, inner in value.items():
            attribute = find(subs, key)
            returned = attribute.returned if attribute else "default"
            full = [f"{name}.{key.lower()}" for name in names]
            asked = any(name in self.attributes for name in full)
            hidden = any(name in self.excluded for name in full) or (part and not asked)
            if returned == "never" or (returned == "request" and not asked) or (hidden and returned != "always"):
                continue
            shown[key] = inner
        return shown


def _names(given: Iterable[str]) -> frozenset[str]:
    return frozenset(name for one in given if (name := one.split("[")[0].strip().lower()))


@dataclass(frozen=True, slots=True)
class Query:
    """A list request: from the URL (RFC 7644 section 3.4.2) or a SearchRequest (section 3.4.3)."""

    filter: str | None = None
    sort_by: str | None = None
    descending: bool = False
    start_index: int = 1
    count: int | None = None
    projection: Projection = Projection()

    @classmethod
    def of_parameters(cls, given: Mapping[str, str]) -> Query:
        """Read the parameters of a URL.

        Raises:
            Refusal: 400 invalidValue.
        """
        return cls(
            filter=given.get("filter"),
            sort_by=given.get("sortBy") or None,
            descending=_descending(given.get("sortOrder")),
            start_index=max(1, _integer(given.get("startIndex", 1), "startIndex")),
            count=None if given.get("count", "") == "" else _integer(given["count"], "count"),
            projection=Projection.of(
                given.get("attributes", "").split(","), given.get("excludedAttributes", "").split(",")
            ),
        )

    @classmethod
    def of_message(cls, message: Json) -> Query:
        """Read a SearchRequest; the names of its members have no case.

        Raises:
            Refusal: 400 invalidSyntax or invalidValue.
        """
        given = {key.lower(): value for key, value in message.items() if value is not None}
        if SEARCH_REQUEST not in _strings(given.get("schemas", []), "schemas"):
            raise Refusal(400, f"schemas must name {SEARCH_REQUEST}", "invalidSyntax")
        for name in ("filter", "sortBy", "sortOrder"):
            if not isinstance(given.get(name.lower(), ""), str):
                raise Refusal(400, f"{name} must be a string", "invalidSyntax")
        return cls(
            filter=given.get("filter"),
            sort_by=given.get("sortby") or None,
            descending=_descending(given.get("sortorder")),
            start_index=max(1, _integer(given.get("startindex", 1), "startIndex")),
            count=None if "count" not in given else _integer(given["count"], "count"),
            projection=Projection.of(
                _strings(given.get("attributes", []), "attributes"),
                _strings(given.get("excludedattributes", []), "excludedAttributes"),
            ),
        )


def _integer(value: object, name: str) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(400, f"{name} must be an integer", "invalidValue")
    return max(-_MAX_INT, min(_MAX_INT, value))


def _strings(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refusal(400, f"{name} must be an array of strings", "invalidSyntax")
    return value


def _descending(value: str | None) -> bool:
    if value in (None, "", "ascending"):
        return False
    if value != "descending":
        raise Refusal(400, "sortOrder must be ascending or descending", "invalidValue")
    return True


def page[T](found: Sequence[T], query: Query, dialect: Dialect) -> Sequence[T]:
    """Return the page that was asked for: `startIndex` is 1-based, below 1 it is 1; a negative `count` is 0."""
    first = query.start_index - 1
    return found[first : first + page_size(query, dialect)]


def page_size(query: Query, dialect: Dialect) -> int:
    """Return how many resources the page could hold."""
    return min(dialect.page_size if query.count is None else max(0, query.count), dialect.max_page)


def attribute_at(text: str, kinds: Iterable[ResourceType]) -> tuple[Attribute | None, tuple[str, ...]]:
    """Return what "name.familyName" or "urn:...:User:userName" names, and its way through the JSON."""
    wanted = text.strip()
    for kind in kinds:
        for schema in kind.schemas:
            urn = schema.id.lower()
            full = wanted.lower().startswith(f"{urn}:")
            if not full and schema is not kind.schema:
                continue
            name, _, sub = (wanted[len(urn) + 1 :] if full else wanted).partition(".")
            attribute = find((*COMMON, *schema.attributes), name)
            if attribute is None:
                continue
            way = (attribute.name,) if schema is kind.schema else (schema.id, attribute.name)
            if not sub:
                return attribute, way
            inner = find(attribute.sub_attributes, sub)
            if inner is not None:
                return inner, (*way, inner.name)
    return None, ()


def order(resources: list[Json], query: Query, kinds: Sequence[ResourceType]) -> list[Json]:
    """Return the resources sorted by `sortBy` (RFC 7644 section 3.4.2.3); without it as they are.

    A multi-valued attribute counts by its primary value, else its first. What has no value comes last, or first
    when descending.

    Raises:
        Refusal: 400 invalidPath, where `sortBy` names nothing that could be shown.
    """
    if query.sort_by is None:
        return resources
    attribute, way = attribute_at(query.sort_by, kinds)
    if attribute is None or attribute.returned == "never":
        raise Refusal(400, f"sortBy {query.sort_by} names no attribute to sort by", "invalidPath")

    def key(resource: Json) -> tuple[bool, float, str]:
        value: Value = resource
        for name in way:
            value = _chosen(value.get(name)) if isinstance(value, dict) else None
        if isinstance(value, dict):
            value = value.get("value")
        if value is None:
            return True, 0.0, ""
        if isinstance(value, bool | int | float):
            return False, float(max(-1e300, min(1e300, value))), ""  # JSON has longer integers than a float holds
        return False, 0.0, str(value) if attribute.case_exact else str(value).casefold()

    return sorted(resources, key=key, reverse=query.descending)


def _chosen(value: Value) -> Value:
    if not isinstance(value, list):
        return value
    first = value[0] if value else None
    return next((item for item in value if isinstance(item, dict) and item.get("primary") is True), first)
