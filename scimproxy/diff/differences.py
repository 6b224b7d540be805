"""What differs between two exchanges: a list of changes, each with a place, both values, a verdict and its reason.

One rule: what always differs is no difference: dates, versions, where the server is, ids and names that are bound
(bind.py). Order, letter case of names and absent values are told as noise. Both directions count: what is missing
and what was added. diff(a, a) is empty. Pure and bounded; runs.py compares whole runs with it.
Flow: two `Seen` -> `differences` -> Difference, judged by judging.py. Pointers are RFC 6901, into the document that
report.py describes; indexes are those of A, and of B for what was added.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal
from urllib.parse import unquote_plus

from scimproxy.bind import EXTERNAL, Bindings, Role, place_of, role_at, role_of, type_of
from scimproxy.bodies import NOTHING, Body, Seen
from scimproxy.diff.elements import Pairs, paired_elements
from scimproxy.diff.judging import VERDICTS, Change, Verdict, judge
from scimproxy.diff.moving import dates, moves, undated
from scimproxy.exchange import SECRET_HEADERS, Exchange, Headers
from scimproxy.scim.filters import member

__all__ = ["MOST", "Agreed", "Difference", "Judge", "Names", "differences", "escaped"]

MOST = 200
"""Differences told of one pair of exchanges; the last one says that there are more."""

_RANDOM = re.compile(r"(?=.*\d)[A-Za-z0-9]{6,}|[0-9a-fA-F]{8}", re.ASCII)
_WORDS = re.compile(r"[^\W_]+")
_OPS: dict[Change, Op] = {"missing": "remove", "added": "add"}
_LOCATED = frozenset({"location", "content-location"})
_PLAIN = frozenset({"text", "name", "detail"})
"""Roles in which equal texts are the same, whatever is bound."""

type Names = tuple[str, ...]
type Op = Literal["add", "remove", "replace", "move"]
type Judge = Callable[[Difference], Difference]
"""Judges a difference again, for those who know more than where it is."""
type Agreed = set[Hashable]
"""Pairs of bodies that say the same, and in which surroundings. What is bound stays so: they always will."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `a` and `b` are the values (None also where there is none: see `op`).

    `names` is the place without indexes, lower case: what noise is learned by. `op` is what makes B of A there
    (RFC 6902); of a `move`, which changes a name, `a` and `b` are the names.
    """

    pointer: str
    change: Change
    a: Any
    b: Any
    verdict: Verdict
    reason: str
    names: Names = ()
    op: Op = "replace"

    @property
    def in_a(self) -> bool:
        """Whether A has anything at the place."""
        return self.op != "add"

    @property
    def in_b(self) -> bool:
        """Whether B has anything at the place."""
        return self.op != "remove"


def differences(
    a: Seen, b: Seen, bindings: Bindings, agreed: Agreed | None = None, again: Judge | None = None
) -> list[Difference]:
    """Return what differs from a to b; `bindings` learns from them, so ask in the order of the runs.

    `agreed` remembers which bodies were found to say the same, for as long as those and `bindings` live.
    """
    return list(_Walk(a, b, bindings, set() if agreed is None else agreed).run(again))


class _Walk:
    """One comparison while it goes on."""

    def __init__(self, a: Seen, b: Seen, bindings: Bindings, agreed: Agreed) -> None:
        self._agreed = agreed
        self._around = (_around(a), _around(b))
        self._a = a
        self._b = b
        self._bindings = bindings
        self._asked = True
        self._leads = all(_leads(it.exchange) for it in (a, b))
        self._kind = type_of((a.operation.endpoint or "").strip("/"))
        self._fixed = a.operation.kind == "discovery"

    def run(self, again: Judge | None) -> Iterator[Difference]:
        """Give the differences, at most MOST of them: the last one then is as bad as the worst of the rest."""
        found = self._all() if again is None else map(again, self._all())
        yield from islice(found, MOST - 1)
        rest = Counter(one.verdict for one in found)
        if rest:
            worst = next(one for one in VERDICTS if rest[one])
            reason = f"more than {MOST - 1} differences; {rest.total():,} more are left out"
            yield Difference("", "value", None, None, worst, reason)

    def _all(self) -> Iterator[Difference]:
        yield from self._request()
        self._asked = False
        yield from self._response()

    def _made(
        self, change: Change, names: Names, pointer: str, a: object, b: object, op: Op | None = None
    ) -> Difference:
        verdict, reason = judge(change, names, leads=self._leads or names[-1] != "location")
        return Difference(pointer, change, a, b, verdict, reason, names, op or _OPS.get(change, "replace"))

    # --- the parts of an exchange

    def _request(self) -> Iterator[Difference]:
        one, two = self._a.exchange.request, self._b.exchange.request
        if one.method != two.method:
            yield self._made("value", ("request", "method"), "/request/method", one.method, two.method)
        if not self._bindings.same_place(place_of(one.path, self._a), place_of(two.path, self._b)):
            yield self._made("value", ("request", "path"), "/request/path", one.path, two.path)
        yield from self._query()
        yield from self._headers("request", one.headers, two.headers)
        yield from self._body("request", self._a.request, self._b.request)

    def _query(self) -> Iterator[Difference]:
        one, two = parameters(self._a), parameters(self._b)
        for name in sorted({*one, *two}):
            left, right = one.get(name), two.get(name)
            names, pointer = ("request", "query", name), f"/request/query/{escaped(name)}"
            if left is None or right is None:
                yield self._made("added" if left is None else "missing", names, pointer, left, right)
            elif not self._same_parameter(name, left, right):
                yield self._made("value", names, pointer, left, right)

    def _same_parameter(self, name: str, a: str, b: str) -> bool:
        if name == "filter":
            return self._bindings.same_filter(a, b, self._kind)
        return self._bindings.same_text(a, b)

    def _response(self) -> Iterator[Difference]:
        one, two = self._a.exchange, self._b.exchange
        kinds = tuple(None if it.failure is None else it.failure.kind for it in (one, two))
        if kinds[0] != kinds[1]:
            op: Op = "add" if kinds[0] is None else "remove" if kinds[1] is None else "replace"
            yield self._made("failure", ("response", "failure"), "/failure", kinds[0], kinds[1], op)
        if one.response is None or two.response is None:
            if one.response is not two.response and kinds[0] == kinds[1]:
                states = [None if it.response is None else it.response.status_code for it in (one, two)]
                yield self._made("failure", ("response",), "/response", states[0], states[1])
            return
        status = (one.response.status_code, two.response.status_code)
        if status[0] != status[1]:
            yield self._made("status", ("response", "status"), "/response/status", *status)
        if one.response.http_version != two.response.http_version:
            versions = (one.response.http_version, two.response.http_version)
            yield self._made("value", ("response", "http_version"), "/response/http_version", *versions)
        if (status[0] < 400) != (status[1] < 400):  # one is an error: no part of the answers has a counterpart
            if self._a.response is not NOTHING or self._b.response is not NOTHING:
                one_body, two_body = self._a.response, self._b.response
                op = "add" if one_body is NOTHING else "remove" if two_body is NOTHING else "replace"
                names = ("response", "body")
                yield self._made("error", names, "/response/body", _told(one_body), _told(two_body), op)
            return
        yield from self._headers("response", one.response.headers, two.response.headers)
        yield from self._versions(one.response.headers, two.response.headers)
        yield from self._body("response", self._a.response, self._b.response)

    def _versions(self, a: Headers, b: Headers) -> Iterator[Difference]:
        """ETag and meta.version have values of their own; what counts is that they are there, and agree."""
        one, two = a.get("etag"), b.get("etag")
        names, pointer = ("response", "headers", "etag"), "/response/headers/etag"
        if (one is None) != (two is None):
            yield self._made("added" if one is None else "missing", names, pointer, one, two)
        elif one is not None and two is not None:
            said = [_agrees(one, self._a.response), _agrees(two, self._b.response)]
            if None not in said and said[0] != said[1]:
                yield self._made("other", names, pointer, one, two)
            elif one.startswith("W/") != two.startswith("W/"):
                yield self._made("form", names, pointer, one, two)

    def _headers(self, side: str, a: Headers, b: Headers) -> Iterator[Difference]:
        left, right = a.by_name, b.by_name
        for name in sorted({*left, *right}):
            one, two = left.get(name), right.get(name)
            if (one == two and name not in _LOCATED) or moves(name):
                continue
            names, pointer = (side, "headers", name), f"/{side}/headers/{escaped(name)}"
            if one is None or two is None:
                yield self._made("added" if one is None else "missing", names, pointer, _joined(one), _joined(two))
            elif name not in SECRET_HEADERS:
                change = self._header(name, ", ".join(one), ", ".join(two))
                if change is not None:
                    yield self._made(change, names, pointer, _joined(one), _joined(two))

    def _header(self, name: str, a: str, b: str) -> Change | None:
        if name in _LOCATED:
            return self._located(a, b)
        if name == "content-type":
            left, right = _media(a), _media(b)
            if left == right:
                return None
            return "body" if ("json" in left) != ("json" in right) else "value"
        return None if self._bindings.same_text(undated(a), undated(b), ids=True) else "value"

    def _body(self, side: str, a: Body, b: Body) -> Iterator[Difference]:
        names, pointer = (side, "body"), f"/{side}/body"
        if a.mark != b.mark:
            change: Change = "missing" if a.mark else "added"
            place = f"/{side}/byte_order_mark"
            yield self._made(change, (side, "byte_order_mark"), place, a.mark or None, b.mark or None)
        if a.form == "json" and b.form == "json":
            yield from self._json(side, a.value, b.value)
        elif "none" in {a.form, b.form}:
            if a.form != b.form:
                yield self._made("added" if a.form == "none" else "missing", names, pointer, _told(a), _told(b))
        elif a.form != b.form:
            yield self._made("body", names, pointer, _told(a), _told(b))
        elif a.form == "text":
            if not self._bindings.same_text(undated(a.value), undated(b.value), ids=True):
                yield self._made("value", names, pointer, a.value, b.value)
        elif a.sha256 != b.sha256:
            yield self._made("value", names, pointer, _told(a), _told(b))

    # --- values

    def _json(self, side: str, a: Any, b: Any) -> Iterator[Difference]:  # noqa: ANN401 - JSON
        pair = (side, id(a), id(b), self._around)
        if pair in self._agreed:
            return
        same = True
        for one in self._value(a, b, (side, "body"), f"/{side}/body"):
            same = False
            yield one
        if same and isinstance(a, dict | list) and isinstance(b, dict | list):
            self._agreed.add(pair)

    def _value(self, a: Any, b: Any, names: Names, pointer: str) -> Iterator[Difference]:  # noqa: ANN401 - JSON
        if isinstance(a, dict) and isinstance(b, dict):
            yield from self._object(a, b, names, pointer)
        elif isinstance(a, list) and isinstance(b, list):
            yield from self._list(a, b, names, pointer)
        elif _type(a) != _type(b):
            yield self._made(_between(a, b), names, pointer, a, b, "replace")
        elif isinstance(a, str):
            parent = names[-2] if len(names) > 3 else ""
            change = self._text(a, b, role_of(names[2:]), parent)
            if change is not None:
                yield self._made(change, names, pointer, a, b)
        elif a != b:
            yield self._made("value", names, pointer, a, b)

    def _object(self, a: dict[str, Any], b: dict[str, Any], names: Names, pointer: str) -> Iterator[Difference]:
        if a.keys() == b.keys():
            parent = names[-1] if len(names) > 2 else ""
            for name, value in a.items():
                other = b[name]
                if type(value) is str and type(other) is str and (parent, name) != ("operations", "value"):
                    # Most values are texts, and nothing is made of those that do not differ: this is the hot path.
                    change = self._text(value, other, role_at(parent, name), parent)
                    if change is not None:
                        place = f"{pointer}/{escaped(name)}"
                        yield self._made(change, (*names, name.lower()), place, value, other)
                elif not _plainly_same(value, other):
                    inner = _target(a, b) if parent == "operations" and name == "value" else (name.lower(),)
                    yield from self._value(value, other, (*names, *inner), f"{pointer}/{escaped(name)}")
            return
        others = _spelled(a, b)
        for name, value in a.items():
            other = others.get(name)
            inner, place = (*names, name.lower()), f"{pointer}/{escaped(name)}"
            if other is None:
                yield self._made("empty" if _empty(value) else "missing", inner, place, value, None, "remove")
                continue
            yield from self._value(value, b[other], inner, place)
            if other != name:  # after what is in it: places are those of A until then
                yield self._made("case", inner, place, name, other, "move")
        taken = set(others.values())
        for name, value in b.items():
            if name not in taken:
                inner, place = (*names, name.lower()), f"{pointer}/{escaped(name)}"
                yield self._made("empty" if _empty(value) else "added", inner, place, None, value, "add")

    def _list(self, a: list[Any], b: list[Any], names: Names, pointer: str) -> Iterator[Difference]:
        last = names[-1]
        if last == "schemas" and a == b:
            return
        if len(a) == len(b) == 1 and last != "resources":
            yield from self._value(a[0], b[0], names, f"{pointer}/0")
            return
        pairs = paired_elements(a, b, names, self._kind, self._bindings)
        others = list(zip(pairs.only_a, pairs.only_b, strict=False))
        on_page = names == ("response", "body", "resources")
        page = bool(others) and on_page and self._is_page([(a[x], b[y]) for x, y in others])
        if page:
            # Which resources stand on a page is a matter of their order, which RFC 7644 section 3.4.2.4 leaves open.
            pairs = Pairs(sorted(pairs.both), [], [])
        for left, right in pairs.both:
            yield from self._value(a[left], b[right], names, f"{pointer}/{left}")
        for left in reversed(pairs.only_a):
            yield self._made("missing", names, f"{pointer}/{left}", a[left], None)
        for right in pairs.only_b:  # where it is in B, and so too in A once those that are missing are gone
            yield self._made("added", names, f"{pointer}/{right}", None, b[right])
        if page or any(x[1] > y[1] for x, y in zip(pairs.both, pairs.both[1:], strict=False)):
            yield self._made("order", names, pointer, a, b)

    def _is_page(self, others: list[tuple[Any, Any]]) -> bool:
        """Whether both answers are the same part of lists of as many resources, which the runs know besides."""
        one, two = self._a.response.value, self._b.response.value
        totals = [member(it, "totalResults") for it in (one, two)]
        if member(one, "startIndex") != member(two, "startIndex"):
            return False
        parts = [len(member(it, "Resources")) for it in (one, two)]
        if totals[0] != totals[1] or parts[0] != parts[1] or type(totals[0]) is not int or parts[0] >= totals[0]:
            return False
        known = self._bindings
        ids = [[str(member(it, "id")) for it in pair] for pair in others]
        return all(known.b_of(self._kind, x) is not None or known.a_of(self._kind, y) is not None for x, y in ids)

    def _text(self, a: str, b: str, role: Role, parent: str) -> Change | None:
        """Return how two strings differ in their role; ids and names are bound on the way."""
        if a == b and role in _PLAIN:
            return None
        same_form = dates(a, b)
        if same_form is not None:
            return None if same_form else "form"
        bindings = self._bindings
        if role in {"secret", "version"}:
            return None
        if role == "id" and not self._fixed:
            return None if bindings.same(self._kind, a, b) else "other"
        if role == "member":
            if bindings.b_of("Group", a) == b:  # groups may be members of groups
                return None
            return None if bindings.same("Group" if parent == "groups" else "User", a, b) else "other"
        if role in {"externalId", "bulkId"}:
            return None if bindings.same(EXTERNAL if role == "externalId" else "bulkId", a, b) else "value"
        if role == "location" or a.startswith(("http://", "https://")):
            return self._located(a, b)
        return None if a == b else self._other_text(role, a, b)

    def _other_text(self, role: str, a: str, b: str) -> Change | None:
        bindings = self._bindings
        if role == "path":
            return None if bindings.same_path(a, b) else "value"
        if role == "filter":
            return None if bindings.same_filter(a, b, self._kind) else "value"
        if self._asked and (role == "name" or _made_up(a, b)):
            bindings.sent(a, b)
            return None
        return None if bindings.same_text(undated(a), undated(b), ids=role == "detail") else "value"

    def _located(self, a: str, b: str) -> Change | None:
        left, right = place_of(a, self._a), place_of(b, self._b)
        if (left.where, left.prefix) != (right.where, right.prefix):
            return "form"
        return None if self._bindings.same_place(left, right) else "other"


def _leads(exchange: Exchange) -> bool:
    """Whether clients follow the Location of this answer: something was made, or has moved."""
    status = 0 if exchange.response is None else exchange.response.status_code
    return status in {200, 201} if exchange.request.method == "POST" else 300 <= status < 400


def parameters(of: Seen) -> dict[str, str]:
    """Return the parameters of a query by their names in small letters, decoded; equal names are joined."""
    found: dict[str, str] = {}
    for part in (of.exchange.request.query or "")[:65_536].split("&"):
        name, _, value = part.partition("=")
        if name:
            name, value = unquote_plus(name).lower(), unquote_plus(value)
            found[name] = f"{found[name]}&{value}" if name in found else value
    return found


def _target(a: dict[str, Any], b: dict[str, Any]) -> Names:
    """Return the names that a PATCH operation's value stands for: those of its path, where it has one."""
    found = [_unfiltered(one["path"]) for one in (a, b) if isinstance(one.get("path"), str)]
    if len(found) != 2 or found[0] != found[1]:
        return ("value",)
    return tuple(found[0].rpartition(":")[2].split("."))


def _unfiltered(path: str) -> str:
    before, bracket, rest = path.partition("[")
    return (before + (rest.rpartition("]")[2] if bracket else "")).lower()


def _around(it: Seen) -> Hashable:
    """Return what else counts when a body is compared: where the exchange was sent, for the URLs in it."""
    operation, exchange = it.operation, it.exchange
    return operation.kind, operation.endpoint, operation.base_path, it.host, exchange.upstream_address


def _plainly_same(a: object, b: object) -> bool:
    """Whether two values are the same number, truth value or null; strings may have a role."""
    return type(a) is type(b) and not isinstance(a, str | dict | list) and a == b


def _spelled(a: dict[str, Any], b: dict[str, Any]) -> dict[str, str]:
    """Return how the names of one object are spelled in the other; exactly, else but for case where that is clear."""
    found = {name: name for name in a if name in b}
    lowered = {name.lower(): name for name in b if name not in found}
    rest = [name for name in a if name not in found]
    if len({name.lower() for name in rest}) == len(rest) and len(lowered) == len(b) - len(found):
        found |= {name: lowered[name.lower()] for name in rest if name.lower() in lowered}
    return found


def _made_up(a: str, b: str) -> bool:
    """Whether two texts differ only in words that look like chance: as long as each other, and with digits."""
    if _WORDS.split(a) != _WORDS.split(b):
        return False
    words = zip(_WORDS.findall(a), _WORDS.findall(b), strict=True)
    return all(
        x == y or (len(x) == len(y) and _RANDOM.fullmatch(x) is not None and _RANDOM.fullmatch(y) is not None)
        for x, y in words
    )


def _agrees(etag: str, body: Body) -> bool | None:
    """Whether ETag is meta.version; None where the body has none."""
    meta = body.value.get("meta") if isinstance(body.value, dict) else None
    version = meta.get("version") if isinstance(meta, dict) else None
    return etag == version if isinstance(version, str) else None


def _media(value: str) -> str:
    return ";".join([part.strip() for part in value.lower().split(";")]).removesuffix(";charset=utf-8")


def _joined(values: tuple[str, ...] | None) -> str | None:
    return None if values is None else ", ".join(values)


def _told(body: Body) -> Any:  # noqa: ANN401 - whatever the body says
    return body.value if body.form in {"json", "text"} else f"({body.word})" if body.word else None


def _between(a: object, b: object) -> Change:
    """Return what happened where the JSON types differ: null is absent."""
    if _empty(a) and _empty(b):
        return "empty"
    return "added" if a is None else "missing" if b is None else "type"


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, list | dict) and not value)


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "object" if isinstance(value, dict) else "array"


def escaped(name: str) -> str:
    """Return a name as a part of a JSON pointer (RFC 6901 section 3)."""
    return name.replace("~", "~0").replace("/", "~1") if "~" in name or "/" in name else name
