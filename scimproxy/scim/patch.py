"""PATCH as RFC 7644 section 3.5.2 has it: operations on a resource give a new resource.

One rule: all or nothing. The resource that comes in is never written; a fault raises and leaves no trace.
Types of values are not checked here, the directory does that to the result. Besides the RFC's form it takes what
clients send: `op` in any case, `path` forms as names in a pathless value, `remove` with a list of values (Entra ID),
a manager as plain text (Entra ID), `id` in a pathless value (Okta).
Flow: directory -> apply_patch -> paths, filters -> the patched resource, to be checked and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scimproxy.scim.filters import And, Comparison, Filter, FilterSyntaxError, matches_element, member
from scimproxy.scim.paths import PatchPath, PathSyntaxError, parse_path
from scimproxy.scim.schemas import DEFAULT, Attribute, AttributePath, Place, Registry

__all__ = ["MAX_OPERATIONS", "PatchError", "ScimType", "apply_patch"]

MAX_OPERATIONS = 1000
"""Most operations in one request."""

ScimType = Literal["invalidFilter", "invalidPath", "invalidSyntax", "invalidValue", "mutability", "noTarget"]
"""The words of RFC 7644 table 9 that a PATCH can earn."""

_Json = dict[str, Any]
_Value = Any
"""Anything that JSON can hold; how deep it nests is for the caller to bound."""


class PatchError(Exception):
    """A PATCH that a server answers with 400: `scim_type` of RFC 7644 table 9, and a sentence.

    `operation` is the 0-based number of the operation at fault, None where the whole request is.
    """

    def __init__(self, scim_type: ScimType, detail: str, operation: int | None = None) -> None:
        super().__init__(detail)
        self.scim_type = scim_type
        self.detail = detail
        self.operation = operation


def apply_patch(
    resource: Mapping[str, Any],
    operations: Sequence[object],
    *,
    registry: Registry = DEFAULT,
    string_booleans: bool = False,
    unknown_paths: bool = False,
    replace_creates: bool = False,
) -> _Json:
    """Return the resource as the operations leave it.

    A read-only attribute in a pathless value is passed over unless it contradicts the resource. `remove` with
    a filter that matches nothing changes nothing: section 3.5.2.2 names no error for it.

    Args:
        resource: The resource before; it stays as it is.
        operations: The `Operations` of the request, as they came.
        registry: The schemas that say what an attribute is.
        string_booleans: Whether "True" and "False" in text are booleans, as Entra ID sends them.
        unknown_paths: Whether a path may name what no schema knows. In a pathless value it always may.
        replace_creates: Whether `replace` with a filter that matches nothing adds an element, as Entra ID expects.

    Raises:
        PatchError: the request cannot be carried out.
    """
    if len(operations) > MAX_OPERATIONS:
        raise PatchError("invalidValue", f"More than {MAX_OPERATIONS} operations in one request")
    patch = _Patch(_copied(resource), registry, string_booleans, unknown_paths, replace_creates)
    for number, operation in enumerate(operations):
        try:
            patch.apply(operation)
        except PatchError as exc:
            raise PatchError(exc.scim_type, f"Operation {number + 1}: {exc.detail}", number) from None
        except FilterSyntaxError as exc:
            raise PatchError("invalidFilter", f"Operation {number + 1}: {exc}", number) from None
    return patch.resource


@dataclass(frozen=True, slots=True)
class _Target:
    """What one operation writes: the place of an attribute, the elements chosen of it, a sub-attribute."""

    text: str
    place: Place
    filter: Filter | None
    sub: str | None

    @property
    def sub_attribute(self) -> Attribute | None:
        return self.place.attribute.sub(self.sub) if self.place.attribute and self.sub else None

    @property
    def sub_name(self) -> str | None:
        return self.sub_attribute.name if self.sub_attribute else self.sub

    @property
    def read_only(self) -> bool:
        return any(a is not None and a.mutability == "readOnly" for a in (self.place.attribute, self.sub_attribute))

    @property
    def is_known(self) -> bool:
        return self.place.attribute is not None and (self.sub is None or self.sub_attribute is not None)


@dataclass(slots=True)
class _Patch:
    resource: _Json
    registry: Registry
    string_booleans: bool
    unknown_paths: bool
    replace_creates: bool

    # -- one operation --------------------------------------------------------------------------------------

    def apply(self, operation: object) -> None:
        """Carry out one operation on the resource."""
        if not isinstance(operation, Mapping):
            raise PatchError("invalidSyntax", "An operation is a JSON object")
        given = {str(key).lower(): value for key, value in operation.items()}
        verb, path = given.get("op"), given.get("path")
        verb = verb.lower() if isinstance(verb, str) else verb
        if verb not in ("add", "replace", "remove"):  # a tuple: what a client sends need not be hashable
            raise PatchError("invalidSyntax", f"op must be add, replace or remove, not {verb!r:.40}")
        if path is not None and not isinstance(path, str):
            raise PatchError("invalidPath", "path must be a string")
        if verb == "remove" and not path:
            raise PatchError("noTarget", "remove needs a path")
        if verb != "remove" and "value" not in given:
            raise PatchError("invalidValue", f"{verb} needs a value")
        value = _copied(given.get("value"))
        if path:
            self._explicit(verb, self._target(path), value)
        elif isinstance(value, dict):
            for name, inner in value.items():
                self._implicit(verb, self._target(name), inner)
        else:
            raise PatchError("invalidValue", f"{verb} without a path needs an object of attributes as its value")

    def _target(self, text: str, extension: str | None = None) -> _Target:
        try:
            parsed = parse_path(text)
        except PathSyntaxError as exc:
            raise PatchError(
                "invalidPath", f"The path {text!r:.80} is wrong at position {exc.position + 1}: {exc}"
            ) from None
        if extension and parsed.path.schema is None:
            parsed = PatchPath(AttributePath(extension, parsed.path.name, parsed.path.sub), parsed.filter, parsed.sub)
        urns = [urn for urn in _elements(member(self.resource, "schemas")) if isinstance(urn, str)]
        place = self.registry.locate(parsed.path, urns)
        return _Target(text, place, parsed.filter, parsed.sub or place.sub)

    def _explicit(self, verb: str, target: _Target, value: _Value) -> None:
        if not target.place.name:
            self._extension(verb, target, value)
            return
        if not target.is_known and not self.unknown_paths:
            raise PatchError("invalidPath", f"No schema of this resource has an attribute {target.text!r:.80}")
        if target.read_only:
            raise PatchError("mutability", f"{target.text} is read-only")
        self._write(verb, target, value)

    def _implicit(self, verb: str, target: _Target, value: _Value) -> None:
        if not target.place.name:
            self._extension(verb, target, value)
        elif not target.read_only:
            self._write(verb, target, value)
        else:
            kept = member(self._holder(target.place), target.place.name)
            kept = member(kept, target.sub) if target.sub else kept
            if kept is not None and kept != value:
                raise PatchError("mutability", f"{target.text} is read-only and has another value")

    def _extension(self, verb: str, target: _Target, value: _Value) -> None:
        urn = target.place.extension or ""
        if verb == "remove" or (verb == "replace" and value is None):
            holder = self._holder(target.place)
            for name in list(holder):
                self._write("remove", self._target(name, urn), None)
        elif isinstance(value, dict):
            for name, inner in value.items():
                self._implicit(verb, self._target(name, urn), inner)
        else:
            raise PatchError("invalidValue", f"{target.text} needs an object of attributes as its value")

    # -- writing an attribute -------------------------------------------------------------------------------

    def _holder(self, place: Place) -> _Json:
        """Return the object that holds the attribute: the resource, or an extension's part of it."""
        if place.extension is None:
            return self.resource
        held = member(self.resource, place.extension)
        return held if isinstance(held, dict) else {}

    def _write(self, verb: str, target: _Target, value: _Value) -> None:
        place, attribute = target.place, target.place.attribute
        holder = self._holder(place)
        before = member(holder, place.name)
        if self.string_booleans:
            value = _booleans(value, target.sub_attribute if target.sub else attribute)
        many = attribute.multi_valued if attribute else isinstance(before, list)
        if target.filter is not None and not many:
            raise PatchError("invalidPath", f"{target.text}: square brackets choose from a list, and this is none")
        write = self._listed if many else _single
        after = write(verb, target, _elements(before) if many else before, value)
        _settled(attribute, before, after)
        _put(holder, place.name, after)
        if place.extension is not None:
            self._keep_extension(place.extension, holder)

    def _keep_extension(self, urn: str, holder: _Json) -> None:
        """Put an extension's part in its place, and its URN among the schemas as long as there is one."""
        _put(self.resource, urn, holder)
        urns = member(self.resource, "schemas")
        if isinstance(urns, list):
            kept = [one for one in urns if not (isinstance(one, str) and one.lower() == urn.lower())]
            if holder and len(kept) == len(urns):
                urns.append(urn)
            elif not holder:
                urns[:] = kept

    def _listed(self, verb: str, target: _Target, before: list[Any], value: _Value) -> list[Any]:
        """Return a list as the operation leaves it."""
        if target.filter is None and target.sub is None:
            return _whole_list(verb, target, before, value)
        attribute = target.place.attribute
        chosen = _chosen(target.filter, before, attribute)
        if not any(chosen):
            return self._unmatched(verb, target, before, value)
        after: list[Any] = []
        changed: list[Any] = []
        for element, is_chosen in zip(before, chosen, strict=True):
            if not is_chosen:
                after.append(element)
                continue
            new = _element(verb, target, element, _copied(value))
            if not _is_empty(new):
                after.append(new)
                if member(element, "primary") is not True:
                    changed.append(new)
        return _one_primary(after, changed, target.text)

    def _unmatched(self, verb: str, target: _Target, before: list[Any], value: _Value) -> list[Any]:
        """Return the list when no element was chosen: what is to be added brings the conditions of the filter."""
        if verb == "remove" or value is None:
            return before
        if target.filter is not None and verb == "replace" and not self.replace_creates:
            raise PatchError("noTarget", f"Nothing matches {target.text}")
        made = {} if target.filter is None else _conditions(target.filter, target.place.attribute)
        if made is None:
            raise PatchError("noTarget", f"Nothing matches {target.text}, and no element can be made of its filter")
        if target.sub_name:
            made[target.sub_name] = value
        elif isinstance(value, dict):
            made |= value
        else:
            raise PatchError("invalidValue", f"{target.text} needs an object as its value")
        return _one_primary([*before, made], [made], target.text)


def _single(verb: str, target: _Target, before: _Value, value: _Value) -> _Value:
    """Return a value that is no list as the operation leaves it."""
    attribute = target.place.attribute
    if target.sub_name:
        kept = dict(before) if isinstance(before, dict) else {}
        _put(kept, target.sub_name, None if verb == "remove" else value)
        return kept
    if verb == "remove" or (verb == "replace" and value is None):
        return None
    if value is None:
        return before
    if attribute is None or attribute.type != "complex":
        return value
    if isinstance(value, str) and attribute.sub("value"):
        value = {"value": value}
    if not isinstance(value, dict):
        raise PatchError("invalidValue", f"{target.text} needs an object as its value")
    return _merged(before, value, attribute)


def _whole_list(verb: str, target: _Target, before: list[Any], value: _Value) -> list[Any]:
    attribute = target.place.attribute
    given = _elements(value)
    if attribute and attribute.type == "complex" and not all(isinstance(element, dict) for element in given):
        raise PatchError("invalidValue", f"The values of {target.text} are objects")
    if verb == "remove":
        if value is None:
            return []
        unwanted = {_identity(element, attribute) for element in given}
        return [element for element in before if _identity(element, attribute) not in unwanted]
    after = [] if verb == "replace" else list(before)
    known = _Known(attribute)
    for index, element in enumerate(after):
        known.put(element, index)
    claims: set[int] = set()
    for element in given:
        same = known.find(element)
        if same is None:
            same = len(after)
            after.append(element)
        elif isinstance(element, dict):
            after[same] = _merged(after[same], element, None)
        known.put(after[same], same)
        if member(element, "primary") is True:
            claims.add(same)
    return _one_primary(after, [after[index] for index in claims], target.text)


class _Known:
    """Finds the element of a list that another one repeats, in constant time, since lists of members are long.

    Elements of one `value` are one unless their types differ (RFC 7643 section 2.4).
    """

    def __init__(self, attribute: Attribute | None) -> None:
        self._attribute = attribute
        self._first: dict[object, int] = {}
        self._typed: dict[tuple[object, str | None], int] = {}

    def put(self, element: _Value, index: int) -> None:
        """Remember where an element is; one that got a type meanwhile is no longer without."""
        identity, kind = _identity(element, self._attribute), _kind(element)
        self._first.setdefault(identity, index)
        self._typed.setdefault((identity, kind), index)
        if kind is not None and self._typed.get((identity, None)) == index:
            del self._typed[identity, None]

    def find(self, element: _Value) -> int | None:
        """Return where an element like this one is."""
        identity, kind = _identity(element, self._attribute), _kind(element)
        if kind is None:
            return self._first.get(identity)
        return self._typed.get((identity, kind), self._typed.get((identity, None)))


def _kind(element: _Value) -> str | None:
    kind = member(element, "type")
    return kind.casefold() if isinstance(kind, str) else None


def _element(verb: str, target: _Target, element: _Value, value: _Value) -> _Value:
    """Return a chosen element of a list as the operation leaves it; None if it is gone."""
    if target.sub_name is None:
        if verb == "remove" or (verb == "replace" and value is None):
            return None
        attribute = target.place.attribute
        if attribute and attribute.type == "complex" and not isinstance(value, dict):
            raise PatchError("invalidValue", f"{target.text} needs an object as its value")
        return _merged(element, value, attribute) if verb == "add" and isinstance(value, dict) else value
    if not isinstance(element, dict):
        raise PatchError("invalidPath", f"{target.text}: the elements of this list have no parts")
    new = dict(element)
    _put(new, target.sub_name, None if verb == "remove" else value)
    _settled(target.sub_attribute, member(element, target.sub_name), member(new, target.sub_name))
    return new


def _chosen(wanted: Filter | None, elements: list[Any], attribute: Attribute | None) -> list[bool]:
    """Return for each element whether the operation is about it."""
    if wanted is None:
        return [True] * len(elements)
    match wanted:
        case Comparison(AttributePath(None, name, None), "eq", str(value)):
            rule = attribute.sub(name) if attribute else None
            if rule and rule.type == "string":
                return _chosen_by_text(value, elements, rule)
    return [matches_element(wanted, element, attribute) for element in elements]


def _chosen_by_text(value: str, elements: list[Any], rule: Attribute) -> list[bool]:
    """Do for objects what `matches_element` does, many times as fast: `members[value eq "x"]` is in most PATCHes."""
    given = (member(element, rule.name) for element in elements)
    if rule.case_exact:
        return [one == value for one in given]
    folded = value.casefold()
    return [isinstance(one, str) and one.casefold() == folded for one in given]


def _conditions(wanted: Filter, attribute: Attribute | None) -> _Json | None:
    """Return an element that satisfies `type eq "work" and ...`, None for a filter of any other form."""
    made: _Json = {}
    for term in wanted.terms if isinstance(wanted, And) else (wanted,):
        if not isinstance(term, Comparison) or term.op != "eq" or term.path.schema or term.path.sub:
            return None
        known = attribute.sub(term.path.name) if attribute else None
        made[known.name if known else term.path.name] = term.value
    return made


def _identity(element: _Value, attribute: Attribute | None) -> object:
    """Return what makes an element of a list the same as another: its `value`, else everything in it."""
    value = member(element, "value") if isinstance(element, dict) else element
    if isinstance(value, str):
        rule = attribute.sub("value") or attribute if attribute else None
        return value if rule and rule.case_exact else value.casefold()
    return repr(sorted(element.items(), key=repr)) if isinstance(element, dict) and value is None else repr(value)


def _one_primary(elements: list[Any], changed: Iterable[Any], text: str) -> list[Any]:
    """Return the list with at most one primary element: a new one takes it from the old (RFC 7644 section 3.5.2)."""
    new = [element for element in changed if member(element, "primary") is True]
    if len(new) > 1:
        raise PatchError("invalidValue", f"Only one element of {text} can be primary")
    if not new:
        return elements
    return [
        {key: False if key.lower() == "primary" else value for key, value in element.items()}
        if element is not new[0] and member(element, "primary") is True
        else element
        for element in elements
    ]


def _settled(attribute: Attribute | None, before: _Value, after: _Value) -> None:
    """Refuse a change that the attribute's characteristics forbid; parts of a complex value included."""
    if attribute is None or _is_empty(before):
        return
    if attribute.required and _is_empty(after):
        raise PatchError("mutability", f"{attribute.name} is required and cannot be removed")
    if attribute.mutability == "immutable" and before != after:
        raise PatchError("mutability", f"{attribute.name} cannot be changed once it has a value")
    if isinstance(before, dict) and not _is_empty(after):
        for sub in attribute.sub_attributes:
            _settled(sub, member(before, sub.name), member(after, sub.name))


def _merged(before: _Value, given: _Json, attribute: Attribute | None) -> _Json:
    """Return an object with what is given put in, the rest of it kept (RFC 7644 section 3.5.2.3)."""
    kept: _Json = dict(before) if isinstance(before, dict) else {}
    for name, value in given.items():
        known = attribute.sub(name) if attribute else None
        if known is None or known.mutability != "readOnly":
            _put(kept, known.name if known else name, value)
    return kept


def _put(holder: _Json, name: str, value: _Value) -> None:
    """Set a member whatever the case of its name so far; what is empty is taken out (RFC 7643 section 2.5)."""
    key = name if name in holder else next((key for key in holder if key.lower() == name.lower()), name)
    if _is_empty(value):
        holder.pop(key, None)
    else:
        holder[key] = value


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, list | dict) and not value)


def _elements(value: _Value) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _booleans(value: _Value, attribute: Attribute | None) -> _Value:
    """Return a value with the text of booleans read, where the schema says boolean."""
    if isinstance(value, list):
        return [_booleans(element, attribute) for element in value]
    if attribute is None:
        return value
    if isinstance(value, dict):
        return {name: _booleans(inner, attribute.sub(name)) for name, inner in value.items()}
    if attribute.type == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value)
    return value


def _copied(value: _Value) -> _Value:
    """Return a copy of JSON that shares no object and no list with it."""
    if isinstance(value, Mapping):
        return {name: _copied(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(inner) for inner in value]
    return value
