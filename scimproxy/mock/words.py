"""What a request says, in two parts: a mask that is the same every time, and the words that may be others each time.

One rule: what always differs is in no mask: ids, names that clients make up, dates, versions, passwords, where the
server is. Each such word stands in a slot with its role (bind.py), in a fixed order, so that two requests of one
mask can be compared word by word, and found by hash instead of one by one. Pure and bounded, as bodies.py is.
Flow: a request -> `Reading` (parsed once) -> path_form, query_form, body_form -> matching.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from scimproxy.bind import BULK, EXTERNAL, NAME, place_of, role_of, type_of
from scimproxy.bodies import Body, Seen, read_body
from scimproxy.diff.differences import parameters
from scimproxy.errors import SyntaxProblem
from scimproxy.exchange import Exchange, Request
from scimproxy.scim.filters import And, Comparison, Filter, Not, Or, Present, parse_filter
from scimproxy.scim.message import Operation
from scimproxy.scim.paths import parse_path

__all__ = ["TEXT", "Form", "Layout", "Slot", "body_form", "path_form", "query_form", "random_words"]

TEXT = "text"
"""The role of words in texts that look like chance."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([.,]\d+)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_RANDOM = re.compile(r"(?<![^\W_])(?=[A-Za-z]*\d)[A-Za-z0-9]{6,}(?![^\W_])", re.ASCII)
_FIXED = frozenset({"Schemas", "ResourceTypes", "ServiceProviderConfig", "ServiceProviderConfigs", "Me", "Bulk"})
_ENDPOINTS = frozenset({"Users", "Groups", "Roles", "Entitlements", ".search", *_FIXED})
_LISTS = frozenset({"attributes", "excludedattributes"})
_LITERAL = frozenset({"count", "startindex", "sortorder"})

type Translate = Callable[[str, str], str]
"""(role, word) -> the word as the recording has it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A word that may be another one each time: its role, in the recording's words, and as it came."""

    role: str
    word: str
    raw: str


@dataclass(frozen=True, slots=True)
class Form:
    """What one part of a request says."""

    mask: str
    slots: tuple[Slot, ...] = ()

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """The words in the slots, as the recording has them."""
        return tuple([(one.role, one.word) for one in self.slots])


def random_words(text: str) -> str:
    """Return a text with `?` for the words that look like chance (six characters and more, with a digit)."""
    return _RANDOM.sub(lambda found: f"?{len(found[0])}", text)


class Layout:
    """Where the recorded server's endpoints are, so that a path is read alike whatever is before it."""

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        known = [one for one in operations if one.is_scim]
        self._endpoints = _ENDPOINTS | {(one.endpoint or "").strip("/") for one in known}
        self._bases = sorted({one.base_path or "" for one in known}, key=len, reverse=True)

    def read(self, request: Request) -> Seen:
        """Return a request as comparisons read it; its operation says only where the endpoint is."""
        exchange = Exchange(request=request, started_at=0.0)
        operation = self.operation(request.path)
        return Seen(exchange, operation, read_body(request.content, request.headers), Body("none"))

    def operation(self, path: str) -> Operation:
        """Return where a path leads."""
        for base in self._bases:
            rest = path[len(base) :] if path.startswith(f"{base}/") else ""
            name = unquote(rest[1:].partition("/")[0])
            if name in self._endpoints:
                return Operation(is_scim=True, base_path=base, endpoint=f"/{name}")
        segments = [unquote(part) for part in path.split("/")[1:]]
        at = next((at for at, part in enumerate(segments) if part in self._endpoints), None)
        if at is None:
            return Operation()
        base = "".join(f"/{part}" for part in segments[:at])
        return Operation(is_scim=True, base_path=base, endpoint=f"/{segments[at]}")


# --- path


def path_form(of: Seen, translate: Translate) -> Form:
    """Return what the path says, without the base path: the endpoint, the id in a slot, the rest."""
    return _place(of.exchange.request.path, of, translate)


def _place(url: str, of: Seen, translate: Translate) -> Form:
    place = place_of(url, of)
    if not place.endpoint:
        return Form(f"{place.where} {place.prefix} {place.rest}")
    if not place.id or place.endpoint in _FIXED or place.id.startswith("."):
        return Form(f"/{place.endpoint}/{place.id}/{place.rest}")
    role, said = type_of(place.endpoint), place.id
    if said.startswith("bulkId:"):
        role, said = BULK, said[7:]
    return Form(f"/{place.endpoint}/?/{place.rest}", (Slot(role, translate(role, said), said),))


# --- query


def query_form(of: Seen, translate: Translate) -> Form:
    """Return what the query says: names without case and order, filters as parsed."""
    given = parameters(of)
    parts: list[str] = []
    slots: list[Slot] = []
    for name in sorted(given):
        form = _parameter(name, given[name], of, translate)
        parts.append(f"{name}={form.mask}")
        slots += form.slots
    return Form("&".join(parts), tuple(slots))


def _parameter(name: str, value: str, of: Seen, translate: Translate) -> Form:
    if name == "filter":
        return _filter_text(value, _Walk(of, translate))
    if name in _LISTS:
        return Form(",".join(sorted({part.strip().lower() for part in value.split(",")})))
    return Form(value.strip().lower()) if name in _LITERAL or name == "sortby" else _text(value, translate)


def _filter_text(text: str, walk: _Walk) -> Form:
    try:
        found = parse_filter(text)
    except SyntaxProblem:
        return _text(text, walk.translate)
    slots: list[Slot] = []
    return Form(_filter(found, (), walk, slots), tuple(slots))


def _filter(found: Filter, inside: tuple[str, ...], walk: _Walk, slots: list[Slot]) -> str:
    if isinstance(found, And | Or):
        word = "and" if isinstance(found, And) else "or"
        return f"({f' {word} '.join(_filter(one, inside, walk, slots) for one in found.terms)})"
    if isinstance(found, Not):
        return f"not {_filter(found.filter, inside, walk, slots)}"
    if isinstance(found, Present):
        return f"{str(found.path).lower()} pr"
    if isinstance(found, Comparison):
        names = (*inside, *filter(None, (found.path.name.lower(), (found.path.sub or "").lower())))
        form = walk.value(found.value, names)
        slots += form.slots
        return f"{str(found.path).lower()} {found.op} {form.mask}"
    name = (*inside, found.path.name.lower())
    rest = "" if found.rest is None else f".{_filter(found.rest, name, walk, slots)}"
    return f"{str(found.path).lower()}[{_filter(found.filter, name, walk, slots)}]{rest}"


# --- body


def body_form(of: Seen, translate: Translate) -> Form:
    """Return what the body says: JSON by its values; other text without dates; anything else by its hash."""
    body = of.request
    if body.form == "json":
        return _Walk(of, translate).value(body.value, ())
    if body.form == "text":
        return _text(body.value, translate)
    return Form("" if body.form == "none" else f"sha256:{body.sha256}")


class _Walk:
    """Reads values of one request."""

    def __init__(self, of: Seen, translate: Translate) -> None:
        self._of = of
        self.translate = translate
        self._kind = type_of((of.operation.endpoint or "").strip("/"))

    def value(self, value: Any, names: tuple[str, ...]) -> Form:  # noqa: ANN401 - JSON
        """Return the form of a value at a place: lower-case names, without indexes."""
        if isinstance(value, dict):
            return self._object(value, names)
        if isinstance(value, list):
            return self._list(value, names)
        if isinstance(value, str):
            return self._string(value, names)
        return Form(json.dumps(value))

    def _object(self, value: dict[str, Any], names: tuple[str, ...]) -> Form:
        parts: list[str] = []
        slots: list[Slot] = []
        for name in sorted(value, key=str.lower):
            inner = value[name]
            if inner is None or inner in ([], {}):  # all unassigned (RFC 7643 section 2.5)
                continue
            lowered = name.lower()
            below = _target(value) if lowered == "value" and names[-1:] == ("operations",) else (lowered,)
            form = self.value(inner, (*names, *below))
            parts.append(f"{json.dumps(lowered)}:{form.mask}")
            slots += form.slots
        return Form(f"{{{','.join(parts)}}}", tuple(slots))

    def _list(self, value: list[Any], names: tuple[str, ...]) -> Form:
        forms = [self.value(one, names) for one in value]
        if names[-1:] != ("operations",):  # those happen in their order; other values have none (RFC 7643 s2.4)
            forms.sort(key=lambda one: (one.mask, one.words))
        return Form(f"[{','.join(one.mask for one in forms)}]", tuple(slot for one in forms for slot in one.slots))

    def _string(self, value: str, names: tuple[str, ...]) -> Form:
        role, last = role_of(names), names[-1] if names else ""
        if last in {"schemas", "op"}:
            return Form(json.dumps(value.lower()))
        if role in {"secret", "version"} or _DATE.fullmatch(value):
            return Form(role)
        if role == "location" or value.startswith(("http://", "https://")):
            return _place(value, self._of, self.translate)
        if role == "path":
            return _place(value, self._of, self.translate) if value.startswith("/") else self._path(value)
        if role == "filter":
            return _filter_text(value, self)
        slot = {"id": self._kind, "member": "Group" if "groups" in names[-2:] else "User", "name": NAME}.get(role)
        slot = slot or {"externalId": EXTERNAL, "bulkId": BULK}.get(role)
        if slot is None:
            return _text(value, self.translate)
        return Form("?", (Slot(slot, self.translate(slot, value), value),))

    def _path(self, text: str) -> Form:
        try:
            found = parse_path(text)
        except SyntaxProblem:
            return _text(text, self.translate)
        slots: list[Slot] = []
        name = (found.path.name.lower(),)
        inner = "" if found.filter is None else f"[{_filter(found.filter, name, self, slots)}]"
        return Form(f"{str(found.path).lower()}{inner}.{(found.sub or '').lower()}", tuple(slots))


def _text(value: str, translate: Translate) -> Form:
    undated = _DATE.sub("DATE", value)
    mask = random_words(undated)
    if mask == undated:
        return Form(json.dumps(undated))
    return Form(json.dumps(mask), (Slot(TEXT, translate(TEXT, value), value),))


def _target(operation: dict[str, Any]) -> tuple[str, ...]:
    """Return the names that a PATCH operation's value stands for: those of its path, where it has one."""
    path = operation.get("path")
    if not isinstance(path, str) or path.startswith("/"):
        return ("value",)
    before, bracket, rest = path.partition("[")
    whole = (before + (rest.rpartition("]")[2] if bracket else "")).lower()
    return tuple(whole.rpartition(":")[2].split("."))
