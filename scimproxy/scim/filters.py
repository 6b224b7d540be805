"""Filters of RFC 7644 section 3.4.2.2 on resources: does this resource match?

One rule: a comparison follows the schema of the attribute: `caseExact`, the type, the list. Nothing is written.
Flow: text -> syntax.parse_filter -> Filter -> matches(resource); patch.py chooses elements with matches_element.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from scimproxy.scim.schemas import DEFAULT, Attribute, AttributePath, Place, Registry
from scimproxy.scim.syntax import (
    And,
    Comparison,
    Filter,
    FilterSyntaxError,
    Not,
    Or,
    Present,
    Value,
    ValuePath,
    parse_filter,
)

__all__ = [
    "And",
    "AttributePath",
    "Comparison",
    "Filter",
    "FilterSyntaxError",
    "Not",
    "Or",
    "Present",
    "ValuePath",
    "check_filter",
    "matches",
    "matches_element",
    "member",
    "parse_filter",
]


_Locate = Callable[[AttributePath], Place]
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "co": operator.contains,
    "sw": str.startswith,
    "ew": str.endswith,
}


def matches(wanted: Filter, resource: Mapping[str, Any], registry: Registry = DEFAULT) -> bool:
    """Return whether a resource satisfies a filter.

    Names have no case; strings compare by `caseExact`, times by the clock; of a list any element may match, by its
    `value` where no sub-attribute is named (RFC 7644 section 3.4.2.2). An attribute without a value equals null and
    is `ne` any value; one that no schema of the resource knows and that is absent matches nothing (section 3.4.2.1).

    Raises:
        FilterSyntaxError: booleans or binary values are asked to be greater or less.
    """
    given = member(resource, "schemas")
    urns = [urn for urn in given if isinstance(urn, str)] if isinstance(given, list) else []
    return _test(wanted, resource, lambda path: registry.locate(path, urns))


def matches_element(wanted: Filter, element: object, attribute: Attribute | None) -> bool:
    """Return whether an element of a list satisfies the filter in square brackets after the list's name.

    An element that is not an object is seen as its own `value`. Raises as `matches` does.
    """
    node = element if isinstance(element, Mapping) else {"value": element}
    return _test(wanted, node, _inside(attribute))


def check_filter(wanted: Filter, registry: Registry = DEFAULT) -> None:
    """Raise now what `matches` could raise on some resource.

    Raises:
        FilterSyntaxError: booleans or binary values are asked to be greater or less.
    """
    _check(wanted, registry.locate)


def member(node: object, name: str) -> Any:  # noqa: ANN401  # anything that JSON can hold
    """Return the member of a JSON object by its name without regard to case; None if there is none."""
    if not isinstance(node, dict | Mapping):  # dict first: asking for an abstract class is slow
        return None
    if name in node:
        return node[name]
    wanted = name.lower()
    return next((value for key, value in node.items() if key.lower() == wanted), None)


def _inside(attribute: Attribute | None) -> _Locate:
    def locate(path: AttributePath) -> Place:
        found = attribute.sub(path.name) if attribute and not path.schema else None
        if attribute and not attribute.sub_attributes and path.name.lower() == "value":
            found = attribute
        return Place(path.schema, path.name, path.sub, found, found.sub(path.sub) if found and path.sub else None)

    return locate


def _parts(wanted: Not | And | Or | ValuePath) -> tuple[Filter, ...]:
    if isinstance(wanted, And | Or):
        return wanted.terms
    if isinstance(wanted, ValuePath) and wanted.rest:
        return (wanted.filter, wanted.rest)
    return (wanted.filter,)


def _check(wanted: Filter, locate: _Locate) -> None:
    if isinstance(wanted, Comparison):
        _comparable(wanted, locate(wanted.path))
    elif isinstance(wanted, ValuePath):
        inner = _inside(locate(wanted.path).target)
        for part in _parts(wanted):
            _check(part, inner)
    elif not isinstance(wanted, Present):
        for part in _parts(wanted):
            _check(part, locate)


def _comparable(wanted: Comparison, place: Place) -> Attribute | None:
    """Return the attribute whose rules the comparison follows."""
    target = place.target
    if target and target.type == "complex":
        target = target.sub("value")
    if target and target.type in {"boolean", "binary"} and wanted.op in _ORDER:
        raise FilterSyntaxError(
            f"{wanted.path} is {target.type} and cannot be compared with {wanted.op}", text=str(wanted), position=0
        )
    return target


def _test(wanted: Filter, node: Mapping[str, Any], locate: _Locate) -> bool:
    match wanted:
        case And(terms):
            return all(_test(term, node, locate) for term in terms)
        case Or(terms):
            return any(_test(term, node, locate) for term in terms)
        case Not(inner):
            return not _test(inner, node, locate)
        case Present(path):
            return any(_is_present(value) for value in _values(node, locate(path)))
        case Comparison(path):
            return _compares(wanted, node, locate(path))
    place = locate(wanted.path)
    return any(
        all(matches_element(part, element, place.target) for part in _parts(wanted))
        for element in _values(node, place)
        if element is not None
    )


def _values(node: Mapping[str, Any], place: Place) -> Iterator[Any]:
    """Yield the values at a place, one for each element of a list; None for what is not there."""
    holder = node if place.extension is None else member(node, place.extension)
    found = member(holder, place.name) if place.name else holder
    for element in found if isinstance(found, list) else (found,):
        inner = member(element, place.sub) if place.sub else element
        yield from inner if isinstance(inner, list) else (inner,)


def _is_present(value: object) -> bool:
    """Whether `pr` holds: false and 0 are values, empty text and objects of nothing are not."""
    if isinstance(value, Mapping):
        return any(_is_present(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_is_present(inner) for inner in value)
    return value is not None and value != ""


def _compares(wanted: Comparison, node: Mapping[str, Any], place: Place) -> bool:
    target = _comparable(wanted, place)
    values = list(_values(node, place)) or [None]
    if place.target is None and all(value is None for value in values):
        return False
    return any(
        _compare(member(value, "value") if isinstance(value, Mapping) else value, wanted, target) for value in values
    )


def _compare(value: object, wanted: Comparison, attribute: Attribute | None) -> bool:
    pair = _pair(value, wanted.value, attribute, wanted.op)
    if pair is None:
        return wanted.op == "ne"
    left, right = pair
    if wanted.op == "eq":
        return bool(left == right)
    if wanted.op == "ne":
        return bool(left != right)
    if wanted.op in _TEXT:
        return isinstance(left, str) and _TEXT[wanted.op](left, right)
    return not isinstance(left, bool | None) and _ORDER[wanted.op](left, right)


def _pair(value: Any, other: Value, attribute: Attribute | None, op: str) -> tuple[Any, Any] | None:  # noqa: ANN401  # as in JSON
    """Return the two values in a form in which Python compares them as SCIM does; None if their types differ."""
    if isinstance(value, str) and isinstance(other, str):
        if attribute and attribute.type == "dateTime" and op not in _TEXT:
            left, right = _time(value), _time(other)
            if left and right:
                return left, right
        exact = attribute is not None and attribute.case_exact
        return (value, other) if exact else (value.casefold(), other.casefold())
    if _is_number(value) and _is_number(other):
        return value, other
    return (value, other) if type(value) is type(other) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _time(text: str) -> datetime | None:
    """Return the moment a dateTime names (RFC 7643 section 2.3.5), in UTC if it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
