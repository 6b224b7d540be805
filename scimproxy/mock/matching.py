"""The named matchers of the mock: method, path, query, body, header:NAME. Each reads a request, and explains itself.

One rule: a matcher says what a request is in a `Form` (found by hash), and what differs in words (`explain`); which
of them must agree is chosen by name. Strict, default and loose are choices that have a name.
Pure. Flow: `Matching` (the choice) -> recorded.py asks `forms` of each request, `explain` of those that came close.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from scimproxy.bind import Bindings
from scimproxy.bodies import NOTHING, Seen
from scimproxy.diff.differences import differences, parameters
from scimproxy.errors import UsageError
from scimproxy.mock.words import Form, Translate, body_form, path_form, query_form

__all__ = ["MATCHERS", "PRESETS", "Matcher", "Matching", "Mismatch", "parse_matching"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_CUT = 200
_MOST = 5


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a recorded exchange does not answer a request: which matcher, and what it expected and got."""

    matcher: str
    expected: str
    got: str
    place: str = ""

    def __str__(self) -> str:
        place = f" {self.place}" if self.place else ""
        return f"{self.matcher}{place}: expected {self.expected}, got {self.got}"


class Matcher(Protocol):
    """One part of a request that can be asked to agree."""

    @property
    def name(self) -> str:
        """What `--match` calls it."""

    def form(self, of: Seen, translate: Translate) -> Form:
        """Return what this part says."""

    def explain(self, recorded: Seen, asked: Seen) -> list[Mismatch]:
        """Return in words what differs; empty where the parts agree."""


@dataclass(frozen=True, slots=True)
class _Method:
    name: str = "method"

    def form(self, of: Seen, translate: Translate) -> Form:  # noqa: ARG002 - the matchers' signature
        return Form(of.exchange.request.method)

    def explain(self, recorded: Seen, asked: Seen) -> list[Mismatch]:
        one, two = recorded.exchange.request.method, asked.exchange.request.method
        return [] if one == two else [Mismatch(self.name, one, two)]


@dataclass(frozen=True, slots=True)
class _Path:
    name: str = "path"

    def form(self, of: Seen, translate: Translate) -> Form:
        return path_form(of, translate)

    def explain(self, recorded: Seen, asked: Seen) -> list[Mismatch]:
        one, two = path_form(recorded, _as_it_is), path_form(asked, _as_it_is)
        same = one.mask == two.mask and one.words == two.words
        return [] if same else [Mismatch(self.name, _path_of(recorded), _path_of(asked))]


@dataclass(frozen=True, slots=True)
class _Query:
    name: str = "query"

    def form(self, of: Seen, translate: Translate) -> Form:
        return query_form(of, translate)

    def explain(self, recorded: Seen, asked: Seen) -> list[Mismatch]:
        one, two = parameters(recorded), parameters(asked)
        found = []
        for name in sorted({*one, *two}):
            left, right = one.get(name), two.get(name)
            if left is None or right is None or not _same_parameter(name, left, right, recorded, asked):
                found.append(Mismatch(self.name, _shown(left), _shown(right), name[:_CUT]))
        return found[:_MOST]


def _same_parameter(name: str, a: str, b: str, recorded: Seen, asked: Seen) -> bool:
    if name == "filter":
        return Bindings().same_filter(a, b, recorded.operation.endpoint or "")
    one = _Query().form(_only(recorded, name), _as_it_is)
    return one == _Query().form(_only(asked, name), _as_it_is)


def _only(of: Seen, name: str) -> Seen:
    """Return the exchange with no other parameter than this one."""
    request = of.exchange.request
    kept = [part for part in (request.query or "").split("&") if part.partition("=")[0].lower() == name]
    return replace(of, exchange=replace(of.exchange, request=replace(request, target=f"/?{'&'.join(kept)}")))


@dataclass(frozen=True, slots=True)
class _Body:
    name: str = "body"

    def form(self, of: Seen, translate: Translate) -> Form:
        return body_form(of, translate)

    def explain(self, recorded: Seen, asked: Seen) -> list[Mismatch]:
        """Say what differs value by value, as `scimproxy diff` does; names made up anew are no difference."""
        if body_form(recorded, _as_it_is).mask == body_form(asked, _as_it_is).mask:
            return []
        pair = [
            replace(it, exchange=replace(it.exchange, response=None, failure=None), response=NOTHING)
            for it in (recorded, asked)
        ]
        told = [
            Mismatch(self.name, _shown(one.a), _shown(one.b), one.pointer.removeprefix("/request/body") or "/")
            for one in differences(pair[0], pair[1], Bindings())
            if one.names[:2] == ("request", "body") and one.verdict != "noise"
        ]
        return told[:_MOST] or [Mismatch(self.name, "another body", "this one")]


@dataclass(frozen=True, slots=True)
class _Header:
    name: str

    def form(self, of: Seen, translate: Translate) -> Form:  # noqa: ARG002 - the matchers' signature
        return Form(json.dumps(self._value(of)))

    def _value(self, of: Seen) -> str | None:
        values = of.exchange.request.headers.get_all(self.name.partition(":")[2])
        joined = ", ".join(" ".join(value.split()) for value in values)
        if self.name == "header:content-type":
            joined = joined.lower().replace(" ", "").removesuffix(";charset=utf-8")
        return joined if values else None

    def explain(self, recorded: Seen, asked: Seen) -> list[Mismatch]:
        one, two = self._value(recorded), self._value(asked)
        return [] if one == two else [Mismatch(self.name, _shown(one), _shown(two))]


MATCHERS: dict[str, Callable[[], Matcher]] = {"method": _Method, "path": _Path, "query": _Query, "body": _Body}
"""The matchers by name, beside `header:NAME`."""

_STRICT_HEADERS = ("header:content-type", "header:if-match", "header:if-none-match")
PRESETS: dict[str, tuple[str, ...]] = {
    "strict": ("method", "path", "query", "body", *_STRICT_HEADERS),
    "default": ("method", "path", "query", "body"),
    "loose": ("method", "path"),
}
"""Which matchers must agree. Strict binds nothing: names and ids must be those of the recording."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Which matchers must agree (`required`), which only choose between several (`preferred`), and how strictly."""

    required: tuple[Matcher, ...]
    preferred: tuple[Matcher, ...] = ()
    strict: bool = False

    @property
    def names(self) -> str:
        """The names of those that must agree, as `--match` takes them."""
        return ",".join(one.name for one in self.required)


def parse_matching(text: str | None = None, preset: str = "default") -> Matching:
    """Return the choice of `--match` (`method,path,header:If-Match`), else that of a preset.

    Raises:
        UsageError: there is no such matcher, or the method or path is not among them.
    """
    names = (
        PRESETS[preset] if text is None else tuple(part.strip().lower() for part in text.split(",") if part.strip())
    )
    required = tuple(_matcher(name) for name in dict.fromkeys(names))
    if not {"method", "path"} <= {one.name for one in required}:
        raise UsageError("--match must name method and path", hint="write it like --match method,path,query")
    left = [name for name in ("query", "body") if name not in names]
    return Matching(required, tuple(MATCHERS[name]() for name in left), strict=preset == "strict")


def _matcher(name: str) -> Matcher:
    if name in MATCHERS:
        return MATCHERS[name]()
    if name.startswith("header:") and _TOKEN.fullmatch(name[7:]):
        return _Header(name)
    raise UsageError(
        f"there is no matcher {name[:100]!r}",
        hint=f"known are {', '.join(MATCHERS)} and header:NAME, like header:If-Match",
    )


def _as_it_is(role: str, word: str) -> str:  # noqa: ARG001 - what translates nothing
    return word


def _path_of(of: Seen) -> str:
    return of.exchange.request.path[:_CUT]


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _CUT else f"{text[: _CUT - 1]}…"
