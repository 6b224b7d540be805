"""Runscope's verdicts: an assertion or an extraction applied to a response (runscope.md 2 and 3).

One rule: never raise, always say. *Failed* is the answer's fault; *errored* means that the assertion itself cannot be
judged (a path that is none, an undefined variable in its target); Runscope calls both "fail". Where the vendor's
text leaves a case open, the choice is marked INFERRED beside it. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scimproxy.errors import ScimproxyError
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.casts import as_number, as_text
from scimproxy.suite.jsonpath import Missing, locate
from scimproxy.suite.model import (
    COMPARISON_ALIASES,
    SOURCE_ALIASES,
    SOURCES,
    UNARY_COMPARISONS,
    Assertion,
    Extraction,
    Json,
)
from scimproxy.suite.response import ReadProblem, ResponseView
from scimproxy.suite.templates import Scope, substitute
from scimproxy.suite.xpath import MissingXml, find

__all__ = [
    "Compared",
    "Extracted",
    "Outcome",
    "Result",
    "compare",
    "evaluate",
    "extract",
    "extract_all",
    "label",
]

type Outcome = Literal["passed", "failed", "errored"]

ATTRIBUTE_NOT_FOUND: Final = "Attribute not found."
"""Runscope's error of a failed extraction (3)."""

_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one assertion.

    `actual` and `expected` are the values that were compared (expected after substitution), `found` tells a missing
    value from null. `message` is Runscope's phrase with the values, `error` why there was nothing to compare,
    `place` a JSON pointer, header name or XPath. `line` is the whole as Runscope's page shows it.
    """

    outcome: Outcome
    assertion: Assertion
    message: str
    actual: Json = None
    expected: Json = None
    found: bool = True
    error: str | None = None
    place: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the assertion holds."""
        return self.outcome == "passed"

    @property
    def line(self) -> str:
        """The assertion as a line: `Status — 201 was not a number equal to 409`."""
        parts = (label(self.assertion.source, self.assertion.property), self.message, self.error)
        return " — ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of one extraction: the value in its JSON type, or Runscope's error and, in `detail`, why."""

    name: str
    extraction: Extraction
    passed: bool
    value: Json = None
    error: str | None = None
    detail: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison of two values came to; `error` says why there was nothing to compare."""

    outcome: Outcome
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A value of the response, or why there is none (`error`), and whether that is the assertion's fault."""

    value: Json = None
    place: str | None = None
    error: str | None = None
    is_our_fault: bool = False


def label(source: str, property: str | None = None) -> str:  # noqa: A002 - Runscope's word
    """Return how Runscope's page names what an assertion looks at (2.6; text and xml INFERRED)."""
    fixed = {
        "response_status": "Status",
        "response_time": "Response time (ms)",
        "response_size": "Response (bytes)",
        "response_text": "Text body",
    }
    if source in fixed:
        return fixed[source]
    head = {"response_headers": "header", "response_xml": "xml"}.get(source, "body")
    return f"{head}.{property}" if property else head


# ---- reading


def _read_headers(response: ResponseView, name: str) -> _Seen:
    values = response.headers.get_all(name.strip())
    if not values:
        # The words are those of JSON paths (INFERRED).
        return _Seen(place=name, error=f"Unable to locate {name} in the response headers.")
    return _Seen(", ".join(values), place=name)


def _read_json(response: ResponseView, path: str) -> _Seen:
    document = response.json
    if isinstance(document, ReadProblem):
        return _Seen(error=document.message)
    found = locate(document, path)
    if isinstance(found, Missing):
        return _Seen(place=found.pointer, error=found.message)
    return _Seen(found.value, place=found.pointer)


def _read_xml(response: ResponseView, path: str) -> _Seen:
    found = find(response.body, path)
    if isinstance(found, MissingXml):
        return _Seen(place=path, error=found.message)
    return _Seen(found, place=path)


_READERS: Final[Mapping[str, Callable[[ResponseView, str], _Seen]]] = {
    "response_status": lambda response, _: _Seen(response.status_code),
    "response_time": lambda response, _: _Seen(response.response_time_ms),
    "response_size": lambda response, _: _Seen(response.size),
    "response_text": lambda response, _: _Seen(response.text),
    "response_headers": _read_headers,
    "response_json": _read_json,
    "response_xml": _read_xml,
}


def _look(response: ResponseView, source: str, path: str) -> _Seen:
    source = SOURCE_ALIASES.get(source, source)
    reader = _READERS.get(source)
    if reader is None:
        return _Seen(error=f"'{source}' is no source; there are {', '.join(SOURCES)}", is_our_fault=True)
    try:
        return reader(response, path)
    except ScimproxyError as exc:
        return _Seen(error=exc.message, is_our_fault=True)


# ---- comparing: each gets the actual and the target value, and gives a verdict


def _of(holds: bool) -> Compared:
    return Compared("passed" if holds else "failed")


def _is_empty(actual: Json, _: Json) -> Compared:
    # "exists and is an empty string or null": false, 0, [] and {} are not empty (CONFIRMED by osiam's run for false).
    return _of(actual is None or actual == "")


def _is_not_empty(actual: Json, _: Json) -> Compared:
    return _of(not (actual is None or actual == ""))


def _numeric(holds: Callable[[int], bool]) -> Callable[[Json, Json], Compared]:
    """Return a comparison of two numbers, both cast; `holds` judges the sign of their difference."""

    def judge(actual: Json, target: Json) -> Compared:
        have, want = as_number(actual), as_number(target)
        if want is None:
            return Compared("errored", f"The expected value {_quoted(target)} is not a number.")
        if have is None:
            return Compared("failed", f"{_quoted(actual)} is not a number.")
        return _of(holds((have > want) - (have < want)))

    return judge


def _has_key(actual: Json, target: Json) -> Compared:
    if not isinstance(actual, dict):
        return Compared("failed", f"The actual value must be an object, not {_kind(actual)}.")
    return _of(as_text(target) in actual)


def _has_value(actual: Json, target: Json) -> Compared:
    if not isinstance(actual, list | dict):
        return Compared("failed", f"The actual value must be a list or an object, not {_kind(actual)}.")
    wanted = as_text(target)
    return _of(any(as_text(one) == wanted for one in (actual.values() if isinstance(actual, dict) else actual)))


# What each comparison does, and its phrases when it holds and when it does not (2.6; INFERRED but for the numbers).
_COMPARISONS: Final[Mapping[str, tuple[Callable[[Json, Json], Compared], str, str]]] = {
    "equal": (lambda a, t: _of(as_text(a) == as_text(t)), "was equal to", "was not equal to"),
    "not_equal": (lambda a, t: _of(as_text(a) != as_text(t)), "was not equal to", "was equal to"),
    "empty": (_is_empty, "was empty", "was not empty"),
    "not_empty": (_is_not_empty, "was not empty", "was empty"),
    # A list or object is searched in its JSON text: how `contains` on `schemas` passes in Okta's suites (INFERRED).
    "contains": (lambda a, t: _of(as_text(t) in as_text(a)), "does contain", "does not contain"),
    "does_not_contain": (lambda a, t: _of(as_text(t) not in as_text(a)), "does not contain", "does contain"),
    "is_a_number": (lambda a, _: _of(as_number(a) is not None), "was a number", "was not a number"),
    "equal_number": (_numeric(lambda sign: sign == 0), "was a number equal to", "was not a number equal to"),
    "is_less_than": (_numeric(lambda sign: sign < 0), "was less than", "was not less than"),
    "is_less_than_or_equal": (
        _numeric(lambda sign: sign <= 0),
        "was less than or equal to",
        "was not less than or equal to",
    ),
    "is_greater_than": (_numeric(lambda sign: sign > 0), "was greater than", "was not greater than"),
    "is_greater_than_or_equal": (
        _numeric(lambda sign: sign >= 0),
        "was greater than or equal to",
        "was not greater than or equal to",
    ),
    "has_key": (_has_key, "had key", "had no key"),
    "has_value": (_has_value, "had value", "had no value"),
    "is_null": (lambda a, _: _of(a is None), "was null", "was not null"),
}


def compare(comparison: str, actual: Json, target: Json) -> Compared:
    """Return what a comparison says of two values; for assertions, conditions and loops."""
    known = _COMPARISONS.get(COMPARISON_ALIASES.get(comparison, comparison))
    if known is None:
        return Compared("errored", f"'{comparison}' is no comparison; there are {', '.join(_COMPARISONS)}")
    return known[0](actual, target)


def evaluate(
    assertion: Assertion,
    response: ResponseView,
    scope: Scope | None = None,
    builtins: Builtins | None = None,
) -> Result:
    """Return the verdict on an assertion; with a scope, `{{ }}` in its property and its value are filled in first."""
    path, target, problem = assertion.property or "", assertion.value, None
    if scope is not None:
        path, target, problem = _filled(assertion, scope, builtins or Builtins.harmless())
    comparison = COMPARISON_ALIASES.get(assertion.comparison, assertion.comparison)
    seen = _look(response, assertion.source, path)
    if problem is not None or seen.error is not None:
        errored = problem is not None or seen.is_our_fault
        return Result(
            outcome="errored" if errored else "failed",
            assertion=assertion,
            message=_phrase(comparison, target, held=False),
            expected=target,
            found=False,
            error=problem or seen.error,
            place=seen.place,
        )
    verdict = compare(comparison, seen.value, target)
    return Result(
        outcome=verdict.outcome,
        assertion=assertion,
        message=f"{_quoted(seen.value)} {_phrase(comparison, target, held=verdict.outcome == 'passed')}",
        actual=seen.value,
        expected=target,
        error=verdict.error,
        place=seen.place,
    )


def _filled(assertion: Assertion, scope: Scope, builtins: Builtins) -> tuple[str, Json, str | None]:
    """Return property and target with variables filled in, and why that cannot be done."""
    path = substitute(assertion.property or "", scope, builtins)
    errors = path.errors
    target = assertion.value
    if isinstance(target, str) and assertion.comparison not in UNARY_COMPARISONS:
        value = substitute(target, scope, builtins)
        errors += value.errors
        target = value.text
    return path.text, target, "; ".join(dict.fromkeys(errors)) or None


def _phrase(comparison: str, target: Json, *, held: bool) -> str:
    known = _COMPARISONS.get(comparison)
    if known is None:
        return f"could not be compared by '{comparison}'"
    phrase = known[1] if held else known[2]
    return phrase if comparison in UNARY_COMPARISONS else f"{phrase} {_cut(as_text(target))}"


def _quoted(value: Json) -> str:
    return f"'{_cut(value)}'" if isinstance(value, str) else _cut(as_text(value))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _kind(value: Json) -> str:
    kinds = {
        bool: json.dumps(value) if isinstance(value, bool) else "",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else kinds.get(type(value), "a number")


# ---- extracting


def extract(
    extraction: Extraction,
    response: ResponseView,
    scope: Scope | None = None,
    builtins: Builtins | None = None,
) -> Extracted:
    """Return the value that an extraction takes from a response, or Runscope's error for it."""
    path = extraction.property or ""
    if scope is not None:
        filled = substitute(path, scope, builtins or Builtins.harmless())
        if not filled.ok:
            return Extracted(extraction.name, extraction, passed=False, error=filled.errors[0])
        path = filled.text
    seen = _look(response, extraction.source, path)
    if seen.error is not None:
        return Extracted(
            extraction.name,
            extraction,
            passed=False,
            error=seen.error if seen.is_our_fault else ATTRIBUTE_NOT_FOUND,
            detail=None if seen.is_our_fault else seen.error,
            place=seen.place,
        )
    return Extracted(extraction.name, extraction, passed=True, value=seen.value, place=seen.place)


def extract_all(
    extractions: tuple[Extraction, ...],
    response: ResponseView,
    scope: Scope,
    builtins: Builtins,
    origin: str,
) -> tuple[Extracted, ...]:
    """Apply extractions in order and put what they give into the scope; rows without a name are ignored (0, 3)."""
    done = []
    for extraction in extractions:
        if not extraction.name.strip():
            continue
        one = extract(extraction, response, scope, builtins)
        if one.passed:
            scope.set(one.name, one.value, origin)
        done.append(one)
    return tuple(done)
