"""Typed correlation: which id, name or version of run A is which of run B. Values are bound by their SCIM role.

One rule: a value is bound only where its role says what it is, and within that role (`User`, `Group`, `name`, ...),
so that the id `1` never touches a count of 1, and a user's 1 is not a group's. The first binding of a value stands;
what contradicts it is a difference. Whole values bind anywhere in their role; of names also the words of four letters
and more, in any text, as they were and in capitals or small letters (suites look for names in capitals).
Pure. Flow: paired exchanges -> diff/differences.py asks `Bindings` of every value, in order -> the table, kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote, urlsplit

from scimproxy.bodies import Seen
from scimproxy.errors import FormatError, SyntaxProblem
from scimproxy.scim.filters import And, Comparison, Filter, Not, Or, Present, ValuePath, parse_filter
from scimproxy.scim.paths import parse_path

__all__ = ["EXTERNAL", "NAME", "Bindings", "Bound", "Place", "Role", "place_of", "role_at", "role_of", "type_of"]

type Role = Literal[
    "id",
    "member",
    "externalId",
    "bulkId",
    "location",
    "version",
    "secret",
    "name",
    "path",
    "filter",
    "detail",
    "text",
]
"""What a string in a message is. `member` is an id of a resource that another one names."""

NAME, EXTERNAL, BULK = "name", "externalId", "bulkId"
_NAMES = frozenset(
    [
        "username",
        "displayname",
        "nickname",
        "formatted",
        "familyname",
        "givenname",
        "middlename",
        "display",
        "profileurl",
        "employeenumber",
    ]
)
_VALUES = frozenset({"emails", "phonenumbers", "ims", "photos"})
_ROOTS = frozenset({"resources", "data", "response", "value"})
_TYPES = {"Users": "User", "Groups": "Group", "Roles": "Role", "Entitlements": "Entitlement"}
_FIXED = frozenset({"ServiceProviderConfig", "ResourceType", "Schema"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WORD = re.compile(r"[^\W_]+")
_PHRASE = re.compile(r"[^\s\"'()<>\[\],;]+")
_SHORTEST = 4
_LONGEST = 65_536
_LONGEST_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Bound:
    """One row of the table: in its role (`User`, `Group`, `name`, ...), `a` of run A is `b` of run B."""

    role: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL or path leads: `where` is `server`, `relative` or a foreign origin; `prefix` the path before."""

    where: str
    prefix: str
    endpoint: str
    id: str
    rest: str


@lru_cache(maxsize=4096)  # names come over the wire
def role_at(parent: str, name: str) -> Role:
    """Return the role of a value by its name, in any letter case, and that of the value around it, in lower case."""
    last = name.lower()
    if last == "value" and parent in {"members", "groups", "manager"}:
        return "member"
    if last in _NAMES or (last == "value" and parent in _VALUES):
        return "name"
    if parent == "operations" and last == "version":
        return "version"
    if last == "id" and parent and parent not in _ROOTS:
        return "text"
    return _BY_NAME.get((parent, last)) or _BY_NAME.get(("", last)) or "text"


def role_of(path: tuple[str, ...]) -> Role:
    """Return the role of a value by the names that lead to it: lower case, without indexes (RFC 7643, RFC 7644)."""
    return role_at(path[-2] if len(path) > 1 else "", path[-1]) if path else "text"


_BY_NAME: dict[tuple[str, str], Role] = {
    ("", "id"): "id",
    ("", "externalid"): "externalId",
    ("", "bulkid"): "bulkId",
    ("", "$ref"): "location",
    ("", "password"): "secret",
    ("", "filter"): "filter",
    ("", "detail"): "detail",
    ("meta", "location"): "location",
    ("meta", "version"): "version",
    ("operations", "location"): "location",
    ("operations", "path"): "path",
}


def type_of(endpoint: str) -> str:
    """Return the type of resource behind an endpoint, as the role of its ids: `Users` holds `User`."""
    return _TYPES.get(endpoint) or endpoint.removesuffix("s")


class Bindings:
    """The table of what is bound; it grows with every pair that is compared, in their order."""

    def __init__(self, rows: Iterable[Bound] = ()) -> None:
        self._forth: dict[tuple[str, str], str] = {}
        self._back: dict[tuple[str, str], str] = {}
        self._words: set[tuple[str, str]] = set()
        self._names: set[tuple[str, str]] = set()
        self._cased: dict[str, str] = {}
        self._roles: set[str] = set()
        for row in rows:
            if row.role == NAME:
                self._bind_name(row.a, row.b)
            else:
                self.same(row.role, row.a, row.b)

    # --- the table

    def rows(self) -> list[Bound]:
        """Return the table, in the order in which values were bound, without those that are the same in both."""
        return [Bound(role, a, b) for (role, a), b in self._forth.items() if a != b]

    def to_json(self) -> str:
        """Return the table as text that can be edited and read again."""
        return json.dumps([{"role": row.role, "a": row.a, "b": row.b} for row in self.rows()], indent=2)

    @classmethod
    def from_json(cls, text: str) -> Bindings:
        """Return the table that `to_json` wrote.

        Raises:
            FormatError: it is no such table.
        """
        try:
            return cls([Bound(str(row["role"]), str(row["a"]), str(row["b"])) for row in json.loads(text)])
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise FormatError(
                "the bindings are no list of role, a and b",
                hint="write them with --write-bindings, edit them, and pass them in again",
            ) from exc

    # --- asking and learning

    def same(self, role: str, a: str, b: str) -> bool:
        """Return whether a is b in this role; what neither run has bound yet is bound by asking."""
        known, back = self._forth.get((role, a)), self._back.get((role, b))
        if known is None and back is None:
            self._forth[role, a] = b
            self._back[role, b] = a
            self._roles.add(role)
            self._bind_words(a, b)
            return True
        return known == b and back == a

    def b_of(self, role: str, a: str) -> str | None:
        """Return what a value of run A is in run B; None where it is not bound."""
        return self._forth.get((role, a))

    def a_of(self, role: str, b: str) -> str | None:
        """Return what a value of run B is in run A; None where it is not bound."""
        return self._back.get((role, b))

    def renamed(self, a: str) -> str:
        """Return what a name of run A is in run B, in capitals or small letters too; itself where unbound."""
        return self._forth.get((NAME, a)) or self._cased.get(a, a)

    def sent(self, a: str, b: str) -> None:
        """Learn that the client said `b` where it said `a` in the other run: a name it made up."""
        if a != b:
            self._bind_name(a, b)

    def same_text(self, a: str, b: str, *, ids: bool = False) -> bool:
        """Return whether two texts are the same once names are exchanged; with `ids`, ids of any type too."""
        if a == b or (a, b) in self._names:
            return True
        if max(len(a), len(b)) > _LONGEST or _PHRASE.split(a) != _PHRASE.split(b):
            return False
        pairs = zip(_PHRASE.findall(a), _PHRASE.findall(b), strict=True)
        return all(
            x == y or self._is_name(x, y) or (ids and self._is_id(x, y)) or self._same_words(x, y, ids=ids)
            for x, y in pairs
        )

    def _is_name(self, a: str, b: str) -> bool:
        return min(len(a), len(b)) >= _SHORTEST and (a, b) in self._names

    def _same_words(self, a: str, b: str, *, ids: bool) -> bool:
        if _WORD.split(a) != _WORD.split(b):
            return False
        pairs = zip(_WORD.findall(a), _WORD.findall(b), strict=True)
        return all(x == y or (x, y) in self._words or (ids and self._is_id(x, y)) for x, y in pairs)

    def _is_id(self, a: str, b: str) -> bool:
        return any(self._forth.get((role, a)) == b for role in self._roles)

    def _bind_name(self, a: str, b: str) -> None:
        self._forth.setdefault((NAME, a), b)
        self._back.setdefault((NAME, b), a)
        for made in (str, str.upper, str.lower):
            self._names.add((made(a), made(b)))
            self._cased.setdefault(made(a), made(b))
        self._bind_words(a, b)

    def _bind_words(self, a: str, b: str) -> None:
        if max(len(a), len(b)) > _LONGEST:
            return
        words = list(zip(_WORD.findall(a), _WORD.findall(b), strict=False))
        if _WORD.split(a) != _WORD.split(b):
            return
        for x, y in words:
            if x != y and min(len(x), len(y)) >= _SHORTEST:
                self._words |= {(x, y), (x.upper(), y.upper()), (x.lower(), y.lower())}

    # --- values that hold others

    def same_place(self, a: Place, b: Place) -> bool:
        """Return whether two URLs lead to the same resource, wherever the servers are."""
        if (a.where, a.prefix, a.endpoint, a.rest) != (b.where, b.prefix, b.endpoint, b.rest):
            return False
        if bool(a.id) != bool(b.id):
            return False
        if not a.id or type_of(a.endpoint) in _FIXED or not a.endpoint:
            return a.id == b.id
        if a.id.startswith("bulkId:") and b.id.startswith("bulkId:"):
            return self.same(BULK, a.id[7:], b.id[7:])
        return self.same(type_of(a.endpoint), a.id, b.id)

    def same_filter(self, a: str, b: str, kind: str) -> bool:
        """Return whether two filters ask for the same; names that the client made up are learned from them."""
        try:
            return self._same_filter(parse_filter(a), parse_filter(b), kind, ())
        except SyntaxProblem:
            return self.same_text(a, b, ids=True)

    def same_path(self, a: str, b: str) -> bool:
        """Return whether two paths of PATCH operations name the same."""
        try:
            left, right = parse_path(a), parse_path(b)
        except SyntaxProblem:
            return self.same_text(a, b, ids=True)
        if (str(left.path).lower(), left.sub) != (str(right.path).lower(), right.sub):
            return False
        if left.filter is None or right.filter is None:
            return left.filter is right.filter
        return self._same_filter(left.filter, right.filter, "", (left.path.name.lower(),))

    def _same_filter(self, a: Filter, b: Filter, kind: str, inside: tuple[str, ...]) -> bool:
        match a, b:
            case (And() | Or(), And() | Or()):
                return (
                    type(a) is type(b)
                    and len(a.terms) == len(b.terms)
                    and all(self._same_filter(x, y, kind, inside) for x, y in zip(a.terms, b.terms, strict=True))
                )
            case Not(), Not():
                return self._same_filter(a.filter, b.filter, kind, inside)
            case ValuePath(), ValuePath():
                name = (*inside, a.path.name.lower())
                rests = [self._same_filter(x, y, kind, name) for x, y in _rests(a, b)]
                same_path = str(a.path).lower() == str(b.path).lower() and (a.rest is None) == (b.rest is None)
                return same_path and self._same_filter(a.filter, b.filter, kind, name) and all(rests)
            case Comparison(), Comparison():
                if (str(a.path).lower(), a.op) != (str(b.path).lower(), b.op):
                    return False
                names = (*inside, *filter(None, (a.path.name.lower(), (a.path.sub or "").lower())))
                if isinstance(a.value, str) and isinstance(b.value, str):
                    return self._same_value(role_of(names), a.value, b.value, kind)
                return type(a.value) is type(b.value) and a.value == b.value
            case Present(), Present():
                return str(a.path).lower() == str(b.path).lower()
        return False

    def _same_value(self, role: Role, a: str, b: str, kind: str) -> bool:
        if role == "id":
            return self.same(kind, a, b)
        if role == "member":
            return self._forth.get(("Group", a)) == b or self.same("User", a, b)
        if role == "externalId":
            return self.same(EXTERNAL, a, b)
        if role == "name":
            self.sent(a, b)
        return self.same_text(a, b)


def _rests(a: ValuePath, b: ValuePath) -> Iterator[tuple[Filter, Filter]]:
    if a.rest is not None and b.rest is not None:
        yield a.rest, b.rest


def place_of(url: str, of: Seen) -> Place:
    """Return where a URL in a message of this exchange leads, told apart from where the server happens to be."""
    operation, exchange = of.operation, of.exchange
    about = (of.host, exchange.upstream_address, operation.base_path, operation.endpoint)
    return (_place if len(url) <= _LONGEST_KEPT else _place.__wrapped__)(url, about)


@lru_cache(maxsize=4096)  # the same few URLs are met again and again: in the path, in Location, in meta, in members
def _place(url: str, about: tuple[str, str | None, str | None, str | None]) -> Place:
    own_host, upstream, base_path, endpoint_path = about
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return Place("unreadable", url, "", "", "")
    where = "relative"
    if host:
        netloc = parts.netloc.rpartition("@")[2].lower()
        own = {own_host, (upstream or "").lower()}
        known = netloc in own or (port is None and any(one.rpartition(":")[0] == host for one in own))
        where = "server" if known else host if host in _LOOPBACK else f"{parts.scheme}://{netloc}"
    base = base_path or ""
    path, prefix = parts.path, ""
    if base and (path == base or path.startswith(f"{base}/")):
        path, prefix = path[len(base) :], "base"
    segments = [unquote(part) for part in path.split("/") if part]
    own_endpoint = (endpoint_path or "").strip("/")
    at = next((i for i, part in enumerate(segments) if part in _TYPES or part == own_endpoint), None)
    if at is None:
        return Place(where, f"{prefix}{path}", "", "", parts.query)
    before, endpoint, after = segments[:at], segments[at], segments[at + 1 :]
    rest = "/".join(after[1:]) + (f"?{parts.query}" if parts.query else "")
    return Place(where, "/".join([prefix, *before]), endpoint, after[0] if after else "", rest)
